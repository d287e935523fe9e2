//! What is tried, and what a try shows.

use crate::slo::Slo;
use blis_cluster::Control;
use blis_config::options::Traffic;
use blis_config::{Diagnostic, RunOptions, Surroundings, edit, resolve};
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
    /// Fewest instances with which it works.
    fn least_instances(&self) -> u32 {
        1
    }

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
    /// Which part of the instances processes prompts, and which generates answers; `None` = all do both.
    pub split: Option<Split>,
    /// Ends its runs.
    pub control: &'a Control,
}

/// Prefill instances to decode instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// So many parts process prompts.
    pub prefill: u32,
    /// So many generate answers.
    pub decode: u32,
}

impl Split {
    /// How many of so many instances process prompts: its share, rounded, and at least one of either kind.
    pub fn prefill_of(self, instances: u32) -> u32 {
        let (all, parts) = (f64::from(instances), f64::from(self.prefill) + f64::from(self.decode));
        let share = libm::rint(all * f64::from(self.prefill) / parts) as u32;
        share.clamp(1, instances.saturating_sub(1).max(1))
    }
}

impl Configuration<'_> {
    /// The options with so many instances.
    pub fn with_instances(&self, instances: u32) -> RunOptions {
        let mut options = self.options.clone();
        options.num_instances = Some(i64::from(instances));
        if let Some(split) = self.split {
            let prefill = split.prefill_of(instances);
            options.pools.prefill_instances = Some(i64::from(prefill));
            options.pools.decode_instances = Some(i64::from(instances) - i64::from(prefill));
            options.pools.decider.get_or_insert_with(|| "always".to_owned());
        }
        options
    }
}

impl Subject for Configuration<'_> {
    fn least_instances(&self) -> u32 {
        if self.split.is_some() { 2 } else { 1 }
    }

    fn measure(&self, trial: &Trial, slo: &Slo) -> Result<Measured, Vec<Diagnostic>> {
        let mut options = self.with_instances(trial.instances);
        options.seed = Some(trial.seed);
        options.per_request = slo.needs_requests();
        let mut has_file = false;
        if let Traffic::Synthesised(workload) = &mut options.traffic {
            has_file = workload.spec.is_some();
            workload.rate = Some(trial.rate).filter(|_| !has_file);
            workload.num_requests = Some(trial.requests as i64);
        }
        if has_file {
            let rate = trial.rate.to_string();
            edit::set_in_file(&mut options, "workload-spec.aggregate_rate", &rate)
                .map_err(|problem| vec![problem])?;
        }
        let surroundings = Surroundings { hub: None, cache: self.cache, policies: Some(self.policies) };
        let resolved = resolve(&options, &surroundings)?;
        let outcome = self.control.run(&resolved.plan, &mut ()).map_err(|_| vec![stopped()])?;
        Ok(Measured::of(&outcome, slo))
    }
}

/// What is said of a run that somebody stopped.
pub fn stopped() -> Diagnostic {
    Diagnostic::new("the run was stopped")
}
