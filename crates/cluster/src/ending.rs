//! How requests end: their figures, and what their clients learn.

use crate::disaggregation::{Stage, projected};
use crate::requests::InFlight;
use crate::run::Cluster;
use blis_engine::{Ended, Ending};
use blis_kernel::{InstanceId, Tick};
use blis_metrics::{RequestEnding, RequestRecord, SessionPlace, SplitRecord};
use blis_workload::trace::{RowStatus, Served};
use blis_workload::{RequestEnd, RequestSpec};

impl Cluster<'_> {
    /// Takes in the requests, and the parts of requests, that left an instance.
    pub(crate) fn collect_ended(&mut self, index: usize) {
        // The part of the tick at which the instance has its effects.
        let now = self.instances[index].clock();
        self.collect_ended_at(index, now);
    }

    /// The same, when what happened to it happened `now`.
    pub(crate) fn collect_ended_at(&mut self, index: usize, now: Tick) {
        // What happened to requests before they left comes first.
        self.tell(index);
        let mut ended = std::mem::take(&mut self.scratch_ended);
        ended.extend(self.instances[index].drain_ended());
        let mut prompts = Vec::new();
        for end in ended.drain(..) {
            if end.ending != Ending::StillReserved {
                self.count_gone(index, end.handle);
            }
            let is_taken = matches!(end.ending, Ending::Lost | Ending::Redirected);
            if is_taken && self.goes_elsewhere(end.handle, end.ending == Ending::Redirected, now) {
                continue;
            }
            match self.requests.get(end.handle).split.as_ref().map(|split| split.stage) {
                None => self.record_end(&end),
                Some(Stage::Prefill) if end.ending.is_completed() => {
                    self.record_part(index, &end);
                    prompts.push((end.handle, end));
                }
                Some(_) => self.record_split_end(index, &end),
            }
        }
        self.scratch_ended = ended;
        if !prompts.is_empty() {
            self.prompts_are_done(&mut prompts, now);
        }
        self.retry_transfers(index, now);
    }

    /// An instance is done with a part of a request, or with all of it.
    fn record_part(&mut self, index: usize, end: &Ended) {
        let spec = &self.requests.get(end.handle).spec;
        let record = RequestRecord { instance: Some(InstanceId(index as u32)), ..record(spec, end) };
        self.recorder.record_at_instance(&record);
    }

    /// A split request ends at an instance.
    fn record_split_end(&mut self, index: usize, end: &Ended) {
        if end.ending != Ending::StillReserved {
            self.record_part(index, end);
        }
        let semantics = self.plan.semantics;
        let clock = self.instances[index].clock();
        let overhead = self.instances[index].post_decode_overhead();
        let request = self.requests.remove(end.handle);
        let split = request.split.as_ref().expect("a split request");
        let is_over = !matches!(
            end.ending,
            Ending::StillQueued | Ending::StillRunning | Ending::StillEntering | Ending::StillReserved
        );
        let reached_decode = split.stage == Stage::Decode;
        let latencies = if is_over && reached_decode {
            let done = if end.ending.is_completed() { clock + overhead } else { clock };
            projected(split, end, request.spec.arrival, done, semantics)
        } else {
            SplitRecord::default()
        };
        // Effects that show at a step's start are known to the client then.
        let shows_at_start = semantics.step_effects_at_start && end.ending.is_completed();
        let at = if shows_at_start { clock + overhead } else { end.at };
        let instance = split.decode;
        let is_listed = reached_decode || !semantics.failed_splits_have_latencies;
        let record = RequestRecord {
            ttft: latencies.ttft,
            e2e: latencies.e2e,
            scheduling_delay: latencies.scheduling_delay,
            instance: is_listed.then_some(instance),
            left_at: is_over.then_some(at),
            ..record(&request.spec, end)
        };
        self.finish_request(request, &Ended { at, ..*end }, record);
    }

    /// A request that one instance served ends.
    fn record_end(&mut self, end: &Ended) {
        let request = self.requests.remove(end.handle);
        if let Some(flow) = &mut self.flow_control {
            flow.forget(end.handle);
        }
        let record = RequestRecord { instance: request.instance, ..record(&request.spec, end) };
        self.recorder.record_at_instance(&record);
        self.finish_request(request, end, record);
    }

    fn finish_request(&mut self, request: InFlight, end: &Ended, mut record: RequestRecord) {
        record.gateway_queue_delay = request.passage.as_ref().and_then(|passage| passage.delay());
        if let (Some(ttft), true) = (record.ttft, self.disaggregation.is_some()) {
            self.tell_decider(&request, ttft, &record);
        }
        let InFlight { spec, number, split, .. } = request;
        let (ending, was_split) = (record.ending, split.is_some());
        let known_at = record.e2e.map_or(end.at, |e2e| spec.arrival + e2e);
        let last_token = if was_split { record.e2e } else { end.last_token };
        let ttft = record.ttft;
        self.recorder.record(record);
        if let Some(reply) = reply(end) {
            self.ended += 1;
            self.report_end(&spec, end.at, reply);
        }
        self.note_end(number, ending, known_at);
        let served = Served { first_token: ttft, last_token, status: row_status(ending) };
        self.observer.ended(number, spec, served, &*self.source);
    }

    /// The gateway refuses a request.
    pub(crate) fn turn_away(&mut self, handle: u32, ending: RequestEnding, now: Tick) {
        self.end_at_gateway(handle, ending, now, RequestEnd::Dropped);
    }

    /// A request ends at the gateway.
    pub(crate) fn end_at_gateway(&mut self, handle: u32, ending: RequestEnding, now: Tick, end: RequestEnd) {
        self.end_with(handle, ending, now, end, SplitRecord::default());
    }

    /// A request ends at no instance, with these latencies.
    pub(crate) fn end_with(
        &mut self,
        handle: u32,
        ending: RequestEnding,
        now: Tick,
        end: RequestEnd,
        latencies: SplitRecord,
    ) {
        let InFlight { spec, number, instance, .. } = self.requests.remove(handle);
        self.ended += 1;
        self.recorder.record(RequestRecord {
            ttft: latencies.ttft,
            e2e: latencies.e2e,
            scheduling_delay: latencies.scheduling_delay,
            instance,
            left_at: Some(now),
            ..blank_record(&spec, ending)
        });
        self.report_end(&spec, now, end);
        self.note_end(number, ending, now);
        let served = Served { status: row_status(ending), ..Served::default() };
        self.observer.ended(number, spec, served, &*self.source);
    }

    /// The run is over for these requests, which are at no instance.
    pub(crate) fn cut(&mut self, handles: Vec<u32>, ending: RequestEnding) {
        for handle in handles {
            let InFlight { spec, number, .. } = self.requests.remove(handle);
            self.recorder.record(blank_record(&spec, ending));
            self.observer.ended(number, spec, Served::default(), &*self.source);
        }
    }

    /// Tells the source, which may answer with the session's next request.
    fn report_end(&mut self, spec: &RequestSpec, at: Tick, end: RequestEnd) {
        let Some(round) = spec.session else { return };
        if let Some(follow_up) = self.source.on_end(round, at, end) {
            assert!(
                follow_up.arrival >= at,
                "a follow-up arrives before the request that it follows has ended"
            );
            if follow_up.arrival <= self.plan.horizon {
                self.follow_ups.set(follow_up.arrival, follow_up);
            }
        }
    }
}

/// What the client of a request learns; nothing when the run ended before it did.
fn reply(end: &Ended) -> Option<RequestEnd> {
    match end.ending {
        Ending::Completed | Ending::LengthCapped => {
            Some(RequestEnd::Completed { output_tokens: end.output_tokens })
        }
        Ending::TimedOut => Some(RequestEnd::TimedOut),
        Ending::Unservable | Ending::Evicted | Ending::Lost | Ending::Redirected => Some(RequestEnd::Dropped),
        Ending::StillQueued | Ending::StillRunning | Ending::StillEntering | Ending::StillReserved => None,
    }
}

fn ending(end: &Ended) -> RequestEnding {
    match end.ending {
        Ending::Completed | Ending::LengthCapped => RequestEnding::Completed,
        Ending::TimedOut => RequestEnding::TimedOut,
        Ending::Unservable => RequestEnding::DroppedUnservable,
        Ending::Evicted => RequestEnding::Evicted,
        Ending::Lost | Ending::Redirected => RequestEnding::Failed,
        Ending::StillQueued => RequestEnding::StillQueued,
        Ending::StillRunning | Ending::StillReserved => RequestEnding::StillRunning,
        Ending::StillEntering => RequestEnding::InPipeline,
    }
}

/// How a trace says it.
fn row_status(ending: RequestEnding) -> RowStatus {
    match ending {
        RequestEnding::Completed => RowStatus::Ok,
        RequestEnding::TimedOut => RowStatus::Timeout,
        _ => RowStatus::Incomplete,
    }
}

/// What an instance says of a request or a part of it.
fn record(spec: &RequestSpec, end: &Ended) -> RequestRecord {
    RequestRecord {
        produced_tokens: end.output_tokens,
        ttft: end.ttft,
        e2e: end.e2e,
        itl_mean_us: end.itl_mean_us,
        scheduling_delay: end.scheduling_delay,
        left_at: reply(end).map(|_| end.at),
        length_capped: end.ending == Ending::LengthCapped,
        ..blank_record(spec, ending(end))
    }
}

fn blank_record(spec: &RequestSpec, ending: RequestEnding) -> RequestRecord {
    RequestRecord {
        name: spec.name.clone(),
        arrival: spec.arrival,
        input_tokens: spec.input_tokens,
        output_tokens: spec.output_tokens,
        produced_tokens: 0,
        ttft: None,
        e2e: None,
        itl_mean_us: 0.0,
        scheduling_delay: None,
        gateway_queue_delay: None,
        labels: spec.labels.0,
        instance: None,
        left_at: None,
        length_capped: false,
        session: spec.session.map(|s| SessionPlace { session: s.session.0, round: s.round }),
        ending,
    }
}
