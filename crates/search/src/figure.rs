//! What a run shows as a row of numbers: every figure with its name, its unit in the name, and which way is better.

use blis_config::Diagnostic;
use blis_config::diagnostic::unknown_name;
use blis_metrics::{Distribution, Outcome};

/// Which way a figure is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// More is better.
    Max,
    /// Less is better.
    Min,
}

impl Direction {
    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Max => "max",
            Self::Min => "min",
        }
    }

    /// The value with its sign such that less is better.
    pub fn cost(self, value: f64) -> f64 {
        match self {
            Self::Max => -value,
            Self::Min => value,
        }
    }
}

/// What there is to know beside the outcome of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Hardware {
    /// GPUs of all instances at the start.
    pub gpus: u32,
    /// What they cost per hour, if that is known.
    pub cost_per_hour: Option<f64>,
}

/// A figure.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// Its name; ends in its unit where it has one.
    pub name: &'static str,
    /// Which way is better.
    pub direction: Direction,
    /// What it says.
    pub meaning: &'static str,
    /// Its value; `None` where the run does not show it.
    of: fn(&Outcome, Hardware) -> Option<f64>,
}

/// Sixty seconds of sixty minutes.
const S_PER_HOUR: f64 = 3_600.0;
const TOKENS_PER_M: f64 = 1e6;

macro_rules! latencies {
    ($($field:ident $latency:literal $meaning:literal),*) => {
        [$(
            latencies!(@ $field $latency $meaning "_mean_ms" "mean" mean),
            latencies!(@ $field $latency $meaning "_p50_ms" "median" p50),
            latencies!(@ $field $latency $meaning "_p90_ms" "90th percentile" p90),
            latencies!(@ $field $latency $meaning "_p95_ms" "95th percentile" p95),
            latencies!(@ $field $latency $meaning "_p99_ms" "99th percentile" p99)
        ),*]
    };
    (@ $field:ident $latency:literal $meaning:literal $suffix:literal $statistic:literal $of:ident) => {
        Figure {
            name: concat!($latency, $suffix),
            direction: Direction::Min,
            meaning: concat!($meaning, ", ", $statistic),
            of: |outcome, _| shown(&outcome.cluster.$field, |all| all.$of),
        }
    };
}

fn shown(distribution: &Distribution, of: fn(&Distribution) -> f64) -> Option<f64> {
    (distribution.count > 0).then(|| of(distribution))
}

const LATENCIES: [Figure; 20] = latencies!(
    ttft_ms "ttft" "time to first token",
    itl_ms "itl" "time between two tokens",
    e2e_ms "e2e" "end-to-end latency",
    scheduling_delay_ms "scheduling_delay" "from arrival into a batch"
);

const OTHERS: [Figure; 17] = [
    figure("completed", Direction::Max, "requests that got their answer", |o, _| {
        Some(o.cluster.completed as f64)
    }),
    figure("unanswered", Direction::Min, "requests that got none", |o, _| {
        Some((o.conservation.injected - o.conservation.completed) as f64)
    }),
    figure("duration_s", Direction::Min, "simulated time", |o, _| Some(o.cluster.duration_s)),
    figure("requests_per_s", Direction::Max, "answers per second", |o, _| Some(o.cluster.responses_per_s)),
    figure("output_tokens_per_s", Direction::Max, "generated tokens per second", |o, _| {
        Some(o.cluster.tokens_per_s)
    }),
    figure(
        "output_tokens_per_s_per_gpu",
        Direction::Max,
        "generated tokens per second and GPU",
        |o, hardware| Some(o.cluster.tokens_per_s / mean_gpus(o, hardware)?),
    ),
    figure(
        "output_tokens_per_s_per_user",
        Direction::Max,
        "of one answer: 1 / mean time between two tokens",
        |o, _| {
            let between_ms = shown(&o.cluster.itl_ms, |itl| itl.mean)?;
            (between_ms > 0.0).then(|| 1e3 / between_ms)
        },
    ),
    figure("goodput_per_s", Direction::Max, "answers within their SLO targets per second", |o, _| {
        o.goodput.as_ref().map(|goodput| goodput.good_per_s)
    }),
    figure("slo_attainment", Direction::Max, "share of requests within their SLO targets", |o, _| {
        o.goodput.as_ref().map(|goodput| goodput.attainment)
    }),
    figure("preemption_rate", Direction::Min, "preemptions per answer", |o, _| Some(o.kv.preemption_rate)),
    figure("cache_hit_rate", Direction::Max, "share of KV blocks found in the cache", |o, _| {
        Some(o.kv.cache_hit_rate)
    }),
    figure("peak_kv_utilization", Direction::Min, "most KV blocks in use, as a share of them", |o, _| {
        Some(o.cluster.peak_kv_utilization)
    }),
    figure("tenant_fairness", Direction::Max, "Jain's index of the tenants' tokens", |o, _| {
        o.tenants.as_ref().map(|tenants| tenants.jain_index)
    }),
    figure("gpus", Direction::Min, "GPUs of all instances; of a fleet that changes, on average", mean_gpus),
    figure("gpu_hours", Direction::Min, "GPUs times simulated time", |o, hardware| {
        Some(gpu_hours(o, hardware))
    }),
    figure("cost", Direction::Min, "what the GPU hours cost", cost),
    figure(
        "cost_per_m_output_tokens",
        Direction::Min,
        "what a million generated tokens cost",
        |o, hardware| {
            let tokens = o.cluster.output_tokens as f64;
            (tokens > 0.0).then_some(cost(o, hardware)? / tokens * TOKENS_PER_M)
        },
    ),
];

const fn figure(
    name: &'static str,
    direction: Direction,
    meaning: &'static str,
    of: fn(&Outcome, Hardware) -> Option<f64>,
) -> Figure {
    Figure { name, direction, meaning, of }
}

fn gpu_hours(outcome: &Outcome, hardware: Hardware) -> f64 {
    let hours = outcome.cluster.duration_s / S_PER_HOUR;
    outcome.fleet.as_ref().map_or(f64::from(hardware.gpus) * hours, |fleet| fleet.gpu_hours)
}

fn mean_gpus(outcome: &Outcome, hardware: Hardware) -> Option<f64> {
    match &outcome.fleet {
        None => Some(f64::from(hardware.gpus)),
        Some(fleet) => {
            let hours = outcome.cluster.duration_s / S_PER_HOUR;
            (hours > 0.0).then(|| fleet.gpu_hours / hours)
        }
    }
}

fn cost(outcome: &Outcome, hardware: Hardware) -> Option<f64> {
    match (&outcome.fleet, hardware.cost_per_hour) {
        (Some(fleet), _) if fleet.cost > 0.0 => Some(fleet.cost),
        (_, Some(per_hour)) => {
            Some(per_hour / f64::from(hardware.gpus.max(1)) * gpu_hours(outcome, hardware))
        }
        _ => None,
    }
}

/// All figures, in the order in which they are listed.
pub fn all() -> impl Iterator<Item = &'static Figure> {
    OTHERS.iter().chain(&LATENCIES)
}

/// The figure of this name.
///
/// # Errors
/// There is none; says which there are.
pub fn find(what: &str, name: &str) -> Result<&'static Figure, Diagnostic> {
    all().find(|figure| figure.name == name).ok_or_else(|| unknown_name(what, name, all().map(|f| f.name)))
}

impl Figure {
    /// Its value in a run; `None` where the run does not show it.
    pub fn measure(&self, outcome: &Outcome, hardware: Hardware) -> Option<f64> {
        (self.of)(outcome, hardware).filter(|value| value.is_finite())
    }
}

/// Every figure of a run, in the order of [`all`].
pub fn measure_all(outcome: &Outcome, hardware: Hardware) -> Vec<Option<f64>> {
    all().map(|figure| figure.measure(outcome, hardware)).collect()
}
