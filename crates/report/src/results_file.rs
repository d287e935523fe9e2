//! `--results-path` of a replay: what calibration pairs with measured requests.

use crate::json;
use blis_kernel::{RequestName, Tick};
use blis_metrics::Outcome;

/// Every request with a first and a last token, by the number of its trace row, as JSON without a final newline.
/// Requests that are no row of the trace have no number and are left out.
pub fn results_file(outcome: &Outcome) -> String {
    let Some(all) = &outcome.requests else { return "[]".into() };
    let mut rows: Vec<_> =
        all.records.iter().filter_map(|r| Some((row_number(&r.name)?, r.ttft?, r.e2e?, r))).collect();
    rows.sort_by_key(|&(number, ..)| number);
    json::array(rows, |o, (number, ttft, e2e, request)| {
        let labels = &all.labels[request.labels as usize];
        o.field("request_id", number);
        o.field("ttft_us", Tick::as_us(ttft));
        o.field("e2e_us", Tick::as_us(e2e));
        o.field("input_tokens", request.input_tokens);
        o.field("output_tokens", request.output_tokens);
        o.text_unless_empty("slo_class", &labels.slo_class);
        o.text_unless_empty("model", &labels.model);
        if request.itl_mean_us != 0.0 {
            o.field("itl_mean_us", request.itl_mean_us);
        }
    })
}

fn row_number(name: &RequestName) -> Option<u64> {
    match name {
        RequestName::Indexed(n) => Some(*n),
        RequestName::Text(text) => text.strip_prefix("request_")?.parse().ok(),
        RequestName::FollowUp(_) => None,
    }
}
