//! Spreads cold requests: those of whose prompt nobody holds even one block.
//!
//! Warm: 0.5 for all. Cold: candidates are ranked, those never given a cold request first in candidate order, then
//! from the least to the most recently given one; score = 1 - rank / (n - 1), and 1 when n = 1. A chosen candidate of
//! a cold request becomes the most recent; instances that are no candidates any more are forgotten.

use crate::Reads;
use crate::registry::{Entry, MakeScorer};
use crate::routing::{RequestView, RouterView, Scorer};
use blis_kernel::InstanceId;

const NOWHERE: u32 = u32::MAX;

/// What the registry says of it.
pub const ENTRY: Entry<MakeScorer> = Entry {
    name: "no-hit-lru",
    summary: "spreads prompts that nobody has cached",
    formula: "1 - rank / (n - 1), longest without a cold prompt first; 0.5 for cached prompts",
    params: &[],
    make: &|_| Box::<NoHitLru>::default(),
};

/// `no-hit-lru`.
#[derive(Clone, Debug, Default)]
pub struct NoHitLru {
    /// Instances that were given cold requests, least recent first.
    used: Vec<InstanceId>,
    cold: bool,
    cached: Vec<u32>,
    /// Position of each instance among the candidates; filled only while scoring.
    position: Vec<u32>,
}

impl Scorer for NoHitLru {
    fn score(&mut self, view: &RouterView<'_>, out: &mut [f64]) {
        view.cache.cached_blocks(&view.request, view.instances, &mut self.cached);
        self.cold = self.cached.iter().all(|&blocks| blocks == 0);
        if !self.cold {
            out.fill(0.5);
            return;
        }
        let n = view.len();
        if n == 1 {
            out[0] = 1.0;
            return;
        }
        for (i, instance) in view.instances.iter().enumerate() {
            if instance.index() >= self.position.len() {
                self.position.resize(instance.index() + 1, NOWHERE);
            }
            self.position[instance.index()] = i as u32;
        }
        let position = &self.position;
        self.used.retain(|instance| position.get(instance.index()).is_some_and(|&p| p != NOWHERE));

        let last = (n - 1) as f64;
        out.fill(f64::NAN);
        let never_used = n - self.used.len();
        for (age, instance) in self.used.iter().enumerate() {
            out[self.position[instance.index()] as usize] = 1.0 - (never_used + age) as f64 / last;
        }
        for (rank, score) in out.iter_mut().filter(|score| score.is_nan()).enumerate() {
            *score = 1.0 - rank as f64 / last;
        }
        for instance in view.instances {
            self.position[instance.index()] = NOWHERE;
        }
    }

    fn observe(&mut self, _: &RequestView<'_>, chosen: InstanceId) {
        if self.cold {
            self.used.retain(|&instance| instance != chosen);
            self.used.push(chosen);
        }
    }

    fn reads(&self) -> Reads {
        Reads::CACHE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::tests::Sheet;
    use proptest::prelude::*;

    fn thirds(scores: &[f64]) -> Vec<f64> {
        scores.iter().map(|s| (s * 3.0).round()).collect()
    }

    #[test]
    fn four_candidates_take_cold_requests_in_turn() {
        let sheet = Sheet::idle(4);
        let mut scorer = NoHitLru::default();
        assert_eq!(thirds(&sheet.scores(&mut scorer)), [3.0, 2.0, 1.0, 0.0]);
        let expected =
            [(1, [3, 0, 2, 1]), (3, [3, 1, 2, 0]), (0, [0, 2, 3, 1]), (1, [1, 0, 3, 2]), (2, [2, 1, 0, 3])];
        for (chosen, scores) in expected {
            scorer.observe(&sheet.view().request, InstanceId(chosen));
            assert_eq!(thirds(&sheet.scores(&mut scorer)), scores.map(f64::from), "after {chosen}");
        }
    }

    #[test]
    fn a_warm_request_is_left_to_others_and_teaches_nothing() {
        let (warm, cold) = (Sheet::worked_example(), Sheet::idle(3));
        let mut scorer = NoHitLru::default();
        assert_eq!(warm.scores(&mut scorer), [0.5; 3]);
        scorer.observe(&warm.view().request, InstanceId(0));
        assert_eq!(cold.scores(&mut scorer), [1.0, 0.5, 0.0]);
    }

    #[test]
    fn an_instance_that_left_is_forgotten() {
        let sheet = Sheet::idle(3);
        let mut scorer = NoHitLru::default();
        sheet.scores(&mut scorer);
        scorer.observe(&sheet.view().request, InstanceId(0));
        let mut without_first = Sheet::idle(3);
        without_first.instances.remove(0);
        assert_eq!(without_first.scores(&mut scorer), [1.0, 0.0]);
        assert_eq!(sheet.scores(&mut scorer), [1.0, 0.5, 0.0]);
    }

    #[test]
    fn a_single_candidate_scores_one() {
        assert_eq!(Sheet::idle(1).scores(&mut NoHitLru::default()), [1.0]);
    }

    proptest! {
        /// Law: whatever was routed before, n cold requests that each go where they score most reach all n candidates.
        #[test]
        fn cold_requests_reach_everybody_in_turn(n in 1usize..9, before in prop::collection::vec(0u32..8, 0..20)) {
            let sheet = Sheet::idle(n);
            let mut scorer = NoHitLru::default();
            let mut choose = |chosen: Option<usize>| {
                let scores = sheet.scores(&mut scorer);
                let best = scores.iter().position(|&score| score == 1.0).expect("somebody is first");
                let chosen = chosen.unwrap_or(best);
                scorer.observe(&sheet.view().request, InstanceId(chosen as u32));
                chosen
            };
            for chosen in before {
                choose(Some(chosen as usize % n));
            }
            let mut reached: Vec<_> = (0..n).map(|_| choose(None)).collect();
            reached.sort_unstable();
            prop_assert_eq!(reached, (0..n).collect::<Vec<_>>());
        }
    }
}
