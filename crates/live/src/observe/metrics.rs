//! Counters of the server's KV cache, from its Prometheus metrics, before and after.

use super::Settings;
use super::connection::Connector;
use super::exchange::fetch;
use super::pool::Pool;
use super::request::authorization;
use super::server_url::ServerUrl;
use super::until;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::header::{HOST, HeaderValue};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the server may take to tell.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the counters say about an observation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KvMetrics {
    /// Which counters: `tiered` for those of all tiers, else `gpu-prefix-cache-fallback`.
    pub source: &'static str,
    /// Share of what was looked up that was found.
    pub hit_rate: f64,
    /// Found.
    pub hits: i64,
    /// Looked up.
    pub queries: i64,
    /// Time spent loading, seconds.
    pub read_time_s: f64,
    /// Time spent storing, seconds.
    pub write_time_s: f64,
}

/// The values of all families, summed over their labels; names without `_total`.
pub type Families = BTreeMap<String, f64>;

/// Reads a page of metrics.
pub(super) async fn scrape(url: &ServerUrl, settings: &Settings) -> Result<Families, String> {
    let pool = Pool::new(Connector::new(Arc::new(url.clone())));
    let mut request = Request::new(Full::<Bytes>::default());
    *request.uri_mut() = if url.base.is_empty() { "/" } else { &url.base }.parse().map_err(|_| "no path")?;
    let host = HeaderValue::from_str(&url.authority).map_err(|error| error.to_string())?;
    request.headers_mut().insert(HOST, host);
    request.headers_mut().extend(authorization(settings));
    let page = until(Instant::now() + PATIENCE, fetch(&pool, request)).await;
    let page =
        page.ok_or_else(|| format!("no metrics after {PATIENCE:?}"))?.map_err(|why| why.to_string())?;
    Ok(families(&String::from_utf8_lossy(&page)))
}

/// Reads Prometheus' text format.
pub fn families(page: &str) -> Families {
    let mut families = Families::new();
    for line in page.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let name = line.split(['{', ' ', '\t']).next().unwrap_or_default();
        let value = after_labels(&line[name.len()..]).split_whitespace().next();
        if let Some(value) =
            value.and_then(|value| value.parse::<f64>().ok()).filter(|value| value.is_finite())
        {
            *families.entry(name.strip_suffix("_total").unwrap_or(name).to_owned()).or_default() += value;
        }
    }
    families
}

/// What follows the labels; a label's value, in quotes, may hold anything.
fn after_labels(text: &str) -> &str {
    if !text.starts_with('{') {
        return text;
    }
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '}' if !quoted => return &text[at + 1..],
            _ => {}
        }
    }
    ""
}

const FALLBACK: &str = "gpu-prefix-cache-fallback";

/// Counters of look-ups and of hits, the ones that count most tiers first.
const COUNTERS: [(&str, &str, &str); 3] = [
    ("tiered", "vllm:kv_offload_tiering_block_queries", "vllm:kv_offload_tiering_block_hits"),
    (FALLBACK, "vllm:gpu_prefix_cache_queries", "vllm:gpu_prefix_cache_hits"),
    (FALLBACK, "vllm:prefix_cache_queries", "vllm:prefix_cache_hits"),
];

/// What happened between two readings.
///
/// # Errors
/// Why the hit rate is not known.
pub fn compare(before: &Families, after: &Families) -> Result<KvMetrics, String> {
    let grown = |name: &str| {
        after.get(name).copied().unwrap_or_default() - before.get(name).copied().unwrap_or_default()
    };
    // Servers that have both names fill in one of them.
    let has_counted = |queries: &str| after.contains_key(queries) && grown(queries) != 0.0;
    let present = || COUNTERS.iter().filter(|(_, queries, _)| after.contains_key(*queries));
    let chosen = present().find(|(_, queries, _)| has_counted(queries)).or_else(|| present().next());
    let Some(&(source, queries_name, hits_name)) = chosen else {
        let gauge = after.get("vllm:gpu_prefix_cache_hit_rate").filter(|rate| (0.0..=1.0).contains(*rate));
        let hit_rate = *gauge.ok_or("the server has no counters of its prefix cache")?;
        return Ok(KvMetrics { source: FALLBACK, hit_rate, ..KvMetrics::default() });
    };
    let (queries, hits) = (grown(queries_name), grown(hits_name));
    if queries < 0.0 || hits < 0.0 {
        return Err(format!("{queries_name} or {hits_name} went back: the server was started again"));
    }
    if queries == 0.0 {
        return Err(format!("{queries_name} did not change: nothing was looked up"));
    }
    if hits > queries {
        return Err(format!("{hits_name} grew by {hits}, {queries_name} only by {queries}"));
    }
    let times = if source == FALLBACK {
        [0.0; 2]
    } else {
        ["vllm:kv_offload_tiering_read_time", "vllm:kv_offload_tiering_write_time"].map(grown)
    };
    Ok(KvMetrics {
        source,
        hit_rate: hits / queries,
        hits: hits as i64,
        queries: queries as i64,
        read_time_s: times[0],
        write_time_s: times[1],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(values: &[(&str, f64)]) -> Families {
        values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    #[test]
    fn families_are_summed_over_their_labels() {
        let page = "# HELP vllm:prefix_cache_queries_total q\n# TYPE vllm:prefix_cache_queries_total counter\n\
                    vllm:prefix_cache_queries_total{engine=\"0\",model_name=\"a b}\\\"{\"} 12.0\n\
                    vllm:prefix_cache_queries_total{engine=\"1\",model_name=\"m\"} 3e1 1700000000\n\
                    plain 7\nbroken{a=\"1\" 3\nnot_a_number NaN\nname_only\n";
        let expected = reading(&[("plain", 7.0), ("vllm:prefix_cache_queries", 42.0)]);
        assert_eq!(families(page), expected);
    }

    #[test]
    fn what_grew_counts_and_tiers_go_first() {
        let before = reading(&[("vllm:prefix_cache_queries", 100.0), ("vllm:prefix_cache_hits", 50.0)]);
        let mut after = reading(&[("vllm:prefix_cache_queries", 300.0), ("vllm:prefix_cache_hits", 100.0)]);
        let metrics = compare(&before, &after).unwrap();
        assert_eq!((metrics.hit_rate, metrics.hits, metrics.queries), (0.25, 50, 200));
        assert_eq!(metrics.source, "gpu-prefix-cache-fallback");
        after.extend(reading(&[
            ("vllm:kv_offload_tiering_block_queries", 10.0),
            ("vllm:kv_offload_tiering_block_hits", 8.0),
            ("vllm:kv_offload_tiering_read_time", 1.5),
        ]));
        let metrics = compare(&before, &after).unwrap();
        assert_eq!((metrics.source, metrics.hit_rate, metrics.read_time_s), ("tiered", 0.8, 1.5));
    }

    #[test]
    fn a_gauge_will_do_and_nonsense_will_not() {
        let none = Families::new();
        let gauge = compare(&none, &reading(&[("vllm:gpu_prefix_cache_hit_rate", 0.4)])).unwrap();
        assert_eq!((gauge.hit_rate, gauge.queries), (0.4, 0));
        let wrong = |before: &[(&str, f64)], after: &[(&str, f64)], words: &str| {
            let why = compare(&reading(before), &reading(after)).unwrap_err();
            assert!(why.contains(words), "{why}");
        };
        let (queries, hits) = ("vllm:gpu_prefix_cache_queries", "vllm:gpu_prefix_cache_hits");
        wrong(&[], &[], "no counters");
        wrong(&[(queries, 5.0)], &[(queries, 4.0)], "went back");
        wrong(&[(queries, 5.0)], &[(queries, 5.0)], "did not change");
        wrong(&[], &[(queries, 5.0), (hits, 6.0)], "grew by 6");
    }
}
