//! The candidate with the largest weighted sum of scores; ties by random draw.
//!
//! composite(i) = sum over scorers s, in their configured order, of clamp(score_s(i), 0, 1) * w_s / (sum of all w).

use super::{Choice, Router, RouterView, Scorer, draw_tie};
use crate::Reads;
use crate::registry::{Entry, MakeRouter};
use blis_kernel::rng::GoRand;

/// What the registry says of it.
pub const ENTRY: Entry<MakeRouter> = Entry {
    name: "weighted",
    summary: "the instance with the largest weighted sum of scores",
    formula: "arg max sum(clamp(score, 0, 1) * weight / sum of weights); a random one of equals",
    params: &[],
    make: &|setup| {
        let made = setup.scorers.iter().map(|(scorer, weight)| {
            let setup = setup.with_params(&scorer.params);
            ((scorer.entry.make)(&setup), *weight)
        });
        Box::new(Weighted::new(made.collect(), setup.random()))
    },
};

/// `weighted`.
pub struct Weighted {
    scorers: Vec<(Box<dyn Scorer>, f64)>,
    reads: Reads,
    ties: GoRand,
    scores: Vec<f64>,
    composite: Vec<f64>,
    best: f64,
    /// What each scorer gave, one after the other; only when somebody wants to know.
    by_scorer: Option<Vec<f64>>,
}

impl Weighted {
    /// Combines scorers, each with its weight (finite, above 0), and draws ties from `ties`.
    ///
    /// # Panics
    /// Without any scorer or with a weight that is not finite and above zero: configuration is checked before.
    pub fn new(scorers: Vec<(Box<dyn Scorer>, f64)>, ties: GoRand) -> Self {
        assert!(!scorers.is_empty(), "weighted routing without scorers");
        assert!(
            scorers.iter().all(|&(_, w)| w.is_finite() && w > 0.0),
            "scorer weights must be finite and above 0"
        );
        let sum = scorers.iter().fold(0.0, |sum, (_, w)| sum + w);
        let scorers: Vec<_> = scorers.into_iter().map(|(scorer, w)| (scorer, w / sum)).collect();
        let reads = scorers.iter().fold(Reads::NONE, |reads, (scorer, _)| reads.union(scorer.reads()));
        Self { scorers, reads, ties, scores: Vec::new(), composite: Vec::new(), best: 0.0, by_scorer: None }
    }
}

impl Router for Weighted {
    fn route(&mut self, view: &RouterView<'_>) -> Choice {
        let n = view.len();
        self.scores.resize(n, 0.0);
        self.composite.clear();
        self.composite.resize(n, 0.0);
        self.by_scorer.iter_mut().for_each(Vec::clear);
        for (scorer, weight) in &mut self.scorers {
            scorer.score(view, &mut self.scores);
            if let Some(kept) = &mut self.by_scorer {
                kept.extend(self.scores.iter().map(|score| score.clamp(0.0, 1.0)));
            }
            for (sum, &score) in self.composite.iter_mut().zip(&self.scores) {
                *sum += score.clamp(0.0, 1.0) * *weight;
            }
        }
        let best = largest(&self.composite);
        let tied = self.composite.iter().filter(|&&score| score == best).count();
        self.best = best;
        let holders = self.composite.iter().enumerate().filter(|&(_, &score)| score == best).map(|(i, _)| i);
        let choice = draw_tie(&mut self.ties, tied, holders);
        for (scorer, _) in &mut self.scorers {
            scorer.observe(&view.request, view.instances[choice.0]);
        }
        choice
    }

    fn reads(&self) -> Reads {
        self.reads
    }

    fn last_scores(&self) -> &[f64] {
        &self.composite
    }

    fn keep_scores_by_scorer(&mut self) {
        self.by_scorer.get_or_insert_default();
    }

    fn last_scores_by_scorer(&self) -> &[f64] {
        self.by_scorer.as_deref().unwrap_or_default()
    }

    fn reason(&self) -> String {
        format!("weighted-scoring (score={:.3})", self.best)
    }
}

/// The largest of the values; eight running maxima, because one alone would wait for each comparison in turn.
fn largest(values: &[f64]) -> f64 {
    let larger = |a: f64, b: f64| if b > a { b } else { a };
    let mut lanes = [f64::NEG_INFINITY; 8];
    let chunks = values.chunks_exact(lanes.len());
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, value);
        }
    }
    lanes.iter().chain(rest).copied().fold(f64::NEG_INFINITY, larger)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{Registry, Setup};
    use crate::routing::tests::{Sheet, router_stream};
    use proptest::prelude::*;

    fn weighted(scorers: &str) -> Weighted {
        let scorers = Registry::built_in().parse_scorers(scorers).unwrap();
        let made =
            scorers.iter().map(|(scorer, weight)| ((scorer.entry.make)(&Setup::of(&scorer.params)), *weight));
        Weighted::new(made.collect(), router_stream(42))
    }

    #[test]
    fn default_profile_on_the_worked_example() {
        let mut router = weighted("");
        assert_eq!(router.route(&Sheet::worked_example().view()), Choice(0));
        assert_eq!(router.last_scores(), [0.5625, 0.4375, 0.4375]);
        // Halves print to the even digit.
        assert_eq!(router.reason(), "weighted-scoring (score=0.562)");
    }

    #[test]
    fn queue_and_kv_only_prefer_the_idle_instance() {
        let mut router = weighted("queue-depth:1,kv-utilization:1");
        assert_eq!(router.route(&Sheet::worked_example().view()), Choice(2));
        assert_eq!(router.last_scores(), [0.125, 0.625, 0.875]);
    }

    #[test]
    fn what_each_scorer_gave_is_kept_when_asked_for() {
        let mut router = weighted("queue-depth:1,kv-utilization:3");
        router.route(&Sheet::worked_example().view());
        assert!(router.last_scores_by_scorer().is_empty());
        router.keep_scores_by_scorer();
        for _ in 0..2 {
            router.route(&Sheet::worked_example().view());
            assert_eq!(router.last_scores_by_scorer(), [0.0, 0.75, 1.0, 0.25, 0.5, 0.75]);
        }
    }

    #[test]
    fn three_idle_instances_tie_and_are_drawn() {
        let sheet = Sheet::idle(3);
        let mut router = weighted("");
        let got: Vec<_> = (0..7).map(|_| router.route(&sheet.view()).0).collect();
        assert_eq!(got, [0, 1, 2, 0, 2, 2, 0]);
        assert_eq!(router.last_scores(), [1.0; 3]);
    }

    #[test]
    fn it_reads_what_its_scorers_read() {
        assert_eq!(weighted("active-requests:1").reads(), Reads::IN_FLIGHT);
        assert_eq!(weighted("prefix-affinity:1").reads(), Reads::NONE);
        assert_eq!(weighted("").reads(), Reads::CACHE.union(Reads::SNAPSHOT));
    }

    proptest! {
        /// Multiplying all weights by a power of two changes no composite score, not even in the last bit.
        #[test]
        fn a_common_scale_of_the_weights_changes_nothing(
            rows in prop::collection::vec((0u32..50, 0u32..50, 0.0f64..1.0, 0u32..100, 0u32..9), 1..12),
            weights in prop::collection::vec(0.1f64..10.0, 3),
            scale in -6i32..6,
        ) {
            let sheet = Sheet::from_rows(&rows);
            let factor = 2.0_f64.powi(scale);
            let profile = |factor: f64| format!("precise-prefix-cache:{},active-requests:{},load-aware:{}",
                weights[0] * factor, weights[1] * factor, weights[2] * factor);
            let (mut plain, mut scaled) = (weighted(&profile(1.0)), weighted(&profile(factor)));
            prop_assert_eq!(plain.route(&sheet.view()), scaled.route(&sheet.view()));
            prop_assert_eq!(plain.last_scores(), scaled.last_scores());
        }
    }
}
