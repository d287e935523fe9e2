//! The fewest instances, or the highest rate, that meet an SLO.
//!
//! More instances, or fewer requests per second, are taken to be better. A few short runs find the border: from a guess by
//! doubling steps, then by halving. All of them use the same seeds, so that what differs between two of them is what was
//! tried. What they find is then run with seeds that they never saw: it has to meet the SLO with all of them, and by a margin
//! that says that another one would too; and one step less must not.

use crate::slo::Slo;
use crate::subject::{Measured, Subject, Trial};
use blis_config::Diagnostic;
use rayon::prelude::*;

/// How much is tried.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effort {
    /// Runs with fresh seeds that an answer has to stand.
    pub replications: u32,
    /// Seed of the first run.
    pub seed: i64,
    /// Requests of a run; `None` = as many as the rarest percentile, a minute and the longest answers ask for.
    pub requests: Option<u64>,
    /// Most instances.
    pub most_instances: u32,
}

impl Default for Effort {
    fn default() -> Self {
        Self { replications: 20, seed: 42, requests: None, most_instances: 4096 }
    }
}

/// A point that was tried while searching.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// What was tried.
    pub trial: Trial,
    /// What it showed.
    pub measured: Measured,
    /// Whether the SLO was met.
    pub meets: bool,
}

/// Runs with fresh seeds.
#[derive(Clone, Debug, PartialEq)]
pub struct Replications {
    /// What was tried; its seed is that of the first run.
    pub trial: Trial,
    /// What the runs showed, by seed; they end with the group in which one missed the SLO.
    pub runs: Vec<Measured>,
    /// How many of them missed the SLO.
    pub missed: usize,
    /// Mean share of the limit that the worst term reaches, plus 2.5 standard deviations: what about one run in a hundred
    /// exceeds.
    pub bound: f64,
    /// Whether none missed it, and the bound does not either.
    pub meets: bool,
}

impl Replications {
    /// Share of all seeds that meet the SLO, at least, with 95 % confidence, given that all of these did:
    /// 0.05^(1/n).
    pub fn least_share(&self) -> f64 {
        libm::pow(0.05, 1.0 / self.runs.len().max(1) as f64)
    }

    /// The worst figure of each term over the runs, ms.
    pub fn worst_ms(&self) -> Vec<f64> {
        let terms = self.runs.first().map_or(0, |run| run.figures_ms.len());
        (0..terms).map(|n| self.runs.iter().map(|run| run.figures_ms[n]).fold(0.0, f64::max)).collect()
    }

    /// What was missed first: a term, or `None` when requests were not answered. Outer `None`: nothing was.
    pub fn missed_first(&self, slo: &Slo) -> Option<Option<usize>> {
        let worst = self.runs.iter().map(|run| run.worst(slo)).max_by(|a, b| a.0.total_cmp(&b.0))?;
        (worst.0 > 1.0 || self.bound > 1.0).then_some(worst.1)
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What meets the SLO; `None` when nothing within the limits does.
    pub best: Option<Replications>,
    /// One step less, which does not; `None` at the least there is.
    pub below: Option<Replications>,
    /// What was tried on the way, in order.
    pub probes: Vec<Probe>,
    /// Runs in total.
    pub runs: usize,
}

/// The fewest instances that serve `rate` requests per second within the SLO.
///
/// # Errors
/// Everything that is wrong with the configuration.
pub fn fewest_instances(
    subject: &dyn Subject,
    slo: &Slo,
    rate: f64,
    effort: Effort,
) -> Result<Answer, Vec<Diagnostic>> {
    let mut search = Search::new(subject, slo, effort);
    let least = subject.least_instances();
    if effort.most_instances < least {
        let problem = format!("--max-instances is {}; there must be at least {least}", effort.most_instances);
        return Err(vec![Diagnostic::new(problem)]);
    }
    let alone = search.overload(least, rate)? / f64::from(least);
    let guess = (rate / alone.max(f64::MIN_POSITIVE)).ceil().clamp(1.0, f64::from(effort.most_instances));
    let trial_at = move |n: i64, seed| Trial { instances: n as u32, rate, seed, requests: 0 };
    search.find(guess as i64, i64::from(least)..=i64::from(effort.most_instances), &trial_at)
}

/// The highest rate, requests per second, that so many instances serve within the SLO, in steps of 2 %.
///
/// # Errors
/// Everything that is wrong with the configuration.
pub fn highest_rate(
    subject: &dyn Subject,
    slo: &Slo,
    instances: u32,
    effort: Effort,
) -> Result<Answer, Vec<Diagnostic>> {
    const STEP: f64 = 1.02;
    const STEPS: i64 = 600;
    if instances < subject.least_instances() {
        let least = subject.least_instances();
        return Err(vec![Diagnostic::new(format!(
            "--num-instances is {instances}; there must be at least {least}"
        ))]);
    }
    let mut search = Search::new(subject, slo, effort);
    let most = search.overload(instances, 1e6)?.max(1e-3);
    let trial_at = move |n: i64, seed| {
        let rate = most * libm::pow(STEP, -n as f64);
        // Written with three digits after the point, and more where the rate is small.
        let unit = if rate >= 1.0 { 1e3 } else { 1e9 };
        Trial { instances, rate: (rate * unit).round() / unit, seed, requests: 0 }
    };
    search.find(10, -10..=STEPS, &trial_at)
}

/// How the step `n` of a search is tried with a seed; the number of requests is filled in.
type TrialAt<'a> = &'a dyn Fn(i64, i64) -> Trial;

struct Search<'a> {
    subject: &'a dyn Subject,
    slo: &'a Slo,
    effort: Effort,
    /// The longest mean request of a run that was not hopeless, seconds.
    e2e_mean_s: f64,
    probes: Vec<Probe>,
    runs: usize,
    /// Groups of replications so far.
    replicated: i64,
}

/// Distance between the seeds of two groups of replications.
const FRESH: i64 = 100_000;
/// Requests above the rarest percentile.
const BEYOND: f64 = 100.0;
/// A run lasts so many seconds at least: a queue that grows a little faster than it is served looks short for a while.
const LEAST_S: f64 = 60.0;
/// And so many times as long as the mean request.
const LENGTHS: f64 = 20.0;
const MOST_REQUESTS: u64 = 500_000;
/// Runs of one group of replications.
const GROUP: usize = 4;

impl<'a> Search<'a> {
    fn new(subject: &'a dyn Subject, slo: &'a Slo, effort: Effort) -> Self {
        Self { subject, slo, effort, e2e_mean_s: 0.0, probes: Vec::new(), runs: 0, replicated: 0 }
    }

    /// Requests of a run at this rate: enough of them above the rarest percentile, and for long enough.
    fn requests_at(&self, rate: f64) -> u64 {
        let lasting = (rate * LEAST_S.max(self.e2e_mean_s * LENGTHS)).ceil() as u64;
        let wanted = lasting.max(self.slo.requests_for(BEYOND)).clamp(1_000, MOST_REQUESTS);
        self.effort.requests.unwrap_or(wanted)
    }

    fn trial(&self, n: i64, seed: i64, trial_at: TrialAt<'_>) -> Trial {
        let trial = trial_at(n, seed);
        Trial { requests: self.requests_at(trial.rate), ..trial }
    }

    fn run(&mut self, trials: &[Trial]) -> Result<Vec<Measured>, Vec<Diagnostic>> {
        self.runs += trials.len();
        let (subject, slo) = (self.subject, self.slo);
        // The first problem in order is told, whichever came first.
        let all: Vec<Result<_, _>> = trials.par_iter().map(|trial| subject.measure(trial, slo)).collect();
        all.into_iter().collect()
    }

    /// Requests per second that so many instances answer when there are always more.
    fn overload(&mut self, instances: u32, rate: f64) -> Result<f64, Vec<Diagnostic>> {
        let trial =
            Trial { instances, rate, seed: self.effort.seed, requests: 1_000 * u64::from(instances).min(20) };
        Ok(self.run(&[trial])?[0].answered_per_s)
    }

    /// Whether a step meets the SLO with the search's two seeds. A quarter of a run is enough where it is hopeless; that
    /// all is well only the whole shows.
    fn meets(&mut self, n: i64, trial_at: TrialAt<'_>) -> Result<bool, Vec<Diagnostic>> {
        let seed = self.effort.seed;
        let whole = self.trial(n, seed, trial_at);
        let short = Trial { requests: (whole.requests / 4).max(500), ..whole };
        let measured = self.run(&[short])?.remove(0);
        if measured.worst(self.slo).0 > 2.0 {
            self.probes.push(Probe { trial: short, measured, meets: false });
            return Ok(false);
        }
        self.e2e_mean_s = self.e2e_mean_s.max(measured.e2e_mean_s);
        let trials = [seed, seed.wrapping_add(1)].map(|seed| self.trial(n, seed, trial_at));
        let measured = self.run(&trials)?;
        let mut all = true;
        for (trial, measured) in trials.into_iter().zip(measured) {
            let meets = measured.worst(self.slo).0 <= 1.0;
            all &= meets;
            self.probes.push(Probe { trial, measured, meets });
        }
        Ok(all)
    }

    /// Runs with seeds that nothing was run with before: what stands was not chosen for them.
    fn replicate(&mut self, n: i64, trial_at: TrialAt<'_>) -> Result<Replications, Vec<Diagnostic>> {
        self.replicated += 1;
        let first = self.effort.seed.wrapping_add(self.replicated.wrapping_mul(FRESH));
        let seeds: Vec<i64> =
            (0..i64::from(self.effort.replications)).map(|k| first.wrapping_add(k)).collect();
        let mut runs = Vec::new();
        for group in seeds.chunks(GROUP) {
            let trials: Vec<_> = group.iter().map(|&seed| self.trial(n, seed, trial_at)).collect();
            runs.extend(self.run(&trials)?);
            if runs.iter().any(|run: &Measured| run.worst(self.slo).0 > 1.0) {
                break;
            }
        }
        let shares: Vec<f64> = runs.iter().map(|run| run.worst(self.slo).0).collect();
        let missed = shares.iter().filter(|&&share| share > 1.0).count();
        let mean = shares.iter().sum::<f64>() / shares.len() as f64;
        let variance = shares.iter().map(|share| (share - mean) * (share - mean)).sum::<f64>()
            / (shares.len() as f64 - 1.0).max(1.0);
        let bound = mean + 2.5 * variance.sqrt();
        let trial = self.trial(n, first, trial_at);
        Ok(Replications { trial, runs, missed, bound, meets: missed == 0 && bound <= 1.0 })
    }

    /// The smallest step within `range` that meets the SLO, when larger ones are better.
    fn find(
        mut self,
        guess: i64,
        range: std::ops::RangeInclusive<i64>,
        trial_at: TrialAt<'_>,
    ) -> Result<Answer, Vec<Diagnostic>> {
        let (least, most) = (*range.start(), *range.end());
        let mut n = guess.clamp(least, most);
        // `fails` does not meet it, `meets` does; both may lie outside.
        let (mut fails, mut meets) = (least - 1, most + 1);
        let mut stride = (guess.abs() / 8).max(1);
        loop {
            if self.meets(n, trial_at)? {
                meets = n;
            } else {
                fails = n;
            }
            n = match (fails >= least, meets <= most) {
                (false, true) if meets > least => (meets - stride).max(least),
                (true, false) if fails < most => (fails + stride).min(most),
                _ => break,
            };
            stride *= 2;
        }
        while meets <= most && meets - fails > 1 {
            let middle = fails + (meets - fails) / 2;
            if self.meets(middle, trial_at)? { meets = middle } else { fails = middle }
        }
        self.verify(meets, least..=most, trial_at)
    }

    /// Goes up from what the search found until it stands, in growing strides and then back by halves; then down while one
    /// step less stands too. It gives up where more does not bring the figures nearer to their limits.
    fn verify(
        mut self,
        mut n: i64,
        range: std::ops::RangeInclusive<i64>,
        trial_at: TrialAt<'_>,
    ) -> Result<Answer, Vec<Diagnostic>> {
        /// Failures in a row without progress after which there is none to be expected.
        const PATIENCE: u32 = 3;
        /// Share by which the worst figure has to fall for that.
        const PROGRESS: f64 = 0.01;
        let (mut best, mut below) = (None::<(i64, Replications)>, None::<(i64, Replications)>);
        let (mut stride, mut least_bound, mut in_vain) = (1, f64::INFINITY, 0);
        while range.contains(&n) && in_vain < PATIENCE {
            let tried = self.replicate(n, trial_at)?;
            if tried.meets {
                best = Some((n, tried));
                break;
            }
            in_vain = if tried.bound < least_bound * (1.0 - PROGRESS) { 0 } else { in_vain + 1 };
            least_bound = least_bound.min(tried.bound);
            below = Some((n, tried));
            if n == *range.end() {
                break;
            }
            n = (n + stride).min(*range.end());
            stride *= 2;
        }
        while let (Some((met, _)), Some((missed, _))) = (&best, &below)
            && met - missed > 1
        {
            let middle = missed + (met - missed) / 2;
            let tried = self.replicate(middle, trial_at)?;
            if tried.meets { best = Some((middle, tried)) } else { below = Some((middle, tried)) }
        }
        while let (Some((met, _)), None) = (&best, &below)
            && range.contains(&(met - 1))
        {
            let less = met - 1;
            let tried = self.replicate(less, trial_at)?;
            if tried.meets { best = Some((less, tried)) } else { below = Some((less, tried)) }
        }
        let tried = |found: Option<(i64, Replications)>| found.map(|(_, tried)| tried);
        Ok(Answer { best: tried(best), below: tried(below), probes: self.probes, runs: self.runs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each instance bears 10 requests per second; latency grows towards that, and wobbles a little with the seed.
    struct Servers;

    impl Subject for Servers {
        fn measure(&self, trial: &Trial, slo: &Slo) -> Result<Measured, Vec<Diagnostic>> {
            let load = trial.rate / (10.0 * f64::from(trial.instances));
            let wobble = 1.0 + 0.01 * ((trial.seed * 7919) % 5 - 2) as f64;
            let latency_ms = if load < 1.0 { 10.0 / (1.0 - load) * wobble } else { 1e6 };
            Ok(Measured {
                figures_ms: vec![latency_ms; slo.terms.len()],
                unanswered: 0,
                answered_per_s: trial.rate.min(10.0 * f64::from(trial.instances)),
                e2e_mean_s: latency_ms / 1e3,
            })
        }
    }

    fn slo(ms: f64) -> Slo {
        Slo::parse(&format!("ttft_p99<{}us", ms * 1e3)).unwrap()
    }

    /// Law: the answer stands and one less does not. The wobble has a standard deviation of 1.45 %, so that
    /// 10 / (1 - load) has to stay below 100 / 1.0363: a load of 0.8964.
    #[test]
    fn the_fewest_instances_are_found_whatever_the_rate() {
        for rate in [1.0, 35.0, 999.0, 20_000.0] {
            let answer = fewest_instances(&Servers, &slo(100.0), rate, Effort::default()).unwrap();
            let best = answer.best.expect("enough instances");
            let expected = (rate / 10.0 / 0.8964).ceil() as u32;
            assert!(
                best.trial.instances.abs_diff(expected) <= 1,
                "{rate}: {} {expected}",
                best.trial.instances
            );
            assert_eq!(best.runs.len(), 20);
            match answer.below {
                Some(below) => assert!(!below.meets && below.trial.instances + 1 == best.trial.instances),
                None => assert_eq!(best.trial.instances, 1),
            }
        }
    }

    #[test]
    fn nothing_is_found_beyond_the_most_instances() {
        let effort = Effort { most_instances: 5, ..Effort::default() };
        let answer = fewest_instances(&Servers, &slo(100.0), 999.0, effort).unwrap();
        assert_eq!(answer.best, None);
    }

    /// Law: what the highest rate asks for is what so many instances bear.
    #[test]
    fn the_highest_rate_is_found() {
        let answer = highest_rate(&Servers, &slo(100.0), 7, Effort::default()).unwrap();
        let rate = answer.best.expect("some rate").trial.rate;
        assert!((60.0..=62.7).contains(&rate), "{rate}");
    }

    /// 0.05^(1/20) = 0.861: twenty runs of twenty say that much and no more.
    #[test]
    fn confidence_follows_from_the_number_of_runs() {
        let answer = fewest_instances(&Servers, &slo(100.0), 35.0, Effort::default()).unwrap();
        assert!((answer.best.unwrap().least_share() - 0.861).abs() < 1e-3);
    }
}
