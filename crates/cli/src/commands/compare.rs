//! `blis compare`: configurations under the same traffic and seeds.

use super::Command;
use crate::around::Around;
use crate::flags::output::{Format, Output};
use crate::flags::prices::prices;
use crate::flags::{Findings, RunFlags, Typed};
use crate::progress::Trials;
use crate::variation::{Variation, hardware};
use crate::{Exit, arguments, flags_file, printer, report_file};
use blis::report::html::comparison_page;
use blis::report::{self, Compared};
use blis::resolve::files;
use blis::{Diagnostic, Outcome, Resolved, RunOptions, Surroundings, resolve};
use blis_live::Hub;
use blis_search::compare::{Candidate, measure};
use blis_search::figure::Hardware;
use blis_search::stopped;
use clap::Args;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Mutex;

#[derive(Args, Debug)]
pub(crate) struct CompareArgs {
    #[command(flatten)]
    compare: CompareFlags,
    #[command(flatten)]
    run: RunFlags,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Compare")]
struct CompareFlags {
    /// YAML files with the flags of one configuration each; flags on the command line are common to all
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What another configuration has otherwise: NAME=VALUE, several separated by spaces, in front of them maybe a name and
    /// a colon ("wide: tp=2 max-num-seqs=512"); NAME is a flag or a key in a file such as
    /// policy-config.autoscaler.min_replicas; may be given several times
    #[arg(long, value_name = "CHANGES")]
    with: Vec<String>,
    /// Seeds that every configuration is run with [default: 10]
    #[arg(long, value_name = "INT")]
    replications: Option<Typed<i64>>,
    /// What a GPU costs per hour, by type: GPU=PRICE,…
    #[arg(long, value_name = "LIST")]
    price: Option<String>,
}

/// Flags of a comparison that are no settings of a run.
const FIXED: [&str; 10] = [
    "format",
    "log",
    "output",
    "price",
    "quiet-instances",
    "replications",
    "report",
    "seed",
    "show-config",
    "with",
];

/// A configuration.
struct Configuration<'a> {
    name: String,
    options: RunOptions,
    resolved: Resolved,
    cache: Option<&'a std::path::Path>,
    around: &'a Around<'a>,
    prices: &'a BTreeMap<String, f64>,
}

impl Candidate for Configuration<'_> {
    fn run(&self, seed: i64) -> Result<(Outcome, Hardware), Vec<Diagnostic>> {
        let options = RunOptions { seed: Some(seed), ..self.options.clone() };
        let surroundings =
            Surroundings { hub: None, cache: self.cache, policies: Some(self.around.policies) };
        let resolved = resolve::resolve(&options, &surroundings)?;
        let outcome = self.around.control.run(&resolved.plan, &mut ()).map_err(|_| vec![stopped()])?;
        Ok((outcome, hardware(&resolved.gpus, self.prices)))
    }
}

/// # Errors
/// Whatever is wrong with the settings, the files or standard output.
pub(crate) fn run(
    args: CompareArgs,
    mut findings: Findings,
    words: &[OsString],
    around: &Around<'_>,
) -> Result<(), Exit> {
    let mut wanted = Vec::new();
    for path in &args.compare.files {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(words) = findings.try_all(flags_file::words("FILE", path)) {
            wanted.push(Wanted { name, words, changes: String::new() });
        }
    }
    let Comparison { format, compared, seeds } = compared(args, wanted, findings, words, around)?;
    Ok(printer::result(&match format {
        Format::Json => report::comparison_document(&compared, &seeds),
        Format::Text | Format::Table => report::comparison_text(&compared, &seeds),
    })?)
}

/// A configuration as it is asked for.
pub(crate) struct Wanted {
    /// What it is called.
    pub(crate) name: String,
    /// The flags that are its own.
    pub(crate) words: Vec<OsString>,
    /// What changes after that, `NAME=VALUE` separated by spaces.
    pub(crate) changes: String,
}

/// What a comparison showed.
pub(crate) struct Comparison {
    pub(crate) format: Format,
    pub(crate) compared: Vec<Compared>,
    pub(crate) seeds: Vec<i64>,
}

/// Compares these configurations, and those that follow from the flags.
///
/// # Errors
/// Whatever is wrong with the settings and the files.
pub(crate) fn compared(
    args: CompareArgs,
    mut wanted: Vec<Wanted>,
    mut findings: Findings,
    words: &[OsString],
    around: &Around<'_>,
) -> Result<Comparison, Exit> {
    let (options, output, flags) = args.fill(&mut findings);
    let prices = prices(flags.price.as_deref(), &mut findings);
    let replications = findings.value("--replications", flags.replications).unwrap_or(10);
    if !(1..=10_000).contains(&replications) {
        findings
            .add(Diagnostic::new(format!("--replications is {replications}; it must be from 1 to 10000")));
    }
    if wanted.len() + flags.with.len() < usize::from(flags.with.is_empty()) + 1 {
        findings.add(Diagnostic::new("there is nothing to compare").with_help(
            "give two files with flags, or --with NAME=VALUE for what another configuration has otherwise",
        ));
    }
    let logger = around.messages(output.log);

    if wanted.is_empty() {
        wanted.push(Wanted { name: "base".to_owned(), words: Vec::new(), changes: String::new() });
    }
    // Changes are made to the first configuration.
    let first = wanted[0].words.clone();
    for text in &flags.with {
        let named = text.split_once(':').filter(|(name, _)| !name.contains('='));
        let (name, changes) = named.unwrap_or((text, text));
        if changes.trim().is_empty() {
            findings.add(Diagnostic::new(format!("--with \"{text}\" changes nothing")));
        }
        let (name, changes) = (name.trim().to_owned(), changes.to_owned());
        wanted.push(Wanted { name, words: first.clone(), changes });
    }
    let variation = Variation { words, around, fill };
    let mut changes = Vec::new();
    for Wanted { changes: text, .. } in &wanted {
        let pairs: Vec<_> = text.split_whitespace().map(|pair| (pair, pair.split_once('='))).collect();
        for (pair, _) in pairs.iter().filter(|(_, split)| split.is_none()) {
            findings.add(Diagnostic::new(format!("--with: \"{pair}\" must be NAME=VALUE, such as tp=2")));
        }
        let pairs: Vec<(&str, &str)> = pairs.into_iter().filter_map(|(_, split)| split).collect();
        let names = pairs.iter().map(|(name, _)| name.trim_start_matches('-'));
        findings.extend(variation.check_names("compare", "--with", names, &FIXED));
        changes.push(pairs);
    }
    for Wanted { name, words: own, .. } in &wanted {
        let fixed = own.iter().filter_map(|word| {
            let word = word.to_string_lossy();
            let flag = word.trim_start_matches('-').split('=').next().unwrap_or_default().to_owned();
            (FIXED.contains(&flag.as_str()) || flag == "files").then_some(flag)
        });
        findings.extend(fixed.map(|flag| {
            Diagnostic::new(format!("{name}: {flag} is common to all configurations"))
                .with_help("give it on the command line")
        }));
    }
    for (n, Wanted { name, .. }) in wanted.iter().enumerate() {
        if wanted[..n].iter().any(|other| other.name == *name) {
            findings.add(Diagnostic::new(format!("two configurations are called {name}")));
        }
    }
    findings.extend(arguments::without_effect(words, around.policies, "compare", &[]));
    let outputs: Vec<_> = output.report.iter().map(|path| (report_file::FLAG, path.as_path())).collect();
    findings.extend(files::check_outputs(&outputs, &files::inputs(&options)));
    findings.check()?;

    let hub = Hub::from_environment();
    let surroundings = Surroundings { hub: Some(&hub), cache: hub.cache(), policies: Some(around.policies) };
    let (mut configurations, mut problems, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
    for (Wanted { name, words: own, .. }, changes) in wanted.iter().zip(&changes) {
        let all: Vec<OsString> = words[..2].iter().chain(own).chain(&words[2..]).cloned().collect();
        let changes: Vec<_> =
            changes.iter().map(|(name, value)| (name.trim_start_matches('-'), *value)).collect();
        let resolved = Variation { words: &all, ..variation }.options(&changes).and_then(|options| {
            let resolved = resolve::resolve(&options, &surroundings)?;
            Ok((options, resolved))
        });
        match resolved {
            Ok((options, resolved)) => {
                for warning in &resolved.warnings {
                    let message = format!("{name}: {}", warning.message);
                    let warning = Diagnostic { message, ..warning.clone() };
                    logger.warning(&warning);
                    warnings.push(warning);
                }
                let (name, cache, prices) = (name.clone(), hub.cache(), &prices);
                configurations.push(Configuration { name, options, resolved, cache, around, prices });
            }
            Err(of_this) => problems.extend(
                of_this
                    .into_iter()
                    .map(|problem| Diagnostic { message: format!("{name}: {}", problem.message), ..problem }),
            ),
        }
    }
    if !problems.is_empty() {
        return Err(Exit::Problems(problems));
    }

    let seed = options.seed.unwrap_or(42);
    let seeds: Vec<i64> = (0..replications).map(|n| seed.wrapping_add(n)).collect();
    let runs = (seeds.len() * configurations.len()) as u64;
    let bar = Mutex::new(Trials::new(runs, around.is_terminal()));
    let candidates: Vec<&dyn Candidate> = configurations.iter().map(|one| one as &dyn Candidate).collect();
    let tell = || bar.lock().map(|mut bar| bar.done()).unwrap_or_default();
    let measured = measure(&candidates, &seeds, &tell).map_err(Exit::Problems)?;
    bar.lock().map(|bar| bar.clear()).unwrap_or_default();
    let base = settings(&configurations[0].resolved);
    let compared: Vec<_> = configurations
        .iter()
        .zip(measured)
        .map(|(one, measured)| Compared {
            name: one.name.clone(),
            changed: changed(&base, &settings(&one.resolved)),
            measured,
        })
        .collect();
    if let Some(path) = &output.report {
        let origin = report_file::origin(words, &configurations[0].resolved.settings, &warnings);
        report_file::write(path, &comparison_page(&compared, &seeds, &origin))?;
    }
    Ok(Comparison { format: output.format, compared, seeds })
}

/// The options of a configuration.
fn fill(command: Command, findings: &mut Findings) -> RunOptions {
    match command {
        Command::Compare(args) => args.fill(findings).0,
        _ => unreachable!("flags behind a command do not change it"),
    }
}

impl CompareArgs {
    /// The options, what is shown, and what is compared.
    fn fill(self, findings: &mut Findings) -> (RunOptions, Output, CompareFlags) {
        let (options, output) = self.run.fill(findings);
        (options, output, self.compare)
    }
}

fn settings(resolved: &Resolved) -> BTreeMap<&str, &str> {
    resolved.settings.iter().map(|setting| (setting.name.as_str(), setting.value.as_str())).collect()
}

/// Settings that differ.
fn changed(
    from: &BTreeMap<&str, &str>,
    to: &BTreeMap<&str, &str>,
) -> Vec<(String, Option<String>, Option<String>)> {
    let mut names: Vec<&str> = from.keys().chain(to.keys()).copied().collect();
    names.sort_unstable();
    names.dedup();
    let differ = names.into_iter().filter(|name| from.get(name) != to.get(name));
    let text = |value: Option<&&str>| value.map(|value| (*value).to_owned());
    differ.map(|name| (name.to_owned(), text(from.get(name)), text(to.get(name)))).collect()
}
