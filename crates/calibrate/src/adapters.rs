//! Against another model of LoRA serving: two figures of a run that knows adapters, and of one that does not.

use thiserror::Error;

/// What a run gives.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AdapterFigures {
    /// Mean time to first token, ms.
    pub ttft_ms: f64,
    /// Output tokens per second.
    pub output_tokens_per_s: f64,
}

/// What the other model gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AdapterReference {
    /// Model that is served.
    pub model: String,
    /// With adapters.
    pub aware: AdapterFigures,
    /// Without.
    pub blind: AdapterFigures,
}

/// One figure compared.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterMetric {
    /// `ttft` or `throughput`.
    pub name: &'static str,
    /// The other model's value.
    pub reference: f64,
    /// Ours.
    pub sim: f64,
    /// |ours − other| / other.
    pub mape: f64,
    /// Whether that is at most the threshold.
    pub is_within: bool,
    /// The same of the ratios of aware to blind, where both sides have them.
    pub ratio_mape: Option<f64>,
}

/// All figures.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterComparison {
    /// Model that is served.
    pub model: String,
    /// Error that is still fine, a fraction.
    pub mape_threshold: f64,
    /// The figures.
    pub metrics: Vec<AdapterMetric>,
}

impl AdapterComparison {
    /// Whether every error is fine.
    pub fn is_within(&self) -> bool {
        self.metrics.iter().all(|metric| metric.is_within)
    }
}

/// A figure of the reference that nothing can be compared with.
#[derive(Clone, Copy, Debug, Error, PartialEq)]
#[error("adapter_aware.{key} is {value}; it must be a finite number above 0")]
pub struct UnusableReference {
    /// Its key.
    pub key: &'static str,
    /// Its value.
    pub value: f64,
}

/// Compares our figures with adapters, and without where they are known, with those of another model.
///
/// # Errors
/// A figure of the other model that is not above 0.
pub fn compare_adapters(
    reference: &AdapterReference,
    aware: AdapterFigures,
    blind: Option<AdapterFigures>,
    mape_threshold: f64,
) -> Result<AdapterComparison, Vec<UnusableReference>> {
    type Side = fn(&AdapterFigures) -> f64;
    let figures: [(&'static str, &'static str, Side); 2] = [
        ("ttft", "ttft", |figures| figures.ttft_ms),
        ("throughput", "output_throughput", |figures| figures.output_tokens_per_s),
    ];
    let unusable: Vec<_> = figures
        .iter()
        .map(|(_, key, side)| UnusableReference { key, value: side(&reference.aware) })
        .filter(|figure| !(figure.value.is_finite() && figure.value > 0.0))
        .collect();
    if !unusable.is_empty() {
        return Err(unusable);
    }
    let metrics = figures.into_iter().map(|(name, _, side)| {
        let (reference_value, sim) = (side(&reference.aware), side(&aware));
        let mape = (sim - reference_value).abs() / reference_value;
        let ratio = |aware: f64, blind: f64| (blind > 0.0).then(|| aware / blind);
        let ratio_mape = blind.and_then(|blind| {
            let reference_ratio = ratio(reference_value, side(&reference.blind))?;
            Some((ratio(sim, side(&blind))? - reference_ratio).abs() / reference_ratio)
        });
        AdapterMetric {
            name,
            reference: reference_value,
            sim,
            mape,
            is_within: mape <= mape_threshold,
            ratio_mape,
        }
    });
    Ok(AdapterComparison { model: reference.model.clone(), mape_threshold, metrics: metrics.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(ttft_ms: f64, output_tokens_per_s: f64) -> AdapterFigures {
        AdapterFigures { ttft_ms, output_tokens_per_s }
    }

    #[test]
    fn values_and_their_ratios_are_compared() {
        let reference =
            AdapterReference { model: "m".into(), aware: figures(50.0, 800.0), blind: figures(40.0, 0.0) };
        let compared =
            compare_adapters(&reference, figures(60.0, 840.0), Some(figures(40.0, 900.0)), 0.1).unwrap();
        let [ttft, throughput] = &compared.metrics[..] else { panic!("{compared:?}") };
        assert!((ttft.mape - 0.2).abs() < 1e-12 && (throughput.mape - 0.05).abs() < 1e-12);
        assert_eq!((ttft.is_within, throughput.is_within, compared.is_within()), (false, true, false));
        // 60 / 40 against 50 / 40.
        assert!((ttft.ratio_mape.unwrap() - 0.2).abs() < 1e-12);
        assert_eq!(throughput.ratio_mape, None, "the reference has no throughput without adapters");
    }

    #[test]
    fn figures_that_nothing_can_be_compared_with_are_refused() {
        let reference = AdapterReference { aware: figures(0.0, f64::NAN), ..AdapterReference::default() };
        let refused = compare_adapters(&reference, figures(1.0, 1.0), None, 0.1).unwrap_err();
        assert_eq!(
            refused.iter().map(|figure| figure.key).collect::<Vec<_>>(),
            ["ttft", "output_throughput"]
        );
    }
}
