//! Priority inversions: of two requests of one class on one instance, the earlier took more than twice as long.
//!
//! For each instance and SLO class, requests ordered by arrival (then name): pairs i < j with e2e_i > 2 * e2e_j.

use blis_kernel::{RequestName, Tick};

/// The completed requests of one instance.
#[derive(Clone, Debug, Default)]
pub(crate) struct Completions(Vec<Completion>);

#[derive(Clone, Debug)]
struct Completion {
    class: u32,
    arrival: Tick,
    name: RequestName,
    e2e: Tick,
}

impl Completions {
    pub(crate) fn push(&mut self, class: u32, arrival: Tick, name: RequestName, e2e: Tick) {
        self.0.push(Completion { class, arrival, name, e2e });
    }

    /// Number of inversions among them.
    pub(crate) fn inversions(mut self) -> u64 {
        self.0.sort_by(|a, b| {
            (a.class, a.arrival).cmp(&(b.class, b.arrival)).then_with(|| a.name.cmp(&b.name))
        });
        let of_class = |group: &[Completion]| {
            let mut e2e: Vec<Tick> = group.iter().map(|c| c.e2e).collect();
            inverted_pairs(&mut e2e)
        };
        self.0.chunk_by(|a, b| a.class == b.class).map(of_class).sum()
    }
}

/// Counts pairs i < j with v_i > 2 * v_j by merge sort; leaves the values sorted.
fn inverted_pairs(values: &mut [Tick]) -> u64 {
    if values.len() < 2 {
        return 0;
    }
    let (early, late) = values.split_at_mut(values.len() / 2);
    let mut pairs = inverted_pairs(early) + inverted_pairs(late);
    let mut not_longer = 0;
    for &mut value in late {
        while not_longer < early.len() && early[not_longer] <= value + value {
            not_longer += 1;
        }
        pairs += (early.len() - not_longer) as u64;
    }
    // Two sorted runs: the stable sort merges them in linear time.
    values.sort();
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_requests_of_one_class_are_compared_and_in_order_of_arrival() {
        let mut requests = Completions::default();
        for (n, class, arrival, e2e) in [(0, 0, 20, 10), (1, 0, 10, 21), (2, 1, 0, 1000), (3, 0, 30, 10)] {
            requests.push(class, Tick::from_us(arrival), RequestName::Indexed(n), Tick::from_us(e2e));
        }
        assert_eq!(requests.inversions(), 2);
    }

    proptest! {
        /// Counting by merge sort equals looking at every pair.
        #[test]
        fn it_equals_the_quadratic_definition(values in prop::collection::vec(0i64..50, 0..60)) {
            let pairs = (0..values.len())
                .flat_map(|j| (0..j).map(move |i| (i, j)))
                .filter(|&(i, j)| values[i] > 2 * values[j])
                .count();
            let mut ticks: Vec<_> = values.iter().copied().map(Tick::from_us).collect();
            prop_assert_eq!(inverted_pairs(&mut ticks), pairs as u64);
        }
    }
}
