//! What only the whole run has, beside its aggregate figures: latencies behind the clients' links, goodput, saturation.

use crate::json::Object;
use blis_metrics::{ClassGoodput, ClientSide, Distribution, Goodput, Outcome, Saturation};
use std::collections::BTreeMap;

/// The members by which the run was judged.
pub(crate) fn write_judgement(o: &mut Object<'_>, outcome: &Outcome) {
    if let Some(client_side) = &outcome.client_side {
        write_client_side(o, client_side);
    }
    if let Some(goodput) = &outcome.goodput {
        write_goodput(o, goodput);
    }
    if let Some(saturation) = &outcome.saturation {
        o.object("saturation", |o| write_labels(o, saturation));
    }
}

fn write_client_side(o: &mut Object<'_>, client_side: &ClientSide) {
    for (name, latency) in [("client_e2e", &client_side.e2e_ms), ("client_ttft", &client_side.ttft_ms)] {
        let Distribution { mean, p90, p95, p99, .. } = *latency;
        for (figure, value) in [("mean", mean), ("p90", p90), ("p95", p95), ("p99", p99)] {
            o.field(&format!("{name}_{figure}_ms"), value);
        }
    }
}

fn write_goodput(o: &mut Object<'_>, goodput: &Goodput) {
    o.field("goodput_rps", goodput.good_per_s);
    o.field("slo_attainment", goodput.attainment);
    o.object("per_class", |o| {
        for (class, figures) in &goodput.classes {
            o.object(class, |o| write_class_goodput(o, figures));
        }
    });
}

fn write_class_goodput(o: &mut Object<'_>, class: &ClassGoodput) {
    let unless_zero = |o: &mut Object<'_>, key, value| {
        if value > 0.0 {
            o.field(key, value);
        }
    };
    o.field("count", class.injected);
    unless_zero(o, "e2e_p99_ms", class.e2e_p99_ms);
    o.field("goodput_rps", class.good_per_s);
    unless_zero(o, "itl_mean_ms", class.itl_mean_ms);
    o.field("slo_attainment", class.attainment);
    o.object("slo_attainment_by_dim", |o| {
        class.met.iter().for_each(|(latency, met)| o.field(latency.name(), *met));
    });
    unless_zero(o, "ttft_p99_ms", class.ttft_p99_ms);
}

/// The label by each detector, sorted by name.
pub(crate) fn write_labels(o: &mut Object<'_>, saturation: &Saturation) {
    let by_name: BTreeMap<_, _> =
        saturation.labels.iter().map(|(kind, level)| (kind.name(), level.name())).collect();
    for (name, level) in by_name {
        o.field(name, level);
    }
}
