//! What LoRA adapters did, and how the requests that named them were served.

use crate::aggregate::{Aggregate, InstanceFigures};
use crate::column::DurationColumn;
use crate::record::{Labels, RequestEnding, RequestRecord};
use blis_kernel::stats::percentile_ms;
use std::collections::BTreeMap;

/// What an instance counted of an adapter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AdapterCounts {
    /// Times it was loaded.
    pub loads: u64,
    /// Times it gave way to another adapter.
    pub evictions: u64,
    /// Admissions that found it resident without having to ask for it.
    pub hits: u64,
}

/// An adapter at an instance, or at all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AdapterAggregate {
    /// What the instances counted.
    pub counts: AdapterCounts,
    /// Median time to first token of its completed requests, µs.
    pub ttft_p50_us: f64,
    /// 99th percentile of the same.
    pub ttft_p99_us: f64,
    /// Output tokens of its completed requests per second.
    pub tokens_per_s: f64,
}

/// Requests of one adapter.
#[derive(Clone, Debug, Default)]
struct Tally {
    ttft: DurationColumn,
    output_tokens: u64,
}

/// Takes in the requests that name adapters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Adapters {
    names: Vec<String>,
    /// By set of labels: the number of its adapter's name.
    by_labels: Vec<Option<u32>>,
    /// By instance and adapter.
    tallies: BTreeMap<(usize, u32), Tally>,
}

impl Adapters {
    pub(crate) fn add_labels(&mut self, labels: &Labels) {
        let number = (!labels.adapter.is_empty()).then(|| {
            let known = self.names.iter().position(|name| *name == labels.adapter);
            known.unwrap_or_else(|| {
                self.names.push(labels.adapter.clone());
                self.names.len() - 1
            }) as u32
        });
        self.by_labels.push(number);
    }

    #[inline]
    pub(crate) fn add(&mut self, request: &RequestRecord) {
        if let Some(adapter) = self.by_labels[request.labels as usize]
            && request.ending == RequestEnding::Completed
            && let Some(instance) = request.instance
        {
            let tally = self.tallies.entry((instance.index(), adapter)).or_default();
            tally.output_tokens += u64::from(request.output_tokens);
            if let Some(ttft) = request.ttft {
                tally.ttft.push(ttft);
            }
        }
    }

    /// Writes what is known of each adapter into the aggregates of the instances and of all together.
    pub(crate) fn fill(
        mut self,
        figures: &[InstanceFigures],
        instances: &mut [Aggregate],
        cluster: &mut Aggregate,
    ) {
        let mut all: BTreeMap<u32, Tally> = BTreeMap::new();
        for ((instance, adapter), tally) in &mut self.tallies {
            let sum = all.entry(*adapter).or_default();
            sum.ttft.append(&tally.ttft);
            sum.output_tokens += tally.output_tokens;
            let aggregate = &mut instances[*instance];
            let figures = tally.aggregate(aggregate.duration_s);
            aggregate.adapters.insert(self.names[*adapter as usize].clone(), figures);
        }
        for (adapter, tally) in &mut all {
            let figures = tally.aggregate(cluster.duration_s);
            cluster.adapters.insert(self.names[*adapter as usize].clone(), figures);
        }
        for (figures, instance) in figures.iter().zip(instances) {
            let counted = figures.adapters.iter().filter(|(_, counts)| **counts != AdapterCounts::default());
            for (name, counts) in counted {
                instance.adapters.entry(name.clone()).or_default().counts = *counts;
                let sum = &mut cluster.adapters.entry(name.clone()).or_default().counts;
                sum.loads += counts.loads;
                sum.evictions += counts.evictions;
                sum.hits += counts.hits;
            }
        }
    }
}

impl Tally {
    fn aggregate(&mut self, duration_s: f64) -> AdapterAggregate {
        self.ttft.sort();
        let us = |p: f64| percentile_ms(&self.ttft, p) * 1e3;
        AdapterAggregate {
            counts: AdapterCounts::default(),
            ttft_p50_us: us(50.0),
            ttft_p99_us: us(99.0),
            tokens_per_s: if duration_s > 0.0 { self.output_tokens as f64 / duration_s } else { 0.0 },
        }
    }
}
