//! LoRA adapters in reports.

use crate::json::Object;
use blis_metrics::AdapterAggregate;
use std::collections::BTreeMap;

/// The member of an aggregate that tells of each adapter; nothing without adapters.
pub(crate) fn write_members(o: &mut Object<'_>, adapters: &BTreeMap<String, AdapterAggregate>) {
    if adapters.is_empty() {
        return;
    }
    o.object("adapters", |o| {
        for (name, adapter) in adapters {
            o.object(name, |o| {
                o.field("load_count", adapter.counts.loads);
                o.field("eviction_count", adapter.counts.evictions);
                o.field("hit_count", adapter.counts.hits);
                o.field("ttft_p50_us", adapter.ttft_p50_us);
                o.field("ttft_p99_us", adapter.ttft_p99_us);
                o.field("throughput_tok_per_s", adapter.tokens_per_s);
            });
        }
    });
}
