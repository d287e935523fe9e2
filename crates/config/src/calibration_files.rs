//! The files that a calibration reads: a trace, the results of its replay, times of chunks, and figures of runs.

use crate::diagnostic::Diagnostic;
use crate::resolve::trace;
use blis_calibrate::adapters::{AdapterFigures, AdapterReference};
use blis_calibrate::{ChunkTime, SimResult};
use blis_metrics::SloTargets;
use blis_workload::Trace;
use csv::StringRecord;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A file's contents and its name.
pub type Contents<'a> = (&'a [u8], &'a str);

/// A trace, the goodput targets that its header has, and what its author should know.
///
/// # Errors
/// Everything that is wrong with the two files.
pub fn read_trace(
    header: Contents<'_>,
    rows: Contents<'_>,
) -> Result<(Trace, SloTargets, Vec<Diagnostic>), Vec<Diagnostic>> {
    let text = std::str::from_utf8(header.0)
        .map_err(|_| vec![Diagnostic::new("is not UTF-8 text").in_file(header.1)])?;
    let (header, warnings) = trace::header(text, header.1)?;
    let targets = trace::slo_targets(&header);
    Ok((trace::with_rows(header, rows.0, rows.1)?, targets, warnings))
}

#[derive(Deserialize)]
struct ResultRow {
    request_id: i64,
    ttft_us: f64,
    e2e_us: f64,
    input_tokens: u32,
    output_tokens: u32,
    #[serde(default)]
    slo_class: String,
    #[serde(default)]
    model: String,
    #[serde(default)]
    itl_mean_us: f64,
}

/// The file that a replay writes with `--results-path`.
///
/// # Errors
/// What is wrong with it.
pub fn read_results(file: Contents<'_>) -> Result<Vec<SimResult>, Vec<Diagnostic>> {
    let rows: Vec<ResultRow> = json(file)?;
    let results = rows.into_iter().map(|row| SimResult {
        request_id: row.request_id,
        ttft_us: row.ttft_us,
        e2e_us: row.e2e_us,
        input_tokens: row.input_tokens,
        output_tokens: row.output_tokens,
        slo_class: row.slo_class,
        model: row.model,
        itl_mean_us: row.itl_mean_us,
    });
    Ok(results.collect())
}

/// What a calibration takes from the aggregate figures of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct RunFigures {
    /// Mean time to first token, ms.
    pub ttft_mean_ms: f64,
    /// Tokens that were generated.
    pub total_output_tokens: f64,
    /// Length of the run, seconds.
    #[serde(rename = "vllm_estimated_duration_s")]
    pub duration_s: f64,
    /// Share of KV blocks that were found in the cache.
    pub cache_hit_rate: Option<f64>,
}

impl RunFigures {
    /// The figures that are compared with another model of LoRA serving.
    ///
    /// # Errors
    /// The run has no length.
    pub fn adapter_figures(&self, file_name: &str) -> Result<AdapterFigures, Diagnostic> {
        if !(self.duration_s.is_finite() && self.duration_s > 0.0) {
            let message = format!(
                "vllm_estimated_duration_s is {}; it must be above 0 for a throughput",
                self.duration_s
            );
            return Err(Diagnostic::new(message).in_file(file_name));
        }
        let output_tokens_per_s = self.total_output_tokens / self.duration_s;
        Ok(AdapterFigures { ttft_ms: self.ttft_mean_ms, output_tokens_per_s })
    }
}

/// The file that a run or a replay writes with `--metrics-path`.
///
/// # Errors
/// What is wrong with it.
pub fn read_run_figures(file: Contents<'_>) -> Result<RunFigures, Vec<Diagnostic>> {
    json(file)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ReferenceSide {
    ttft: f64,
    output_throughput: f64,
}

#[derive(Deserialize)]
struct Reference {
    #[serde(default)]
    model: String,
    adapter_aware: ReferenceSide,
    #[serde(default)]
    adapter_blind: ReferenceSide,
}

/// Figures of another model of LoRA serving.
///
/// # Errors
/// What is wrong with it.
pub fn read_adapter_reference(file: Contents<'_>) -> Result<AdapterReference, Vec<Diagnostic>> {
    let reference: Reference = json(file)?;
    let figures = |side: &ReferenceSide| AdapterFigures {
        ttft_ms: side.ttft,
        output_tokens_per_s: side.output_throughput,
    };
    let (aware, blind) = (figures(&reference.adapter_aware), figures(&reference.adapter_blind));
    Ok(AdapterReference { model: reference.model, aware, blind })
}

fn json<T: DeserializeOwned>((bytes, file_name): Contents<'_>) -> Result<T, Vec<Diagnostic>> {
    serde_json::from_slice(bytes).map_err(|error| {
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or(&message);
        let problem = Diagnostic::new(message).in_file(file_name);
        vec![problem.at(error.line() as u32, error.column() as u32)]
    })
}

/// The columns of a file of chunk times.
const COLUMNS: [&str; 3] = ["request_id", "chunk_index", "timestamp_us"];

/// The text of a file of chunk times, as [`read_chunk_times`] reads it.
pub fn chunk_times_file(times: impl IntoIterator<Item = ChunkTime>) -> String {
    use std::fmt::Write as _;
    let mut text = COLUMNS.join(",") + "\n";
    for ChunkTime { request_id, index, at_us } in times {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{request_id},{index},{at_us}");
    }
    text
}

/// The file that an observation writes with `--record-itl`: when each piece of each answer came.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read_chunk_times((bytes, file_name): Contents<'_>) -> Result<Vec<ChunkTime>, Vec<Diagnostic>> {
    /// Problems that are told one by one.
    const TOLD: usize = 20;
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
    let mut record = StringRecord::new();
    let mut places: Option<[usize; 3]> = None;
    let (mut times, mut problems, mut more) = (Vec::new(), Vec::new(), 0_usize);
    let mut width = 0;
    loop {
        let read = reader.read_record(&mut record);
        let line = record.position().map_or(1, csv::Position::line) as u32;
        match read {
            Ok(false) => break,
            Ok(true) => {}
            Err(error) => {
                problems.push(Diagnostic::new(error.to_string()).in_file(file_name));
                break;
            }
        }
        let Some(places) = places else {
            let place = |name: &str| record.iter().position(|given| given.trim() == name);
            let found = COLUMNS.map(place);
            let missing = COLUMNS.iter().zip(found).filter(|(_, place)| place.is_none());
            problems.extend(missing.map(|(name, _)| {
                Diagnostic::new(format!("no column {name}; {} are needed", COLUMNS.join(", ")))
                    .in_file(file_name)
                    .at(1, 1)
            }));
            if !problems.is_empty() {
                break;
            }
            width = record.len();
            places = Some(found.map(Option::unwrap_or_default));
            continue;
        };
        match chunk_time(&record, places, width) {
            Ok(time) => times.push(time),
            Err(message) if problems.len() < TOLD => {
                problems.push(Diagnostic { line: Some(line), ..Diagnostic::new(message).in_file(file_name) });
            }
            Err(_) => more += 1,
        }
    }
    if places.is_none() && problems.is_empty() {
        problems
            .push(Diagnostic::new("the file is empty; expected a row of column names").in_file(file_name));
    }
    if more > 0 {
        problems.push(Diagnostic::new(format!("and {more} more problems")).in_file(file_name));
    }
    if problems.is_empty() { Ok(times) } else { Err(problems) }
}

fn chunk_time(record: &StringRecord, places: [usize; 3], width: usize) -> Result<ChunkTime, String> {
    if record.len() != width {
        return Err(format!("{} columns; expected {width}", record.len()));
    }
    let number = |column: usize| {
        let text = record[places[column]].trim();
        let value = text.parse::<i64>().ok().filter(|&value| value >= 0);
        value.ok_or_else(|| format!("column {}: \"{text}\" is not an integer of at least 0", COLUMNS[column]))
    };
    let index = u32::try_from(number(1)?)
        .map_err(|_| format!("column {}: more than {} chunks", COLUMNS[1], u32::MAX))?;
    Ok(ChunkTime { request_id: number(0)?, index, at_us: number(2)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(problems: &[Diagnostic]) -> Vec<String> {
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn chunk_times_are_read_as_they_are_written() {
        let times = [(4, 0, 12), (4, 1, 15), (7, 0, 3)].map(|(request_id, index, at_us)| ChunkTime {
            request_id,
            index,
            at_us,
        });
        let text = chunk_times_file(times);
        assert_eq!(text.lines().next(), Some("request_id,chunk_index,timestamp_us"));
        assert_eq!(read_chunk_times((text.as_bytes(), "itl.csv")), Ok(times.to_vec()));
    }

    #[test]
    fn everything_that_is_wrong_with_chunk_times_is_told() {
        let check = |text: &str, expected: &[&str]| {
            let problems = read_chunk_times((text.as_bytes(), "i.csv")).unwrap_err();
            assert_eq!(told(&problems), expected);
        };
        check(
            "request_id,chunk_index,timestamp_us\n1,0,x\n1,-1,2\n1,2\n1,3,4\n",
            &[
                "i.csv:2: column timestamp_us: \"x\" is not an integer of at least 0",
                "i.csv:3: column chunk_index: \"-1\" is not an integer of at least 0",
                "i.csv:4: 2 columns; expected 3",
            ],
        );
        check("", &["i.csv: the file is empty; expected a row of column names"]);
        check(
            "request_id,index,timestamp_us\n",
            &["i.csv:1:1: no column chunk_index; request_id, chunk_index, timestamp_us are needed"],
        );
    }

    #[test]
    fn results_are_read_with_their_optional_members_or_without() {
        let text =
            br#"[{"request_id": 3, "ttft_us": 1.5, "e2e_us": 9, "input_tokens": 4, "output_tokens": 2}]"#;
        let results = read_results((text, "r.json")).unwrap();
        let expected = SimResult {
            request_id: 3,
            ttft_us: 1.5,
            e2e_us: 9.0,
            input_tokens: 4,
            output_tokens: 2,
            ..SimResult::default()
        };
        assert_eq!(results, [expected]);
        let problems =
            read_results((b"[{\"request_id\": 3,\n \"ttft_us\": \"fast\"}]", "r.json")).unwrap_err();
        assert!(told(&problems)[0].starts_with("r.json:2:"), "{problems:?}");
    }

    #[test]
    fn a_throughput_needs_a_duration() {
        let figures =
            read_run_figures((br#"{"total_output_tokens": 10, "vllm_estimated_duration_s": 4}"#, "m"));
        assert_eq!(figures.unwrap().adapter_figures("m").unwrap().output_tokens_per_s, 2.5);
        let none = read_run_figures((b"{}", "m")).unwrap();
        assert!(none.adapter_figures("m").is_err());
    }
}
