//! What the decisions of a run add up to.

use blis_kernel::InstanceId;
use std::collections::BTreeMap;

/// Counts of admission and routing decisions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TraceSummary {
    /// Requests let in.
    pub admitted: u64,
    /// Requests turned away at admission.
    pub rejected: u64,
    /// Requests routed to each instance.
    pub targets: BTreeMap<InstanceId, u64>,
    /// Sum of the regrets.
    pub regret_sum: f64,
    /// Largest regret.
    pub regret_max: f64,
}

impl TraceSummary {
    /// Counts an admission decision.
    pub fn note_admission(&mut self, admitted: bool) {
        *(if admitted { &mut self.admitted } else { &mut self.rejected }) += 1;
    }

    /// Counts a routing decision. `regret` is the best candidate's score less the chosen one's, 0 or more.
    pub fn note_routing(&mut self, chosen: InstanceId, regret: f64) {
        *self.targets.entry(chosen).or_default() += 1;
        self.regret_sum += regret;
        self.regret_max = self.regret_max.max(regret);
    }

    /// Mean regret of a routing decision; 0 when there was none.
    pub fn regret_mean(&self) -> f64 {
        match self.targets.values().sum::<u64>() {
            0 => 0.0,
            routed => self.regret_sum / routed as f64,
        }
    }
}
