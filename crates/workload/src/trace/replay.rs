//! Replaying a trace as it was: every row arrives at its recorded time, whatever happens to the others.
//!
//! Draws (the stream of the seed itself): the tokens of each prefix group in order of its first row with a prefix
//! length, then per row in file order its input ids and its output ids. Rows of one session that continue each other
//! repeat tokens of earlier rows instead of their own first ones; what they draw does not depend on it.

use super::Trace;
use super::prompts::Prompts;
use crate::request::{
    DetailKinds, Details, Labels, RequestEnd, RequestSource, RequestSpec, SessionId, SessionRound,
};
use blis_kernel::Tick;
use blis_kernel::rng::GoRand;
use std::sync::Arc;

impl Trace {
    /// Starts a replay in fixed mode: rows are injected in order of [`Trace::injection`], at equal times in file order.
    pub fn stream(self: &Arc<Self>, seed: i64) -> Box<dyn RequestSource> {
        let mut rng = GoRand::new(seed);
        let mut prompts = Prompts::new(Arc::clone(self), &mut rng);
        prompts.link_sessions();
        for row in 0..self.rows.len() {
            prompts.draw(row, &mut rng);
        }
        let mut order: Vec<u32> = (0..self.rows.len() as u32).collect();
        order.sort_by_key(|&row| self.injection(&self.rows[row as usize]));
        Box::new(Replay { prompts, order, next: 0 })
    }
}

struct Replay {
    prompts: Prompts,
    /// Rows in order of injection.
    order: Vec<u32>,
    /// Place in `order` of the next one.
    next: usize,
}

impl RequestSource for Replay {
    fn next_arrival(&mut self) -> Option<RequestSpec> {
        let index = *self.order.get(self.next)? as usize;
        self.next += 1;
        let trace = &self.prompts.trace;
        let row = &trace.rows()[index];
        let deadline = (row.deadline_us > 0).then(|| Tick::from_us(row.deadline_us));
        Some(self.prompts.request(index, trace.injection(row), deadline))
    }

    fn is_reactive(&self) -> bool {
        false
    }

    fn on_end(&mut self, _ended: SessionRound, _at: Tick, _end: RequestEnd) -> Option<RequestSpec> {
        None
    }

    fn labels(&self) -> &[Labels] {
        self.prompts.labels()
    }

    fn session_name(&self, session: SessionId) -> &str {
        self.prompts.session_name(session)
    }

    fn groups(&self) -> &[Vec<u32>] {
        self.prompts.groups()
    }

    fn detail_kinds(&self) -> DetailKinds {
        self.prompts.detail_kinds()
    }

    fn details(&self, request: &RequestSpec) -> Details {
        self.prompts.details(request)
    }
}
