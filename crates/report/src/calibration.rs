//! The report of a calibration as a file.

use crate::json::{self, Object};
use blis_calibrate::{
    AdapterComparison, Bias, Calibration, Errors, GoodputComparison, GroupErrors, HitRate, Side,
};
use blis_metrics::{Latency, SloTargets};
use std::collections::BTreeMap;

/// What every report reminds its reader of, in the words that its readers know.
const LIMITATIONS: [&str; 4] = [
    "BLIS models discrete batch steps. Real servers use iteration-level continuous batching. This may cause \
     systematic TTFT prediction error under high load.",
    "Sim constructs synthetic prefix token IDs. Prefix cache hit rates may differ from real server, especially after \
     evictions.",
    "If the real server uses speculative decoding, actual token generation patterns differ from sim's sequential \
     model.",
    "Token mismatch detection uses ServerInputTokens (server-reported prompt_tokens) when available. Non-zero \
     token_mismatches on observe-generated prefix-cached traces typically reflect KV-block granularity rounding \
     (simulator accounts tokens in multiples of BlockSizeTokens; server reports raw count). Expected variance is at \
     most BlockSizeTokens tokens per request. This is expected behavior, not data corruption.",
];

/// A calibration as JSON without a final newline. Times are microseconds, errors fractions.
pub fn calibration_file(calibration: &Calibration) -> String {
    json::object(|o| {
        let buckets = &calibration.buckets;
        o.object("trace_info", |o| {
            o.field("num_requests", buckets.rows());
            o.field("warm_up_excluded", buckets.warm_up);
            o.field("matched_pairs", buckets.matched);
            o.field("token_mismatches", buckets.token_mismatches);
            if calibration.itl_dropped > 0 {
                o.field("itl_dropped", calibration.itl_dropped);
            }
            o.field("failed_requests", buckets.failed);
            o.field("unusable_requests", buckets.unusable);
            o.field("unmatched_real", buckets.unmatched);
            o.field("unmatched_sim", buckets.unmatched_sim);
        });
        o.object("metrics", |o| {
            for (metric, errors) in &calibration.metrics {
                o.object(metric.name(), |o| write_errors(o, errors));
            }
        });
        o.object("config_match", |_| ());
        o.texts("known_limitations", &LIMITATIONS);
        if let Some(goodput) = &calibration.goodput {
            o.object("goodput", |o| write_goodput(o, goodput));
        }
        if let Some(hit_rate) = &calibration.hit_rate {
            o.object("hit_rate", |o| write_hit_rate(o, hit_rate));
        }
        if let Some(errors) = calibration.metrics.get(&blis_calibrate::Metric::Ttft) {
            o.object("ttft_tolerance", |o| {
                o.field("mape", errors.mape);
                o.field("threshold", calibration.ttft_mape_threshold);
                o.field("within", errors.mape <= calibration.ttft_mape_threshold);
            });
        }
        write_groups(o, "by_slo_class", &calibration.by_slo_class);
        write_groups(o, "by_model", &calibration.by_model);
        let breakdown = &calibration.breakdown;
        o.object("e2e_error_us_by_cause", |o| {
            o.field("overhead", breakdown.overhead_us);
            o.field("prefill", breakdown.prefill_us);
            o.field("decode", breakdown.decode_us);
            o.field("waiting", breakdown.waiting_us);
        });
    })
}

fn write_errors(o: &mut Object<'_>, errors: &Errors) {
    o.object("workload_level", |o| {
        let figures = [
            ("mean", errors.mean),
            ("median", errors.p50),
            ("p50", errors.p50),
            ("p90", errors.p90),
            ("p95", errors.p95),
            ("p99", errors.p99),
        ];
        for (name, figure) in figures {
            o.field(&format!("real_{name}"), figure.real);
            o.field(&format!("sim_{name}"), figure.sim);
            o.field(&format!("{name}_error"), figure.error());
            o.field(&format!("{name}_percent_error"), figure.relative_error());
        }
    });
    o.object("request_level", |o| {
        o.field("mape", errors.mape);
        o.field("pearson_r", errors.pearson_r);
        o.field("bias_direction", errors.bias.map_or("", Bias::name));
        o.field("quality", errors.quality.name());
    });
    o.field("count", errors.count);
}

fn write_goodput(o: &mut Object<'_>, goodput: &GoodputComparison) {
    o.object("targets", |o| write_targets(o, &goodput.targets));
    o.object("per_class", |o| {
        for (name, class) in &goodput.classes {
            o.object(name, |o| {
                let sides = [("real", &class.real), ("sim", &class.sim)];
                o.field("count", class.count);
                for (side, figures) in sides {
                    o.field(&format!("{side}_slo_attainment"), figures.attainment);
                }
                for (side, figures) in sides {
                    o.field(&format!("{side}_goodput_rps"), figures.good_per_s);
                }
                for (side, figures) in sides {
                    o.object(&format!("{side}_attainment_by_dim"), |o| write_met(o, figures));
                }
            });
        }
    });
    if goodput.skipped_itl {
        o.field("skipped_itl", true);
    }
}

fn write_targets(o: &mut Object<'_>, targets: &SloTargets) {
    for (class, targets) in targets {
        o.object(class, |o| {
            for (key, latency) in
                [("TTFTMs", Latency::Ttft), ("ITLMs", Latency::Itl), ("E2EMs", Latency::E2e)]
            {
                o.field(key, targets.get(&latency).copied().unwrap_or_default());
            }
        });
    }
}

fn write_met(o: &mut Object<'_>, side: &Side) {
    for (latency, share) in &side.met {
        o.field(latency.name(), *share);
    }
}

fn write_hit_rate(o: &mut Object<'_>, hit_rate: &HitRate) {
    o.field("real_hit_rate", hit_rate.rate.real);
    o.field("sim_hit_rate", hit_rate.rate.sim);
    o.field("abs_error_pp", hit_rate.error_pp());
    o.field("tolerance_pp", hit_rate.tolerance_pp);
    o.field("within", hit_rate.is_within());
    o.field("source", &hit_rate.source);
}

fn write_groups(o: &mut Object<'_>, key: &str, groups: &BTreeMap<String, GroupErrors>) {
    if groups.is_empty() {
        return;
    }
    o.object(key, |o| {
        for (name, group) in groups {
            o.object(name, |o| {
                o.field("count", group.count);
                for (metric, mape) in &group.mape {
                    o.field(&format!("{}_mape", metric.name()), *mape);
                }
            });
        }
    });
}

/// A comparison with another model of LoRA serving as JSON without a final newline.
pub fn adapter_comparison_file(comparison: &AdapterComparison) -> String {
    json::object(|o| {
        o.field("model", &comparison.model);
        o.field("mape_threshold", comparison.mape_threshold);
        o.array("metrics", &comparison.metrics, |o, metric| {
            o.field("metric", metric.name);
            o.field("dt_value", metric.reference);
            o.field("blis_value", metric.sim);
            o.field("mape", metric.mape);
            o.field("within_threshold", metric.is_within);
            if let Some(mape) = metric.ratio_mape {
                o.field("delta_mape", mape);
            }
        });
        o.field("all_within_threshold", comparison.is_within());
    })
}
