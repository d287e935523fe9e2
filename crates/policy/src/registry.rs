//! Every built-in policy by name: one table per axis, and the scorer list of the weighted router.

use crate::admission::{Admission, AlwaysAdmit, RejectAll, TokenBucket, token_bucket};
use crate::preemption::PreemptionKind;
use crate::routing::scorers::{
    ActiveRequests, KvUtilization, LoadAware, LoadBalance, NoHitLru, PrecisePrefixCache, PrefixAffinity,
    QueueDepth, RunningRequests, VllmDp,
};
use crate::routing::{AlwaysBusiest, LeastLoaded, LoadRule, RoundRobin, Router, Scorer, Weighted};
use crate::scheduling::SchedulerKind;
use blis_kernel::rng::GoRand;
use std::fmt;

/// A policy and what is said about it.
#[derive(Clone, Copy, Debug)]
pub struct Entry<T> {
    /// Its name, exact and case-sensitive.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// How it is made.
    pub make: T,
}

/// The policies of one axis, sorted by name.
#[derive(Debug)]
pub struct Table<T: 'static> {
    /// What the axis is called in messages.
    pub axis: &'static str,
    /// The name that an empty one stands for.
    pub default: &'static str,
    /// The policies.
    pub entries: &'static [Entry<T>],
}

impl<T: Copy> Table<T> {
    /// The policy of that name; the empty name is the default's.
    ///
    /// # Errors
    /// No such name.
    pub fn get(&self, name: &str) -> Result<&Entry<T>, UnknownName> {
        let wanted = if name.is_empty() { self.default } else { name };
        self.entries.iter().find(|entry| entry.name == wanted).ok_or_else(|| UnknownName {
            axis: self.axis,
            name: name.to_owned(),
            valid: self.names().collect(),
        })
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.entries.iter().map(|entry| entry.name)
    }
}

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

/// Parameters of every admission policy; each reads its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdmissionParams {
    /// Most prompt tokens in the bucket.
    pub token_bucket_capacity: f64,
    /// Prompt tokens added per second.
    pub token_bucket_refill_rate: f64,
}

impl Default for AdmissionParams {
    fn default() -> Self {
        Self {
            token_bucket_capacity: token_bucket::DEFAULT_CAPACITY_TOKENS,
            token_bucket_refill_rate: token_bucket::DEFAULT_REFILL_TOKENS_PER_S,
        }
    }
}

/// Makes an admission policy, or says which of its parameters is out of range.
pub type MakeAdmission = fn(&AdmissionParams) -> Result<Box<dyn Admission>, token_bucket::TokenBucketError>;

/// Admission policies.
pub const ADMISSION: Table<MakeAdmission> = Table {
    axis: "admission policy",
    default: "always-admit",
    entries: &[
        Entry { name: "always-admit", summary: "everybody is let in", make: |_| Ok(Box::new(AlwaysAdmit)) },
        Entry {
            name: "reject-all",
            summary: "nobody is let in (for tests)",
            make: |_| Ok(Box::new(RejectAll)),
        },
        Entry {
            name: "token-bucket",
            summary: "a bucket of prompt tokens that refills with time",
            make: |p| Ok(Box::new(TokenBucket::new(p.token_bucket_capacity, p.token_bucket_refill_rate)?)),
        },
    ],
};

/// Parameters of every routing policy; each reads its own.
#[derive(Debug)]
pub struct RoutingParams<'a> {
    /// What counts as load.
    pub load: LoadRule,
    /// Scorers with their weights, in order; what [`parse_scorers`] returns.
    pub scorers: &'a [(String, f64)],
    /// The random stream that breaks ties.
    pub ties: GoRand,
}

/// Makes a routing policy, or says what is wrong with its scorers.
pub type MakeRouter = fn(RoutingParams<'_>) -> Result<Box<dyn Router>, ScorerListError>;

/// Routing policies.
pub const ROUTING: Table<MakeRouter> = Table {
    axis: "routing policy",
    default: "round-robin",
    entries: &[
        Entry {
            name: "always-busiest",
            summary: "the instance with the largest load (for tests)",
            make: |p| Ok(Box::new(AlwaysBusiest::new(p.load))),
        },
        Entry {
            name: "least-loaded",
            summary: "the instance with the smallest load",
            make: |p| Ok(Box::new(LeastLoaded::new(p.load, p.ties))),
        },
        Entry { name: "round-robin", summary: "in turn", make: |_| Ok(Box::new(RoundRobin::default())) },
        Entry {
            name: "weighted",
            summary: "the instance with the largest weighted sum of scores",
            make: |p| Ok(Box::new(weighted(p.scorers, p.ties)?)),
        },
    ],
};

/// Criteria of the weighted router.
pub const SCORERS: Table<fn() -> Box<dyn Scorer>> = Table {
    axis: "scorer",
    default: "",
    entries: &[
        Entry {
            name: "active-requests",
            summary: "few requests in flight",
            make: || Box::new(ActiveRequests),
        },
        Entry {
            name: "kv-utilization",
            summary: "small share of KV blocks in use",
            make: || Box::new(KvUtilization),
        },
        Entry {
            name: "load-aware",
            summary: "short queue, by absolute length; at most 0.5",
            make: || Box::new(LoadAware),
        },
        Entry { name: "load-balance", summary: "small load: 1 / (1 + load)", make: || Box::new(LoadBalance) },
        Entry {
            name: "no-hit-lru",
            summary: "spreads prompts that nobody has cached",
            make: || Box::<NoHitLru>::default(),
        },
        Entry {
            name: "precise-prefix-cache",
            summary: "leading prompt blocks in the instance's KV cache",
            make: || Box::<PrecisePrefixCache>::default(),
        },
        Entry {
            name: "prefix-affinity",
            summary: "leading prompt blocks routed there before",
            make: || Box::<PrefixAffinity>::default(),
        },
        Entry {
            name: "queue-depth",
            summary: "short queue, relative to the others",
            make: || Box::new(QueueDepth),
        },
        Entry {
            name: "running-requests",
            summary: "small batch, relative to the others",
            make: || Box::new(RunningRequests),
        },
        Entry {
            name: "vllm-dp",
            summary: "4 * waiting + running, relative to the others",
            make: || Box::<VllmDp>::default(),
        },
    ],
};

/// A scorer that only exists where LoRA adapters do.
const ADAPTER_SCORER: &str = "lora-affinity";

/// The profile that an empty scorer list stands for.
pub const DEFAULT_SCORERS: &str = "precise-prefix-cache:2,queue-depth:1,kv-utilization:1";

/// Orders of the wait queue.
pub const SCHEDULERS: Table<SchedulerKind> = Table {
    axis: "scheduler",
    default: "fcfs",
    entries: &[
        Entry { name: "fcfs", summary: "first come, first served", make: SchedulerKind::Fcfs },
        Entry {
            name: "priority-fcfs",
            summary: "most urgent SLO class first, then first come",
            make: SchedulerKind::PriorityFcfs,
        },
        Entry {
            name: "reverse-priority",
            summary: "least urgent SLO class first (for tests)",
            make: SchedulerKind::ReversePriority,
        },
        Entry { name: "sjf", summary: "shortest prompt first", make: SchedulerKind::Sjf },
    ],
};

/// Who gives way when KV blocks run out.
pub const PREEMPTIONS: Table<PreemptionKind> = Table {
    axis: "preemption policy",
    default: "fcfs",
    entries: &[
        Entry { name: "fcfs", summary: "the last request of the batch", make: PreemptionKind::Fcfs },
        Entry {
            name: "priority",
            summary: "the least urgent request, the latest of them",
            make: PreemptionKind::Priority,
        },
    ],
};

/// What can be wrong with a list of scorers.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ScorerListError {
    /// An item that is not a name, a colon and a weight.
    #[error("scorer \"{item}\" has no weight; write name:weight, as in queue-depth:1")]
    NoWeight {
        /// The item as written.
        item: String,
    },
    /// No such scorer.
    #[error(transparent)]
    Unknown(#[from] UnknownName),
    /// A scorer for adapters, without adapters.
    #[error("scorer \"{name}\" comes with LoRA adapters, and this run has none", name = ADAPTER_SCORER)]
    NeedsAdapters,
    /// The same scorer twice.
    #[error("scorer \"{name}\" is listed twice")]
    Duplicate {
        /// The scorer.
        name: String,
    },
    /// A weight that is not a finite number above zero.
    #[error("weight of scorer \"{name}\" is \"{weight}\"; it must be a finite number above 0")]
    Weight {
        /// The scorer.
        name: String,
        /// The weight as written.
        weight: String,
    },
}

/// Reads `name:weight,…` and checks it; the empty text is [`DEFAULT_SCORERS`].
///
/// # Errors
/// The first item that [`ScorerListError`] describes.
pub fn parse_scorers(text: &str) -> Result<Vec<(String, f64)>, ScorerListError> {
    let text = if text.trim().is_empty() { DEFAULT_SCORERS } else { text };
    let mut scorers = Vec::new();
    for item in text.split(',').map(str::trim) {
        let no_weight = || ScorerListError::NoWeight { item: item.to_owned() };
        let (name, weight) = item.split_once(':').ok_or_else(no_weight)?;
        let (name, weight) = (name.trim(), weight.trim());
        let value = weight
            .parse()
            .map_err(|_| ScorerListError::Weight { name: name.into(), weight: weight.into() })?;
        scorers.push((name.to_owned(), value));
        check_scorers(&scorers)?;
    }
    Ok(scorers)
}

/// Checks a list of scorers with their weights, wherever it came from.
///
/// # Errors
/// The first item that [`ScorerListError`] describes.
pub fn check_scorers(scorers: &[(String, f64)]) -> Result<(), ScorerListError> {
    for (i, (name, weight)) in scorers.iter().enumerate() {
        if name == ADAPTER_SCORER {
            return Err(ScorerListError::NeedsAdapters);
        }
        SCORERS.get(name)?;
        if scorers[..i].iter().any(|(earlier, _)| earlier == name) {
            return Err(ScorerListError::Duplicate { name: name.clone() });
        }
        if !(weight.is_finite() && *weight > 0.0) {
            return Err(ScorerListError::Weight { name: name.clone(), weight: weight.to_string() });
        }
    }
    Ok(())
}

/// The weighted router with these scorers, in this order; none stands for [`DEFAULT_SCORERS`].
///
/// # Errors
/// What [`check_scorers`] finds.
pub fn weighted(scorers: &[(String, f64)], ties: GoRand) -> Result<Weighted, ScorerListError> {
    if scorers.is_empty() {
        return weighted(&parse_scorers("")?, ties);
    }
    check_scorers(scorers)?;
    let made = scorers.iter().map(|(name, weight)| Ok(((SCORERS.get(name)?.make)(), *weight)));
    Ok(Weighted::new(made.collect::<Result<_, UnknownName>>()?, ties))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(names: impl Iterator<Item = &'static str>) -> bool {
        names.is_sorted()
    }

    #[test]
    fn tables_are_sorted_and_their_defaults_exist() {
        assert!(sorted(ADMISSION.names()) && ADMISSION.get("").is_ok());
        assert!(sorted(ROUTING.names()) && ROUTING.get("").is_ok());
        assert!(sorted(SCHEDULERS.names()) && SCHEDULERS.get("").is_ok());
        assert!(sorted(PREEMPTIONS.names()) && PREEMPTIONS.get("").is_ok());
        assert!(sorted(SCORERS.names()));
    }

    #[test]
    fn an_unknown_name_lists_the_valid_ones_and_suggests_the_nearest() {
        let error = SCHEDULERS.get("prioritiy-fcfs").unwrap_err();
        assert_eq!(error.suggestion(), Some("priority-fcfs"));
        assert_eq!(
            error.to_string(),
            "unknown scheduler \"prioritiy-fcfs\"; did you mean \"priority-fcfs\"? \
             (valid: fcfs, priority-fcfs, reverse-priority, sjf)"
        );
        assert_eq!(SCHEDULERS.get("magic").unwrap_err().suggestion(), None);
        assert!(SCHEDULERS.get("FCFS").is_err(), "names are case-sensitive");
    }

    #[test]
    fn a_scorer_list_is_read_in_order() {
        let got = parse_scorers(" queue-depth:2 , kv-utilization : 0.5").unwrap();
        assert_eq!(got, [("queue-depth".to_owned(), 2.0), ("kv-utilization".to_owned(), 0.5)]);
        assert_eq!(parse_scorers("").unwrap().len(), 3);
    }

    #[test]
    fn each_fault_of_a_scorer_list_is_named() {
        let fault = |text: &str| parse_scorers(text).unwrap_err();
        assert!(matches!(fault("queue-depth"), ScorerListError::NoWeight { .. }));
        assert!(matches!(fault("queue-depth:1,"), ScorerListError::NoWeight { .. }));
        assert!(matches!(fault("queue-dpth:1"), ScorerListError::Unknown(_)));
        assert!(matches!(fault("lora-affinity:1"), ScorerListError::NeedsAdapters));
        assert!(matches!(fault("queue-depth:1,queue-depth:2"), ScorerListError::Duplicate { .. }));
        for weight in ["x", "0", "-1", "inf", "nan", "1:2", ""] {
            assert!(
                matches!(fault(&format!("queue-depth:{weight}")), ScorerListError::Weight { .. }),
                "{weight}"
            );
        }
    }

    #[test]
    fn parameters_reach_the_token_bucket() {
        let params = AdmissionParams { token_bucket_capacity: -1.0, ..AdmissionParams::default() };
        let error = (ADMISSION.get("token-bucket").unwrap().make)(&params).err().unwrap();
        assert_eq!(error.to_string(), "token-bucket: capacity is -1; it must be a finite number above 0");
    }
}
