//! What the chain did.

use blis_kernel::Tick;

/// Counters of an offload chain; those of several instances can be added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffloadFigures {
    /// Blocks copied from the GPU to CPU memory.
    pub stored_blocks: u64,
    /// Blocks that were not copied because CPU memory was full of blocks in transfer.
    pub skipped_blocks: u64,
    /// Blocks that went back from CPU memory to the GPU.
    pub reloaded_blocks: u64,
    /// Blocks evicted from CPU memory.
    pub cpu_evictions: u64,
    /// Blocks in CPU memory in the end.
    pub cpu_blocks: u64,
    /// Transfers from a device to CPU memory.
    pub promotions: u64,
    /// The same that found no room.
    pub refused_promotions: u64,
    /// Requests put off until their blocks were there; one that is preempted may count again.
    pub deferrals: u64,
    /// Of these, those that went on without their blocks.
    pub given_up: u64,
    /// How long they waited, in total.
    pub waited: Tick,
    /// Allocations refused with nothing to reload.
    pub misses: u64,
    /// By device, nearest first.
    pub devices: Vec<DeviceFigures>,
}

/// Counters of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceFigures {
    /// Blocks read, those on their way included.
    pub blocks_read: u64,
    /// Blocks written, those on their way included.
    pub blocks_written: u64,
}

impl OffloadFigures {
    /// Nothing yet, on so many devices.
    pub fn new(devices: usize) -> Self {
        Self { devices: vec![DeviceFigures::default(); devices], ..Self::default() }
    }

    /// Adds those of another chain with as many devices.
    pub fn add(&mut self, other: &Self) {
        self.stored_blocks += other.stored_blocks;
        self.skipped_blocks += other.skipped_blocks;
        self.reloaded_blocks += other.reloaded_blocks;
        self.cpu_evictions += other.cpu_evictions;
        self.cpu_blocks += other.cpu_blocks;
        self.promotions += other.promotions;
        self.refused_promotions += other.refused_promotions;
        self.deferrals += other.deferrals;
        self.given_up += other.given_up;
        self.waited += other.waited;
        self.misses += other.misses;
        for (own, its) in self.devices.iter_mut().zip(&other.devices) {
            own.blocks_read += its.blocks_read;
            own.blocks_written += its.blocks_written;
        }
    }
}
