//! What the commands do, for programs: the words of a command line become results, and nothing is printed.
//!
//! Settings are a mapping, as files of flags are; those of the files that a run reads may be given as mappings themselves. So
//! whatever is wrong with them is said in the words of the command line.

use crate::around::{Around, Audience, Counter, Texts};
use crate::commands::compare::{self, Wanted};
use crate::commands::simulate::{Asked, Simulated, simulated};
use crate::commands::{Command, plan, sweep};
use crate::flags::Findings;
use crate::trial_folder::TrialFolder;
use crate::{Exit, arguments, flags_file};
use blis::report;
use blis::{Control, Diagnostic, Outcome, Setting};
use blis_config::{edit, yaml};
use blis_policy::Registry;
use blis_search::figure::{self, Hardware};
use blis_search::sweep::Trial;
use blis_search::{Point, Sweep, rows};
use blis_store::{Column, Row};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Everything that is wrong, in the words of the command line.
pub type Problems = Vec<Diagnostic>;

impl From<Exit> for Problems {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Problems(problems) | Exit::Exceeded(problems) => problems,
            Exit::Done => vec![Diagnostic::new("the flags ask for help, which only the command line gives")],
        }
    }
}

/// Flags of what the command line shows; a program has results instead.
const SHOWN: [&str; 4] = ["format", "log", "output", "show-config"];

/// Settings of a command.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    words: Vec<OsString>,
    texts: Texts,
}

impl Settings {
    /// Reads a mapping from flags, with dashes or underscores, to values. `name` is put before the names of files that are
    /// given as mappings.
    ///
    /// # Errors
    /// Everything that is no flag's value.
    pub fn new(settings: &Value, name: &str) -> Result<Self, Problems> {
        let Value::Object(settings) = settings else {
            return Err(flags_file::of_value(settings).err().unwrap_or_default());
        };
        let (mut flags, mut texts, mut words) = (Map::new(), Texts::new(), Vec::new());
        for (key, value) in settings {
            let flag = key.trim_start_matches('-').replace('_', "-");
            if SHOWN.contains(&flag.as_str()) {
                let problem =
                    format!("--{flag} says what the command line shows; here there are results instead");
                return Err(vec![Diagnostic::new(problem)]);
            }
            if edit::FILES.contains(&flag.as_str()) && (value.is_object() || value.is_array()) {
                let file = format!("{name}{key}");
                words.push(OsString::from(format!("--{flag}={file}")));
                texts.insert(PathBuf::from(file), yaml::to_string(value));
            } else {
                flags.insert(key.clone(), value.clone());
            }
        }
        let mut all = flags_file::of_value(&Value::Object(flags))?;
        all.extend(words);
        Ok(Self { words: all, texts })
    }

    /// Reads the same from YAML; `file` names it in messages.
    ///
    /// # Errors
    /// It is no YAML.
    pub fn parse(text: &str, file: &str) -> Result<Value, Problems> {
        yaml::from_str(text, file)
    }

    fn words(&self, command: &str) -> Vec<OsString> {
        ["blis", command].into_iter().map(OsString::from).chain(self.words.iter().cloned()).collect()
    }
}

/// Who calls.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    /// Policies to choose from.
    pub policies: &'a Registry,
    /// Ends the runs.
    pub control: &'a Control,
    /// Takes warnings.
    pub told: &'a Mutex<Vec<String>>,
    /// Told how many trials of how many are done.
    pub counter: Option<Counter<'a>>,
}

impl<'a> Caller<'a> {
    fn around(self, texts: &'a Texts) -> Around<'a> {
        let Self { policies, control, told, counter } = self;
        Around { policies, texts, control, audience: Audience::Program { told, counter } }
    }
}

/// What a run gives.
#[derive(Debug)]
pub struct Run {
    /// The figures, and a record of every request.
    pub outcome: Outcome,
    /// What `--format json` prints.
    pub document: String,
    /// Every figure that sweeps know, by name; `None` where the run does not show it.
    pub figures: Vec<(&'static str, Option<f64>)>,
    /// Every setting with its value and where that comes from.
    pub settings: Vec<Setting>,
}

/// Simulates synthesised traffic.
///
/// # Errors
/// What the command line would say.
pub fn run(settings: &Settings, caller: Caller<'_>) -> Result<Run, Problems> {
    simulate("run", settings, caller)
}

/// Simulates the traffic of a recorded trace.
///
/// # Errors
/// What the command line would say.
pub fn replay(settings: &Settings, caller: Caller<'_>) -> Result<Run, Problems> {
    simulate("replay", settings, caller)
}

fn simulate(command: &str, settings: &Settings, caller: Caller<'_>) -> Result<Run, Problems> {
    let words = settings.words(command);
    let (command, mut findings) = arguments::read(words.clone(), caller.policies)?;
    let mut asked: Asked = match command {
        Command::Run(args) => args.read(&mut findings),
        Command::Replay(args) => args.read(&mut findings),
        _ => unreachable!("flags behind a command do not change it"),
    };
    asked.options.per_request = true;
    let Simulated { outcome, fitness, intervals, resolved } =
        simulated(asked, findings, &words, &caller.around(&settings.texts))?;
    let gpus = resolved.gpus.iter().map(|group| group.count).sum();
    let measured = figure::measure_all(&outcome, Hardware { gpus, cost_per_hour: None });
    Ok(Run {
        document: report::document(&outcome, fitness.as_ref(), intervals.as_ref()),
        figures: figure::all().map(|figure| figure.name).zip(measured).collect(),
        settings: resolved.settings,
        outcome,
    })
}

/// Finds how many instances, or what rate, and with what; gives what `--format json` prints.
///
/// # Errors
/// What the command line would say.
pub fn plan(settings: &Settings, caller: Caller<'_>) -> Result<String, Problems> {
    let words = settings.words("plan");
    let (command, findings) = arguments::read(words.clone(), caller.policies)?;
    let Command::Plan(args) = command else { unreachable!("flags behind a command do not change it") };
    let planned = plan::planned(*args, findings, &words, &caller.around(&settings.texts))?;
    Ok(report::plan_document(&planned.found, &planned.slo, planned.question))
}

/// Compares configurations under the same traffic and seeds: each has a name and its own settings, `common` are those of
/// all. Gives what `--format json` prints.
///
/// # Errors
/// What the command line would say.
pub fn compare(
    configurations: Vec<(String, Settings)>,
    common: &Settings,
    caller: Caller<'_>,
) -> Result<String, Problems> {
    let words = common.words("compare");
    let (command, findings) = arguments::read(words.clone(), caller.policies)?;
    let Command::Compare(args) = command else { unreachable!("flags behind a command do not change it") };
    let mut texts = common.texts.clone();
    let mut wanted = Vec::new();
    for (name, settings) in configurations {
        texts.extend(settings.texts);
        wanted.push(Wanted { name, words: settings.words, changes: String::new() });
    }
    let told = compare::compared(*args, wanted, findings, &words, &caller.around(&texts))?;
    Ok(report::comparison_document(&told.compared, &told.seeds))
}

/// A sweep that is ready to be made, as a whole or trial by trial.
pub struct SweepJob {
    job: sweep::Job,
    texts: Texts,
    folder: Mutex<Option<TrialFolder>>,
}

impl SweepJob {
    /// Checks the settings.
    ///
    /// # Errors
    /// What the command line would say.
    pub fn new(settings: &Settings, caller: Caller<'_>) -> Result<Self, Problems> {
        let words = settings.words("sweep");
        let (command, findings): (_, Findings) = arguments::read(words.clone(), caller.policies)?;
        let Command::Sweep(args) = command else { unreachable!("flags behind a command do not change it") };
        let texts = settings.texts.clone();
        let job = sweep::Job::new(*args, findings, &words, &caller.around(&texts))?;
        Ok(Self { job, texts, folder: Mutex::new(None) })
    }

    /// What is tried.
    pub fn sweep(&self) -> &Sweep {
        self.job.sweep()
    }

    /// Makes all trials, or those of this machine's part, and keeps them in the folder for results if there is one.
    ///
    /// # Errors
    /// It was stopped, or the results cannot be written.
    pub fn run(&self, caller: Caller<'_>) -> Result<Vec<Trial>, Problems> {
        Ok(self.job.run(&caller.around(&self.texts))?)
    }

    /// Opens the folder for results, if there is one, for [`Self::keep`], and gives the trials that it has.
    ///
    /// # Errors
    /// Another sweep is in it, or it cannot be written.
    pub fn open(&self, caller: Caller<'_>) -> Result<Vec<Trial>, Problems> {
        let (folder, known) = self.job.open(&caller.around(&self.texts))?;
        *self.folder.lock().unwrap_or_else(PoisonError::into_inner) = folder;
        Ok(known)
    }

    /// Keeps trials in the folder that is open.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn keep(&self, trials: &[Trial]) -> Result<(), Problems> {
        let mut folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
        for trial in trials {
            if let Some(folder) = &mut *folder {
                folder.add(self.sweep(), trial)?;
            }
        }
        Ok(())
    }

    /// Closes the folder that is open.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn close(&self) -> Result<(), Problems> {
        let folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner).take();
        folder.map_or(Ok(()), |folder| Ok(folder.close(self.sweep())?))
    }

    /// Writes the page of all trials, if the settings ask for one; [`Self::run`] does so itself.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn report(&self, trials: &[Trial]) -> Result<(), Problems> {
        Ok(self.job.report(trials)?)
    }

    /// The points from number `first` on that can be said when the trials before are `done`: number and point of each that
    /// is in this machine's part.
    pub fn points(&self, first: u64, done: &BTreeMap<u64, Trial>) -> (u64, Vec<(u64, Point)>) {
        let points = self.sweep().points(first, done);
        let next = first + points.len() as u64;
        let part = self.job.part();
        (next, (first..next).zip(points).filter(|(number, _)| part.has(*number)).collect())
    }

    /// Makes these trials in parallel.
    ///
    /// # Errors
    /// It was stopped.
    pub fn trials(&self, jobs: &[(u64, Point)], caller: Caller<'_>) -> Result<Vec<Trial>, Problems> {
        Ok(self.job.trials(jobs, &caller.around(&self.texts))?)
    }

    /// What `--format json` prints of these trials, which are sorted by number.
    pub fn document(&self, trials: &[Trial]) -> String {
        report::sweep_document(self.sweep(), trials)
    }

    /// The columns of a table of trials, and its rows.
    pub fn table(&self, trials: &[Trial]) -> (Vec<Column>, Vec<Row>) {
        let sweep = self.sweep();
        let experiment = rows::experiment(sweep, "", &Value::Null);
        (experiment.columns, trials.iter().map(|trial| rows::row(sweep, trial)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(settings: &Value) -> Result<Run, Problems> {
        let (policies, control, told) = (Registry::built_in(), Control::new(), Mutex::default());
        let caller = Caller { policies: &policies, control: &control, told: &told, counter: None };
        run(&Settings::new(settings, "")?, caller)
    }

    /// Law: a file given as a mapping is the file.
    #[test]
    fn files_may_be_mappings_and_their_problems_have_places() {
        let settings =
            |policy: Value| json!({"model": "qwen/qwen3-14b", "num_requests": 5, "policy_config": policy});
        let run = told(&settings(json!({"admission": {"policy": "reject-all"}}))).unwrap();
        assert_eq!(run.outcome.conservation.rejected_by_admission, 5);
        let problems = told(&settings(json!({"admission": {"policy": "reject-some"}}))).unwrap_err();
        assert!(problems[0].to_string().starts_with("policy_config:2:"), "{problems:?}");
    }

    #[test]
    fn what_only_the_command_line_shows_is_refused() {
        let problems = told(&json!({"model": "qwen/qwen3-14b", "show_config": true})).unwrap_err();
        assert!(problems[0].message.starts_with("--show-config"), "{problems:?}");
    }

    /// Law: a sweep made batch by batch is the sweep.
    #[test]
    fn trials_made_by_number_are_those_of_the_sweep() {
        let (policies, control, told) = (Registry::built_in(), Control::new(), Mutex::default());
        let caller = Caller { policies: &policies, control: &control, told: &told, counter: None };
        let settings = json!({
            "model": "qwen/qwen3-14b", "num_requests": 10, "rate": 5, "method": "tpe", "trials": 24,
            "objective": "ttft_p99_ms", "set": {"max-num-seqs": "1..40", "num-instances": "1..9"},
        });
        let job = SweepJob::new(&Settings::new(&settings, "").unwrap(), caller).unwrap();
        let whole = job.run(caller).unwrap();
        let (mut done, mut first) = (BTreeMap::new(), 0);
        while first < job.sweep().trials {
            let (next, jobs) = job.points(first, &done);
            done.extend(job.trials(&jobs, caller).unwrap().into_iter().map(|trial| (trial.number, trial)));
            first = next;
        }
        assert_eq!(whole, done.into_values().collect::<Vec<_>>());
    }

    #[test]
    fn a_stopped_run_gives_nothing() {
        let (policies, control, told) = (Registry::built_in(), Control::new(), Mutex::default());
        control.stop();
        let caller = Caller { policies: &policies, control: &control, told: &told, counter: None };
        let problems =
            run(&Settings::new(&json!({"model": "qwen/qwen3-14b"}), "").unwrap(), caller).unwrap_err();
        assert_eq!(problems[0].to_string(), "the run was stopped");
    }
}
