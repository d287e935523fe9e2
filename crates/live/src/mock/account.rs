//! The server's own account of what it served, instance by instance, as vLLM keeps it.

use std::fmt::Write;

/// Edges of histograms, by what they count.
pub(crate) mod edges {
    /// Time to first token, seconds.
    pub(crate) const FIRST_TOKEN: &[f64] = &[
        0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0,
        40.0, 80.0, 160.0, 640.0, 2560.0,
    ];
    /// Time between tokens, seconds.
    pub(crate) const BETWEEN_TOKENS: &[f64] = &[
        0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0,
        80.0,
    ];
    /// Time of a request or a part of it, seconds.
    pub(crate) const REQUEST: &[f64] = &[
        0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0,
        480.0, 960.0, 1920.0, 7680.0,
    ];
    /// Choices of a request.
    pub(crate) const CHOICES: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0];

    /// Tokens of a request: 1, 2, 5, 10, … up to the longest.
    pub(crate) fn tokens(longest: u64) -> Vec<f64> {
        let decades = std::iter::successors(Some(1.0), |decade| Some(decade * 10.0));
        let edges = decades.flat_map(|decade| [decade, 2.0 * decade, 5.0 * decade]);
        edges.take_while(|&edge| edge <= longest as f64).collect()
    }
}

/// Counts by size.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    edges: std::sync::Arc<[f64]>,
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    fn new(edges: &[f64]) -> Self {
        Self { edges: edges.into(), counts: vec![0; edges.len() + 1], sum: 0.0 }
    }

    pub(crate) fn observe(&mut self, value: f64) {
        self.counts[self.edges.partition_point(|&edge| edge < value)] += 1;
        self.sum += value;
    }

    /// Its series. `labels` go before `le`.
    pub(crate) fn write(&self, out: &mut String, name: &str, labels: &str) {
        let mut total = 0;
        for (count, edge) in self.counts.iter().zip(self.edges.iter().map(Some).chain([None])) {
            total += count;
            let edge = edge.map_or_else(|| "+Inf".to_owned(), |edge| format!("{edge:?}"));
            let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{edge}\"}} {total}");
        }
        let _ = writeln!(out, "{name}_sum{{{labels}}} {:?}\n{name}_count{{{labels}}} {total}", self.sum);
    }
}

/// How a request ended, as counters tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// By itself, or at something that the client named.
    Stop,
    /// As long as it was allowed to be.
    Length,
    /// Its client went away, or it was taken away.
    Abort,
}

impl Reason {
    pub(crate) const NAMES: [&'static str; 3] = ["stop", "length", "abort"];
}

/// What one instance served.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    /// Tokens of prompts that were looked for in the prefix cache, and of those that were found.
    pub(crate) prefix_queries: u64,
    pub(crate) prefix_hits: u64,
    /// Tokens of prompts that have their first answer token, and of those what the cache had.
    pub(crate) prompt_tokens: u64,
    pub(crate) prompt_tokens_cached: u64,
    pub(crate) generation_tokens: u64,
    /// Requests that ended, by [`Reason`].
    pub(crate) ended: [u64; 3],
    pub(crate) time_to_first_token: Histogram,
    pub(crate) inter_token_latency: Histogram,
    pub(crate) time_per_output_token: Histogram,
    pub(crate) e2e: Histogram,
    pub(crate) queue: Histogram,
    pub(crate) prefill: Histogram,
    pub(crate) decode: Histogram,
    pub(crate) inference: Histogram,
    pub(crate) request_prompt_tokens: Histogram,
    pub(crate) request_generation_tokens: Histogram,
    pub(crate) request_max_tokens: Histogram,
    pub(crate) request_prefill_tokens: Histogram,
    pub(crate) request_n: Histogram,
}

impl Account {
    /// An instance that has served nothing, of a model with this longest length.
    pub(crate) fn new(max_model_len: u64) -> Self {
        let tokens = edges::tokens(max_model_len);
        let (tokens, request) = (Histogram::new(&tokens), Histogram::new(edges::REQUEST));
        let between_tokens = Histogram::new(edges::BETWEEN_TOKENS);
        Self {
            prefix_queries: 0,
            prefix_hits: 0,
            prompt_tokens: 0,
            prompt_tokens_cached: 0,
            generation_tokens: 0,
            ended: [0; 3],
            time_to_first_token: Histogram::new(edges::FIRST_TOKEN),
            time_per_output_token: between_tokens.clone(),
            inter_token_latency: between_tokens,
            e2e: request.clone(),
            queue: request.clone(),
            prefill: request.clone(),
            decode: request.clone(),
            inference: request,
            request_prompt_tokens: tokens.clone(),
            request_generation_tokens: tokens.clone(),
            request_max_tokens: tokens.clone(),
            request_prefill_tokens: tokens,
            request_n: Histogram::new(edges::CHOICES),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_an_edge_counts_below_it_and_buckets_add_up() {
        let mut histogram = Histogram::new(&[1.0, 2.5]);
        for value in [0.5, 1.0, 2.0, 3.0] {
            histogram.observe(value);
        }
        let mut out = String::new();
        histogram.write(&mut out, "x", "a=\"b\"");
        let expected = "x_bucket{a=\"b\",le=\"1.0\"} 2\nx_bucket{a=\"b\",le=\"2.5\"} 3\n\
                        x_bucket{a=\"b\",le=\"+Inf\"} 4\nx_sum{a=\"b\"} 6.5\nx_count{a=\"b\"} 4\n";
        assert_eq!(out, expected);
    }

    #[test]
    fn edges_of_lengths_end_at_the_longest() {
        assert_eq!(edges::tokens(40), [1.0, 2.0, 5.0, 10.0, 20.0]);
        assert_eq!(edges::tokens(50).last(), Some(&50.0));
    }
}
