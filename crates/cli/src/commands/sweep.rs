//! `blis sweep`: many configurations, and which of them are best.

use super::Command;
use crate::around::{Around, Messages};
use crate::flags::output::{Format, Output};
use crate::flags::prices::prices;
use crate::flags::{Findings, RunFlags, Typed};
use crate::progress::Trials;
use crate::trial_folder::{self, TrialFolder};
use crate::variation::{Runs, Variation};
use crate::{Exit, arguments, flags_file, printer, report_file};
use blis::report::html::sweep_page;
use blis::resolve::files;
use blis::{Diagnostic, RunOptions, Setting, Surroundings, report, resolve};
use blis_config::edit;
use blis_live::Hub;
use blis_search::stopped;
use blis_search::sweep::{MOST_TRIALS, Trial};
use blis_search::{Goal, Method, Part, Point, Slo, Space, Sweep, Watcher};
use clap::Args;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

#[derive(Args, Debug)]
pub(crate) struct SweepArgs {
    #[command(flatten)]
    sweep: SweepFlags,
    #[command(flatten)]
    run: RunFlags,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Sweep")]
struct SweepFlags {
    /// Setting to vary, with its values: NAME=A,B,… (separated by | where values have commas), FROM..TO, FROM..TO/COUNT
    /// or log:FROM..TO/COUNT. NAME is a flag, a key in a file such as policy-config.autoscaler.min_replicas, or several
    /// joined by + that change together (a+b=1+7,2+6); may be given several times
    #[arg(long, value_name = "NAME=VALUES")]
    set: Vec<String>,
    /// Figures to look for, separated by commas, such as output_tokens_per_s_per_gpu,ttft_p99_ms; with several the front
    /// of those that no other beats is found
    #[arg(long, value_name = "LIST")]
    objective: Option<String>,
    /// What has to be met besides, as in blis plan: [CLASS.]LATENCY_STATISTIC<DURATION, separated by commas
    #[arg(long, value_name = "LIST")]
    slo: Option<String>,
    /// How configurations are chosen: grid (all), random, sobol (spread evenly), tpe or nsga2 (search) [default: grid
    /// when there are few, tpe for one objective, nsga2 for several, sobol for none]
    #[arg(long, value_name = "NAME")]
    method: Option<String>,
    /// Configurations to try [default: 64, or all when there are at most 4096]
    #[arg(long, value_name = "INT")]
    trials: Option<Typed<i64>>,
    /// Runs of each, with different seeds; figures are their means [default: 1]
    #[arg(long, value_name = "INT")]
    replications: Option<Typed<i64>>,
    /// What a GPU costs per hour, by type: GPU=PRICE,…
    #[arg(long, value_name = "LIST")]
    price: Option<String>,
    /// Folder for the results, written as they come; the same command once more goes on where it was
    #[arg(long, value_name = "DIR")]
    results: Option<PathBuf>,
    /// Make only the K-th of N parts of the trials, for several machines
    #[arg(long, value_name = "K/N")]
    shard: Option<String>,
    /// YAML file with these flags: a mapping from their names to values; what is given on the command line goes before it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Flags of a sweep that are no settings of a run.
const FIXED: [&str; 17] = [
    "config",
    "format",
    "log",
    "method",
    "objective",
    "output",
    "price",
    "quiet-instances",
    "replications",
    "report",
    "results",
    "seed",
    "set",
    "shard",
    "show-config",
    "slo",
    "trials",
];
/// Points that are looked at before the sweep begins.
const SAMPLES: u64 = 8;

/// What is asked for.
struct Asked {
    sweep: Sweep,
    part: Part,
    prices: BTreeMap<String, f64>,
    results: Option<PathBuf>,
}

/// # Errors
/// Whatever is wrong with the settings, the files or standard output.
pub(crate) fn run(
    args: SweepArgs,
    findings: Findings,
    words: &[OsString],
    around: &Around<'_>,
) -> Result<(), Exit> {
    let job = Job::new(args, findings, words, around)?;
    let trials = job.run(around)?;
    Ok(printer::result(&match job.output.format {
        Format::Json => report::sweep_document(&job.asked.sweep, &trials),
        Format::Text | Format::Table => report::sweep_text(&job.asked.sweep, &trials),
    })?)
}

/// A sweep that is ready to be made, as a whole or trial by trial.
pub(crate) struct Job {
    asked: Asked,
    words: Vec<OsString>,
    options: RunOptions,
    output: Output,
    /// What all trials have in common.
    settings: Vec<Setting>,
    warnings: Vec<Diagnostic>,
}

impl Job {
    /// # Errors
    /// Whatever is wrong with the settings and the files; nothing can be run.
    pub(crate) fn new(
        args: SweepArgs,
        findings: Findings,
        words: &[OsString],
        around: &Around<'_>,
    ) -> Result<Self, Exit> {
        if let Some(path) = args.sweep.config.clone() {
            let mut with_file = words[..2].to_vec();
            let of_file = flags_file::words("--config", &path).map_err(Exit::Problems)?;
            // A setting that the command line varies too is varied as it says.
            let own: Vec<&str> = args.sweep.set.iter().filter_map(|text| text.split('=').next()).collect();
            with_file.extend(of_file.into_iter().filter(|word| {
                let word = word.to_string_lossy();
                let name = word.strip_prefix("--set=").and_then(|text| text.split('=').next());
                name.is_none_or(|name| !own.contains(&name))
            }));
            with_file.extend(words[2..].iter().cloned());
            let (command, findings) = arguments::read(with_file.clone(), around.policies)?;
            let Command::Sweep(args) = command else {
                unreachable!("flags behind a command do not change it")
            };
            return Self::of(*args, findings, with_file, around);
        }
        Self::of(args, findings, words.to_vec(), around)
    }

    fn of(
        args: SweepArgs,
        mut findings: Findings,
        words: Vec<OsString>,
        around: &Around<'_>,
    ) -> Result<Self, Exit> {
        let (mut options, output, flags) = args.fill(&mut findings);
        options.texts.clone_from(around.texts);
        let asked = flags.read(&options, &mut findings);
        let variation = Variation { words: &words, around, fill };
        if let Some(asked) = &asked {
            findings.extend(variation.check_names("sweep", "--set", asked.sweep.space.names(), &FIXED));
        }
        findings.extend(arguments::without_effect(&words, around.policies, "sweep", &[]));
        let Some(asked) = asked.filter(|_| findings.is_empty()) else {
            return Err(Exit::Problems(findings.into_vec()));
        };
        let outputs: Vec<_> = output.report.iter().map(|path| (report_file::FLAG, path.as_path())).collect();
        let unwritable = files::check_outputs(&outputs, &files::inputs(&options));
        if !unwritable.is_empty() {
            return Err(Exit::Problems(unwritable));
        }
        let (settings, warnings) =
            asked.look_ahead(&variation, &Hub::from_environment(), around.messages(output.log))?;
        Ok(Self { asked, words, options, output, settings, warnings })
    }

    /// What is tried.
    pub(crate) fn sweep(&self) -> &Sweep {
        &self.asked.sweep
    }

    /// The trials of this machine's part that are wanted.
    pub(crate) fn part(&self) -> Part {
        self.asked.part
    }

    /// Makes these trials in parallel, in any order, and keeps none.
    ///
    /// # Errors
    /// It was stopped.
    pub(crate) fn trials(&self, jobs: &[(u64, Point)], around: &Around<'_>) -> Result<Vec<Trial>, Exit> {
        let hub = Hub::from_environment();
        let bar = Trials::new(jobs.len() as u64, around.is_terminal());
        let mut watch = Watch { bar, folder: None, sweep: &self.asked.sweep, around, done: 0, planned: 0 };
        self.asked.sweep.batch(jobs, &self.runs(&hub, around), &mut watch)
    }

    /// Opens the folder for the results, if one is wanted, and says which trials it has.
    ///
    /// # Errors
    /// Another sweep is in it, or it cannot be written.
    pub(crate) fn open(&self, around: &Around<'_>) -> Result<(Option<TrialFolder>, Vec<Trial>), Exit> {
        let Some(path) = &self.asked.results else { return Ok((None, Vec::new())) };
        let given = arguments::given(&self.words, around.policies, &FIXED);
        let variants = self.variants(around)?;
        let base = trial_folder::base(&given, &self.asked.prices, &variants).map_err(Exit::Problems)?;
        let name = self.options.model.as_deref().unwrap_or_default();
        let messages = around.messages(self.output.log);
        let (folder, known) =
            TrialFolder::open(path, &self.asked.sweep, self.asked.part, name, &base, messages)?;
        Ok((Some(folder), known))
    }

    /// The options with every file that the sweep chooses from.
    fn variants(&self, around: &Around<'_>) -> Result<Vec<RunOptions>, Exit> {
        const FOLDERS: [&str; 2] = ["defaults-filepath", "model-config-folder"];
        let names_file = |name: &str| edit::FILES.contains(&name) || FOLDERS.contains(&name);
        let variation = Variation { words: &self.words, around, fill };
        let mut variants = vec![self.options.clone()];
        for dimension in &self.asked.sweep.space.dimensions {
            for (place, name) in dimension.names.iter().enumerate().filter(|(_, name)| names_file(name)) {
                for level in &dimension.levels {
                    variants.push(variation.options(&[(name, &level[place])]).map_err(Exit::Problems)?);
                }
            }
        }
        Ok(variants)
    }

    /// Makes all trials of this machine's part that are not known yet.
    ///
    /// # Errors
    /// It was stopped, or the results cannot be written.
    pub(crate) fn run(&self, around: &Around<'_>) -> Result<Vec<Trial>, Exit> {
        let asked = &self.asked;
        let hub = Hub::from_environment();
        let (folder, known) = self.open(around)?;
        let planned = asked.sweep.trials / u64::from(asked.part.of());
        let bar = Trials::new(planned.saturating_sub(known.len() as u64), around.is_terminal());
        let done = known.len() as u64;
        let mut watch = Watch { bar, folder, sweep: &asked.sweep, around, done, planned };
        let trials = asked.sweep.run(asked.part, known, &self.runs(&hub, around), &mut watch);
        watch.bar.clear();
        let folder = watch.folder;
        let trials = match trials {
            Ok(trials) => trials,
            Err(exit) => {
                // What is done is kept; why it ended is what there is to tell.
                let _ = folder.map(TrialFolder::leave);
                return Err(exit);
            }
        };
        if let Some(folder) = folder {
            folder.close(&asked.sweep)?;
        }
        self.report(&trials)?;
        Ok(trials)
    }

    /// Writes the page, if one is wanted.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn report(&self, trials: &[Trial]) -> Result<(), Exit> {
        let Some(path) = &self.output.report else { return Ok(()) };
        let origin = report_file::origin(&self.words, &self.settings, &self.warnings);
        Ok(report_file::write(path, &sweep_page(&self.asked.sweep, trials, &origin))?)
    }

    fn runs<'a>(&'a self, hub: &'a Hub, around: &'a Around<'a>) -> Runs<'a> {
        let slo = self.asked.sweep.goal.slo.as_ref();
        Runs {
            variation: Variation { words: &self.words, around, fill },
            cache: hub.cache(),
            prices: &self.asked.prices,
            per_request: slo.is_some_and(Slo::needs_requests),
        }
    }
}

/// The options of a trial.
fn fill(command: Command, findings: &mut Findings) -> RunOptions {
    match command {
        Command::Sweep(args) => args.fill(findings).0,
        _ => unreachable!("flags behind a command do not change it"),
    }
}

impl SweepArgs {
    /// The options, what is shown, and what is asked for.
    fn fill(self, findings: &mut Findings) -> (RunOptions, Output, SweepFlags) {
        let (options, output) = self.run.fill(findings);
        (options, output, self.sweep)
    }
}

impl SweepFlags {
    fn read(self, options: &RunOptions, findings: &mut Findings) -> Option<Asked> {
        let space = findings.try_all(Space::parse("--set", &self.set));
        if self.set.is_empty() {
            findings.add(Diagnostic::new("--set is required").with_help("such as --set tp=1,2,4"));
        }
        let objectives = self.objective.as_deref().unwrap_or_default();
        let objectives = findings.try_all(Goal::parse_objectives("--objective", objectives));
        let slo = self.slo.as_deref().map(Slo::parse).and_then(|slo| findings.try_all(slo));
        let method = self.method.as_deref().map(|name| Method::parse("--method", name));
        let method = method.and_then(|method| findings.try_all(method.map_err(|problem| vec![problem])));
        let mut count = |flag: &str, given, most: u64| {
            let value = findings.value(flag, given)?;
            if !(1..=most as i64).contains(&value) {
                findings.add(Diagnostic::new(format!("{flag} is {value}; it must be from 1 to {most}")));
            }
            Some(value)
        };
        let trials = count("--trials", self.trials, MOST_TRIALS).map(|trials| trials as u64);
        let replications = count("--replications", self.replications, 10_000).unwrap_or(1) as u32;
        let part = self.shard.as_deref().map_or(Some(Part::WHOLE), |text| part(text, findings));
        let prices = prices(self.price.as_deref(), findings);
        let goal = Goal { objectives: objectives?, slo };
        let seed = options.seed.unwrap_or(42);
        let sweep = findings.try_all(Sweep::new(space?, goal, method, trials, seed, replications))?;
        let part = part?;
        if part != Part::WHOLE && !sweep.can_be_split() {
            let name = sweep.method.name();
            findings.add(
                Diagnostic::new(format!("--shard: {name} chooses by what all earlier trials showed"))
                    .with_help("use --method grid, random or sobol, or the Python package with Ray"),
            );
        }
        Some(Asked { sweep, part, prices, results: self.results })
    }
}

/// Reads `K/N`.
fn part(text: &str, findings: &mut Findings) -> Option<Part> {
    let numbers = text.split_once('/').and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)));
    let part = numbers.and_then(|(k, n)| Part::new(k, n));
    if part.is_none() {
        findings.add(Diagnostic::new(format!("--shard is \"{text}\"; it must be K/N, such as 2/8")));
    }
    part
}

impl Asked {
    /// Looks at some trials: when none of them can be run, that is not the trials' fault. Models that are not known are
    /// downloaded, once. Gives the settings that all trials have in common, and the warnings.
    fn look_ahead(
        &self,
        variation: &Variation<'_>,
        hub: &Hub,
        logger: Messages<'_>,
    ) -> Result<(Vec<Setting>, Vec<Diagnostic>), Exit> {
        let surroundings =
            Surroundings { hub: Some(hub), cache: hub.cache(), policies: Some(variation.around.policies) };
        let space = &self.sweep.space;
        let mut points = self.sweep.points(0, &BTreeMap::new());
        points.truncate(SAMPLES as usize);
        let model = space.dimensions.iter().position(|d| d.names.iter().any(|name| name == "model"));
        if let Some((model, first)) = model.zip(points.first().cloned()) {
            let levels = 0..space.dimensions[model].levels.len() as u32;
            points.extend(levels.map(|level| {
                let mut point = first.clone();
                point[model] = level;
                point
            }));
        }
        let (mut told, mut settings, mut first_problems) = (Vec::new(), None, None);
        for point in points {
            let resolved = variation
                .options(&space.settings(&point))
                .and_then(|options| resolve::resolve(&options, &surroundings));
            match resolved {
                Ok(resolved) => {
                    for warning in resolved.warnings {
                        if !told.contains(&warning) {
                            logger.warning(&warning);
                            told.push(warning);
                        }
                    }
                    settings.get_or_insert(resolved.settings);
                }
                Err(problems) => first_problems = first_problems.or(Some(problems)),
            }
        }
        let Some(mut settings) = settings else {
            return Err(Exit::Problems(first_problems.unwrap_or_default()));
        };
        settings.retain(|setting| space.names().all(|name| name != setting.name));
        Ok((settings, told))
    }
}

/// Shows how far it is, and keeps what is done.
struct Watch<'a> {
    bar: Trials,
    folder: Option<TrialFolder>,
    sweep: &'a Sweep,
    around: &'a Around<'a>,
    done: u64,
    planned: u64,
}

impl Watch<'_> {
    fn check(&self) -> Result<(), Exit> {
        if self.around.control.is_stopped() { Err(stopped().into()) } else { Ok(()) }
    }
}

impl Watcher<Exit> for Watch<'_> {
    fn done(&mut self, trial: &Trial) -> Result<(), Exit> {
        // A trial that was stopped is no result.
        self.check()?;
        self.bar.done();
        self.done += 1;
        if let Some(counter) = self.around.counter() {
            counter(self.done, self.planned.max(self.done));
        }
        self.folder.as_mut().map_or(Ok(()), |folder| folder.add(self.sweep, trial))
    }

    fn tick(&mut self) -> Result<(), Exit> {
        self.check()?;
        self.bar.tick();
        self.folder.as_mut().map_or(Ok(()), TrialFolder::tick)
    }
}
