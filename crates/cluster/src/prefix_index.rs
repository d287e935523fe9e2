//! Which instances hold which blocks, as the router is told.

use blis_engine::IndexChange;
use blis_kernel::InstanceId;
use blis_policy::routing::{PrefixCache, RequestView};
use rustc_hash::FxHashMap;

/// One index for the whole cluster: block key → the set of instances that hold it, one bit each.
#[derive(Debug)]
pub(crate) struct PrefixIndex {
    /// 64-bit words per set.
    words: usize,
    rows: FxHashMap<u64, u32>,
    sets: Vec<u64>,
    vacant: Vec<u32>,
}

impl PrefixIndex {
    pub(crate) fn new(instances: usize) -> Self {
        Self {
            words: instances.div_ceil(64),
            rows: FxHashMap::default(),
            sets: Vec::new(),
            vacant: Vec::new(),
        }
    }

    /// Makes the sets wide enough for so many instances.
    pub(crate) fn make_room_for(&mut self, instances: usize) {
        let words = instances.div_ceil(64);
        if words <= self.words {
            return;
        }
        let rows = self.sets.len().checked_div(self.words).unwrap_or(0);
        let mut sets = vec![0; rows * words];
        for row in 0..rows {
            sets[row * words..][..self.words].copy_from_slice(self.set(row as u32));
        }
        (self.words, self.sets) = (words, sets);
    }

    fn set(&self, row: u32) -> &[u64] {
        &self.sets[row as usize * self.words..][..self.words]
    }

    /// Follows a change of one instance's own index.
    pub(crate) fn apply(&mut self, instance: InstanceId, change: IndexChange) {
        let (word, bit) = (instance.index() / 64, 1u64 << (instance.index() % 64));
        match change {
            IndexChange::Added(key) => {
                let row = *self.rows.entry(key).or_insert_with(|| {
                    self.vacant.pop().unwrap_or_else(|| {
                        self.sets.resize(self.sets.len() + self.words, 0);
                        (self.sets.len() / self.words - 1) as u32
                    })
                });
                self.sets[row as usize * self.words + word] |= bit;
            }
            IndexChange::Removed(key) => {
                let row = *self.rows.get(&key).expect("a removed key was added before");
                self.sets[row as usize * self.words + word] &= !bit;
                if self.set(row).iter().all(|&word| word == 0) {
                    self.rows.remove(&key);
                    self.vacant.push(row);
                }
            }
        }
    }
}

impl PrefixCache for PrefixIndex {
    fn cached_blocks(&self, request: &RequestView<'_>, instances: &[InstanceId], out: &mut Vec<u32>) {
        out.clear();
        out.resize(instances.len(), 0);
        let keys = request.keys.shared;
        // Candidates drop out at the first block that they lack.
        let mut depth = 0;
        let mut matching: Vec<usize> = (0..instances.len()).collect();
        for key in keys {
            let Some(&row) = self.rows.get(key) else { break };
            let set = self.set(row);
            matching.retain(|&i| {
                let id = instances[i].index();
                let holds = set[id / 64] >> (id % 64) & 1 == 1;
                if !holds {
                    out[i] = depth;
                }
                holds
            });
            if matching.is_empty() {
                return;
            }
            depth += 1;
        }
        for i in matching {
            out[i] = depth;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blis_policy::routing::PromptKeys;

    #[test]
    fn leading_blocks_are_counted_per_instance() {
        let mut index = PrefixIndex::new(70);
        for (instance, keys) in [(0, &[1, 2, 3][..]), (65, &[1, 2]), (69, &[2, 3])] {
            for &key in keys {
                index.apply(InstanceId(instance), IndexChange::Added(key));
            }
        }
        let instances = [0, 1, 65, 69].map(InstanceId);
        let mut out = Vec::new();
        let mut count = |index: &PrefixIndex, keys: &[u64]| {
            let request = RequestView { input_tokens: 64, keys: PromptKeys::all_shared(keys), slo_rank: 3 };
            index.cached_blocks(&request, &instances, &mut out);
            out.clone()
        };
        assert_eq!(count(&index, &[1, 2, 3, 4]), [3, 0, 2, 0]);
        index.apply(InstanceId(0), IndexChange::Removed(2));
        assert_eq!(count(&index, &[1, 2, 3, 4]), [1, 0, 2, 0]);
        index.make_room_for(130);
        assert_eq!(count(&index, &[1, 2, 3, 4]), [1, 0, 2, 0]);
        assert_eq!(count(&index, &[9]), [0, 0, 0, 0]);
    }
}
