//! `blis results`: experiments that were kept.

use crate::flags::output::one_of;
use crate::flags::{Findings, Typed, text};
use crate::logger::Logger;
use crate::{Exit, printer};
use blis::{Diagnostic, report};
use blis_config::diagnostic::unknown_name;
use blis_store::{Folder, Value, list};
use clap::{Args, Subcommand};
use report::{Shown, experiments, fields_csv, fields_document, fields_table, sort_rows};
use std::path::PathBuf;

/// Where commands keep results unless they are told otherwise.
const ROOT: &str = "blis-results";
/// The column that every experiment has.
const TRIAL: &str = "trial";
/// Rows of a table, unless more are asked for.
const DEFAULT_LIMIT: usize = 20;

#[derive(Args, Debug)]
pub(crate) struct ResultsArgs {
    #[command(subcommand)]
    command: ResultsCommand,
}

#[derive(Debug, Subcommand)]
enum ResultsCommand {
    /// List the experiments in a folder of experiments
    List(ListArgs),
    /// Show what an experiment asked and what it found
    Show(ShowArgs),
    /// Ask an experiment in SQL: the table trials has a row per trial
    Query(QueryArgs),
}

#[derive(Args, Debug)]
struct ListArgs {
    /// Folder with the experiments' folders [default: blis-results]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    #[command(flatten)]
    format: FormatFlag,
}

#[derive(Args, Debug)]
struct ShowArgs {
    /// Folder of the experiment
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// Most rows to show [default: 20 in a table, all as json or csv]
    #[arg(long, value_name = "INT")]
    limit: Option<Typed<i64>>,
    /// Columns to show, separated by commas, or all [default: in a table the settings, the objectives and what else there is
    /// room for, otherwise all]
    #[arg(long, value_name = "LIST")]
    columns: Option<String>,
    /// Column that orders the rows [default: trial]
    #[arg(long, value_name = "COLUMN")]
    sort_by: Option<String>,
    /// From the highest to the lowest
    #[arg(long)]
    descending: bool,
    #[command(flatten)]
    format: FormatFlag,
}

#[derive(Args, Debug)]
struct QueryArgs {
    /// Folder of the experiment
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// What to ask, such as "SELECT tp, min(ttft_p99_ms) FROM trials GROUP BY tp"
    #[arg(value_name = "SQL")]
    sql: String,
    #[command(flatten)]
    format: FormatFlag,
}

#[derive(Args, Debug)]
struct FormatFlag {
    /// table (for people), json (one document) or csv [default: table]
    #[arg(long, value_name = "NAME", alias = "output")]
    format: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Format {
    #[default]
    Table,
    Json,
    Csv,
}

/// # Errors
/// Whatever is wrong with the settings, the folders or standard output.
pub(crate) fn run(args: ResultsArgs, findings: Findings) -> Result<(), Exit> {
    match args.command {
        ResultsCommand::List(args) => run_list(args, findings),
        ResultsCommand::Show(args) => show(args, findings),
        ResultsCommand::Query(args) => query(args, findings),
    }
}

impl FormatFlag {
    fn read(self, findings: &mut Findings) -> Format {
        const FORMATS: [(&str, Format); 4] =
            [("table", Format::Table), ("text", Format::Table), ("json", Format::Json), ("csv", Format::Csv)];
        one_of("value of --format", text(self.format), &FORMATS, findings)
    }
}

fn run_list(args: ListArgs, mut findings: Findings) -> Result<(), Exit> {
    let format = args.format.read(&mut findings);
    findings.check()?;
    let root = args.root.unwrap_or_else(|| ROOT.into());
    if !root.is_dir() {
        let problem = Diagnostic::new(format!("there is no folder {}", root.display()));
        return Err(problem.with_help("--root names the folder with the experiments").into());
    }
    let (columns, rows) = experiments(&list(&root)?);
    print(format, &columns, &rows)
}

fn show(args: ShowArgs, mut findings: Findings) -> Result<(), Exit> {
    let format = args.format.read(&mut findings);
    let limit = findings.value("--limit", args.limit);
    if let Some(limit) = limit.filter(|&limit| limit < 0) {
        findings.add(Diagnostic::new(format!("--limit is {limit}; it must be at least 0")));
    }
    findings.check()?;
    let folder = Folder::open(&args.folder)?;
    let columns = &folder.experiment().columns;
    let mut findings = Findings::default();
    let mut place = |name: &str| {
        let place = columns.iter().position(|column| column.name == name);
        if place.is_none() {
            findings.add(unknown_name("column", name, columns.iter().map(|column| column.name.as_str())));
        }
        place
    };
    let sort_by = text(args.sort_by).filter(|name| name != TRIAL).and_then(|name| place(&name));
    let chosen = match text(args.columns).as_deref() {
        None => None,
        Some("all") => Some((0..columns.len()).collect()),
        // The trial is always shown.
        Some(names) => Some(names.split(',').filter(|&name| name != TRIAL).filter_map(place).collect()),
    };
    findings.check()?;
    let mut contents = folder.read()?;
    match sort_by {
        Some(column) => sort_rows(&mut contents, column, args.descending),
        None if args.descending => contents.rows.reverse(),
        None => {}
    }
    let default_limit = if format == Format::Table { DEFAULT_LIMIT } else { usize::MAX };
    let limit = limit.map_or(default_limit, |limit| limit as usize);
    let shown = Shown {
        path: folder.path(),
        experiment: folder.experiment(),
        contents: &contents,
        limit,
        columns: chosen,
        sorted_by: sort_by,
    };
    Ok(printer::result(&match format {
        Format::Table => shown.text(),
        Format::Json => shown.document(),
        Format::Csv => shown.csv(),
    })?)
}

fn query(args: QueryArgs, mut findings: Findings) -> Result<(), Exit> {
    let format = args.format.read(&mut findings);
    findings.check()?;
    let index = Folder::open(&args.folder)?.index()?;
    if let Some(note) = index.note() {
        Logger::default().warning(note);
    }
    for (file, reason) in index.damaged()? {
        Logger::default().warning(format!("the rows of {file} are left out: {reason}"));
    }
    let answer = index.query(&args.sql)?;
    let columns: Vec<&str> = answer.columns.iter().map(String::as_str).collect();
    print(format, &columns, &answer.rows)
}

fn print(format: Format, columns: &[&str], rows: &[Vec<Value>]) -> Result<(), Exit> {
    let rows = rows.iter().map(Vec::as_slice);
    Ok(printer::result(&match format {
        Format::Table => fields_table(columns, rows),
        Format::Json => fields_document(columns, rows),
        Format::Csv => fields_csv(columns, rows),
    })?)
}
