//! Clients and cohorts as they are written, checked one by one.

use super::AdapterReference;
use super::cohort;
use super::reader::{At, NOT_NEGATIVE, POSITIVE, Reader, is_not_negative, is_positive};
use super::schema::{Dist, Entry, Maybe, Multimodal, Network};
use crate::diagnostic::Diagnostic;
use blis_kernel::Tick;
use blis_kernel::samplers::{ArrivalProcess, LengthSampler};
use blis_workload::client::DEFAULT_SESSION_TIMEOUT;
use blis_workload::{
    Client, Conversation, Labels, Modalities, Modality, ModalityItems, Prefix, Traffic, Window,
};
use std::sync::Arc;

const SLO_CLASSES: [(&str, ()); 5] =
    [("critical", ()), ("standard", ()), ("sheddable", ()), ("batch", ()), ("background", ())];
/// Most clients of a cohort.
const MAX_POPULATION: i64 = 100_000;
/// Most users of one pool: each has a random stream of its own.
const MAX_USERS: i64 = 10_000_000;
/// Longest prefix: far beyond any model, far from any overflow.
const MAX_TOKENS: i64 = 100_000_000;
/// Most rounds of a conversation, which are drawn at once.
const MAX_ROUNDS: i64 = 1_000_000;

/// A window with what is different in it.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) window: Window,
    /// Requests per second, or a weight.
    pub(super) rate: Option<f64>,
    pub(super) process: Option<ArrivalProcess>,
    pub(super) input: Option<LengthSampler>,
    pub(super) output: Option<LengthSampler>,
}

impl Span {
    pub(super) fn plain(window: Window) -> Self {
        Self { window, rate: None, process: None, input: None, output: None }
    }

    /// Whether something is different in it.
    pub(super) fn is_special(&self) -> bool {
        self.rate.is_some() || self.process.is_some() || self.input.is_some() || self.output.is_some()
    }
}

/// A checked client, or the equal members of a cohort.
#[derive(Debug)]
pub(super) struct Population {
    pub(super) at: At,
    /// Each member; its traffic is filled in when all rates are known.
    pub(super) client: Client,
    pub(super) members: u32,
    pub(super) is_cohort: bool,
    /// Whether each member has a prefix of its own.
    pub(super) own_prefixes: bool,
    /// Of each member.
    pub(super) fraction: f64,
    pub(super) process: ArrivalProcess,
    pub(super) spans: Vec<Span>,
}

impl Population {
    pub(super) fn is_pool(&self) -> bool {
        matches!(self.client.traffic, Traffic::Concurrency { .. })
    }

    /// The clients one by one.
    pub(super) fn members(&self) -> impl Iterator<Item = Client> {
        (0..self.members).map(|number| {
            let mut client = self.client.clone();
            if self.is_cohort {
                client.labels.client = format!("{}-{number}", client.labels.client);
            }
            if let Some(prefix) = client.prefix.as_mut().filter(|_| self.own_prefixes) {
                prefix.group = format!("{}-{number}", prefix.group);
            }
            client
        })
    }
}

impl Reader<'_> {
    /// `is_absolute`: there is no total rate, so every window needs its own.
    pub(super) fn client(&mut self, at: At, entry: &Entry, is_absolute: bool) -> Population {
        self.refuse_key(&at, "population", &entry.population, "cohorts");
        self.refuse_key(&at, "prefix_sharing", &entry.prefix_sharing, "cohorts");
        self.refuse_key(&at, "diurnal", &entry.diurnal, "cohorts");
        self.refuse_key(&at, "spike", &entry.spike, "cohorts");
        self.refuse_key(&at, "drain", &entry.drain, "cohorts");
        let users = self.whole(&at, "concurrency", &entry.concurrency, 0..=MAX_USERS).unwrap_or(0) as u32;
        let think_time = self.span_us(&at, "think_time_us", &entry.think_time_us).unwrap_or_default();
        if users == 0 {
            let spans = self.windows(&at, entry, is_absolute);
            let mut population = self.population(at, entry, false);
            population.spans = spans;
            return population;
        }
        if let Some(fraction) = entry.rate_fraction.as_ref().filter(|fraction| fraction.value > 0.0) {
            let fraction_at = at.key("rate_fraction", Some(fraction));
            self.report(
                &fraction_at,
                "and concurrency are both given; users wait for their answers and have no rate: give one of the two",
            );
        }
        if let Some(lifecycle) = &entry.lifecycle {
            let lifecycle_at = at.key("lifecycle", Some(lifecycle));
            self.warn(&lifecycle_at, "is unused: a pool of users is always active");
        }
        let traffic = Traffic::Concurrency { users, think_time };
        let client = self.template(&at, entry, traffic);
        Population {
            at,
            client,
            members: 1,
            is_cohort: false,
            own_prefixes: false,
            fraction: 0.0,
            process: ArrivalProcess::Constant,
            spans: Vec::new(),
        }
    }

    pub(super) fn cohort(&mut self, at: At, entry: &Entry, is_absolute: bool) -> Population {
        self.refuse_key(&at, "lifecycle", &entry.lifecycle, "clients");
        self.refuse_key(&at, "concurrency", &entry.concurrency, "clients");
        self.refuse_key(&at, "think_time_us", &entry.think_time_us, "clients");
        let members =
            self.required_whole(&at, "population", &entry.population, 1..=MAX_POPULATION).unwrap_or(1);
        let sharing = [("shared", false), ("per_member", true)];
        let own_prefixes = self.word(&at, "prefix_sharing", &entry.prefix_sharing, &sharing).unwrap_or(false);
        if own_prefixes && entry.prefix_group.as_ref().is_none_or(String::is_empty) {
            let sharing_at = at.key("prefix_sharing", entry.prefix_sharing.as_ref());
            self.report(&sharing_at, "is per_member, which needs prefix_group");
        }
        if is_absolute {
            for (key, is_given) in [("diurnal", entry.diurnal.is_some()), ("drain", entry.drain.is_some())] {
                if is_given {
                    self.report(&at.key::<()>(key, None), "needs an aggregate_rate above 0 to share in");
                }
            }
            if entry.spike.as_ref().is_none_or(|spike| spike.value.trace_rate.is_none()) {
                self.report(&at, "needs aggregate_rate, or a spike with trace_rate");
            }
        }
        let spans = cohort::spans(self, &at, entry, members);
        let population = self.population(at, entry, true);
        let fraction = population.fraction / members as f64;
        Population { members: members as u32, own_prefixes, fraction, spans, ..population }
    }

    /// What clients that send at a rate and cohorts have in common.
    fn population(&mut self, at: At, entry: &Entry, is_cohort: bool) -> Population {
        if entry.rate_fraction.is_none() {
            self.report(&at.key::<()>("rate_fraction", None), "is missing");
        }
        let fraction = self.real(&at, "rate_fraction", &entry.rate_fraction, is_positive, POSITIVE);
        let process = self.process(&at, &entry.arrival).unwrap_or(ArrivalProcess::Constant);
        let client = self.template(&at, entry, Traffic::Rate { per_us: 0.0, process });
        Population {
            at,
            client,
            members: 1,
            is_cohort,
            own_prefixes: false,
            fraction: fraction.unwrap_or(1.0),
            process,
            spans: Vec::new(),
        }
    }

    fn template(&mut self, at: &At, entry: &Entry, traffic: Traffic) -> Client {
        let input = self.required_lengths(at, "input_distribution", &entry.input_distribution);
        let output = self.required_lengths(at, "output_distribution", &entry.output_distribution);
        self.word(at, "slo_class", &entry.slo_class, &SLO_CLASSES);
        let network = entry.network.as_ref().map(|given| {
            let at = at.key("network", Some(given));
            let mut read =
                |key, value| self.real(&at, key, value, is_not_negative, NOT_NEGATIVE).unwrap_or_default();
            let Network { rtt_ms, bandwidth_mbps } = &given.value;
            blis_kernel::Network {
                rtt_ms: read("rtt_ms", rtt_ms),
                bandwidth_mbps: read("bandwidth_mbps", bandwidth_mbps),
            }
        });
        let adapter = entry.adapter.as_ref().filter(|adapter| !adapter.value.is_empty());
        if let Some(adapter) = adapter {
            let adapter_at = at.key("adapter", Some(adapter));
            let model = entry.model.clone().unwrap_or_default().to_lowercase();
            let place = self.place(&adapter_at, Diagnostic::new(&adapter_at.path));
            self.adapters.push(AdapterReference { adapter: adapter.value.clone(), model, place });
        }
        let is_pool = matches!(traffic, Traffic::Concurrency { .. });
        let reasoning = entry.reasoning.as_ref();
        let conversation = if is_pool { None } else { self.conversation(at, entry) };
        let reason_ratio = reasoning.and_then(|reasoning| {
            let at = at.key::<()>("reasoning", None);
            self.optional_lengths(&at, "reason_ratio_distribution", &reasoning.reason_ratio_distribution)
        });
        let modalities = entry.multimodal.as_ref().map(|given| Box::new(self.modalities(at, given)));
        let waits = is_pool || conversation.is_some() || entry.closed_loop == Some(true);
        let timeout = match self.span_us(at, "timeout", &entry.timeout) {
            None => waits.then_some(DEFAULT_SESSION_TIMEOUT),
            Some(timeout) => Some(timeout).filter(|&timeout| timeout > Tick::ZERO),
        };
        let slo_target = self.span_us(at, "slo_target_us", &entry.slo_target_us);
        let prefix_length = self.whole(at, "prefix_length", &entry.prefix_length, 0..=MAX_TOKENS);
        let text = |given: &Option<String>| given.clone().unwrap_or_default();
        let labels = Labels {
            client: text(&entry.id),
            tenant: text(&entry.tenant_id),
            slo_class: entry.slo_class.as_ref().map(|class| class.value.clone()).unwrap_or_default(),
            // Models are looked up in lower case.
            model: text(&entry.model).to_lowercase(),
            adapter: adapter.map(|adapter| adapter.value.clone()).unwrap_or_default(),
            network,
            prefix_group: String::new(),
            streaming: entry.streaming.unwrap_or_default(),
            slo_target: slo_target.filter(|&target| target > Tick::ZERO),
        };
        let prefix = entry.prefix_group.clone().filter(|group| !group.is_empty());
        Client {
            prefix: prefix.map(|group| Prefix { group, tokens: prefix_length.unwrap_or(0) as u32 }),
            timeout,
            active: Arc::default(),
            modalities: modalities.filter(|_| !is_pool),
            reason_ratio: reason_ratio.filter(|_| !is_pool),
            conversation,
            ..Client::new(labels, traffic, input, output)
        }
    }

    fn conversation(&mut self, at: &At, entry: &Entry) -> Option<Conversation> {
        let given = entry.reasoning.as_ref()?.multi_turn.as_ref()?;
        let at = at.key("reasoning.multi_turn", Some(given));
        let rounds = self.required_whole(&at, "max_rounds", &given.value.max_rounds, 1..=MAX_ROUNDS);
        let growth = [("accumulate", true)];
        Some(Conversation {
            max_rounds: rounds.unwrap_or(1) as u32,
            think_time: self.span_us(&at, "think_time_us", &given.value.think_time_us).unwrap_or_default(),
            accumulates: self
                .word(&at, "context_growth", &given.value.context_growth, &growth)
                .unwrap_or(false),
            single_session: given.value.single_session.unwrap_or_default(),
            closed_loop: entry.closed_loop.unwrap_or(true),
        })
    }

    fn modalities(&mut self, at: &At, given: &Multimodal) -> Modalities {
        let at = at.key::<()>("multimodal", None);
        let mut items = Vec::new();
        for (modality, name, tokens, count) in [
            (Modality::Image, "image", &given.image_distribution, &given.image_count_distribution),
            (Modality::Audio, "audio", &given.audio_distribution, &given.audio_count_distribution),
            (Modality::Video, "video", &given.video_distribution, &given.video_count_distribution),
        ] {
            let tokens = self.optional_lengths(&at, &format!("{name}_distribution"), tokens);
            let count = self.optional_lengths(&at, &format!("{name}_count_distribution"), count);
            items.extend(tokens.zip(count).map(|(tokens, count)| ModalityItems { modality, count, tokens }));
        }
        Modalities { text: self.optional_lengths(&at, "text_distribution", &given.text_distribution), items }
    }

    /// A distribution that counts as absent when it has no type.
    fn optional_lengths(&mut self, at: &At, key: &str, given: &Maybe<Dist>) -> Option<LengthSampler> {
        let dist = &given.as_ref()?.value;
        dist.kind.as_ref().filter(|kind| !kind.value.is_empty())?;
        self.lengths(at, key, given)
    }

    pub(super) fn span_us(
        &mut self,
        at: &At,
        key: &str,
        given: &Maybe<super::schema::Whole>,
    ) -> Option<Tick> {
        self.whole(at, key, given, 0..=i64::MAX).map(Tick::from_us)
    }

    fn windows(&mut self, at: &At, entry: &Entry, is_absolute: bool) -> Vec<Span> {
        let lifecycle_at = at.key("lifecycle", entry.lifecycle.as_ref());
        let windows = entry.lifecycle.as_ref().and_then(|lifecycle| lifecycle.value.windows.as_deref());
        let windows = windows.unwrap_or_default();
        if windows.is_empty() && (entry.lifecycle.is_some() || is_absolute) {
            let reason = if is_absolute { "; without aggregate_rate every client needs some" } else { "" };
            self.report(
                &lifecycle_at.key::<()>("windows", None),
                format_args!("is missing or empty{reason}"),
            );
        }
        let mut spans = Vec::new();
        for (number, window) in windows.iter().enumerate() {
            let at = lifecycle_at.key(&format!("windows[{number}]"), Some(window));
            let window = &window.value;
            let start = window.start_us.unwrap_or_default().0;
            let end = window.end_us.unwrap_or_default().0;
            if start < 0 {
                self.out_of_range(&at.key::<()>("start_us", None), start, "at least 0");
            }
            if end <= start {
                let allowed = format!("greater than start_us, which is {start}");
                self.out_of_range(&at.key::<()>("end_us", None), end, &allowed);
            }
            if is_absolute && window.trace_rate.is_none() {
                self.report(
                    &at.key::<()>("trace_rate", None),
                    "is missing; without aggregate_rate every window needs it",
                );
            }
            let is_rate: fn(f64) -> bool = |rate| rate.is_finite() && rate >= 0.0;
            spans.push(Span {
                window: Window::once(Tick::from_us(start), Tick::from_us(end)),
                rate: self.real(&at, "trace_rate", &window.trace_rate, is_rate, "finite and at least 0"),
                process: window.arrival.as_ref().and_then(|_| self.process(&at, &window.arrival)),
                input: self.lengths(&at, "input_distribution", &window.input_distribution),
                output: self.lengths(&at, "output_distribution", &window.output_distribution),
            });
        }
        spans
    }
}
