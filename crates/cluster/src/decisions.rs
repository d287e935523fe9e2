//! Writes down what is decided, for those who ask.

use crate::plan::{Plan, RoutingPlan, TracePlan};
use blis_kernel::{InstanceId, RequestName, Tick};
use blis_metrics::TraceSummary;
use blis_metrics::decisions::{Candidate, Decided, Decision, Decisions};
use blis_policy::routing::{Router, RouterView};
use blis_policy::{Reads, admission};
use std::cmp::Ordering;

/// Takes down every decision of a run.
#[derive(Debug)]
pub(crate) struct DecisionLog {
    plan: TracePlan,
    /// Of each instance.
    kv_blocks: Vec<u32>,
    summary: TraceSummary,
    decisions: Decisions,
}

impl DecisionLog {
    /// For runs that are traced.
    pub(crate) fn new(plan: &Plan) -> Option<Self> {
        let trace = plan.trace?;
        let decisions = Decisions { scorers: scorers(&plan.routing), ..Decisions::default() };
        Some(Self { plan: trace, kv_blocks: Vec::new(), summary: TraceSummary::default(), decisions })
    }

    /// One more instance.
    pub(crate) fn add_instance(&mut self, kv_blocks: u32) {
        self.kv_blocks.push(kv_blocks);
    }

    /// What has to be up to date when a routing is decided.
    pub(crate) fn reads(&self) -> Reads {
        if self.plan.candidates > 0 { Reads::IN_FLIGHT.union(Reads::SNAPSHOT) } else { Reads::NONE }
    }

    pub(crate) fn admission(
        &mut self,
        request: &RequestName,
        at: Tick,
        decision: admission::Decision,
        policy: &dyn admission::Admission,
    ) {
        let admitted = decision == admission::Decision::Admit;
        self.summary.note_admission(admitted);
        self.keep(request, at, || Decided::Admission {
            admitted,
            reason: if admitted { String::new() } else { policy.reason().into_owned() },
        });
    }

    /// The gateway queue gives up a request that was let in.
    pub(crate) fn queue(&mut self, request: &RequestName, at: Tick, reason: &str) {
        self.keep(request, at, || Decided::Queue { reason: reason.to_owned() });
    }

    /// `chosen` is the candidate's place in the view.
    pub(crate) fn routing(
        &mut self,
        request: &RequestName,
        view: &RouterView<'_>,
        chosen: usize,
        router: &dyn Router,
    ) {
        let scores = router.last_scores();
        let score = |i: usize| if scores.is_empty() { 0.0 - view.load_of(i) as f64 } else { scores[i] };
        if scores.is_empty() {
            self.decisions.scorers.clear();
        }
        let instance = view.instances[chosen];
        let mut regret = 0.0;
        let mut best: Vec<usize> = Vec::new();
        if self.plan.candidates > 0 {
            best.extend(0..view.len());
            best.sort_by(|&a, &b| best_first((score(a), view.instances[a]), (score(b), view.instances[b])));
            regret = (score(best[0]) - score(chosen)).max(0.0);
            best.truncate(self.plan.candidates as usize);
            if !best.contains(&chosen) {
                best.push(chosen);
            }
        }
        self.summary.note_routing(instance, regret);
        let free = |i: usize| {
            let blocks = self.kv_blocks[view.instances[i].index()];
            blocks - (view.kv_utilization[i] * f64::from(blocks)).round() as u32
        };
        let free_kv_blocks: Vec<_> = best.iter().map(|&i| free(i)).collect();
        self.keep(request, view.now, || {
            let n = view.len();
            let candidate = |(&i, &free_kv_blocks): (&usize, &u32)| Candidate {
                instance: view.instances[i],
                score: score(i),
                by_scorer: router.last_scores_by_scorer().iter().skip(i).step_by(n).copied().collect(),
                queue_depth: view.queue_depth[i],
                batch_size: view.batch_size[i],
                in_flight: view.in_flight[i],
                kv_utilization: view.kv_utilization[i],
                free_kv_blocks,
            };
            Decided::Routing {
                chosen: instance,
                reason: router.reason(),
                regret,
                candidates: best.iter().zip(&free_kv_blocks).map(candidate).collect(),
            }
        });
    }

    fn keep(&mut self, request: &RequestName, at: Tick, decided: impl FnOnce() -> Decided) {
        if self.plan.keep_decisions {
            self.decisions.list.push(Decision { request: request.clone(), at, decided: decided() });
        }
    }

    /// What the decisions add up to, and the decisions themselves when they were kept.
    pub(crate) fn finish(self) -> (TraceSummary, Option<Decisions>) {
        (self.summary, self.plan.keep_decisions.then_some(self.decisions))
    }
}

/// By score, then by name as text.
fn best_first(a: (f64, InstanceId), b: (f64, InstanceId)) -> Ordering {
    b.0.total_cmp(&a.0).then_with(|| a.1.to_string().cmp(&b.1.to_string()))
}

/// The scorers with their share of the weight.
fn scorers(routing: &RoutingPlan) -> Vec<(String, f64)> {
    let sum = routing.scorers.iter().fold(0.0, |sum, (_, weight)| sum + weight);
    routing.scorers.iter().map(|(scorer, weight)| (scorer.entry.name.to_owned(), weight / sum)).collect()
}
