//! One serving instance: wait queue, batch formation, KV cache, steps.
