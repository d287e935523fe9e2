//! Offload files: the chain of tiers below the GPU, and the same block in the header of a trace.

use crate::catalogue::{Catalogue, OffloadDevice};
use crate::diagnostic::{Diagnostic, unknown_name};
use crate::yaml::Spanned;
use crate::yaml::tree::{Findings, Item, Node, Section, file_with_one_key};
use blis_workload::trace::{RecordedKvOffload, RecordedSecondaryTier};

/// The file's one key.
const KEY: &str = "kv_offload";
/// Threads of a tier in each direction, unless the file says otherwise.
const THREADS: i64 = 16;
const MAX_THREADS: i64 = 1 << 20;
/// Queue depths beyond this are as good as infinite.
const MAX_DEPTH: i64 = 1 << 31;

/// Reads an offload file. Devices are looked up in the catalogue; what follows from the model (`per_block_bytes`) is 0.
/// `block_tokens`: size of the GPU's blocks, if it is known.
///
/// # Errors
/// Everything that is wrong with it, with line and column.
pub fn read(
    text: &str,
    file_name: &str,
    catalogue: &Catalogue,
    block_tokens: Option<u32>,
) -> Result<(RecordedKvOffload, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut findings = Findings::new(file_name);
    let offload = file_with_one_key(text, &mut findings, KEY, |section, findings| {
        let reader = Reader { findings, catalogue: Some(catalogue) };
        reader.offload(section, block_tokens.map(i64::from))
    })?;
    match offload {
        Some(offload) if findings.problems.is_empty() => Ok((offload, findings.warnings)),
        _ => Err(findings.problems),
    }
}

/// Reads the block of a trace header, in which all values are resolved.
///
/// # Errors
/// Everything that is wrong with it, with line and column.
pub(crate) fn recorded(block: &Spanned<Node>, file_name: &str) -> Result<RecordedKvOffload, Vec<Diagnostic>> {
    let mut findings = Findings::new(file_name);
    let section = Section::of(KEY, block, &mut findings);
    let offload = Reader { findings: &mut findings, catalogue: None }.offload(section, None);
    if findings.problems.is_empty() { Ok(offload) } else { Err(findings.problems) }
}

struct Reader<'a, 'f> {
    findings: &'a mut Findings<'f>,
    /// Where devices are looked up; a header does not look.
    catalogue: Option<&'a Catalogue>,
}

/// A number of blocks, bytes or tokens.
const AT_LEAST_ONE: std::ops::RangeInclusive<i64> = 1..=i64::MAX;

impl Reader<'_, '_> {
    fn offload(mut self, mut section: Section, block_tokens: Option<i64>) -> RecordedKvOffload {
        let cpu_bytes_to_use = self.required(&mut section, "cpu_bytes_to_use", |reader, section, key| {
            section.whole(reader.findings, key, AT_LEAST_ONE)
        });
        let per_block_bytes = if self.catalogue.is_none() {
            self.required(&mut section, "per_block_bytes", |reader, section, key| {
                section.whole(reader.findings, key, AT_LEAST_ONE)
            })
        } else {
            None
        };
        let block_size = section.whole(self.findings, "block_size", AT_LEAST_ONE);
        let blocks_per_chunk = section.whole(self.findings, "blocks_per_chunk", AT_LEAST_ONE);
        let block_tokens = self.block_tokens(block_tokens, block_size.as_ref(), blocks_per_chunk.as_ref());
        let tokens_per_hash = section.whole(self.findings, "tokens_per_hash", AT_LEAST_ONE);
        let eviction_policy = section.text(self.findings, "eviction_policy");
        if let Some(policy) = &eviction_policy {
            match policy.value.as_str() {
                "lru" => {}
                "arc" => policy.report(self.findings, "is arc, which is not available; lru is"),
                other => {
                    let problem = unknown_name("eviction policy", other, ["lru"]);
                    self.findings.problem(policy.at, problem);
                }
            }
        }
        let prompt_only = section.flag(self.findings, "offload_prompt_only");
        let kv_events = section.flag(self.findings, "self_describing_kv_events");
        if let Some(threshold) = section.whole(self.findings, "store_threshold", 0..=1) {
            let what = "has no effect: every full block is stored when it is first seen";
            let warning = Diagnostic::new(format!("{} {what}", threshold.path));
            self.findings.warn(threshold.at, warning);
        }
        let tiers = section.sections(self.findings, "secondary_tiers").unwrap_or_default();
        let secondary_tiers = tiers.into_iter().map(|tier| self.tier(tier)).collect();
        section.finish(self.findings);
        RecordedKvOffload {
            cpu_bytes_to_use: value_or(cpu_bytes_to_use, 0),
            per_block_bytes: value_or(per_block_bytes, 0),
            block_size: block_tokens,
            blocks_per_chunk: 1,
            tokens_per_hash: value_or(tokens_per_hash, block_tokens),
            eviction_policy: "lru".to_owned(),
            offload_prompt_only: prompt_only.is_none_or(|item| item.value),
            self_describing_kv_events: kv_events.is_some_and(|item| item.value),
            secondary_tiers,
        }
    }

    /// Tokens of a transferred block: as many as a block of the GPU has.
    fn block_tokens(
        &mut self,
        gpu: Option<i64>,
        block_size: Option<&Item<i64>>,
        per_chunk: Option<&Item<i64>>,
    ) -> i64 {
        if let Some(per_chunk) = per_chunk.filter(|item| item.value != 1) {
            let what = "chunks of several blocks are not available; it must be 1";
            per_chunk.report(self.findings, format_args!("is {}: {what}", per_chunk.value));
        }
        let Some(size) = block_size else {
            if self.catalogue.is_none() && self.findings.problems.is_empty() {
                let problem = format!("key \"block_size\" is missing in {KEY}");
                self.findings.problem(None, Diagnostic::new(problem));
            }
            return gpu.unwrap_or(0);
        };
        if self.catalogue.is_some() {
            if per_chunk.is_some() {
                size.report(self.findings, "and blocks_per_chunk say the same; give one of them");
            }
            if let Some(gpu) = gpu.filter(|&gpu| size.value != gpu) {
                let what = format_args!("is {}; blocks of the GPU have {gpu} tokens", size.value);
                size.report(self.findings, what);
            }
        }
        size.value
    }

    /// The value of a key that must be there.
    fn required<T>(
        &mut self,
        section: &mut Section,
        key: &str,
        read: impl FnOnce(&mut Self, &mut Section, &str) -> Option<Item<T>>,
    ) -> Option<Item<T>> {
        let before = self.findings.problems.len();
        let item = read(self, section, key);
        if item.is_none() && self.findings.problems.len() == before {
            let problem = format!("key \"{key}\" is missing in {}", section.path());
            self.findings.problem(section.at(), Diagnostic::new(problem));
        }
        item
    }

    fn tier(&mut self, mut section: Section) -> RecordedSecondaryTier {
        let at_least_one = |reader: &mut Self, section: &mut Section, key: &str| {
            value_or(section.whole(reader.findings, key, 1..=MAX_THREADS), THREADS)
        };
        let kind =
            self.required(&mut section, "type", |reader, section, key| section.text(reader.findings, key));
        if let Some(kind) = kind.filter(|kind| kind.value != "fs") {
            self.findings.problem(kind.at, unknown_name("type of tier", &kind.value, ["fs"]));
        }
        let root_dir = self
            .required(&mut section, "root_dir", |reader, section, key| section.text(reader.findings, key));
        let n_read_threads = at_least_one(self, &mut section, "n_read_threads");
        let n_write_threads = at_least_one(self, &mut section, "n_write_threads");
        let locality = section.text(self.findings, "locality");
        if let Some(locality) = &locality
            && !["", "LOCAL", "REMOTE"].contains(&locality.value.as_str())
        {
            let problem = unknown_name("locality", &locality.value, ["LOCAL", "REMOTE"]);
            self.findings.problem(locality.at, problem);
        }
        let kv_events = section.flag(self.findings, "enable_kv_events");
        let direct_io = self
            .required(&mut section, "direct_io", |reader, section, key| section.flag(reader.findings, key));
        let direct_io = direct_io.is_none_or(|item| item.value);
        let class = section.text(self.findings, "device_class").filter(|class| !class.value.is_empty());
        let device = self.device(class.as_ref(), direct_io);
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let not_negative = |value: f64| value.is_finite() && value >= 0.0;
        let mut figure = |key: &str, known: Option<f64>, allowed: fn(f64) -> bool, text: &str| {
            let given = section.number(self.findings, key, allowed, text).map(|item| item.value);
            given.or(known)
        };
        let read = figure("read_bandwidth", device.as_ref().map(|d| d.read_bandwidth), positive, POSITIVE);
        let write = figure("write_bandwidth", device.as_ref().map(|d| d.write_bandwidth), positive, POSITIVE);
        let base =
            figure("base_latency", device.as_ref().map(|d| d.base_latency), not_negative, NOT_NEGATIVE);
        let device = device.unwrap_or_default();
        let mut recorded = [
            device.saturation_queue_depth.unwrap_or(1.0),
            device.single_transfer_fraction.unwrap_or(1.0),
            device.latency_jitter_stddev.unwrap_or(0.0),
        ];
        if self.catalogue.is_none() {
            let keys = ["saturation_queue_depth", "single_transfer_fraction", "latency_jitter_stddev"];
            for (value, key) in recorded.iter_mut().zip(keys) {
                *value = figure(key, Some(*value), not_negative, NOT_NEGATIVE).unwrap_or(*value);
            }
        }
        let [depth, fraction, stddev] = recorded;
        let place = class.as_ref().and_then(|class| class.at).or(section.at());
        if depth.trunc() != depth || depth > MAX_DEPTH as f64 {
            let problem = format!(
                "{}: saturation_queue_depth is {depth}; it must be a whole number from 0 to {MAX_DEPTH}",
                section.path()
            );
            self.findings.problem(place, Diagnostic::new(problem));
        }
        if depth >= 2.0 && !(fraction > 0.0 && fraction <= 1.0) {
            let problem = format!(
                "{}: single_transfer_fraction is {fraction}; with a saturation_queue_depth of {depth} it must be \
                 above 0 and at most 1",
                section.path()
            );
            self.findings.problem(place, Diagnostic::new(problem));
        }
        let missing = [("read_bandwidth", read), ("write_bandwidth", write), ("base_latency", base)];
        let missing: Vec<_> =
            missing.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| *key).collect();
        if class.is_none() && !missing.is_empty() {
            let problem = format!("{} has no {}", section.path(), missing.join(", "));
            let problem = Diagnostic::new(problem).with_help("give these, or a device_class");
            self.findings.problem(section.at(), problem);
        }
        section.finish(self.findings);
        RecordedSecondaryTier {
            kind: "fs".to_owned(),
            root_dir: value_or(root_dir, String::new()),
            n_read_threads,
            n_write_threads,
            locality: value_or(locality, String::new()),
            enable_kv_events: kv_events.is_some_and(|item| item.value),
            direct_io,
            device_class: value_or(class, String::new()),
            read_bandwidth: read.unwrap_or(1.0),
            write_bandwidth: write.unwrap_or(1.0),
            base_latency: base.unwrap_or(0.0),
            saturation_queue_depth: depth as i64,
            single_transfer_fraction: fraction,
            latency_jitter_stddev: stddev,
        }
    }

    /// The figures of a class of devices, with the page cache or around it.
    fn device(&mut self, class: Option<&Item<String>>, direct_io: bool) -> Option<OffloadDevice> {
        let (class, catalogue) = (class?, self.catalogue?);
        match catalogue.offload_device(&class.value) {
            Ok(device) if direct_io => Some(device),
            Ok(device) => Some(OffloadDevice {
                read_bandwidth: device.buffered_read_bandwidth.unwrap_or(device.read_bandwidth),
                write_bandwidth: device.buffered_write_bandwidth.unwrap_or(device.write_bandwidth),
                base_latency: device.buffered_base_latency.unwrap_or(device.base_latency),
                saturation_queue_depth: device
                    .buffered_saturation_queue_depth
                    .or(device.saturation_queue_depth),
                single_transfer_fraction: device
                    .buffered_single_transfer_fraction
                    .or(device.single_transfer_fraction),
                latency_jitter_stddev: device.buffered_latency_jitter_stddev.or(device.latency_jitter_stddev),
                ..OffloadDevice::default()
            }),
            Err(problem) => {
                self.findings.problem(class.at, problem);
                None
            }
        }
    }
}

const POSITIVE: &str = "a finite number above 0";
const NOT_NEGATIVE: &str = "a finite number of at least 0";

fn value_or<T>(item: Option<Item<T>>, default: T) -> T {
    item.map_or(default, |item| item.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let problems = read(text, "o.yaml", &Catalogue::embedded(), Some(16)).unwrap_err();
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_file_becomes_resolved_figures() {
        let text = "kv_offload:\n  cpu_bytes_to_use: 1000\n  secondary_tiers:\n    - {type: fs, root_dir: /kv, \
                    direct_io: true, device_class: nvme_gen4, base_latency: 7.5}\n";
        let (offload, warnings) = read(text, "o.yaml", &Catalogue::embedded(), Some(32)).unwrap();
        assert!(warnings.is_empty());
        assert_eq!((offload.block_size, offload.tokens_per_hash), (32, 32));
        assert!(offload.offload_prompt_only);
        let tier = &offload.secondary_tiers[0];
        assert_eq!((tier.read_bandwidth, tier.write_bandwidth, tier.base_latency), (7000.0, 5000.0, 7.5));
        assert_eq!((tier.n_read_threads, tier.saturation_queue_depth), (16, 1));
    }

    #[test]
    fn everything_wrong_is_told_at_once_where_it_stands() {
        let text = "kv_offload:\n  cpu_bytes_to_use: 0\n  block_size: 24\n  blocks_per_chunk: 2\n  \
                    eviction_policy: arc\n  store_threshold: 3\n  cpu_bytes: 1\n  secondary_tiers:\n    \
                    - {type: s3, n_read_threads: 0, direct_io: true, device_class: nvme_gen5}\n    \
                    - {type: fs, root_dir: /kv, direct_io: true, read_bandwidth: 5}\n";
        let found = problems(text);
        for (place, what) in [
            ("o.yaml:2:21: ", "kv_offload.cpu_bytes_to_use is 0; it must be a whole number of at least 1"),
            ("o.yaml:3:15: ", "kv_offload.block_size and blocks_per_chunk say the same"),
            ("o.yaml:3:15: ", "kv_offload.block_size is 24; blocks of the GPU have 16 tokens"),
            ("o.yaml:4:21: ", "kv_offload.blocks_per_chunk is 2: chunks of several blocks are not available"),
            ("o.yaml:5:20: ", "kv_offload.eviction_policy is arc, which is not available; lru is"),
            ("o.yaml:6:20: ", "kv_offload.store_threshold is 3"),
            ("o.yaml:7:14: ", "unknown key of kv_offload \"cpu_bytes\""),
            ("o.yaml:9:14: ", "unknown type of tier \"s3\""),
            ("o.yaml:9:7: ", "key \"root_dir\" is missing in kv_offload.secondary_tiers[0]"),
            ("o.yaml:9:34: ", "kv_offload.secondary_tiers[0].n_read_threads is 0"),
            ("o.yaml:9:68: ", "unknown KV-offload device \"nvme_gen5\""),
            ("o.yaml:10:7: ", "kv_offload.secondary_tiers[1] has no write_bandwidth, base_latency"),
        ] {
            let is_there = |text: &&String| text.starts_with(place) && text.contains(what);
            assert!(found.iter().any(|text| is_there(&text)), "no {place}{what} in {found:#?}");
        }
        assert_eq!(found.len(), 12, "{found:#?}");
        assert_eq!(problems("{}"), ["o.yaml: key \"kv_offload\" is missing"]);
        assert_eq!(problems(""), ["o.yaml: the file is empty"]);
        assert!(problems("kv_offload: [\n")[0].starts_with("o.yaml:"));
    }
}
