//! Every type of plugin of any release, and where it can stand.

/// What a plugin is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Scorer,
    Filter,
    Picker,
    /// Runs one profile.
    SingleProfile,
    /// Runs several.
    Profiles,
    /// Decides about disaggregation, for a profile handler.
    Decider,
    Detector,
    Fairness,
    Ordering,
    UsageLimit,
    Admitter,
    /// Finds out what is cached, for scorers.
    PrefixProducer,
    /// Changes what a run does without being referred to.
    Acting,
    /// Transport, tokenizers, metrics: nothing that a simulation has.
    NoEffect,
}

use Role::{
    Acting, Admitter, Decider, Detector, Fairness, Filter, NoEffect, Ordering, Picker, PrefixProducer,
    Profiles, Scorer, SingleProfile, UsageLimit,
};

const TYPES: &[(Role, &[&str])] = &[
    (
        Scorer,
        &[
            "queue-scorer",
            "running-requests-size-scorer",
            "kv-cache-utilization-scorer",
            "load-aware-scorer",
            "active-request-scorer",
            "token-load-scorer",
            "prefix-cache-scorer",
            "precise-prefix-cache-scorer",
            "no-hit-lru-scorer",
            "lora-affinity-scorer",
            "context-length-aware",
            "session-affinity-scorer",
            "header-label-affinity-scorer",
            "endpoint-attribute-scorer",
            "topology-affinity-scorer",
            "mm-embeddings-cache-scorer",
            "latency-scorer",
            "predicted-latency-scorer",
            "multicluster-queue-scorer",
            "multicluster-kv-cache-utilization-scorer",
            "multicluster-prefix-cache-scorer",
        ],
    ),
    (
        Filter,
        &[
            "decode-filter",
            "prefill-filter",
            "encode-filter",
            "label-selector-filter",
            "by-label-selector",
            "by-label",
            "utilization-filter",
            "prefix-cache-affinity-filter",
            "slo-headroom-tier-filter",
            "session-affinity-filter",
            "endpoint-attribute-filter",
            "topology-affinity-filter",
            "multicluster-session-affinity-filter",
            "header-based-testing-filter",
        ],
    ),
    (Picker, &["max-score-picker", "random-picker", "weighted-random-picker"]),
    (SingleProfile, &["single-profile-handler"]),
    (
        Profiles,
        &[
            "disagg-profile-handler",
            "pd-profile-handler",
            "data-parallel-profile-handler",
            "header-profile-handler",
        ],
    ),
    (Decider, &["prefix-based-pd-decider", "always-disagg-pd-decider", "always-disagg-multimodal-decider"]),
    (Detector, &["utilization-detector", "concurrency-detector"]),
    (Fairness, &["global-strict-fairness-policy", "round-robin-fairness-policy", "program-aware-fairness"]),
    (Ordering, &["fcfs-ordering-policy", "edf-ordering-policy", "slo-deadline-ordering-policy"]),
    (
        UsageLimit,
        &["static-usage-limit-policy", "priority-holdback-policy", "soft-reflective-ceiling-policy"],
    ),
    (Admitter, &["latency-slo-admitter", "probabilistic-admitter"]),
    (PrefixProducer, &["approx-prefix-cache-producer", "precise-prefix-cache-producer"]),
    (Acting, &["burst-prefix-cache-producer", "p2p-source-producer", "disaggregatedset-rollout-screener"]),
    (
        NoEffect,
        &[
            "inflight-load-producer",
            "token-producer",
            "tokenizer",
            "predicted-latency-producer",
            "session-id-producer",
            "mm-embeddings-cache-producer",
            "agent-identity",
            "request-attribute-reporter",
            "disagg-headers-handler",
            "prefill-header-handler",
            "openai-parser",
            "anthropic-parser",
            "vllmhttp-parser",
            "vllmgrpc-parser",
            "passthrough-parser",
            "vertexai-parser",
            "sglanghttp-parser",
            "metrics-data-source",
            "core-metrics-extractor",
            "model-server-protocol-metrics",
            "models-data-source",
            "models-data-extractor",
            "endpoint-notification-source",
            "k8s-notification-source",
            "topology-extractor",
            "file-discovery",
            "sheddable-eviction-filter",
            "priority-then-time-eviction-order-policy",
            "eviction-sheddable-filter",
            "eviction-priority-then-time-ordering",
        ],
    ),
];

/// Names of parameters that are read, in the spelling that they are read by; files may write them in any case.
pub(super) const PARAMETERS: &[&str] = &[
    "threshold",
    "idleThreshold",
    "maxBusyScore",
    "inFlightLoadProducerName",
    "requestTimeout",
    "prefixMatchInfoProducerName",
    "matchLengthWeight",
    "matchLengthScaleTokens",
    "lruSize",
    "prefixPluginType",
    "prefixPluginName",
    "autoTune",
    "blockSizeTokens",
    "blockSize",
    "hashBlockSize",
    "maxPrefixTokensToMatch",
    "maxPrefixBlocksToMatch",
    "lruCapacityPerServer",
    "tokenProcessorConfig",
    "indexerConfig",
    "kvEventsConfig",
    "speculativeIndexing",
    "speculativeTTL",
    "maxNumOfEndpoints",
    "queueDepthThreshold",
    "kvCacheUtilThreshold",
    "metricsStalenessThreshold",
    "headroom",
    "maxConcurrency",
    "maxTokenConcurrency",
    "concurrencyMode",
    "minCeiling",
    "maxCeiling",
    "domain",
    "shape",
    "power",
    "k",
    "nonCachedTokens",
    "promptTokens",
    "interval",
];

/// What a type of plugin is for, if there is such a type.
pub(super) fn role(name: &str) -> Option<Role> {
    TYPES.iter().find(|(_, names)| names.contains(&name)).map(|(role, _)| *role)
}

/// All types.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    TYPES.iter().flat_map(|(_, names)| names.iter().copied())
}
