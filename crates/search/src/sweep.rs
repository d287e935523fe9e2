//! Many configurations, tried in parallel: every point of a space, points spread over it, or those that a search chooses.
//!
//! A trial has a number, and what it is follows from the definition and the trials before its batch. So a sweep that was
//! stopped goes on where it was, parts of one can run on different machines, and the number of threads changes nothing.

use crate::figure::{self, Figure, Hardware};
use crate::goal::{Goal, Score, front};
use crate::method::{self, MOST_SOBOL_DIMENSIONS, Method, Seen};
use crate::space::{Point, Space};
use blis_config::Diagnostic;
use blis_metrics::{Outcome, RunEnding};
use blis_store::Part;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// What is tried.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// What is varied.
    pub space: Space,
    /// What is looked for.
    pub goal: Goal,
    /// How points are chosen.
    pub method: Method,
    /// How many.
    pub trials: u64,
    /// Seed of the choice, and of the first run of every trial.
    pub seed: i64,
    /// Runs of a trial, with seeds that follow one another.
    pub replications: u32,
}

/// Trials when no number is given and there are too many to make them all.
pub const DEFAULT_TRIALS: u64 = 64;
/// A space with at most so many points is tried out when nobody says otherwise.
pub const SMALL_SPACE: u64 = 4_096;
/// Most trials of a search, which compares all of them with one another.
pub const MOST_SEARCHED: u64 = 5_000;
/// Most trials.
pub const MOST_TRIALS: u64 = 10_000_000;

impl Sweep {
    /// Fills in the method and the number of trials where they are not given: everything when the space is small, otherwise
    /// a search for one objective by TPE and for several by NSGA-II; without an objective points of a Sobol sequence.
    ///
    /// # Errors
    /// What does not go together. `flags` are the names of the flags of method and trials.
    pub fn new(
        space: Space,
        goal: Goal,
        method: Option<Method>,
        trials: Option<u64>,
        seed: i64,
        replications: u32,
    ) -> Result<Self, Vec<Diagnostic>> {
        let countable = space.countable(MOST_TRIALS);
        let is_small = countable.is_some_and(|size| size <= trials.unwrap_or(SMALL_SPACE));
        let method = method.unwrap_or(match goal.objectives.len() {
            _ if is_small => Method::Grid,
            0 if space.dimensions.len() > MOST_SOBOL_DIMENSIONS => Method::Random,
            0 => Method::Sobol,
            1 => Method::Tpe,
            _ => Method::Nsga2,
        });
        let mut problems = Vec::new();
        if method.is_adaptive() && goal.objectives.is_empty() {
            let problem = format!("--method {} needs something to look for", method.name());
            problems.push(Diagnostic::new(problem).with_help("name figures with --objective"));
        }
        if method == Method::Sobol && space.dimensions.len() > MOST_SOBOL_DIMENSIONS {
            problems.push(Diagnostic::new(format!(
                "--method sobol is for at most {MOST_SOBOL_DIMENSIONS} settings, there are {}; use random",
                space.dimensions.len()
            )));
        }
        let wanted = trials;
        let mut trials = wanted.unwrap_or(DEFAULT_TRIALS);
        if method == Method::Grid {
            match countable {
                Some(size) if wanted.is_some_and(|wanted| wanted < size) => problems.push(
                    Diagnostic::new(format!("--method grid makes all {size} trials, --trials is {trials}"))
                        .with_help("leave out one of them, or use --method random or sobol"),
                ),
                Some(size) => trials = size,
                None => problems.push(too_many(&space)),
            }
        } else if method.is_adaptive() {
            trials = trials.min(space.size().unwrap_or(u64::MAX));
            if trials > MOST_SEARCHED {
                let problem =
                    format!("--trials is {trials}; {} makes at most {MOST_SEARCHED}", method.name());
                problems.push(Diagnostic::new(problem).with_help("use --method random or sobol"));
            }
        }
        if problems.is_empty() {
            Ok(Self { space, goal, method, trials, seed, replications })
        } else {
            Err(problems)
        }
    }
}

/// Why not everything can be tried.
fn too_many(space: &Space) -> Diagnostic {
    match space.dimensions.iter().find(|dimension| dimension.is_fine) {
        Some(fine) => {
            let name = &fine.names[0];
            Diagnostic::new(format!("--method grid cannot try every value of the range of {name}"))
                .with_help(format!("say how many values: {name}=FROM..TO/10"))
        }
        None => Diagnostic::new(format!("--method grid would have to make more than {MOST_TRIALS} trials")),
    }
}

/// What a trial showed.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// Its number, from 0.
    pub number: u64,
    /// Where it is in the space.
    pub point: Point,
    /// Every figure, in the order of [`figure::all`], mean over the runs; `None` where a run does not show it.
    pub figures: Vec<Option<f64>>,
    /// The figure of each term of the SLO, worst of the runs, ms.
    pub slo_ms: Vec<Option<f64>>,
    /// By how much the SLO is missed, see [`Score::violation`], worst of the runs; infinite when requests went unanswered.
    pub violation: f64,
    /// Why it cannot be run.
    pub problem: Option<String>,
}

impl Trial {
    /// How good it is.
    pub fn score(&self, goal: &Goal) -> Score {
        let values: Vec<_> = goal.objectives.iter().map(|figure| self.figure(figure)).collect();
        goal.score(&values, self.violation)
    }

    /// One of its figures; `None` where no run shows it.
    pub fn figure(&self, figure: &Figure) -> Option<f64> {
        let place = figure::all().position(|other| other.name == figure.name)?;
        self.figures.get(place).copied().flatten()
    }
}

/// Makes runs.
pub trait Runner: Sync {
    /// One run with these settings.
    ///
    /// # Errors
    /// Why the configuration cannot be run; other trials go on.
    fn run(&self, settings: &[(&str, &str)], seed: i64) -> Result<(Outcome, Hardware), Vec<Diagnostic>>;
}

/// Sees what happens while a sweep runs; an error ends it.
pub trait Watcher<E> {
    /// A trial is done.
    ///
    /// # Errors
    /// Whatever is to end the sweep.
    fn done(&mut self, trial: &Trial) -> Result<(), E>;

    /// A moment has passed.
    ///
    /// # Errors
    /// Whatever is to end the sweep.
    fn tick(&mut self) -> Result<(), E>;
}

/// Time between two calls of [`Watcher::tick`].
const TICK: Duration = Duration::from_millis(100);

impl Sweep {
    /// Makes all trials of this part that are not `known` yet, and gives all of this part by number. Known trials of other
    /// parts are ignored.
    ///
    /// # Errors
    /// What the watcher said.
    ///
    /// # Panics
    /// When a method that learns is split into parts; [`Self::can_be_split`] says whether it may be.
    pub fn run<E: Send>(
        &self,
        part: Part,
        known: Vec<Trial>,
        runner: &dyn Runner,
        watcher: &mut dyn Watcher<E>,
    ) -> Result<Vec<Trial>, E> {
        assert!(part == Part::WHOLE || self.can_be_split(), "a method that learns sees all trials");
        let mut done: BTreeMap<u64, Trial> = known.into_iter().map(|trial| (trial.number, trial)).collect();
        let mut first = 0;
        while first < self.trials {
            let points = self.points(first, &done);
            if points.is_empty() {
                break;
            }
            let numbers = first..first + points.len() as u64;
            let jobs: Vec<_> = numbers
                .clone()
                .zip(points)
                .filter(|(number, point)| {
                    // What another definition would have made is made again.
                    part.has(*number) && done.get(number).is_none_or(|known| known.point != *point)
                })
                .collect();
            for trial in self.batch(&jobs, runner, watcher)? {
                done.insert(trial.number, trial);
            }
            first = numbers.end;
        }
        let is_ours = |trial: &Trial| part.has(trial.number) && trial.number < self.trials;
        Ok(done.into_values().filter(is_ours).collect())
    }

    /// Whether machines can make parts of it without hearing of each other's trials.
    pub fn can_be_split(&self) -> bool {
        !self.method.is_adaptive()
    }

    /// The points from number `first` on that can be said without further trials.
    pub fn points(&self, first: u64, done: &BTreeMap<u64, Trial>) -> Vec<Point> {
        /// Fixed points are made in blocks, for memory.
        const BLOCK: u64 = 65_536;
        let left = self.trials.saturating_sub(first);
        let count = left.min(BLOCK) as usize;
        if let Some(points) = method::fixed(self.method, &self.space, self.seed, first, count) {
            return points;
        }
        let seen: Vec<Seen> = done
            .range(..first)
            .map(|(_, trial)| Seen { point: trial.point.clone(), score: trial.score(&self.goal) })
            .collect();
        method::next(
            self.method,
            &self.space,
            self.seed,
            &seen,
            method::batch(self.trials).min(left as usize),
        )
    }

    /// Makes some trials in parallel and tells of each as soon as it is done; gives them in that order.
    ///
    /// # Errors
    /// What the watcher said.
    pub fn batch<E: Send>(
        &self,
        jobs: &[(u64, Point)],
        runner: &dyn Runner,
        watcher: &mut dyn Watcher<E>,
    ) -> Result<Vec<Trial>, E> {
        let stop = AtomicBool::new(false);
        let (sender, results) = mpsc::channel();
        std::thread::scope(|scope| {
            let stop = &stop;
            scope.spawn(move || {
                jobs.par_iter().for_each_with(sender, |sender, (number, point)| {
                    if !stop.load(Ordering::Relaxed) {
                        // Nobody listens any more when the sweep is to end.
                        let _ = sender.send(self.trial(*number, point, runner));
                    }
                });
            });
            let mut trials = Vec::with_capacity(jobs.len());
            let mut listen = || -> Result<(), E> {
                loop {
                    match results.recv_timeout(TICK) {
                        Ok(trial) => {
                            watcher.done(&trial)?;
                            trials.push(trial);
                        }
                        Err(RecvTimeoutError::Timeout) => watcher.tick()?,
                        Err(RecvTimeoutError::Disconnected) => return Ok(()),
                    }
                }
            };
            let ended = listen();
            stop.store(true, Ordering::Relaxed);
            ended.map(|()| trials)
        })
    }

    /// Makes one trial.
    pub fn trial(&self, number: u64, point: &Point, runner: &dyn Runner) -> Trial {
        let settings = self.space.settings(point);
        let mut runs = Vec::new();
        for seed in (0..i64::from(self.replications)).map(|n| self.seed.wrapping_add(n)) {
            match runner.run(&settings, seed) {
                Ok((Outcome { ending: RunEnding::Deadlock(waiting), .. }, _)) => {
                    return self.failed(number, point, format!("the simulation is stuck: {waiting}"));
                }
                Ok(run) => runs.push(run),
                Err(problems) => {
                    let texts: Vec<_> = problems.iter().map(ToString::to_string).collect();
                    return self.failed(number, point, texts.join("; "));
                }
            }
        }
        let all: Vec<_> =
            runs.iter().map(|(outcome, hardware)| figure::measure_all(outcome, *hardware)).collect();
        let figures = (0..figure::all().count()).map(|n| mean(all.iter().map(|run| run[n]))).collect();
        let measured: Vec<_> = runs.iter().map(|(outcome, _)| self.slo(outcome)).collect();
        let terms = self.goal.slo.as_ref().map_or(0, |slo| slo.terms.len());
        let worst = |term: usize| measured.iter().map(|(figures_ms, _)| figures_ms[term]).fold(0.0, f64::max);
        Trial {
            number,
            point: point.clone(),
            figures,
            slo_ms: (0..terms).map(|term| Some(worst(term)).filter(|ms| ms.is_finite())).collect(),
            violation: measured.iter().map(|(_, violation)| *violation).fold(0.0, f64::max),
            problem: None,
        }
    }

    /// The figures of the SLO's terms in a run, ms, and by how much they miss their limits.
    fn slo(&self, outcome: &Outcome) -> (Vec<f64>, f64) {
        let Some(slo) = &self.goal.slo else { return (Vec::new(), 0.0) };
        let figures_ms = slo.measure_ms(outcome);
        let excess = |(figure_ms, limit_ms): (&f64, f64)| (figure_ms / limit_ms - 1.0).max(0.0);
        let limits_ms = slo.terms.iter().map(|term| term.limit_ms);
        let missed: f64 = figures_ms.iter().zip(limits_ms).map(excess).sum();
        let unanswered = outcome.conservation.injected > outcome.conservation.completed;
        (figures_ms, if unanswered { f64::INFINITY } else { missed })
    }

    fn failed(&self, number: u64, point: &Point, problem: String) -> Trial {
        let terms = self.goal.slo.as_ref().map_or(0, |slo| slo.terms.len());
        Trial {
            number,
            point: point.clone(),
            figures: vec![None; figure::all().count()],
            slo_ms: vec![None; terms],
            violation: f64::INFINITY,
            problem: Some(problem),
        }
    }

    /// The trials on the front, as places in `trials`; without objectives none.
    pub fn front(&self, trials: &[Trial]) -> Vec<usize> {
        if self.goal.objectives.is_empty() {
            return Vec::new();
        }
        let scores: Vec<_> = trials.iter().map(|trial| trial.score(&self.goal)).collect();
        let mut front = front(&scores);
        front.retain(|&n| scores[n].costs.iter().all(|cost| cost.is_finite()));
        front
    }
}

fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let values: Option<Vec<f64>> = values.collect();
    values.filter(|values| !values.is_empty()).map(|values| values.iter().sum::<f64>() / values.len() as f64)
}
