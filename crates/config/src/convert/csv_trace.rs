//! Traces of releases up to 0.6.11 as a workload with the same means.

use super::{Converted, finish};
use crate::Diagnostic;
use crate::workload_file::schema::{Entry, File};
use crate::workload_file::writer::{VERSION, arrival, dist, set, unplaced, whole};
use csv::StringRecord;

const COLUMNS: [&str; 5] = ["arrival_time", "request_id", "model", "prefill_tokens", "decode_tokens"];
/// The one client of the workload.
const CLIENT: &str = "csv-trace";
/// Problems that are told one by one.
const TOLD_PROBLEMS: usize = 20;

/// A row's figures.
struct Row {
    arrival_us: i64,
    input_tokens: usize,
    output_tokens: usize,
}

/// The trace `text` as one client with equal gaps, n requests within the time from the first arrival to the last (all
/// within a second when that is none), and constant lengths, the means rounded. Requests that arrive after
/// `horizon_us` are left out.
///
/// # Errors
/// Everything that is wrong with the file.
pub fn csv_trace(text: &str, file_name: &str, horizon_us: Option<i64>) -> Result<Converted, Vec<Diagnostic>> {
    let mut rows = read(text, file_name)?;
    rows.retain(|row| horizon_us.is_none_or(|horizon| row.arrival_us <= horizon));
    let (Some(first), Some(last)) =
        (rows.iter().map(|row| row.arrival_us).min(), rows.iter().map(|row| row.arrival_us).max())
    else {
        return Err(vec![Diagnostic::new("has no requests").in_file(file_name)]);
    };
    let count = rows.len() as f64;
    let duration_s = (last - first) as f64 / 1e6;
    let mean = |tokens: fn(&Row) -> usize| {
        let sum: usize = rows.iter().map(tokens).sum();
        dist("constant", &[("value", (sum as f64 / count).round().max(1.0))])
    };
    let client = Entry {
        id: Some(CLIENT.to_owned()),
        rate_fraction: set(1.0),
        arrival: arrival("constant"),
        input_distribution: mean(|row| row.input_tokens),
        output_distribution: mean(|row| row.output_tokens),
        ..Entry::default()
    };
    let file = File {
        version: set(VERSION.to_owned()),
        category: set("language".to_owned()),
        clients: Some(vec![unplaced(client)]),
        aggregate_rate: set(if duration_s > 0.0 { count / duration_s } else { count }),
        num_requests: whole(rows.len() as i64),
        ..File::default()
    };
    finish(&file, Vec::new())
}

fn read(text: &str, file_name: &str) -> Result<Vec<Row>, Vec<Diagnostic>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    for (number, record) in reader.records().enumerate() {
        let read = match record {
            Err(error) => Err((None, error.to_string())),
            Ok(record) => {
                let line = record.position().map(csv::Position::line);
                let result = if number == 0 { names(&record).map(|()| None) } else { row(&record).map(Some) };
                result.map_err(|message| (line, message))
            }
        };
        match read {
            Ok(row) => rows.extend(row),
            Err((line, message)) => {
                let line = line.and_then(|line| u32::try_from(line).ok());
                problems.push(Diagnostic { line, ..Diagnostic::new(message).in_file(file_name) });
            }
        }
    }
    if problems.len() > TOLD_PROBLEMS {
        let more = problems.len() - TOLD_PROBLEMS;
        problems.truncate(TOLD_PROBLEMS);
        problems.push(Diagnostic::new(format!("and {more} more problems")).in_file(file_name));
    }
    if problems.is_empty() { Ok(rows) } else { Err(problems) }
}

fn names(record: &StringRecord) -> Result<(), String> {
    let found: Vec<&str> = record.iter().map(str::trim).collect();
    if found == COLUMNS {
        return Ok(());
    }
    Err(format!("the columns are {}; they must be {}", found.join(","), COLUMNS.join(",")))
}

fn row(record: &StringRecord) -> Result<Row, String> {
    let text = |column: usize| {
        let name = COLUMNS[column];
        record
            .get(column)
            .map(|text| (name, text.trim()))
            .ok_or_else(|| format!("column `{name}` is missing"))
    };
    let (name, arrival) = text(0)?;
    let seconds: Option<f64> = arrival.parse().ok().filter(|at: &f64| (0.0..9e12).contains(at));
    let seconds = seconds
        .ok_or_else(|| format!("column `{name}`: `{arrival}` is not a number of seconds of at least 0"))?;
    let ids = |column: usize| {
        let (name, ids) = text(column)?;
        let ids: Vec<i64> = serde_json::from_str(ids)
            .map_err(|error| format!("column `{name}`: is not a list of token ids: {error}"))?;
        Ok::<_, String>(ids.len())
    };
    Ok(Row { arrival_us: (seconds * 1e6) as i64, input_tokens: ids(3)?, output_tokens: ids(4)? })
}

#[cfg(test)]
mod tests {
    use super::csv_trace;
    use crate::workload_file::{self, Overrides};
    use blis_kernel::samplers::LengthSampler;

    const TRACE: &str = "arrival_time,request_id,model,prefill_tokens,decode_tokens
1.0,a,m,\"[1, 2, 3]\",\"[4]\"
2.5,b,m,\"[1, 2]\",\"[4, 5]\"
5.0,c,m,\"[9]\",\"[]\"
";

    fn converted(horizon_us: Option<i64>) -> blis_workload::Workload {
        let yaml = csv_trace(TRACE, "t.csv", horizon_us).unwrap().yaml;
        workload_file::read(&yaml, "w.yaml", Overrides::default()).unwrap().workload
    }

    /// Law: the workload has as many requests in as much time, with the mean lengths.
    #[test]
    fn means_are_kept() {
        let workload = converted(None);
        let client = &workload.clients[0];
        assert_eq!((client.labels.client.as_str(), workload.max_requests), ("csv-trace", Some(3)));
        let length = |value| LengthSampler::Constant { value };
        assert_eq!((&client.input, &client.output), (&length(2), &length(1)));
        let mut stream = workload.stream();
        let arrivals: Vec<_> =
            std::iter::from_fn(|| stream.next_arrival()).map(|request| request.arrival.as_us()).collect();
        assert_eq!(arrivals, [1_333_333, 2_666_666, 3_999_999]);
    }

    #[test]
    fn requests_after_the_horizon_are_left_out() {
        assert_eq!(converted(Some(2_500_000)).max_requests, Some(2));
        let single = converted(Some(1_000_000));
        assert_eq!(single.stream().next_arrival().unwrap().arrival.as_us(), 1_000_000);
        let problems = csv_trace(TRACE, "t.csv", Some(0)).unwrap_err();
        assert_eq!(problems[0].to_string(), "t.csv: has no requests");
    }

    #[test]
    fn everything_that_is_wrong_is_told_with_its_line() {
        let text = "arrival_time,request_id,model,prefill_tokens\n-1,a,m,[1],[2]\n1,b,m,[1],x\n2,c,m\n";
        let problems = csv_trace(text, "t.csv", None).unwrap_err();
        let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
        let expected = [
            "t.csv:1: the columns are arrival_time,request_id,model,prefill_tokens; they must be",
            "t.csv:2: column `arrival_time`: `-1` is not a number of seconds of at least 0",
            "t.csv:3: column `decode_tokens`: is not a list of token ids: ",
            "t.csv:4: column `prefill_tokens` is missing",
        ];
        assert_eq!(problems.len(), expected.len(), "{problems:#?}");
        for (problem, expected) in problems.iter().zip(expected) {
            assert!(problem.starts_with(expected), "{problem} / {expected}");
        }
    }
}
