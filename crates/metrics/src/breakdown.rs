//! Figures per SLO class, per model and per tenant.

use crate::column::DurationColumn;
use crate::distribution::Distribution;
use crate::record::{Labels, RequestEnding, RequestRecord};
use std::collections::BTreeMap;

/// Latencies of one SLO class.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClassFigures {
    /// Time to first token, microseconds.
    pub ttft_us: Distribution,
    /// Mean time between the tokens of a request, over completed requests, microseconds.
    pub itl_mean_us: Distribution,
    /// End-to-end latency, microseconds.
    pub e2e_us: Distribution,
}

/// Figures of the requests that name one model.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ModelFigures {
    /// Time to first token, microseconds.
    pub ttft_us: Distribution,
    /// End-to-end latency, microseconds.
    pub e2e_us: Distribution,
    /// Completed requests per second of the whole run.
    pub responses_per_s: f64,
    /// Planned output tokens of completed requests per second of the whole run.
    pub tokens_per_s: f64,
}

/// What one tenant got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TenantFigures {
    /// Completed requests.
    pub completed: u64,
    /// Their planned output tokens.
    pub output_tokens: u64,
}

/// What every tenant got.
#[derive(Clone, Debug, PartialEq)]
pub struct Tenants {
    /// By name; only tenants with a completed request.
    pub by_name: BTreeMap<String, TenantFigures>,
    /// Jain's fairness index of the output tokens: (sum x)^2 / (n * sum x^2), 1 when all are zero.
    pub jain_index: f64,
}

/// What class, model and tenant are called when a request names none.
pub(crate) const UNNAMED_CLASS: &str = "default";

/// Texts with a number each, in order of first appearance.
#[derive(Clone, Debug, Default)]
struct Names(Vec<String>);

impl Names {
    fn number(&mut self, name: &str) -> u32 {
        let at = self.0.iter().position(|known| known == name).unwrap_or_else(|| {
            self.0.push(name.to_owned());
            self.0.len() - 1
        });
        at as u32
    }
}

/// Numbers of one set of labels.
#[derive(Clone, Copy, Debug)]
struct LabelNumbers {
    class: u32,
    tenant: Option<u32>,
    model: Option<u32>,
}

#[derive(Clone, Debug, Default)]
struct Group {
    ttft: DurationColumn,
    e2e: DurationColumn,
    itl_means_us: Vec<f64>,
    completed: u64,
    output_tokens: u64,
}

/// Collects requests by class, model and tenant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Breakdown {
    /// Keep figures by class even when all requests are in the unnamed one.
    keep_classes: bool,
    labels: Vec<LabelNumbers>,
    classes: Names,
    by_class: Vec<Group>,
    tenants: Names,
    by_tenant: Vec<TenantFigures>,
    models: Names,
    by_model: Vec<Group>,
}

impl Breakdown {
    /// By class at least where classes differ, and always with `keep_classes`.
    pub(crate) fn new(keep_classes: bool) -> Self {
        Self { keep_classes, ..Self::default() }
    }

    pub(crate) fn add_labels(&mut self, labels: &Labels) {
        let class = if labels.slo_class.is_empty() { UNNAMED_CLASS } else { &labels.slo_class };
        let numbers = LabelNumbers {
            class: self.classes.number(class),
            tenant: (!labels.tenant.is_empty()).then(|| self.tenants.number(&labels.tenant)),
            model: (!labels.model.is_empty()).then(|| self.models.number(&labels.model)),
        };
        self.labels.push(numbers);
        self.by_class.resize_with(self.classes.0.len(), Group::default);
        self.by_tenant.resize_with(self.tenants.0.len(), TenantFigures::default);
        self.by_model.resize_with(self.models.0.len(), Group::default);
    }

    pub(crate) fn labels_len(&self) -> usize {
        self.labels.len()
    }

    /// The number of a request's SLO class.
    pub(crate) fn class_of(&self, request: &RequestRecord) -> u32 {
        self.labels[request.labels as usize].class
    }

    /// Adds a registered request.
    pub(crate) fn add(&mut self, request: &RequestRecord) {
        let numbers = self.labels[request.labels as usize];
        let completed = request.ending == RequestEnding::Completed;
        // A class that all requests share says no more than the whole does.
        let says_more = self.classes.0.len() > 1 || self.classes.0[0] != UNNAMED_CLASS;
        let class = (self.keep_classes || says_more).then(|| &mut self.by_class[numbers.class as usize]);
        let model = numbers.model.map(|model| &mut self.by_model[model as usize]);
        for group in [class, model].into_iter().flatten() {
            request.ttft.into_iter().for_each(|ttft| group.ttft.push(ttft));
            request.e2e.into_iter().for_each(|e2e| group.e2e.push(e2e));
            if completed {
                group.itl_means_us.push(request.itl_mean_us);
                group.completed += 1;
                group.output_tokens += u64::from(request.output_tokens);
            }
        }
        if let Some(tenant) = numbers.tenant.filter(|_| completed) {
            let tenant = &mut self.by_tenant[tenant as usize];
            tenant.completed += 1;
            tenant.output_tokens += u64::from(request.output_tokens);
        }
    }

    /// Classes of which any figure exists.
    pub(crate) fn class_figures(&mut self) -> BTreeMap<String, ClassFigures> {
        let groups = self.classes.0.iter().zip(&mut self.by_class);
        groups
            .map(|(name, group)| {
                group.itl_means_us.sort_unstable_by(f64::total_cmp);
                let figures = ClassFigures {
                    ttft_us: sorted_us(&mut group.ttft),
                    itl_mean_us: Distribution::of(&group.itl_means_us[..]),
                    e2e_us: sorted_us(&mut group.e2e),
                };
                (name.clone(), figures)
            })
            .filter(|(_, figures)| {
                figures.ttft_us.count + figures.itl_mean_us.count + figures.e2e_us.count > 0
            })
            .collect()
    }

    /// Models of which any figure exists, in a run of `duration_s` seconds.
    pub(crate) fn model_figures(&mut self, duration_s: f64) -> BTreeMap<String, ModelFigures> {
        let per_s = |amount: u64| if duration_s > 0.0 { amount as f64 / duration_s } else { 0.0 };
        let groups = self.models.0.iter().zip(&mut self.by_model);
        groups
            .map(|(name, group)| {
                let figures = ModelFigures {
                    ttft_us: sorted_us(&mut group.ttft),
                    e2e_us: sorted_us(&mut group.e2e),
                    responses_per_s: per_s(group.completed),
                    tokens_per_s: per_s(group.output_tokens),
                };
                (name.clone(), figures)
            })
            .filter(|(_, figures)| figures.ttft_us.count + figures.e2e_us.count > 0)
            .collect()
    }

    /// Tenants, if any has a completed request.
    pub(crate) fn tenant_figures(&self) -> Option<Tenants> {
        let named = self.tenants.0.iter().cloned().zip(self.by_tenant.iter().copied());
        let by_name: BTreeMap<_, _> = named.filter(|(_, figures)| figures.completed > 0).collect();
        let tokens: Vec<f64> = by_name.values().map(|figures| figures.output_tokens as f64).collect();
        (!by_name.is_empty()).then(|| Tenants { jain_index: jain_index(&tokens), by_name })
    }
}

fn sorted_us(column: &mut DurationColumn) -> Distribution {
    column.sort();
    Distribution::of(column)
}

/// Jain's fairness index.
fn jain_index(shares: &[f64]) -> f64 {
    let sum = shares.iter().fold(0.0, |sum, x| sum + x);
    let squares = shares.iter().fold(0.0, |sum, x| sum + x * x);
    if squares == 0.0 { 1.0 } else { sum * sum / (shares.len() as f64 * squares) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fairness_of_100_50_0_is_six_tenths() {
        assert_eq!(jain_index(&[100.0, 50.0, 0.0]), 0.6);
        assert_eq!(jain_index(&[0.0, 0.0]), 1.0);
        assert_eq!(jain_index(&[7.0]), 1.0);
    }
}
