//! What is tried, and what a try shows.

use crate::slo::Slo;
use blis_config::options::Traffic;
use blis_config::{Diagnostic, RunOptions, Surroundings, resolve};
use blis_metrics::{Outcome, RunEnding};
use blis_policy::Registry;
use std::path::Path;

/// One run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trial {
    /// So many instances.
    pub instances: u32,
    /// Requests per second.
    pub rate: f64,
    /// Seed of its random streams.
    pub seed: i64,
    /// Requests that arrive.
    pub requests: u64,
}

/// What a run shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The figure of each term of the SLO, ms.
    pub figures_ms: Vec<f64>,
    /// Requests that were not answered.
    pub unanswered: u64,
    /// Requests answered per second.
    pub answered_per_s: f64,
    /// Mean time from arrival to the last token, seconds.
    pub e2e_mean_s: f64,
}

impl Measured {
    fn of(outcome: &Outcome, slo: &Slo) -> Self {
        let stuck = matches!(outcome.ending, RunEnding::Deadlock(_));
        Self {
            figures_ms: slo.measure_ms(outcome),
            unanswered: outcome.conservation.injected - outcome.conservation.completed + u64::from(stuck),
            answered_per_s: outcome.cluster.responses_per_s,
            e2e_mean_s: outcome.cluster.e2e_ms.mean / 1e3,
        }
    }

    /// How far the worst term is from its limit, as a share of it (above 1 = it is missed), and which it is. Infinite,
    /// without a term, when requests were not answered.
    pub fn worst(&self, slo: &Slo) -> (f64, Option<usize>) {
        if self.unanswered > 0 {
            return (f64::INFINITY, None);
        }
        let shares = self.figures_ms.iter().zip(&slo.terms).map(|(figure, term)| figure / term.limit_ms);
        shares.enumerate().fold(
            (0.0, None),
            |worst, (term, share)| {
                if share > worst.0 { (share, Some(term)) } else { worst }
            },
        )
    }
}

/// Something of which trials can be made. The same trial gives the same measurement.
pub trait Subject: Sync {
    /// Makes one.
    ///
    /// # Errors
    /// Everything that is wrong with the configuration.
    fn measure(&self, trial: &Trial, slo: &Slo) -> Result<Measured, Vec<Diagnostic>>;
}

/// Options of `run`, except for what a trial says.
#[derive(Clone, Copy, Debug)]
pub struct Configuration<'a> {
    /// The options; the traffic is synthesised.
    pub options: &'a RunOptions,
    /// Where earlier downloads of model configurations lie.
    pub cache: Option<&'a Path>,
    /// Policies.
    pub policies: &'a Registry,
}

impl Subject for Configuration<'_> {
    fn measure(&self, trial: &Trial, slo: &Slo) -> Result<Measured, Vec<Diagnostic>> {
        let mut options = self.options.clone();
        options.num_instances = Some(i64::from(trial.instances));
        options.seed = Some(trial.seed);
        options.per_request = slo.needs_requests();
        if let Traffic::Synthesised(workload) = &mut options.traffic {
            workload.rate = Some(trial.rate);
            workload.num_requests = Some(trial.requests as i64);
        }
        let surroundings = Surroundings { hub: None, cache: self.cache, policies: Some(self.policies) };
        let resolved = resolve(&options, &surroundings)?;
        Ok(Measured::of(&blis_cluster::run(&resolved.plan), slo))
    }
}
