//! Two readings of the same mechanisms.

/// Which of the reference's numerical quirks a run reproduces.
///
/// One field per quirk that changes numbers in many recorded runs of the Go reference; every field is read at the
/// one place where the behaviour is decided. [`Semantics::CORRECTED`] is the default of the program,
/// [`Semantics::REFERENCE`] is `--compat inference-sim`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Semantics {
    /// Q1, B1: a step's effects (progress, completion, released blocks) show at its start, and an instance whose
    /// batch empties counts as idle from then on; so a deadline inside a request's final step never fires (Q2).
    /// Corrected: effects show when the step ends, and a deadline before that fires.
    pub step_effects_at_start: bool,
    /// Q3: a step in which a running request got no token is missing from its inter-token latencies and its
    /// end-to-end latency. Corrected: the next token's latency counts from the previous token.
    pub idle_steps_uncounted: bool,
    /// Q4: a prompt that is cached to its last token is admitted with no work and without holding its blocks.
    /// Corrected: at least the last token is computed.
    pub fully_cached_prompt_is_free: bool,
    /// Q5: blocks reloaded from a lower tier do not shorten the prefill that reloaded them. Corrected: they do.
    pub reload_without_credit: bool,
    /// Q8: recycling a block removes its hash from the index even when a newer block carries the same hash.
    /// Corrected: only the block that the index names is removed.
    pub stale_index_delete: bool,
    /// Q11: an instance whose requests all wait for blocks from below the GPU looks for news once per empty step.
    /// Corrected: it goes on when the blocks are there.
    pub waits_in_empty_steps: bool,
    /// Q14: a preempted request generates all its output again. Corrected: what it had generated becomes part of
    /// the prompt that it recomputes.
    pub regenerate_after_preemption: bool,
    /// L1: KV blocks are sized from the memory of all GPUs of a tensor-parallel group against the bytes that one
    /// of them holds. Corrected: per GPU on both sides.
    pub kv_blocks_from_whole_group: bool,
    /// L11: any one-byte weight type gets the FP8 rate, and the L40S its sparse figure. Corrected: FP8 weights
    /// only, dense figures.
    pub fp8_rate_for_any_byte: bool,
    /// B2: routing signals read zero until the first refresh interval has passed. Corrected: they are read on
    /// first use.
    pub signals_start_at_zero: bool,
    /// B18: load is queue depth + batch size + in-flight, which counts each request twice. Corrected: in-flight.
    pub load_counts_twice: bool,
    /// T8: later rounds of a session replayed in a closed loop are requests of their own: named as follow-ups, given
    /// up after the usual time, their prompts independent unless the trace counts increments. Corrected: each is the
    /// row that it replays.
    pub replayed_rounds_are_new: bool,
    /// B4: the gateway's `fifo` order serves the most important class first. Corrected: whoever came first.
    pub gateway_fifo_is_priority: bool,
    /// B5: the gateway's ceilings are spread over the classes that it has seen so far. Corrected: over all classes of
    /// the table, so that a class is treated the same whatever came before.
    pub gateway_bands_as_seen: bool,
    /// B16: a request that is to be evicted while it enters its instance is never evicted. Corrected: it may be the next
    /// time.
    pub entering_victims_escape: bool,
    /// B6: the GPU of a pool changes its label, its memory and its cost, but not how fast it is. Corrected: step
    /// times are those of the pool's GPU.
    pub pool_hardware_is_a_label: bool,
    /// B7: a decode instance generates one token less than the answer has, although its first token is the answer's
    /// first. Corrected: it computes the prompt's last token, which gives the first token, and then the others.
    pub decode_part_saves_a_step: bool,
    /// B8: split requests that were dropped or timed out have latencies and count for goodput; drops at the decode
    /// instance print as zero. Corrected: only completed requests have, and drops are printed.
    pub failed_splits_have_latencies: bool,
    /// B11: a transfer moves every block of the prompt. Corrected: only what the decode instance does not hold.
    pub transfers_move_whole_prompts: bool,
    /// B12: a transfer keeps the bandwidth that was left for it when it started. Corrected: all transfers share the
    /// bandwidth at every moment.
    pub transfer_rate_is_fixed: bool,
    /// A request is dropped when its decode instance has no room at the moment that its prompt is done. Corrected: the
    /// transfer waits for room, as vLLM's does.
    pub full_decode_instance_drops: bool,
    /// B17: all pools without scorers of their own ask one router, whose memory they mix up. Corrected: each has its
    /// own.
    pub pools_share_one_router: bool,
    /// B3: the autoscaler takes the last replica too, drains by name as text, lets idle instances drain for ever, and
    /// stops when nothing is in flight. Corrected: one replica stays, the oldest drains first, idle instances
    /// end at once, and it goes on until every request has ended.
    pub autoscaler_lets_everything_go: bool,
}

impl Semantics {
    /// The corrected reading.
    pub const CORRECTED: Self = Self {
        step_effects_at_start: false,
        idle_steps_uncounted: false,
        fully_cached_prompt_is_free: false,
        reload_without_credit: false,
        stale_index_delete: false,
        waits_in_empty_steps: false,
        regenerate_after_preemption: false,
        kv_blocks_from_whole_group: false,
        fp8_rate_for_any_byte: false,
        signals_start_at_zero: false,
        load_counts_twice: false,
        replayed_rounds_are_new: false,
        gateway_fifo_is_priority: false,
        gateway_bands_as_seen: false,
        entering_victims_escape: false,
        pool_hardware_is_a_label: false,
        decode_part_saves_a_step: false,
        failed_splits_have_latencies: false,
        transfers_move_whole_prompts: false,
        transfer_rate_is_fixed: false,
        full_decode_instance_drops: false,
        pools_share_one_router: false,
        autoscaler_lets_everything_go: false,
    };

    /// The Go reference's reading (inference-sim, commit f90a1e3a).
    pub const REFERENCE: Self = Self {
        step_effects_at_start: true,
        idle_steps_uncounted: true,
        fully_cached_prompt_is_free: true,
        reload_without_credit: true,
        stale_index_delete: true,
        waits_in_empty_steps: true,
        regenerate_after_preemption: true,
        kv_blocks_from_whole_group: true,
        fp8_rate_for_any_byte: true,
        signals_start_at_zero: true,
        load_counts_twice: true,
        replayed_rounds_are_new: true,
        gateway_fifo_is_priority: true,
        gateway_bands_as_seen: true,
        entering_victims_escape: true,
        pool_hardware_is_a_label: true,
        decode_part_saves_a_step: true,
        failed_splits_have_latencies: true,
        transfers_move_whole_prompts: true,
        transfer_rate_is_fixed: true,
        full_decode_instance_drops: true,
        pools_share_one_router: true,
        autoscaler_lets_everything_go: true,
    };
}

impl Default for Semantics {
    fn default() -> Self {
        Self::CORRECTED
    }
}
