//! `blis plan`: how many instances, or what rate, and with what.

use super::Command;
use crate::flags::model::ModelFlags;
use crate::flags::output::{Format, Output};
use crate::flags::prices::prices;
use crate::flags::traffic::WorkloadFlags;
use crate::flags::{Findings, SharedFlags, Typed};
use crate::logger::Logger;
use crate::{Exit, arguments, printer};
use blis::options::{Traffic, WorkloadOptions};
use blis::report::{self, Choice, Question};
use blis::{Diagnostic, Resolved, RunOptions, Surroundings};
use blis_live::Hub;
use blis_policy::Registry;
use blis_search::{Configuration, Effort, Slo, fewest_instances, highest_rate};
use clap::Args;
use std::collections::BTreeMap;
use std::ffi::OsString;

#[derive(Args, Debug)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    plan: PlanFlags,
    #[command(flatten)]
    model: ModelFlags,
    #[command(flatten)]
    workload: WorkloadFlags,
    #[command(flatten)]
    shared: SharedFlags,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Plan")]
struct PlanFlags {
    /// What has to be met, separated by commas: [CLASS.]LATENCY_STATISTIC<DURATION with ttft, itl or e2e and mean or a
    /// percentile, such as ttft_p99<200ms,critical.e2e_p95<5s [required]
    #[arg(long, value_name = "LIST")]
    slo: Option<String>,
    /// Values of a flag to choose from: FLAG=VALUE,VALUE,… (separated by | where values have commas); may be given
    /// several times, then all combinations are tried
    #[arg(long = "try", value_name = "FLAG=LIST")]
    choices: Vec<String>,
    /// What a GPU costs per hour, by type: GPU=PRICE,… With prices for all the cheapest choice wins, else the one with
    /// the fewest GPUs
    #[arg(long, value_name = "LIST")]
    price: Option<String>,
    /// Most instances of an answer [default: 4096]
    #[arg(long, value_name = "INT")]
    max_instances: Option<Typed<i64>>,
    /// Runs with fresh seeds that an answer has to stand [default: 20]
    #[arg(long, value_name = "INT")]
    replications: Option<Typed<i64>>,
}

/// A configuration to try.
struct Candidate {
    /// The values that were chosen for it.
    chosen: Vec<(String, String)>,
    options: RunOptions,
}

/// What is asked, of whom.
struct Plan {
    slo: Slo,
    effort: Effort,
    question: Question,
    prices: BTreeMap<String, f64>,
}

/// Most combinations of `--try`.
const MOST_CHOICES: usize = 10_000;

/// # Errors
/// Whatever is wrong with the settings, the files or standard output.
pub(crate) fn run(
    args: PlanArgs,
    mut findings: Findings,
    words: &[OsString],
    policies: &Registry,
) -> Result<(), Exit> {
    let choices = combinations(&args.plan.choices, &mut findings);
    let (options, output, flags) = args.fill(&mut findings);
    let plan = flags.read(&options, &mut findings);
    if output.report.is_some() {
        findings.add(Diagnostic::new("--report is not available yet for plan"));
    }
    let Some(plan) = plan.filter(|_| findings.is_empty()) else { return findings.check() };
    let logger = Logger { least: output.log };

    let hub = Hub::from_environment();
    let surroundings = Surroundings { hub: Some(&hub), cache: hub.cache(), policies: Some(policies) };
    let mut found = Vec::new();
    for chosen in choices {
        let candidate = candidate(chosen, &options, words, policies)?;
        let resolved = blis::resolve::resolve(&candidate.options, &surroundings).map_err(Exit::Problems)?;
        resolved.warnings.iter().for_each(|warning| logger.warning(warning));
        if resolved.plan.elastic.is_some() || resolved.plan.disaggregation.is_some() {
            let problem =
                "blis plan finds the number of instances of one kind: it takes no pools and no autoscaler";
            return Err(Diagnostic::new(problem).into());
        }
        let configuration = Configuration { options: &candidate.options, cache: hub.cache(), policies };
        let answer = match plan.question {
            Question::Instances { rate } => fewest_instances(&configuration, &plan.slo, rate, plan.effort),
            Question::Rate { instances } => highest_rate(&configuration, &plan.slo, instances, plan.effort),
        };
        let answer = answer.map_err(Exit::Problems)?;
        found.push(plan.choice(&candidate, &resolved, answer));
    }
    let found = report::ranked(found, plan.question);
    Ok(printer::result(&match output.format {
        Format::Json => report::plan_document(&found, &plan.slo, plan.question),
        Format::Text | Format::Table => report::plan_text(&found, &plan.slo, plan.question),
    })?)
}

impl PlanArgs {
    /// The options, what is shown of the answer, and the question.
    fn fill(self, findings: &mut Findings) -> (RunOptions, Output, PlanFlags) {
        let mut options = RunOptions::default();
        self.model.fill(&mut options, findings);
        options.traffic = self.workload.into_traffic(findings);
        let output = self.shared.fill(&mut options, findings);
        (options, output, self.plan)
    }
}

impl PlanFlags {
    fn read(self, options: &RunOptions, findings: &mut Findings) -> Option<Plan> {
        let slo = match self.slo.as_deref().map(Slo::parse) {
            Some(Ok(slo)) => Some(slo),
            Some(Err(problems)) => {
                findings.extend(problems);
                None
            }
            None => {
                findings
                    .add(Diagnostic::new("--slo is required").with_help("such as --slo 'ttft_p99<200ms'"));
                None
            }
        };
        let mut count = |flag: &str, given, most: i64| {
            let value = findings.value(flag, given)?;
            if !(1..=most).contains(&value) {
                findings.add(Diagnostic::new(format!("{flag} is {value}; it must be from 1 to {most}")));
            }
            Some(value)
        };
        let most_instances = count("--max-instances", self.max_instances, 1 << 20).unwrap_or(4096);
        let replications = count("--replications", self.replications, 10_000).unwrap_or(20);
        let prices = prices(self.price.as_deref(), findings);
        let question = question(options, findings);
        let effort = Effort {
            replications: replications as u32,
            seed: options.seed.unwrap_or(42),
            requests: None,
            most_instances: most_instances as u32,
        };
        let effort = match &options.traffic {
            Traffic::Synthesised(WorkloadOptions { num_requests: Some(requests), .. }) if *requests > 0 => {
                Effort { requests: Some(*requests as u64), ..effort }
            }
            _ => effort,
        };
        Some(Plan { slo: slo?, effort, question: question?, prices })
    }
}

/// What the flags ask for; the other way of asking is noted.
fn question(options: &RunOptions, findings: &mut Findings) -> Option<Question> {
    let Traffic::Synthesised(traffic) = &options.traffic else { return None };
    if traffic.spec.is_some() || traffic.concurrency.is_some_and(|users| users != 0) {
        findings.add(Diagnostic::new(
            "blis plan sets the rate itself: it takes no --workload-spec and no --concurrency",
        ));
    }
    match (traffic.rate, options.num_instances) {
        (Some(rate), None) if rate.is_finite() && rate > 0.0 => Some(Question::Instances { rate }),
        (None, Some(instances)) if (1..=1 << 20).contains(&instances) => {
            Some(Question::Rate { instances: instances as u32 })
        }
        (Some(rate), None) => {
            findings.add(Diagnostic::new(format!("--rate is {rate}; it must be a finite number above 0")));
            None
        }
        (None, Some(instances)) => {
            findings.add(Diagnostic::new(format!(
                "--num-instances is {instances}; it must be from 1 to 1048576"
            )));
            None
        }
        _ => {
            findings.add(Diagnostic::new("give either --rate or --num-instances").with_help(
                "with --rate the fewest instances are found, with --num-instances the highest rate",
            ));
            None
        }
    }
}

/// Every combination of the values to try.
fn combinations(texts: &[String], findings: &mut Findings) -> Vec<Vec<(String, String)>> {
    let mut all = vec![Vec::new()];
    for text in texts {
        let Some((flag, values)) =
            text.split_once('=').filter(|(flag, values)| !flag.is_empty() && !values.is_empty())
        else {
            findings.add(Diagnostic::new(format!("--try {text} must be FLAG=VALUE,VALUE,…, such as tp=1,2")));
            continue;
        };
        let flag = flag.trim_start_matches('-');
        if ["num-instances", "rate", "slo", "try", "seed"].contains(&flag) {
            findings.add(Diagnostic::new(format!("--try {text}: {flag} is not something to choose from")));
            continue;
        }
        let separator = if values.contains('|') { '|' } else { ',' };
        let values: Vec<_> =
            values.split(separator).map(str::trim).filter(|value| !value.is_empty()).collect();
        if all.len() * values.len() > MOST_CHOICES {
            findings
                .add(Diagnostic::new(format!("--try {text} makes more than {MOST_CHOICES} combinations")));
            continue;
        }
        let with = |chosen: &Vec<(String, String)>, value: &str| {
            chosen.iter().cloned().chain([(flag.to_owned(), value.to_owned())]).collect::<Vec<_>>()
        };
        all = all.iter().flat_map(|chosen| values.iter().map(move |value| with(chosen, value))).collect();
    }
    all
}

/// The options with the values that were chosen: the command line, read again with these flags behind it.
fn candidate(
    chosen: Vec<(String, String)>,
    options: &RunOptions,
    words: &[OsString],
    policies: &Registry,
) -> Result<Candidate, Exit> {
    if chosen.is_empty() {
        return Ok(Candidate { chosen, options: options.clone() });
    }
    let flags = chosen.iter().map(|(flag, value)| OsString::from(format!("--{flag}={value}")));
    let (command, mut findings) = arguments::read(words.iter().cloned().chain(flags).collect(), policies)?;
    let Command::Plan(args) = command else { unreachable!("flags behind a command do not change it") };
    let (options, ..) = args.fill(&mut findings);
    findings.check()?;
    Ok(Candidate { chosen, options })
}

impl Plan {
    fn choice(&self, candidate: &Candidate, resolved: &Resolved, answer: blis_search::Answer) -> Choice {
        let setting = |name: &str| {
            let found = resolved.settings.iter().find(|setting| setting.name == name);
            found.map(|setting| setting.value.clone())
        };
        let gpu = setting("hardware").unwrap_or_default();
        let tp = setting("tp").unwrap_or_else(|| "1".to_owned());
        let others = candidate.chosen.iter().filter(|(flag, _)| flag != "hardware" && flag != "tp");
        let others: Vec<_> = others.map(|(flag, value)| format!("{flag} {value}")).collect();
        Choice {
            name: [vec![gpu.clone(), format!("TP {tp}")], others].concat().join(", "),
            gpus_per_instance: resolved.gpus_per_instance,
            price_per_gpu_hour: self.prices.get(&gpu).copied(),
            answer,
        }
    }
}
