//! The chain of KV tiers in reports.

use crate::json::Object;
use blis_metrics::OffloadFigures;
use std::fmt::{Result, Write};

/// The members of its object.
pub(crate) fn write_members(o: &mut Object<'_>, figures: &OffloadFigures) {
    o.field("stored_blocks", figures.stored_blocks);
    o.field("skipped_blocks", figures.skipped_blocks);
    o.field("reloaded_blocks", figures.reloaded_blocks);
    o.field("cpu_evictions", figures.cpu_evictions);
    o.field("promotions", figures.promotions);
    o.field("refused_promotions", figures.refused_promotions);
    o.field("deferrals", figures.deferrals);
    o.field("deferrals_given_up", figures.given_up);
    o.field("deferral_mean_ms", figures.mean_wait_ms());
    o.array("devices", &figures.devices, |o, (read, written)| {
        o.field("blocks_read", *read);
        o.field("blocks_written", *written);
    });
}

/// Its block on standard output.
pub(crate) fn write_block(out: &mut String, figures: &OffloadFigures) -> Result {
    writeln!(out, "=== KV Offload ===")?;
    writeln!(out, "Blocks Stored: {} (skipped: {})", figures.stored_blocks, figures.skipped_blocks)?;
    writeln!(out, "Blocks Reloaded: {}", figures.reloaded_blocks)?;
    writeln!(out, "CPU Evictions: {}", figures.cpu_evictions)?;
    for (n, (read, written)) in figures.devices.iter().enumerate() {
        writeln!(out, "Device {n}: blocks read={read}, written={written}")?;
    }
    if !figures.devices.is_empty() {
        writeln!(out, "Promotions: {} (refused: {})", figures.promotions, figures.refused_promotions)?;
        let (deferrals, given_up, wait_ms) = (figures.deferrals, figures.given_up, figures.mean_wait_ms());
        writeln!(out, "Deferrals: {deferrals} (given up: {given_up}), mean wait {wait_ms:.3} ms")?;
    }
    Ok(())
}
