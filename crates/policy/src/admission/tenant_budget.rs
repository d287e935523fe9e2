//! Tenants beyond their share of the fleet lose their sheddable requests, before any other policy is asked.
//!
//! A tenant with budget b is over it iff its requests in flight > b * capacity, capacity = instances * largest batch.
//! Over budget and rank < 0: refused. Requests without a tenant, and tenants without a budget, are never over it.

use super::{Admission, AdmissionView, Decision};
use crate::Reads;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The wrapper around an admission policy.
pub struct TenantBudget {
    inner: Box<dyn Admission>,
    /// Most requests in flight, by tenant.
    limits: BTreeMap<String, f64>,
    refused: bool,
}

impl TenantBudget {
    /// Budgets are shares of `capacity` requests, from 0 to 1.
    pub fn new(inner: Box<dyn Admission>, budgets: &BTreeMap<String, f64>, capacity: u64) -> Self {
        let limits = budgets.iter().map(|(tenant, budget)| (tenant.clone(), budget * capacity as f64));
        Self { inner, limits: limits.collect(), refused: false }
    }
}

impl Admission for TenantBudget {
    fn admit(&mut self, view: &AdmissionView<'_>) -> Decision {
        let over = |limit: &f64| f64::from(view.tenant_in_flight) > *limit;
        self.refused =
            view.slo_rank < 0 && !view.tenant.is_empty() && self.limits.get(view.tenant).is_some_and(over);
        if self.refused { Decision::Reject } else { self.inner.admit(view) }
    }

    fn reads(&self) -> Reads {
        self.inner.reads().union(Reads::IN_FLIGHT)
    }

    fn reason(&self) -> Cow<'static, str> {
        if self.refused { Cow::Borrowed("tenant-budget-shed") } else { self.inner.reason() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::{AlwaysAdmit, RejectAll, view};
    use proptest::prelude::*;

    fn budget(inner: Box<dyn Admission>) -> TenantBudget {
        TenantBudget::new(inner, &BTreeMap::from([("a".to_owned(), 0.5), ("z".to_owned(), 0.0)]), 10)
    }

    fn of(tenant: &str, slo_rank: i32, tenant_in_flight: u32) -> AdmissionView<'_> {
        AdmissionView { slo_rank, tenant, tenant_in_flight, ..view(0, 10) }
    }

    #[test]
    fn half_of_ten_is_five_and_the_sixth_request_goes_over() {
        let mut policy = budget(Box::new(AlwaysAdmit));
        assert_eq!(policy.admit(&of("a", -1, 5)), Decision::Admit);
        assert_eq!(policy.admit(&of("a", -1, 6)), Decision::Reject);
        assert_eq!(policy.reason(), "tenant-budget-shed");
        assert_eq!(policy.admit(&of("a", 0, 6)), Decision::Admit, "only sheddable requests");
        assert_eq!(policy.admit(&of("b", -1, 600)), Decision::Admit, "no budget");
        assert_eq!(policy.admit(&of("z", -1, 0)), Decision::Admit, "a budget of nothing is one at a time");
    }

    #[test]
    fn within_budget_the_policy_decides() {
        let mut policy = budget(Box::new(RejectAll));
        assert_eq!(policy.admit(&of("a", -1, 0)), Decision::Reject);
        assert_eq!(policy.reason(), "reject-all");
    }

    proptest! {
        /// Law: a tenant that sends nothing but sheddable requests never has more in flight than its share and one.
        #[test]
        fn a_tenant_stays_within_its_share(
            budget in 0.0f64..=1.0, capacity in 0u64..500, ends in prop::collection::vec(any::<bool>(), 0..1_000),
        ) {
            let budgets = BTreeMap::from([("a".to_owned(), budget)]);
            let mut policy = TenantBudget::new(Box::new(AlwaysAdmit), &budgets, capacity);
            let mut in_flight = 0;
            for end in ends {
                let share_is_left = f64::from(in_flight) <= budget * capacity as f64;
                let decision = policy.admit(&of("a", -1, in_flight));
                prop_assert_eq!(decision == Decision::Admit, share_is_left);
                in_flight += u32::from(share_is_left);
                prop_assert!(f64::from(in_flight) <= budget * capacity as f64 + 1.0);
                in_flight -= u32::from(end && in_flight > 0);
            }
        }
    }
}
