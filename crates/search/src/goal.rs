//! What is looked for: objectives, and an SLO that has to hold; and how trials are ranked by them.

use crate::figure::{self, Figure};
use crate::slo::Slo;
use blis_config::Diagnostic;

/// What is looked for.
#[derive(Clone, Debug, Default)]
pub struct Goal {
    /// Figures to maximise or minimise.
    pub objectives: Vec<&'static Figure>,
    /// What has to hold; trials that miss it rank behind all that meet it.
    pub slo: Option<Slo>,
}

/// How good a trial is.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// Of each objective, less is better; infinite where a run does not show the figure.
    pub costs: Vec<f64>,
    /// By how much the SLO is missed: the sum over its terms of what the figure is above its limit, as a share of the limit;
    /// infinite for a trial that cannot be run or leaves requests without an answer.
    pub violation: f64,
}

impl Goal {
    /// Reads the objectives: names of figures separated by commas.
    ///
    /// # Errors
    /// Every name that is no figure.
    pub fn parse_objectives(flag: &str, text: &str) -> Result<Vec<&'static Figure>, Vec<Diagnostic>> {
        let (mut objectives, mut problems) = (Vec::<&Figure>::new(), Vec::new());
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            match figure::find(&format!("figure of {flag}"), name) {
                Ok(figure) if objectives.iter().any(|other| other.name == figure.name) => {
                    problems.push(Diagnostic::new(format!("{flag}: {name} is given twice")));
                }
                Ok(figure) => objectives.push(figure),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(objectives) } else { Err(problems) }
    }

    /// The score of a trial with these values of the objectives.
    pub fn score(&self, values: &[Option<f64>], violation: f64) -> Score {
        let cost = |(figure, value): (&&Figure, &Option<f64>)| {
            value.map_or(f64::INFINITY, |value| figure.direction.cost(value))
        };
        Score { costs: self.objectives.iter().zip(values).map(cost).collect(), violation }
    }
}

impl Score {
    /// Whether the trial meets what has to hold.
    pub fn is_feasible(&self) -> bool {
        self.violation == 0.0
    }

    /// Whether this one is better in something and worse in nothing; what meets the SLO is better than what does not, and
    /// what misses it by less better than what misses it by more.
    pub fn dominates(&self, other: &Self) -> bool {
        if self.violation != other.violation {
            return self.violation < other.violation;
        }
        let pairs = || self.costs.iter().zip(&other.costs);
        pairs().all(|(a, b)| a <= b) && pairs().any(|(a, b)| a < b)
    }
}

/// The numbers of the trials that no other one dominates and that meet what has to hold, in order of the first objective.
pub fn front(scores: &[Score]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).filter(|&n| scores[n].is_feasible()).collect();
    order.sort_by(|&a, &b| by_costs(&scores[a], &scores[b]).then(a.cmp(&b)));
    let mut front: Vec<usize> = Vec::new();
    for n in order {
        // Whatever dominates a trial comes before it in this order.
        if !front.iter().any(|&kept| scores[kept].dominates(&scores[n])) {
            front.push(n);
        }
    }
    front
}

fn by_costs(a: &Score, b: &Score) -> std::cmp::Ordering {
    let differs = a.costs.iter().zip(&b.costs).map(|(a, b)| a.total_cmp(b)).find(|order| order.is_ne());
    differs.unwrap_or(std::cmp::Ordering::Equal)
}

/// Layers of trials (Deb's fast non-dominated sort): the first has those that no other dominates, the next those that only
/// the first dominates, and so on; each in order of number.
pub fn layers(scores: &[Score]) -> Vec<Vec<usize>> {
    let mut dominated_by = vec![0_usize; scores.len()];
    let mut dominates = vec![Vec::new(); scores.len()];
    for a in 0..scores.len() {
        for b in a + 1..scores.len() {
            let (winner, loser) = match (scores[a].dominates(&scores[b]), scores[b].dominates(&scores[a])) {
                (true, _) => (a, b),
                (_, true) => (b, a),
                _ => continue,
            };
            dominates[winner].push(loser);
            dominated_by[loser] += 1;
        }
    }
    let mut layers = Vec::new();
    let mut layer: Vec<usize> = (0..scores.len()).filter(|&n| dominated_by[n] == 0).collect();
    while !layer.is_empty() {
        let mut next = Vec::new();
        for &winner in &layer {
            for &loser in &dominates[winner] {
                dominated_by[loser] -= 1;
                if dominated_by[loser] == 0 {
                    next.push(loser);
                }
            }
        }
        next.sort_unstable();
        layers.push(std::mem::replace(&mut layer, next));
    }
    layers
}

/// How much room each trial of a layer has (crowding distance): the sum over the objectives of the distance between its two
/// neighbours as a share of the layer's span; infinite at the ends.
pub fn crowding(scores: &[Score], layer: &[usize]) -> Vec<f64> {
    let mut room = vec![0.0; layer.len()];
    let objectives = layer.first().map_or(0, |&n| scores[n].costs.len());
    for objective in 0..objectives {
        let cost = |place: usize| scores[layer[place]].costs[objective];
        let mut order: Vec<usize> = (0..layer.len()).collect();
        order.sort_by(|&a, &b| cost(a).total_cmp(&cost(b)).then(a.cmp(&b)));
        // Trials that do not show a figure are no neighbours.
        order.retain(|&place| cost(place).is_finite());
        let (Some(&first), Some(&last)) = (order.first(), order.last()) else { continue };
        let span = cost(last) - cost(first);
        room[first] = f64::INFINITY;
        room[last] = f64::INFINITY;
        if span.is_finite() && span > 0.0 {
            for around in order.windows(3) {
                room[around[1]] += (cost(around[2]) - cost(around[0])) / span;
            }
        }
    }
    room
}

/// All trials from the best to the worst: by layer, within a layer those with more room first.
pub fn ranking(scores: &[Score]) -> Vec<usize> {
    let mut ranking = Vec::with_capacity(scores.len());
    for layer in layers(scores) {
        let room = crowding(scores, &layer);
        let mut order: Vec<usize> = (0..layer.len()).collect();
        order.sort_by(|&a, &b| room[b].total_cmp(&room[a]).then(layer[a].cmp(&layer[b])));
        ranking.extend(order.into_iter().map(|place| layer[place]));
    }
    ranking
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn score(costs: &[f64], violation: f64) -> Score {
        Score { costs: costs.to_vec(), violation }
    }

    #[test]
    fn the_front_has_what_nothing_beats_and_nothing_that_misses_the_slo() {
        let scores = [
            score(&[1.0, 5.0], 0.0),
            score(&[2.0, 2.0], 0.0),
            score(&[3.0, 3.0], 0.0),
            score(&[0.0, 0.0], 0.5),
            score(&[5.0, 1.0], 0.0),
            score(&[2.0, 2.0], 0.0),
        ];
        assert_eq!(front(&scores), [0, 1, 5, 4], "equal ones beat neither each other");
        assert_eq!(layers(&scores), [vec![0, 1, 4, 5], vec![2], vec![3]]);
        assert_eq!(ranking(&scores), [0, 4, 5, 1, 2, 3], "the ends of a layer first");
    }

    fn scores() -> impl Strategy<Value = Vec<Score>> {
        let one = (prop::collection::vec(0..6_u8, 2), prop_oneof![Just(0.0), Just(0.5)]);
        prop::collection::vec(one, 0..40).prop_map(|all| {
            all.into_iter()
                .map(|(costs, violation)| Score {
                    costs: costs.into_iter().map(f64::from).collect(),
                    violation,
                })
                .collect()
        })
    }

    proptest! {
        /// Law: a trial is on the front exactly when it meets the SLO and no trial dominates it.
        #[test]
        fn the_front_follows_its_definition(scores in scores()) {
            let found = front(&scores);
            for (n, score) in scores.iter().enumerate() {
                let is_beaten = scores.iter().any(|other| other.dominates(score));
                prop_assert_eq!(found.contains(&n), score.is_feasible() && !is_beaten);
            }
        }

        /// Law: nothing in a layer dominates anything in it or in the layers before; every trial is in one layer.
        #[test]
        fn layers_are_ordered(scores in scores()) {
            let layers = layers(&scores);
            for (depth, layer) in layers.iter().enumerate() {
                for &n in layer {
                    for &other in layers[..=depth].iter().flatten() {
                        prop_assert!(!scores[n].dominates(&scores[other]));
                    }
                }
            }
            let mut all: Vec<usize> = layers.into_iter().flatten().collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..scores.len()).collect::<Vec<_>>());
        }
    }
}
