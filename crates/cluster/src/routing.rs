//! Routing: who gets a request, and the hand-over.

use crate::plan::{DisaggregationPlan, Plan, RoutingPlan};
use crate::run::Cluster;
use blis_engine::{BlockKeys, Submission};
use blis_kernel::{InstanceId, Tick};
use blis_metrics::RequestEnding;
use blis_policy::routing::{PromptKeys, RequestView, Router, RouterView};
use blis_policy::{Reads, Setup};
use blis_workload::content::shared_blocks;

/// Among whom a router chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pool {
    /// Every instance that takes requests.
    Routable,
    /// Those that process prompts.
    Prefill,
    /// Those that generate answers.
    Decode,
    /// Those that encode.
    Encode,
    /// Those that serve the model of this number, where there are several.
    Model(u32),
}

/// What an instance is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Everything.
    Whole,
    /// The prompt.
    Prefill,
    /// The answer.
    Decode,
}

/// The cluster's router, and those of the pools that have their own.
pub(crate) struct Routers {
    main: Box<dyn Router>,
    prefill: Option<Box<dyn Router>>,
    decode: Option<Box<dyn Router>>,
    encode: Option<Box<dyn Router>>,
    /// By model, where there are several.
    models: Vec<Box<dyn Router>>,
}

impl Routers {
    pub(crate) fn new(plan: &Plan, keeps_scores: bool) -> Self {
        let made = |routing: &RoutingPlan, stream| make(plan, routing, stream, keeps_scores);
        let own = |routing: fn(&DisaggregationPlan) -> Option<&RoutingPlan>, stream| {
            let disaggregation = plan.disaggregation.as_ref()?;
            match routing(disaggregation) {
                Some(routing) => Some(made(routing, stream)),
                None if plan.semantics.pools_share_one_router => None,
                None => Some(made(&plan.routing, stream)),
            }
        };
        Self {
            main: made(&plan.routing, "router"),
            prefill: own(|d| d.prefill_routing.as_ref(), "prefill-router"),
            decode: own(|d| d.decode_routing.as_ref(), "decode-router"),
            encode: own(|_| None, "encode-router"),
            // Each chooses as it would in a cluster of its own.
            models: match plan.further_models.len() {
                0 => Vec::new(),
                further => (0..=further).map(|_| made(&plan.routing, "router")).collect(),
            },
        }
    }

    fn of(&mut self, pool: Pool) -> &mut dyn Router {
        let own = match pool {
            Pool::Routable => None,
            Pool::Prefill => self.prefill.as_mut(),
            Pool::Decode => self.decode.as_mut(),
            Pool::Encode => self.encode.as_mut(),
            Pool::Model(number) => Some(&mut self.models[number as usize]),
        };
        &mut **own.unwrap_or(&mut self.main)
    }

    /// What any of them looks at.
    pub(crate) fn reads(&self) -> Reads {
        let pools = [&self.prefill, &self.decode, &self.encode];
        pools.into_iter().flatten().fold(self.main.reads(), |reads, router| reads.union(router.reads()))
    }
}

fn make(plan: &Plan, routing: &RoutingPlan, stream: &'static str, keeps_scores: bool) -> Box<dyn Router> {
    let RoutingPlan { policy, scorers } = routing;
    let mut router = (policy.entry.make)(&Setup {
        params: &policy.params,
        semantics: plan.semantics,
        scorers,
        seed: plan.seed,
        stream,
    });
    if keeps_scores {
        router.keep_scores_by_scorer();
    }
    router
}

impl Cluster<'_> {
    /// A request that was let in finds an instance.
    pub(crate) fn route(&mut self, now: Tick) {
        let (_, handle) = self.routings.pop_front().expect("a routing that was seen");
        self.bring_router_up_to_date(now);
        let labels = self.requests.get(handle).spec.labels;
        match self.labels[labels.0 as usize].served_by {
            Some(_) if self.disaggregation.is_some() => self.route_to_pools(handle, now),
            served_by => match served_by.and_then(|pool| self.choose(pool, handle, now)) {
                Some(instance) => self.hand_over(handle, instance, Part::Whole, now),
                None => self.turn_away(handle, RequestEnding::RejectedByRouting, now),
            },
        }
    }

    /// Everything that routers look at is as fresh as they may see it.
    pub(crate) fn bring_router_up_to_date(&mut self, now: Tick) {
        self.refresh_signals(now);
        if self.reads_of_routers.in_flight || self.decisions.is_some() {
            self.bring_up_to_date(now);
        }
    }

    /// Names the blocks of the request's prompt: as keys, and how many of them are shared when the others are private.
    pub(crate) fn name_blocks(&mut self, handle: u32) -> Option<u32> {
        let spec = &self.requests.get(handle).spec;
        let block_tokens = self.plan.instance.block_tokens;
        let shared = if self.keys_are_needed {
            None
        } else {
            let shared =
                shared_blocks(&spec.content, spec.session.is_some(), spec.input_tokens, block_tokens);
            shared.filter(|&blocks| blocks == 0 || self.blocks_are_mixed)
        };
        self.keys.clear();
        let named_blocks = shared.unwrap_or((spec.input_tokens + spec.output_tokens) / block_tokens);
        if named_blocks > 0 {
            let (groups, content) = (self.source.groups(), &spec.content);
            self.hasher.keys(content, groups, spec.input_tokens, named_blocks as usize, &mut self.keys);
        }
        shared
    }

    /// The router's choice among the pool; `None` when nobody is in it. The request's blocks are named afterwards.
    pub(crate) fn choose(&mut self, pool: Pool, handle: u32, now: Tick) -> Option<usize> {
        self.name_blocks(handle);
        let members = self.fleet.members(pool);
        if members.is_empty() {
            return None;
        }
        let spec = &self.requests.get(handle).spec;
        let request = request_view(&self.keys, spec.input_tokens, self.plan.instance.block_tokens);
        let (columns, cache) = self.signals.of(members);
        let view = RouterView {
            now,
            request: RequestView { slo_rank: self.labels[spec.labels.0 as usize].rank, ..request },
            instances: &columns.instances,
            queue_depth: &columns.queue_depth,
            batch_size: &columns.batch_size,
            kv_utilization: &columns.kv_utilization,
            in_flight: &columns.in_flight,
            adapter_resident: self.labels[spec.labels.0 as usize]
                .adapter
                .map_or(&[], |adapter| &columns.adapters[adapter as usize]),
            load: self.load,
            cache,
        };
        let router = self.routers.of(pool);
        let chosen = router.route(&view).0;
        assert!(chosen < view.len(), "the router chose candidate {chosen} of {}", view.len());
        if let Some(log) = &mut self.decisions {
            log.routing(&spec.name, &view, chosen, router);
        }
        Some(view.instances[chosen].index())
    }

    /// What the instance gets of a request.
    pub(crate) fn submission(&mut self, handle: u32, part: Part) -> Submission {
        let shared = self.name_blocks(handle);
        let spec = &self.requests.get(handle).spec;
        Submission {
            handle,
            name: spec.name.clone(),
            arrival: spec.arrival,
            input_tokens: spec.input_tokens,
            output_tokens: if part == Part::Prefill { 0 } else { spec.output_tokens },
            max_output_tokens: i64::from(spec.max_output_tokens),
            deadline: spec.deadline,
            adapter: self.labels[spec.labels.0 as usize].adapter,
            priority: self.labels[spec.labels.0 as usize].priority,
            keys: match shared {
                Some(_) => BlockKeys::Leading(self.keys.as_slice().into()),
                None => BlockKeys::Listed(self.keys.as_slice().into()),
            },
        }
    }

    /// The instance gets the request, or its prompt.
    pub(crate) fn hand_over(&mut self, handle: u32, instance: usize, part: Part, now: Tick) {
        let submission = self.submission(handle, part);
        self.count_at(instance, handle);
        if part == Part::Whole {
            self.requests.get_mut(handle).instance = Some(InstanceId(instance as u32));
            self.track_evictable(handle);
        }
        self.note_routed(handle, instance, now);
        self.bring_instance_up_to_date(instance, now);
        self.instances[instance].submit(now, submission);
        self.next_events.set(instance, self.instances[instance].next_event_at());
    }

    /// The request, or a part of it, is at the instance.
    pub(crate) fn count_at(&mut self, instance: usize, handle: u32) {
        let labels = self.requests.get(handle).spec.labels;
        self.signals.all.in_flight[instance] += 1;
        self.tenants_in_flight[self.labels[labels.0 as usize].tenant as usize] += 1;
    }

    /// It is no longer there.
    pub(crate) fn count_gone(&mut self, instance: usize, handle: u32) {
        let labels = self.requests.get(handle).spec.labels;
        self.signals.all.in_flight[instance] -= 1;
        self.tenants_in_flight[self.labels[labels.0 as usize].tenant as usize] -= 1;
    }
}

/// What policies see of a prompt whose leading blocks have these keys.
pub(crate) fn request_view(keys: &[u64], input_tokens: u32, block_tokens: u32) -> RequestView<'_> {
    let prompt_blocks = input_tokens / block_tokens;
    let shared = &keys[..keys.len().min(prompt_blocks as usize)];
    let private_blocks = prompt_blocks - shared.len() as u32;
    RequestView { input_tokens, keys: PromptKeys { shared, private_blocks }, slo_rank: 0 }
}
