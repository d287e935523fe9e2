//! Published recordings, when they lie beside the checkout: figures that were counted in another way.

use crate::support::in_order;
use blis_convert::{MooncakeOptions, Summary, azure, burstgpt, mooncake};
use flate2::read::GzDecoder;
use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

/// The text of a recording, or `None` and a message.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn extract(name: &str) -> Option<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/traces");
    let Ok(bytes) = std::fs::read(folder.join(name)) else {
        eprintln!("skipped: {name} does not lie beside the checkout");
        return None;
    };
    let mut text = String::new();
    if Path::new(name).extension().is_some_and(|extension| extension == "gz") {
        GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
    } else {
        text.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    Some(text)
}

/// Seconds within a day of a time of Azure's, in units of 100 ns.
fn hundred_ns(time: &str) -> i64 {
    let clock: Vec<&str> = time.split([' ', ':', '.']).collect();
    let [hours, minutes, seconds, rest] = [1, 2, 3, 4].map(|i| clock[i].parse::<i64>().unwrap());
    ((hours * 60 + minutes) * 60 + seconds) * 10_000_000 + rest
}

#[test]
fn azure_2023_is_converted_whole() {
    for name in ["azure-llm-2023-code.csv.gz", "azure-llm-2023-conv.csv.gz"] {
        let Some(text) = extract(name) else { return };
        let (trace, summary) = in_order(|sink| azure(text.as_bytes(), sink)).unwrap();
        let lines: Vec<Vec<&str>> =
            text.lines().skip(1).map(|line| line.trim().split(',').collect()).collect();
        let sum = |column: usize| lines.iter().map(|line| line[column].parse::<u64>().unwrap()).sum::<u64>();
        let micros = |line: &Vec<&str>| hundred_ns(line[0]) / 10;
        let span_us = micros(lines.last().unwrap()) - micros(&lines[0]);
        let requests = lines.len() as u64;
        assert_eq!(summary, Summary { requests, input_tokens: sum(1), output_tokens: sum(2), span_us });
        assert_eq!(trace.rows().len(), lines.len());
        for (row, line) in trace.rows().iter().zip(&lines) {
            assert_eq!(row.arrival_us, micros(line) - micros(&lines[0]));
        }
    }
}

#[test]
fn burstgpt_is_converted_whole() {
    let Some(text) = extract("burstgpt-format-sample.csv") else { return };
    let (trace, summary) = in_order(|sink| burstgpt(text.as_bytes(), sink)).unwrap();
    let lines: Vec<Vec<&str>> = text.lines().skip(1).map(|line| line.split(',').collect()).collect();
    let total: u64 = lines.iter().map(|line| line[4].parse::<u64>().unwrap()).sum();
    assert_eq!((summary.requests, summary.input_tokens + summary.output_tokens), (lines.len() as u64, total));
    assert_eq!(trace.rows()[1].arrival_us, 40_000_000);
}

/// What stands between `key` and the next of `ends`.
fn field<'a>(line: &'a str, key: &str, ends: &[char]) -> &'a str {
    let rest = &line[line.find(key).unwrap() + key.len()..];
    &rest[..rest.find(ends).unwrap()]
}

#[test]
fn mooncake_is_converted_whole_with_its_sharing() {
    for name in ["mooncake-conversation.jsonl.gz", "mooncake-synthetic.jsonl.gz"] {
        let Some(text) = extract(name) else { return };
        let options = MooncakeOptions { block_tokens: 512 };
        let (trace, summary) = in_order(|sink| mooncake(text.as_bytes(), options, sink)).unwrap();
        let number = |line: &str, key: &str| field(line, key, &[',', '}']).trim().parse::<u64>().unwrap();
        let sum = |key: &str| text.lines().map(|line| number(line, key)).sum::<u64>();
        let (first, last) = (text.lines().next().unwrap(), text.lines().last().unwrap());
        let expected = Summary {
            requests: text.lines().count() as u64,
            input_tokens: sum("\"input_length\":"),
            output_tokens: sum("\"output_length\":"),
            span_us: (number(last, "\"timestamp\":") - number(first, "\"timestamp\":")) as i64 * 1000,
        };
        assert_eq!(summary, expected, "{name}");

        // The hit rate of an endless cache, from the text and from the converted rows.
        let (mut seen, mut hits, mut blocks) = (BTreeSet::new(), 0_u64, 0_u64);
        for line in text.lines() {
            for id in field(line, "\"hash_ids\": [", &[']']).split(", ") {
                blocks += 1;
                hits += u64::from(!seen.insert(id));
            }
        }
        let (mut known, mut found, mut named) = (BTreeSet::new(), 0_u64, 0_u64);
        for run in trace.rows().iter().flat_map(|row| trace.blocks(row)) {
            named += u64::from(run.blocks);
            found +=
                (run.first..run.first + u64::from(run.blocks)).filter(|&id| !known.insert(id)).count() as u64;
        }
        assert_eq!((found, named), (hits, blocks), "{name}");
        assert!(hits > 0);
    }
}
