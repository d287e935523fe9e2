//! What the chains of KV tiers did, all instances together.

use blis_kernel::Tick;

/// Sums over the chains of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffloadFigures {
    /// Blocks copied from GPUs to CPU memory.
    pub stored_blocks: u64,
    /// Blocks not copied because CPU memory was full of blocks in transfer.
    pub skipped_blocks: u64,
    /// Blocks that went back from CPU memory to a GPU.
    pub reloaded_blocks: u64,
    /// Blocks evicted from CPU memory.
    pub cpu_evictions: u64,
    /// Transfers from a device to CPU memory.
    pub promotions: u64,
    /// The same that found no room.
    pub refused_promotions: u64,
    /// Times that a request was put off until its blocks were there.
    pub deferrals: u64,
    /// Of these, those that went on without their blocks.
    pub given_up: u64,
    /// How long they waited, in total.
    pub waited: Tick,
    /// Blocks read from and written to each device, nearest first.
    pub devices: Vec<(u64, u64)>,
}

impl OffloadFigures {
    /// Adds those of another chain of the same shape.
    pub fn add(&mut self, other: &Self) {
        self.stored_blocks += other.stored_blocks;
        self.skipped_blocks += other.skipped_blocks;
        self.reloaded_blocks += other.reloaded_blocks;
        self.cpu_evictions += other.cpu_evictions;
        self.promotions += other.promotions;
        self.refused_promotions += other.refused_promotions;
        self.deferrals += other.deferrals;
        self.given_up += other.given_up;
        self.waited += other.waited;
        self.devices.resize(self.devices.len().max(other.devices.len()), (0, 0));
        for (sum, &(read, written)) in self.devices.iter_mut().zip(&other.devices) {
            *sum = (sum.0 + read, sum.1 + written);
        }
    }

    /// Mean wait of a request that was put off, ms; 0 when none was.
    pub fn mean_wait_ms(&self) -> f64 {
        if self.deferrals == 0 { 0.0 } else { self.waited.as_ms() / self.deferrals as f64 }
    }
}
