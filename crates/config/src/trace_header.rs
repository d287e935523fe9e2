//! The header of a trace as YAML.

use blis_workload::trace::{
    ContextGrowth, ObservedKvMetrics, RecordedKvOffload, RecordedSecondaryTier, RecordedServer, TimeUnit,
    TraceHeader, TraceMode,
};
use std::fmt::{Display, Write};

/// The text of a header file. What has no value is left out, but for the number of warm-up requests.
pub fn trace_header_file(header: &TraceHeader) -> String {
    let mut yaml = Yaml::default();
    yaml.value("trace_version", header.trace_version);
    yaml.value(
        "time_unit",
        match header.time_unit {
            TimeUnit::Microseconds => "microseconds",
            TimeUnit::Us => "us",
        },
    );
    yaml.text_if_any("created_at", header.created_at.as_ref());
    yaml.value(
        "mode",
        match header.mode {
            TraceMode::Generated => "generated",
            TraceMode::Real => "real",
            TraceMode::Replayed => "replayed",
        },
    );
    yaml.value("warm_up_requests", header.warm_up_requests);
    yaml.value_if_any("workload_seed", header.workload_seed);
    yaml.text_if_any("workload_spec", header.workload_spec.as_ref());
    match header.context_growth {
        ContextGrowth::None => {}
        ContextGrowth::Accumulate => yaml.value("session_context_growth", "accumulate"),
    }
    yaml.value_if_any("prefix_block_tokens", header.prefix_block_tokens);
    if let Some(server) = &header.server {
        yaml.object("server", |yaml| write_server(yaml, server));
    }
    if let Some(rtt_ms) = header.network_rtt_ms {
        yaml.object("network", |yaml| yaml.value_if_any("measured_rtt_ms", rtt_ms));
    }
    if !header.goodput_slo_targets.is_empty() {
        yaml.object("goodput_slo_targets", |yaml| {
            for (class, target) in &header.goodput_slo_targets {
                yaml.object(&scalar(class), |yaml| {
                    let thresholds =
                        [("ttft_ms", target.ttft_ms), ("itl_ms", target.itl_ms), ("e2e_ms", target.e2e_ms)];
                    for (name, ms) in thresholds.into_iter().filter(|(_, ms)| *ms != 0.0) {
                        yaml.value(name, ms);
                    }
                });
            }
        });
    }
    if let Some(offload) = &header.kv_offload {
        yaml.object("kv_offload", |yaml| write_offload(yaml, offload));
    }
    if let Some(observed) = &header.observed_kv_metrics {
        yaml.object("observed_kv_metrics", |yaml| write_observed(yaml, observed));
    }
    yaml.text
}

fn write_server(yaml: &mut Yaml, server: &RecordedServer) {
    yaml.text_if_any("type", server.kind.as_ref());
    yaml.text_if_any("model", server.model.as_ref());
    yaml.value_if_any("tensor_parallel", server.tensor_parallel);
    yaml.value_if_any("max_num_seqs", server.max_num_seqs);
    yaml.value_if_any("block_size", server.block_size);
    yaml.value_if_any("gpu_memory_utilization", server.gpu_memory_utilization);
    yaml.value_if_any("max_model_len", server.max_model_len);
}

fn write_offload(yaml: &mut Yaml, offload: &RecordedKvOffload) {
    yaml.value("cpu_bytes_to_use", offload.cpu_bytes_to_use);
    yaml.value("per_block_bytes", offload.per_block_bytes);
    yaml.value("block_size", offload.block_size);
    yaml.value("blocks_per_chunk", offload.blocks_per_chunk);
    yaml.value("tokens_per_hash", offload.tokens_per_hash);
    yaml.value("eviction_policy", scalar(&offload.eviction_policy));
    yaml.value("offload_prompt_only", offload.offload_prompt_only);
    yaml.value("self_describing_kv_events", offload.self_describing_kv_events);
    if !offload.secondary_tiers.is_empty() {
        yaml.list("secondary_tiers", &offload.secondary_tiers, write_tier);
    }
}

fn write_tier(yaml: &mut Yaml, tier: &RecordedSecondaryTier) {
    yaml.value("type", scalar(&tier.kind));
    yaml.value("root_dir", scalar(&tier.root_dir));
    yaml.value("n_read_threads", tier.n_read_threads);
    yaml.value("n_write_threads", tier.n_write_threads);
    yaml.value("locality", scalar(&tier.locality));
    yaml.value("enable_kv_events", tier.enable_kv_events);
    yaml.value("direct_io", tier.direct_io);
    if !tier.device_class.is_empty() {
        yaml.value("device_class", scalar(&tier.device_class));
    }
    yaml.value("read_bandwidth", tier.read_bandwidth);
    yaml.value("write_bandwidth", tier.write_bandwidth);
    yaml.value("base_latency", tier.base_latency);
    yaml.value("saturation_queue_depth", tier.saturation_queue_depth);
    yaml.value("single_transfer_fraction", tier.single_transfer_fraction);
    yaml.value("latency_jitter_stddev", tier.latency_jitter_stddev);
}

fn write_observed(yaml: &mut Yaml, observed: &ObservedKvMetrics) {
    yaml.value("source", scalar(&observed.source));
    yaml.value("hit_rate", observed.hit_rate);
    yaml.value("block_hits", observed.block_hits);
    yaml.value("block_queries", observed.block_queries);
    yaml.value("read_time_total", observed.read_time_total);
    yaml.value("write_time_total", observed.write_time_total);
    if !observed.vllm_commit.is_empty() {
        yaml.value("vllm_commit", scalar(&observed.vllm_commit));
    }
}

/// A growing document.
#[derive(Default)]
struct Yaml {
    text: String,
    depth: usize,
}

impl Yaml {
    /// One line; writing to a text cannot fail.
    fn line(&mut self, name: &str, value: impl Display) {
        let _ = writeln!(self.text, "{:width$}{name}:{value}", "", width = 4 * self.depth);
    }

    fn value(&mut self, name: &str, value: impl Display) {
        self.line(name, format_args!(" {value}"));
    }

    fn value_if_any(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.value(name, value);
        }
    }

    fn text_if_any(&mut self, name: &str, text: Option<&String>) {
        self.value_if_any(name, text.map(|text| scalar(text)));
    }

    fn object(&mut self, name: &str, members: impl FnOnce(&mut Self)) {
        let start = self.text.len();
        self.line(name, "");
        let end = self.text.len();
        self.depth += 1;
        members(self);
        self.depth -= 1;
        if self.text.len() == end {
            self.text.truncate(start);
            self.line(name, " {}");
        }
    }

    fn list<T>(&mut self, name: &str, items: &[T], members: impl Fn(&mut Self, &T)) {
        self.line(name, "");
        self.depth += 2;
        for item in items {
            let start = self.text.len();
            members(self, item);
            // The dash stands two characters before the first member.
            let dash = start + 4 * self.depth - 2;
            self.text.replace_range(dash..=dash, "-");
        }
        self.depth -= 2;
    }
}

/// A text as YAML reads it back: plain where it is a word that means nothing else, in quotes elsewhere.
fn scalar(text: &str) -> String {
    let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
    let is_keyword = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
        .contains(&text.to_ascii_lowercase().as_str());
    if is_word && !is_keyword {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\U{:08x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
