//! One number for a run, from weights that the user gives.
//!
//! score = sum over the given keys, in sorted order, of weight * component, with
//! throughput v / (v + 100) for v requests/s, tokens_per_sec v / (v + 10000) for v tokens/s, and
//! {mean,p50,p99}_{ttft,e2e} 1 / (1 + v / 1000) for v microseconds. Weights are not normalised.

use crate::aggregate::Aggregate;
use std::collections::BTreeMap;

/// The keys that have a component, sorted.
pub const KEYS: [&str; 8] =
    ["mean_e2e", "mean_ttft", "p50_e2e", "p50_ttft", "p99_e2e", "p99_ttft", "throughput", "tokens_per_sec"];

/// Requests per second that give a throughput component of one half.
const REFERENCE_RESPONSES_PER_S: f64 = 100.0;
/// Tokens per second that give a component of one half.
const REFERENCE_TOKENS_PER_S: f64 = 10_000.0;
/// Latency that gives a component of one half, microseconds.
const REFERENCE_LATENCY_US: f64 = 1_000.0;

/// What can be wrong with fitness weights.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FitnessError {
    /// An item that is not a key, a colon and a weight.
    #[error("fitness weight \"{item}\" is not key:value, as in throughput:0.5")]
    NoWeight {
        /// The item as written.
        item: String,
    },
    /// No component of that name.
    #[error("unknown fitness key \"{key}\" (valid: {valid})", valid = KEYS.join(", "))]
    UnknownKey {
        /// The key.
        key: String,
    },
    /// A weight that is not a finite number of at least zero.
    #[error("weight of fitness key \"{key}\" is \"{weight}\"; it must be a finite number, 0 or more")]
    Weight {
        /// The key.
        key: String,
        /// The weight as written.
        weight: String,
    },
}

/// The weight of each given key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FitnessWeights(BTreeMap<&'static str, f64>);

impl FitnessWeights {
    /// Reads `key:value,…`; of a repeated key the last value counts. Empty text gives no weights.
    ///
    /// # Errors
    /// Every item that [`FitnessError`] describes.
    pub fn parse(text: &str) -> Result<Self, Vec<FitnessError>> {
        let (mut weights, mut errors) = (BTreeMap::new(), Vec::new());
        for item in text.split(',').map(str::trim).filter(|_| !text.trim().is_empty()) {
            match parse_item(item) {
                Ok((key, weight)) => drop(weights.insert(key, weight)),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(Self(weights)) } else { Err(errors) }
    }

    /// Whether no key is weighted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Rates a run by the figures of its cluster.
    pub fn rate(&self, cluster: &Aggregate) -> Fitness {
        let components: BTreeMap<_, _> = self.0.keys().map(|&key| (key, component(key, cluster))).collect();
        let score = self.0.iter().fold(0.0, |score, (key, weight)| score + weight * components[key]);
        Fitness { score, components }
    }
}

fn parse_item(item: &str) -> Result<(&'static str, f64), FitnessError> {
    let no_weight = || FitnessError::NoWeight { item: item.to_owned() };
    let (key, weight) = item.split_once(':').ok_or_else(no_weight)?;
    let (key, weight) = (key.trim(), weight.trim());
    let known = KEYS.iter().find(|known| **known == key);
    let known = known.ok_or_else(|| FitnessError::UnknownKey { key: key.to_owned() })?;
    let value = weight.parse::<f64>().ok().filter(|w| w.is_finite() && *w >= 0.0);
    let bad_weight = || FitnessError::Weight { key: key.to_owned(), weight: weight.to_owned() };
    Ok((known, value.ok_or_else(bad_weight)?))
}

/// A run's rating.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitness {
    /// The weighted sum.
    pub score: f64,
    /// The components in it, before weighting, each from 0 to 1.
    pub components: BTreeMap<&'static str, f64>,
}

fn component(key: &str, cluster: &Aggregate) -> f64 {
    let share = |value: f64, reference: f64| value / (value + reference);
    let quickness = |latency_ms: f64| 1.0 / (1.0 + latency_ms * 1000.0 / REFERENCE_LATENCY_US);
    match key {
        "throughput" => share(cluster.responses_per_s, REFERENCE_RESPONSES_PER_S),
        "tokens_per_sec" => share(cluster.tokens_per_s, REFERENCE_TOKENS_PER_S),
        "mean_e2e" => quickness(cluster.e2e_ms.mean),
        "p50_e2e" => quickness(cluster.e2e_ms.p50),
        "p99_e2e" => quickness(cluster.e2e_ms.p99),
        "mean_ttft" => quickness(cluster.ttft_ms.mean),
        "p50_ttft" => quickness(cluster.ttft_ms.p50),
        "p99_ttft" => quickness(cluster.ttft_ms.p99),
        _ => unreachable!("parse lets no other key through"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distribution::Distribution;

    #[test]
    fn worked_example() {
        let cluster = Aggregate {
            responses_per_s: 50.0,
            tokens_per_s: 5000.0,
            ttft_ms: Distribution { p99: 80.0, ..Distribution::default() },
            e2e_ms: Distribution { mean: 1000.0, ..Distribution::default() },
            ..Aggregate::default()
        };
        let weights = FitnessWeights::parse("throughput:0.5, p99_ttft:0.3, mean_e2e:0.2").unwrap();
        let fitness = weights.rate(&cluster);
        assert_eq!(format!("{:.9}", fitness.score), "0.170570171");
        let keys: Vec<_> = fitness.components.keys().copied().collect();
        assert_eq!(keys, ["mean_e2e", "p99_ttft", "throughput"]);
    }

    #[test]
    fn every_fault_is_named() {
        assert!(FitnessWeights::parse(" ").unwrap().is_empty());
        let faults = FitnessWeights::parse("throughput,speed:1,p99_e2e:1,p50_e2e:-1").unwrap_err();
        let [FitnessError::NoWeight { .. }, FitnessError::UnknownKey { .. }, FitnessError::Weight { .. }] =
            &faults[..]
        else {
            panic!("{faults:?}");
        };
        for weight in ["-1", "nan", "inf", "x", ""] {
            let faults = FitnessWeights::parse(&format!("throughput:{weight}")).unwrap_err();
            assert!(matches!(&faults[..], [FitnessError::Weight { .. }]), "{weight}");
        }
        let repeated = FitnessWeights::parse("throughput:1,throughput:2").unwrap();
        assert_eq!(repeated, FitnessWeights::parse("throughput:2").unwrap());
    }
}
