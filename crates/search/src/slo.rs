//! Service-level objectives as a text: `ttft_p99<200ms,critical.e2e_p95<5s`.
//!
//! Each term is `[class.]latency_statistic<limit`: a latency (`ttft`, `itl`, `e2e`), a statistic (`mean`, `p50`, `p90`, …)
//! and a duration. Without a class all requests count. The inter-token latency of all requests is that of all their
//! tokens; of a class, and at percentiles other than 50, 90, 95 and 99, it is the mean of each request.

use blis_config::Diagnostic;
use blis_config::diagnostic::unknown_name;
use blis_config::quantity::parse_duration;
use blis_kernel::stats::percentile;
use blis_metrics::{ClassFigures, Distribution, Latency, Outcome, RequestRecord};

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Slo {
    /// All of them have to hold.
    pub terms: Vec<Term>,
}

/// One limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// As it was written.
    pub text: String,
    /// What it says about: an SLO class, or all requests.
    pub class: Option<String>,
    /// Of which latency.
    pub latency: Latency,
    /// Which figure.
    pub statistic: Statistic,
    /// What the figure has to stay below, ms.
    pub limit_ms: f64,
}

/// A figure of many latencies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Statistic {
    /// Their mean.
    Mean,
    /// Their percentile, above 0 and below 100.
    Percentile(f64),
}

const LATENCIES: [(&str, Latency); 3] =
    [("ttft", Latency::Ttft), ("itl", Latency::Itl), ("e2e", Latency::E2e)];
/// What a class is called whose requests name none.
const UNNAMED: &str = "default";

impl Slo {
    /// Reads the text.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Vec<Diagnostic>> {
        let (mut terms, mut problems) = (Vec::new(), Vec::new());
        for part in text.split(',').map(str::trim) {
            match parse_term(part) {
                Ok(term) => terms.push(term),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(Self { terms }) } else { Err(problems) }
    }

    /// Whether the figures of a run are not enough, and its requests are needed.
    pub fn needs_requests(&self) -> bool {
        self.terms.iter().any(|term| !matches!(term.statistic, Statistic::Mean) && !term.is_standard())
    }

    /// Requests of which the rarest percentile leaves at least `beyond` above it.
    pub fn requests_for(&self, beyond: f64) -> u64 {
        let of = |term: &Term| match term.statistic {
            Statistic::Mean => beyond,
            Statistic::Percentile(p) => beyond / (1.0 - p / 100.0),
        };
        // 1 - 0.999 is a little off.
        (self.terms.iter().map(of).fold(beyond, f64::max) - 1e-6 * beyond).ceil() as u64
    }

    /// What each term's figure is in a run, ms; infinite where no request shows it.
    pub fn measure_ms(&self, outcome: &Outcome) -> Vec<f64> {
        self.terms.iter().map(|term| term.measure_ms(outcome)).collect()
    }
}

impl Term {
    /// The figure without its limit, such as `critical.e2e_p95`.
    pub fn figure_name(&self) -> &str {
        self.text.split('<').next().unwrap_or_default().trim()
    }

    fn is_standard(&self) -> bool {
        matches!(self.statistic, Statistic::Percentile(p) if [50.0, 90.0, 95.0, 99.0].contains(&p))
    }

    fn measure_ms(&self, outcome: &Outcome) -> f64 {
        if let Statistic::Percentile(p) = self.statistic
            && !self.is_standard()
        {
            return self.of_requests_ms(outcome, p);
        }
        let cluster = &outcome.cluster;
        let (distribution, per_ms) = match &self.class {
            None => {
                let all = match self.latency {
                    Latency::Ttft => cluster.ttft_ms,
                    Latency::Itl => cluster.itl_ms,
                    Latency::E2e => cluster.e2e_ms,
                };
                (all, 1.0)
            }
            Some(class) => {
                let figures = outcome.classes.get(class).copied().unwrap_or_default();
                (self.of_class(&figures), 1e3)
            }
        };
        if distribution.count == 0 { f64::INFINITY } else { self.figure(distribution) / per_ms }
    }

    fn of_class(&self, figures: &ClassFigures) -> Distribution {
        match self.latency {
            Latency::Ttft => figures.ttft_us,
            Latency::Itl => figures.itl_mean_us,
            Latency::E2e => figures.e2e_us,
        }
    }

    fn figure(&self, distribution: Distribution) -> f64 {
        match self.statistic {
            Statistic::Mean => distribution.mean,
            Statistic::Percentile(50.0) => distribution.p50,
            Statistic::Percentile(90.0) => distribution.p90,
            Statistic::Percentile(95.0) => distribution.p95,
            Statistic::Percentile(_) => distribution.p99,
        }
    }

    fn of_requests_ms(&self, outcome: &Outcome, p: f64) -> f64 {
        let Some(requests) = &outcome.requests else { return f64::INFINITY };
        let counts = |record: &&RequestRecord| {
            let class = requests.labels[record.labels as usize].slo_class.as_str();
            self.class
                .as_deref()
                .is_none_or(|wanted| wanted == if class.is_empty() { UNNAMED } else { class })
        };
        let latency_us = |record: &RequestRecord| match self.latency {
            Latency::Ttft => record.ttft.map(|ttft| ttft.as_us() as f64),
            Latency::Itl => record.e2e.map(|_| record.itl_mean_us),
            Latency::E2e => record.e2e.map(|e2e| e2e.as_us() as f64),
        };
        let mut all_us: Vec<f64> = requests.records.iter().filter(counts).filter_map(latency_us).collect();
        all_us.sort_by(f64::total_cmp);
        if all_us.is_empty() { f64::INFINITY } else { percentile(&all_us[..], p) / 1e3 }
    }
}

fn parse_term(part: &str) -> Result<Term, Diagnostic> {
    let wrong = |problem: &str| {
        Diagnostic::new(format!("--slo: \"{part}\": {problem}")).with_help(
            "write such as ttft_p99<200ms, itl_mean<30ms or critical.e2e_p95<5s, separated by commas",
        )
    };
    let (figure, limit) = part.split_once('<').ok_or_else(|| wrong("there is no \"<\""))?;
    let (name, statistic) = figure.trim().rsplit_once('_').ok_or_else(|| wrong("there is no statistic"))?;
    let (class, name) = name.rsplit_once('.').map_or((None, name), |(class, name)| (Some(class), name));
    let (_, latency) = LATENCIES
        .into_iter()
        .find(|(known, _)| *known == name)
        .ok_or_else(|| unknown_name("latency of --slo", name, LATENCIES.map(|(known, _)| known)))?;
    let statistic = match statistic.strip_prefix('p').map(str::parse::<f64>) {
        _ if statistic == "mean" => Statistic::Mean,
        Some(Ok(p)) if p > 0.0 && p < 100.0 => Statistic::Percentile(p),
        _ => return Err(wrong("the statistic must be mean, or p and a percentile above 0 and below 100")),
    };
    let limit_us = parse_duration(limit.trim()).filter(|&us| us > 0);
    let limit_us = limit_us.ok_or_else(|| wrong("the limit must be a duration above 0, with its unit"))?;
    Ok(Term {
        text: part.to_owned(),
        class: class.map(str::to_owned),
        latency,
        statistic,
        limit_ms: limit_us as f64 / 1e3,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_say_whose_latency_which_figure_and_how_much() {
        let slo = Slo::parse("ttft_p99<200ms, critical.e2e_p99.9<5s,itl_mean<30000us").unwrap();
        let told: Vec<_> =
            slo.terms.iter().map(|t| (t.class.as_deref(), t.latency, t.statistic, t.limit_ms)).collect();
        assert_eq!(
            told,
            [
                (None, Latency::Ttft, Statistic::Percentile(99.0), 200.0),
                (Some("critical"), Latency::E2e, Statistic::Percentile(99.9), 5000.0),
                (None, Latency::Itl, Statistic::Mean, 30.0),
            ]
        );
        assert!(slo.needs_requests());
        assert_eq!(slo.requests_for(100.0), 100_000);
    }

    /// Law: all problems at once.
    #[test]
    fn every_wrong_term_is_named() {
        let problems = Slo::parse("ttft_p99,tpot_p99<1s,ttft_p100<1s,ttft_p50<200,e2e<1s").unwrap_err();
        assert_eq!(problems.len(), 5, "{problems:#?}");
    }
}
