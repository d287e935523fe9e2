//! The report of a calibration for people, in at most 80 columns.

use crate::table::{finished, new_table};
use blis_calibrate::{
    AdapterComparison, Breakdown, Buckets, Calibration, Cause, Figure, GoodputComparison, GroupErrors, Metric,
};
use std::collections::BTreeMap;
use std::fmt::{Result, Write};

/// Below this share of the measured latency an error is not worth a change.
const SMALL_ERROR: f64 = 0.02;

/// Steps that are off by more than this share explain a queue.
const SLOW_STEPS: f64 = 0.05;

/// How the simulator compares with the server, and what to change first; ends in a newline.
pub fn calibration_table(calibration: &Calibration) -> String {
    let mut out = String::new();
    write_all(&mut out, calibration).expect("a string takes everything");
    out
}

fn write_all(out: &mut String, calibration: &Calibration) -> Result {
    write_buckets(out, &calibration.buckets)?;
    writeln!(out, "\n{}", latencies(calibration))?;
    write_groups(out, "SLO class", &calibration.by_slo_class)?;
    write_groups(out, "model", &calibration.by_model)?;
    if let Some(goodput) = &calibration.goodput {
        write_goodput(out, goodput)?;
    }
    if let Some(hit_rate) = &calibration.hit_rate {
        let [real, sim] = [hit_rate.rate.real, hit_rate.rate.sim].map(|rate| rate * 100.0);
        let verdict = if hit_rate.is_within() { "within" } else { "beyond" };
        writeln!(
            out,
            "\nprefix-cache hits: measured {real:.1} %, simulated {sim:.1} %, {verdict} the {} points allowed",
            hit_rate.tolerance_pp
        )?;
    }
    write_advice(out, calibration)
}

fn write_buckets(out: &mut String, buckets: &Buckets) -> Result {
    writeln!(out, "{} of {} requests compared", buckets.matched, buckets.rows())?;
    for (count, what) in left_out(buckets) {
        if count > 0 {
            writeln!(out, "{count} {what}")?;
        }
    }
    Ok(())
}

/// Rows that were not simply compared, with their numbers.
pub(crate) fn left_out(buckets: &Buckets) -> [(u64, &'static str); 6] {
    [
        (buckets.warm_up, "left out: warm-up"),
        (buckets.failed, "left out: the server did not answer them"),
        (buckets.unusable, "left out: their times make no sense"),
        (buckets.unmatched, "left out: not in the results"),
        (buckets.unmatched_sim, "results that are not in the trace"),
        (buckets.token_mismatches, "compared although their lengths differ"),
    ]
}

/// An error with its sign, percent.
pub(crate) fn signed(figure: Figure) -> String {
    if figure.real > 0.0 {
        format!("{:+.1} %", figure.error() / figure.real * 100.0)
    } else {
        "–".to_owned()
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn ms(us: f64) -> String {
    format!("{:.2}", us / 1e3)
}

pub(crate) fn label(metric: Metric) -> &'static str {
    match metric {
        Metric::Ttft => "TTFT",
        Metric::Itl => "ITL",
        Metric::E2e => "E2E",
    }
}

/// Latencies on both sides, then the errors.
fn latencies(calibration: &Calibration) -> String {
    let mut values = new_table(&["latency (ms)", "mean: real", "sim", "p99: real", "sim"]);
    let mut errors_table = new_table(&["error", "mean", "p50", "p90", "p99", "MAPE", "r", "verdict"]);
    for (&metric, errors) in calibration.metrics.iter().rev() {
        let figures =
            [errors.mean, errors.p99].into_iter().flat_map(|figure| [ms(figure.real), ms(figure.sim)]);
        values.add_row(std::iter::once(label(metric).to_owned()).chain(figures));
        errors_table.add_row([
            label(metric).to_owned(),
            signed(errors.mean),
            signed(errors.p50),
            signed(errors.p90),
            signed(errors.p99),
            percent(errors.mape),
            format!("{:.3}", errors.pearson_r),
            errors.quality.name().to_owned(),
        ]);
    }
    format!("{}\n\n{}", finished(values), finished(errors_table))
}

fn write_groups(out: &mut String, kind: &str, groups: &BTreeMap<String, GroupErrors>) -> Result {
    if groups.len() < 2 {
        return Ok(());
    }
    let mut table = new_table(&[&format!("MAPE by {kind}"), "requests", "TTFT", "ITL", "E2E"]);
    for (name, group) in groups {
        let mape = |metric| group.mape.get(&metric).map_or_else(String::new, |mape| percent(*mape));
        let figures = [Metric::Ttft, Metric::Itl, Metric::E2e].map(mape);
        table.add_row([name.clone(), group.count.to_string()].into_iter().chain(figures));
    }
    writeln!(out, "\n{}", finished(table))
}

fn write_goodput(out: &mut String, goodput: &GoodputComparison) -> Result {
    let mut table = new_table(&["goodput", "requests", "real", "sim", "real good/s", "sim good/s"]);
    for (name, class) in &goodput.classes {
        table.add_row([
            name.clone(),
            class.count.to_string(),
            percent(class.real.attainment),
            percent(class.sim.attainment),
            format!("{:.2}", class.real.good_per_s),
            format!("{:.2}", class.sim.good_per_s),
        ]);
    }
    writeln!(out, "\n{}", finished(table))?;
    if goodput.skipped_itl {
        writeln!(out, "requests without measured times between tokens count as not good")?;
    }
    Ok(())
}

fn write_advice(out: &mut String, calibration: &Calibration) -> Result {
    let advice = all_advice(calibration);
    if advice.is_empty() {
        return writeln!(out, "\n{}", no_advice());
    }
    writeln!(out, "\nwhat to change first (simulated less measured, ms per request)")?;
    for (number, (share_us, text)) in (1..).zip(advice) {
        writeln!(out, "{number}. {:+.2}  {text}", share_us / 1e3)?;
    }
    Ok(())
}

pub(crate) fn no_advice() -> String {
    format!("no part of the simulator is off by more than {:.0} % of the measured E2E", SMALL_ERROR * 100.0)
}

/// What to change, the largest share of the error first, with that share: simulated less measured, µs per request.
pub(crate) fn all_advice(calibration: &Calibration) -> Vec<(f64, String)> {
    let breakdown = &calibration.breakdown;
    let relevant = breakdown.e2e_us.real * SMALL_ERROR;
    let causes = breakdown.ranked().into_iter().filter(|(_, share)| share.abs() > relevant);
    causes.map(|(cause, share)| (share, advice(cause, share, breakdown, calibration))).collect()
}

/// What a cause stands for, with the figures that say so.
fn advice(cause: Cause, share_us: f64, breakdown: &Breakdown, calibration: &Calibration) -> String {
    match cause {
        Cause::Decode => {
            let gap = breakdown.gap_us;
            format!(
                "decode coefficients: {} ms per token instead of {}, scale them by {:.3}",
                ms(gap.sim),
                ms(gap.real),
                if gap.sim > 0.0 { gap.real / gap.sim } else { 1.0 }
            )
        }
        Cause::Prefill => {
            format!("prefill coefficients: {:+.3} us per prompt token", breakdown.prefill_us_per_token)
        }
        Cause::Overhead => {
            let word = if share_us > 0.0 { "less" } else { "more" };
            format!(
                "overhead per request (first alpha coefficient, --rtt-ms): {} ms {word}",
                ms(share_us.abs())
            )
        }
        Cause::Waiting => {
            let word = if share_us > 0.0 { "more" } else { "less" };
            let hits = calibration.hit_rate.as_ref().map_or_else(String::new, |hits| {
                format!("; cache hits {} instead of {}", percent(hits.rate.sim), percent(hits.rate.real))
            });
            let gap = breakdown.gap_us;
            // Whoever takes longer for each step has a longer queue.
            let steps = if gap.relative_error() > SLOW_STEPS && (gap.error() > 0.0) == (share_us > 0.0) {
                format!("; correct the steps first, {} ms per token instead of {}", ms(gap.sim), ms(gap.real))
            } else {
                String::new()
            };
            format!("KV blocks and batch limits: requests wait {word} than at the server{hits}{steps}")
        }
    }
}

/// Our figures of LoRA serving against another model's; ends in a newline.
pub fn adapter_comparison_table(comparison: &AdapterComparison) -> String {
    let mut table = new_table(&[&comparison.model, "reference", "ours", "error", "error of the ratio"]);
    for metric in &comparison.metrics {
        table.add_row([
            metric.name.to_owned(),
            format!("{:.2}", metric.reference),
            format!("{:.2}", metric.sim),
            percent(metric.mape),
            metric.ratio_mape.map_or_else(String::new, percent),
        ]);
    }
    let verdict = if comparison.is_within() { "within" } else { "beyond" };
    format!("{}\n{verdict} the {} allowed\n", finished(table), percent(comparison.mape_threshold))
}
