//! Virtual users of concurrency pools.
//!
//! A stream of its own (seed + 10007) gives each user in order the seed of the first request and the seed of all
//! later ones. Draws per request: input length, output length, input ids, output ids.

use super::{FollowUps, KEEP_OPEN, Shape};
use crate::client::Traffic;
use crate::request::{RequestEnd, RequestSpec, SessionId, SessionRound};
use crate::workload::Workload;
use blis_kernel::rng::{GoRand, Stream};
use blis_kernel::{RequestName, Tick};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

const SEED_OFFSET: i64 = 10_007;

struct User {
    /// Index into the workload's clients.
    client: usize,
    name: Arc<str>,
    think_time: Tick,
    first_seed: i64,
    /// Stream of the later requests.
    later: Stream,
    round: u32,
    live: bool,
}

/// All users, each of which is a session.
#[derive(Default)]
pub(super) struct Users {
    users: Vec<User>,
    /// First requests that were not handed out yet.
    first: BinaryHeap<Reverse<(Tick, u32)>>,
    horizon: Tick,
    /// Later requests that may still be sent, if bounded.
    budget: Option<u64>,
    follow_ups: FollowUps,
}

impl Users {
    /// The users of all pools. When the number of requests is bounded, `emitted` is how many of them others send.
    pub(super) fn new(workload: &Workload, emitted: Option<u64>) -> Self {
        let mut rng = GoRand::new(workload.seed.wrapping_add(SEED_OFFSET));
        let mut left = emitted.map(|emitted| workload.max_requests.unwrap_or(u64::MAX) - emitted);
        let mut users = Vec::new();
        let mut first = BinaryHeap::new();
        for (index, client) in workload.clients.iter().enumerate() {
            let Traffic::Concurrency { users: count, think_time } = client.traffic else { continue };
            for number in 0..count {
                match &mut left {
                    Some(0) => break,
                    Some(left) => *left -= 1,
                    None => {}
                }
                first.push(Reverse((first_arrival(number, count, think_time), users.len() as u32)));
                let (first_seed, later_seed) = (rng.int63(), rng.int63());
                users.push(User {
                    client: index,
                    name: format!("concurrency_{}_user_{number}", client.labels.client).into(),
                    think_time,
                    first_seed,
                    later: Stream::new(later_seed),
                    round: 0,
                    live: true,
                });
            }
        }
        let follow_ups = FollowUps::default();
        Self { users, first, horizon: workload.horizon, budget: left, follow_ups }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    pub(super) fn len(&self) -> u32 {
        self.users.len() as u32
    }

    pub(super) fn name(&self, session: SessionId) -> &str {
        &self.users[session.0 as usize].name
    }

    /// When the next user sends its first request.
    pub(super) fn peek(&self) -> Option<Tick> {
        self.first.peek().map(|Reverse((arrival, _))| *arrival)
    }

    /// That request.
    ///
    /// # Panics
    /// When [`Self::peek`] is `None`.
    pub(super) fn first_request(&mut self, shapes: &[Shape], uid: u64, name: RequestName) -> RequestSpec {
        let Reverse((arrival, number)) = self.first.pop().expect("a user that has not begun");
        let user = &self.users[number as usize];
        let shape = &shapes[user.client];
        let draft = shape.draw_follow_up(&mut GoRand::new(user.first_seed));
        let session = Some(SessionRound { session: SessionId(number), round: 0 });
        RequestSpec { session, ..shape.request(draft, uid, arrival, name) }
    }

    /// The user's next request: after an answer, and also after giving up waiting, because a user of a load generator
    /// goes on. One that was refused does not come back.
    pub(super) fn on_end(
        &mut self,
        shapes: &[Shape],
        uid: u64,
        ended: SessionRound,
        at: Tick,
        end: RequestEnd,
    ) -> Option<RequestSpec> {
        let is_crowded = self.users.len() > KEEP_OPEN;
        let user = &mut self.users[ended.session.0 as usize];
        if !user.live {
            return None;
        }
        assert_eq!(ended.round, user.round, "round that ended of {}", user.name);
        let arrival = at + user.think_time;
        let goes_on = match end {
            RequestEnd::Completed { .. } | RequestEnd::TimedOut => {
                self.budget != Some(0) && arrival <= self.horizon
            }
            RequestEnd::Dropped => false,
        };
        if !goes_on {
            user.live = false;
            self.follow_ups.close(&mut user.later);
            return None;
        }
        if let Some(budget) = &mut self.budget {
            *budget -= 1;
        }
        user.round += 1;
        let shape = &shapes[user.client];
        let place = (&user.name, user.round);
        let (draft, name) = self.follow_ups.draw(shape, &mut user.later, is_crowded, place);
        let session = Some(SessionRound { session: ended.session, round: user.round });
        Some(RequestSpec { session, ..shape.request(draft, uid, arrival, name) })
    }
}

/// ⌊number · think / count⌋: first requests are spread evenly over the think time.
fn first_arrival(number: u32, count: u32, think_time: Tick) -> Tick {
    if count <= 1 || think_time <= Tick::ZERO {
        return Tick::ZERO;
    }
    let spread = i128::from(number) * i128::from(think_time.as_us()) / i128::from(count);
    // Less than the think time itself.
    Tick::from_us(spread as i64)
}
