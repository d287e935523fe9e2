//! The tables.

use super::Axis;
use super::entry::{Make, Table};
use crate::admission::{self, Admission};
use crate::autoscaling::{self, Autoscaler};
use crate::disaggregation::{self, Decider};
use crate::encode::{self, EncodeDecider};
use crate::flow_control::{DispatchOrder, Fairness, UsageLimit, dispatch_order, fairness, usage_limit};
use crate::preemption::{self, PreemptionKind};
use crate::routing::{self, Router, Scorer, scorers};
use crate::saturation::{self, SaturationDetector};
use crate::scheduling::{self, SchedulerKind};

/// Makes an admission policy.
pub type MakeAdmission = Make<dyn Admission>;
/// Makes a router.
pub type MakeRouter = Make<dyn Router>;
/// Makes a scorer.
pub type MakeScorer = Make<dyn Scorer>;
/// Makes a saturation detector.
pub type MakeDetector = Make<dyn SaturationDetector>;
/// Makes a dispatch order.
pub type MakeOrder = Make<dyn DispatchOrder>;
/// Makes a fairness policy.
pub type MakeFairness = Make<dyn Fairness>;
/// Makes a usage limit.
pub type MakeUsageLimit = Make<dyn UsageLimit>;

/// Makes an autoscaler.
pub type MakeAutoscaler = Make<dyn Autoscaler>;
/// Makes a decider of disaggregation.
pub type MakeDecider = Make<dyn Decider>;
/// Makes a decider of encoding.
pub type MakeEncodeDecider = Make<dyn EncodeDecider>;

/// All policies that there are. A program with policies of its own adds them to [`Registry::built_in`].
#[derive(Clone, Debug)]
pub struct Registry {
    /// Whether a request is let in.
    pub admission: Table<MakeAdmission>,
    /// Which instance gets it.
    pub routing: Table<MakeRouter>,
    /// Criteria of the weighted router.
    pub scorers: Table<MakeScorer>,
    /// Orders of an instance's wait queue.
    pub schedulers: Table<SchedulerKind>,
    /// Who gives way when KV blocks run out.
    pub preemption: Table<PreemptionKind>,
    /// How full the instances are, for the gateway queue.
    pub saturation: Table<MakeDetector>,
    /// Order of the gateway queue.
    pub dispatch_orders: Table<MakeOrder>,
    /// Whose turn it is in the gateway queue.
    pub fairness: Table<MakeFairness>,
    /// Up to which saturation the gateway queue serves each class.
    pub usage_limits: Table<MakeUsageLimit>,
    /// Which requests are split between a prefill and a decode instance.
    pub deciders: Table<MakeDecider>,
    /// Which requests go through an encode instance.
    pub encode_deciders: Table<MakeEncodeDecider>,
    /// How many instances there should be.
    pub autoscalers: Table<MakeAutoscaler>,
}

impl Default for Registry {
    fn default() -> Self {
        Self::built_in()
    }
}

impl Registry {
    /// What every program has.
    pub fn built_in() -> Self {
        Self {
            admission: Table::new(
                Axis {
                    name: "admission policy",
                    flag: "admission-policy",
                    key: Some("admission.policy"),
                    needs: "",
                    summary: "Whether a request is let in.",
                    default: "always-admit",
                },
                &[
                    admission::always_admit::ENTRY,
                    admission::gaie_legacy::ENTRY,
                    admission::probabilistic_admitter::ENTRY,
                    admission::reject_all::ENTRY,
                    admission::tier_shed::ENTRY,
                    admission::token_bucket::ENTRY,
                ],
            ),
            routing: Table::new(
                Axis {
                    name: "routing policy",
                    flag: "routing-policy",
                    key: Some("routing.policy"),
                    needs: "",
                    summary: "Which instance serves a request.",
                    default: "round-robin",
                },
                &[
                    routing::always_busiest::ENTRY,
                    routing::least_loaded::ENTRY,
                    routing::round_robin::ENTRY,
                    routing::weighted::ENTRY,
                ],
            ),
            scorers: Table::new(
                Axis {
                    name: "scorer",
                    flag: "routing-scorers",
                    key: Some("routing.scorers"),
                    needs: "--routing-policy weighted",
                    summary: "What a router that scores prefers, each criterion with a weight.",
                    default: "",
                },
                &[
                    scorers::active_requests::ENTRY,
                    scorers::cached_share::ENTRY,
                    scorers::kv_utilization::ENTRY,
                    scorers::load_aware::ENTRY,
                    scorers::load_balance::ENTRY,
                    scorers::lora_affinity::ENTRY,
                    scorers::no_hit_lru::ENTRY,
                    scorers::precise_prefix_cache::ENTRY,
                    scorers::prefix_affinity::ENTRY,
                    scorers::queue_depth::ENTRY,
                    scorers::running_requests::ENTRY,
                    scorers::vllm_dp::ENTRY,
                ],
            ),
            schedulers: Table::new(
                Axis {
                    name: "scheduler",
                    flag: "scheduler",
                    key: Some("scheduler"),
                    needs: "",
                    summary: "Order of an instance's wait queue.",
                    default: "fcfs",
                },
                &[
                    scheduling::fcfs::ENTRY,
                    scheduling::priority_fcfs::ENTRY,
                    scheduling::reverse_priority::ENTRY,
                    scheduling::sjf::ENTRY,
                ],
            ),
            preemption: Table::new(
                Axis {
                    name: "preemption policy",
                    flag: "preemption-policy",
                    key: Some("preemption.policy"),
                    needs: "",
                    summary: "Who gives way when an instance runs out of KV blocks.",
                    default: "fcfs",
                },
                &[preemption::fcfs::ENTRY, preemption::priority::ENTRY],
            ),
            saturation: Table::new(
                Axis {
                    name: "saturation detector",
                    flag: "saturation-detector",
                    key: Some("flow_control.saturation_detector"),
                    needs: "--flow-control",
                    summary: "How full the instances are, for the gateway queue.",
                    default: "never",
                },
                &[
                    saturation::batch_relative_min::ENTRY,
                    saturation::concurrency::ENTRY,
                    saturation::never::ENTRY,
                    saturation::utilization::ENTRY,
                ],
            ),
            dispatch_orders: Table::new(
                Axis {
                    name: "dispatch order",
                    flag: "dispatch-order",
                    key: Some("flow_control.dispatch_order"),
                    needs: "--flow-control",
                    summary: "Who leaves the gateway queue first.",
                    default: "fifo",
                },
                &[
                    dispatch_order::fifo::ENTRY,
                    dispatch_order::priority::ENTRY,
                    dispatch_order::slo_deadline::ENTRY,
                ],
            ),
            fairness: Table::new(
                Axis {
                    name: "fairness policy",
                    flag: "fairness-policy",
                    key: Some("flow_control.fairness_policy"),
                    needs: "--flow-control",
                    summary: "Which tenant's turn it is in the gateway queue.",
                    default: "global-strict",
                },
                &[fairness::global_strict::ENTRY, fairness::round_robin::ENTRY],
            ),
            usage_limits: Table::new(
                Axis {
                    name: "usage limit policy",
                    flag: "usage-limit-policy",
                    key: Some("usage_limit.policy"),
                    needs: "--flow-control",
                    summary: "Up to which saturation the gateway queue serves each class.",
                    default: "static-usage-limit",
                },
                &[
                    usage_limit::priority_holdback::ENTRY,
                    usage_limit::soft_reflective_ceiling::ENTRY,
                    usage_limit::static_usage_limit::ENTRY,
                ],
            ),
            deciders: Table::new(
                Axis {
                    name: "P/D decider",
                    flag: "pd-decider",
                    key: None,
                    needs: "--prefill-instances 1 --decode-instances 1",
                    summary: "Which requests are split between a prefill and a decode instance.",
                    default: "never",
                },
                &[
                    disaggregation::always::ENTRY,
                    disaggregation::bernoulli::ENTRY,
                    disaggregation::direct_to_decode::ENTRY,
                    disaggregation::dpp::ENTRY,
                    disaggregation::edpp_v1::ENTRY,
                    disaggregation::edpp_v2::ENTRY,
                    disaggregation::never::ENTRY,
                    disaggregation::prefix_threshold::ENTRY,
                ],
            ),
            encode_deciders: Table::new(
                Axis {
                    name: "encode decider",
                    flag: "encode-decider",
                    key: None,
                    needs: "--encode-instances 1",
                    summary: "Which requests go through an encode instance.",
                    default: "never",
                },
                &[encode::always::ENTRY, encode::multimodal::ENTRY, encode::never::ENTRY],
            ),
            autoscalers: Table::new(
                Axis {
                    name: "autoscaler",
                    flag: "autoscaler",
                    key: Some("autoscaler.policy"),
                    needs: "--model-autoscaler-interval-us 15000000",
                    summary: "How many instances there should be.",
                    default: "saturation-v2",
                },
                &[
                    autoscaling::hpa::ENTRY,
                    autoscaling::saturation_v2::ENTRY,
                    autoscaling::saturation_v2_greedy::ENTRY,
                ],
            ),
        }
    }
}
