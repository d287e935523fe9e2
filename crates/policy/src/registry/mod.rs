//! Every built-in policy by name: one table per axis. Adding a policy takes its own file and one line in `tables.rs`.

mod axis;
mod entry;
mod scorers;
mod tables;

pub use axis::{Axis, Listed};
pub use entry::{Configured, Entry, Make, Param, ParamError, Params, Range, Setup, Table};
pub use scorers::{DEFAULT_SCORERS, SCORING_ROUTER, ScorerListError, Scorers};
pub use tables::{
    MakeAdmission, MakeAutoscaler, MakeDecider, MakeDetector, MakeEncodeDecider, MakeFairness, MakeOrder,
    MakeRouter, MakeScorer, MakeUsageLimit, Registry,
};

use std::fmt;

/// A name that no policy of the axis has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct UnknownName {
    /// The axis.
    pub axis: &'static str,
    /// The name.
    pub name: String,
    /// The names that exist, sorted.
    pub valid: Vec<&'static str>,
}

impl UnknownName {
    /// The name that was probably meant: the nearest one, if not more than a third of it has to be changed.
    pub fn suggestion(&self) -> Option<&'static str> {
        let distance = |valid: &str| strsim::damerau_levenshtein(&self.name, valid);
        let nearest = self.valid.iter().copied().min_by_key(|valid| distance(valid))?;
        (distance(nearest) * 3 <= nearest.len()).then_some(nearest)
    }
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown {} \"{}\"", self.axis, self.name)?;
        if let Some(meant) = self.suggestion() {
            write!(f, "; did you mean \"{meant}\"?")?;
        }
        write!(f, " (valid: {})", self.valid.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_and_their_defaults_exist() {
        fn check<T: Copy>(table: &Table<T>) {
            assert!(table.names().is_sorted(), "{}", table.axis.name);
            assert!(table.axis.default.is_empty() || table.get("").is_ok(), "{}", table.axis.name);
            for param in table.entries().iter().flat_map(|entry| entry.params) {
                assert!(param.range.contains(param.default), "the default of {} is out of range", param.name);
            }
        }
        let registry = Registry::built_in();
        check(&registry.admission);
        check(&registry.routing);
        check(&registry.scorers);
        check(&registry.schedulers);
        check(&registry.preemption);
        check(&registry.saturation);
        check(&registry.dispatch_orders);
        check(&registry.fairness);
        check(&registry.usage_limits);
        check(&registry.deciders);
        check(&registry.encode_deciders);
        check(&registry.autoscalers);
    }

    #[test]
    fn an_unknown_name_lists_the_valid_ones_and_suggests_the_nearest() {
        let schedulers = Registry::built_in().schedulers;
        let error = schedulers.get("prioritiy-fcfs").unwrap_err();
        assert_eq!(error.suggestion(), Some("priority-fcfs"));
        assert_eq!(
            error.to_string(),
            "unknown scheduler \"prioritiy-fcfs\"; did you mean \"priority-fcfs\"? \
             (valid: fcfs, priority-fcfs, reverse-priority, sjf)"
        );
        assert_eq!(schedulers.get("magic").unwrap_err().suggestion(), None);
        assert!(schedulers.get("FCFS").is_err(), "names are case-sensitive");
    }

    #[test]
    #[should_panic(expected = "a scheduler called sjf already")]
    fn two_policies_cannot_share_a_name() {
        let mut registry = Registry::built_in();
        registry.schedulers.add(crate::scheduling::sjf::ENTRY);
    }

    #[test]
    fn a_parameter_that_a_policy_does_not_have_is_named() {
        let error =
            Registry::built_in().admission.get("reject-all").unwrap().with(&[("x", 1.0)]).unwrap_err();
        assert_eq!(error.to_string(), "reject-all has no parameter \"x\" (it has: )");
    }
}
