//! What GPUs cost.

use super::Findings;
use blis_config::Diagnostic;
use std::collections::BTreeMap;

/// Reads `GPU=PRICE,…`, per GPU and hour.
pub(crate) fn prices(text: Option<&str>, findings: &mut Findings) -> BTreeMap<String, f64> {
    let mut prices = BTreeMap::new();
    for item in text.unwrap_or_default().split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let pair = item
            .split_once('=')
            .and_then(|(gpu, price)| Some((gpu.trim(), price.trim().parse::<f64>().ok()?)));
        match pair {
            Some((gpu, price)) if price.is_finite() && price >= 0.0 => {
                prices.insert(gpu.to_owned(), price);
            }
            _ => findings
                .add(Diagnostic::new(format!("--price: \"{item}\" must be GPU=PRICE, such as H100=3.5"))),
        }
    }
    prices
}
