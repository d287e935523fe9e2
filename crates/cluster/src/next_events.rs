//! Which instance's next event comes first.

use blis_kernel::Tick;

/// A tournament over the instances: each inner node holds the earlier of its two children, the lower instance at equal
/// times. Setting a time and finding the first cost O(log n).
#[derive(Debug)]
pub(crate) struct NextEvents {
    /// Leaves start here; a power of two.
    leaves: usize,
    /// Node 1 is the root, the children of `n` are `2n` and `2n + 1`.
    nodes: Vec<Tick>,
}

impl NextEvents {
    /// For instances of which none has an event.
    pub(crate) fn new(instances: usize) -> Self {
        let leaves = instances.next_power_of_two();
        Self { leaves, nodes: vec![Tick::MAX; 2 * leaves] }
    }

    /// One more instance, without an event; there are `instances` with it.
    pub(crate) fn make_room_for(&mut self, instances: usize) {
        if instances <= self.leaves {
            return;
        }
        let mut wider = Self::new(instances);
        for instance in 0..self.leaves {
            wider.set(instance, self.at(instance));
        }
        *self = wider;
    }

    /// When the instance's next event is due; [`Tick::MAX`] = never.
    #[inline]
    pub(crate) fn at(&self, instance: usize) -> Tick {
        self.nodes[self.leaves + instance]
    }

    /// When the first event of all is due.
    #[inline]
    pub(crate) fn first_at(&self) -> Tick {
        self.nodes[1]
    }

    /// Sets when the instance's next event is due.
    #[inline]
    pub(crate) fn set(&mut self, instance: usize, at: Tick) {
        let mut node = self.leaves + instance;
        self.nodes[node] = at;
        while node > 1 {
            node /= 2;
            let earlier = self.nodes[2 * node].min(self.nodes[2 * node + 1]);
            if self.nodes[node] == earlier {
                return;
            }
            self.nodes[node] = earlier;
        }
    }

    /// The instance whose event comes first, and the time before which no other instance's event is to run: instances
    /// before it come first at equal times, those after it second.
    pub(crate) fn first_and_limit(&self) -> (usize, Tick) {
        let (mut node, mut limit) = (1, Tick::MAX);
        while node < self.leaves {
            let (left, right) = (self.nodes[2 * node], self.nodes[2 * node + 1]);
            if left <= right {
                limit = limit.min(right + Tick::ONE);
                node *= 2;
            } else {
                limit = limit.min(left);
                node = 2 * node + 1;
            }
        }
        (node - self.leaves, limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lower_instance_comes_first_at_equal_times() {
        let mut next = NextEvents::new(5);
        for (instance, us) in [(4, 30), (1, 20), (3, 20), (0, 50)] {
            next.set(instance, Tick::from_us(us));
        }
        assert_eq!(next.first_at(), Tick::from_us(20));
        // Instance 1 may run its events at 20, before those of instance 3.
        assert_eq!(next.first_and_limit(), (1, Tick::from_us(21)));
        next.set(1, Tick::from_us(25));
        // Instance 3 must stop before the events of instance 1 at 25.
        assert_eq!(next.first_and_limit(), (3, Tick::from_us(25)));
        next.set(3, Tick::MAX);
        next.set(1, Tick::MAX);
        assert_eq!(next.first_and_limit(), (4, Tick::from_us(50)));
    }

    #[test]
    fn one_instance_has_no_limit() {
        let mut next = NextEvents::new(1);
        next.set(0, Tick::from_us(7));
        assert_eq!((next.first_at(), next.first_and_limit()), (Tick::from_us(7), (0, Tick::MAX)));
    }
}
