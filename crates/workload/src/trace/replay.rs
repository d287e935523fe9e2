//! Replaying a trace: every row arrives at its recorded time, whatever happens to the others.
//!
//! Draws (the stream of the seed itself): the tokens of each prefix group in order of its first row with a prefix
//! length, then per row in file order its input ids and its output ids. Rows of one session that continue each other
//! repeat tokens of earlier rows instead of their own first ones; what they draw does not depend on it.

use super::{ContextGrowth, TextId, Trace, TraceRow};
use crate::content::{Content, GroupId, HEAD_TOKENS, Segment};
use crate::request::{
    Composition, Labels, LabelsId, RequestEnd, RequestSource, RequestSpec, SessionId, SessionRound,
};
use crate::tokens;
use blis_kernel::rng::GoRand;
use blis_kernel::{RequestName, Tick};
use std::collections::BTreeMap;
use std::sync::Arc;

impl Trace {
    /// Starts a replay in fixed mode: rows are injected in order of [`Trace::injection`], at equal times in file order.
    pub fn stream(self: &Arc<Self>, seed: i64) -> Box<dyn RequestSource> {
        Box::new(Replay::new(Arc::clone(self), seed))
    }
}

/// What a replay adds to a row.
#[derive(Clone, Copy, Debug, Default)]
struct Prompt {
    /// The row of the round whose prompt and answer this prompt begins with.
    previous: Option<u32>,
    /// Whether a later round begins with this one.
    continued: bool,
    prefix: Option<(GroupId, u32)>,
    /// Tokens behind the prefix and the earlier rounds.
    fresh_tokens: u32,
    /// Tokens behind the prefix.
    suffix_tokens: u32,
    head: [u32; HEAD_TOKENS],
    labels: LabelsId,
    session: Option<SessionId>,
}

struct Replay {
    trace: Arc<Trace>,
    prompts: Vec<Prompt>,
    /// Rows in order of injection.
    order: Vec<u32>,
    /// Place in `order` of the next one.
    next: usize,
    groups: Vec<Vec<u32>>,
    labels: Vec<Labels>,
    /// Names of the sessions.
    sessions: Vec<TextId>,
}

impl Replay {
    fn new(trace: Arc<Trace>, seed: i64) -> Self {
        let mut order: Vec<u32> = (0..trace.rows.len() as u32).collect();
        order.sort_by_key(|&row| trace.injection(&trace.rows[row as usize]));
        let mut replay = Self {
            prompts: vec![Prompt::default(); trace.rows.len()],
            trace,
            order,
            next: 0,
            groups: Vec::new(),
            labels: Vec::new(),
            sessions: Vec::new(),
        };
        let mut rng = GoRand::new(seed);
        replay.draw_groups(&mut rng);
        replay.number_labels();
        replay.link_sessions();
        replay.draw_rows(&mut rng);
        replay
    }

    fn draw_groups(&mut self, rng: &mut GoRand) {
        let mut numbers = BTreeMap::new();
        for row in &self.trace.rows {
            if row.prefix_group != TextId::default() && row.prefix_tokens > 0 {
                numbers.entry(row.prefix_group).or_insert_with(|| {
                    self.groups.push(tokens::draw_group(rng, row.prefix_tokens));
                    GroupId(self.groups.len() as u32 - 1)
                });
            }
        }
        for (row, prompt) in self.trace.rows.iter().zip(&mut self.prompts) {
            let group = numbers.get(&row.prefix_group).copied();
            prompt.prefix = group.map(|group| (group, self.groups[group.0 as usize].len() as u32));
            prompt.suffix_tokens = suffix_tokens(row);
            prompt.fresh_tokens = prompt.suffix_tokens;
        }
    }

    fn number_labels(&mut self) {
        let mut numbers = BTreeMap::new();
        for (row, prompt) in self.trace.rows.iter().zip(&mut self.prompts) {
            let key = (
                [row.client, row.tenant, row.slo_class, row.model, row.adapter, row.prefix_group],
                row.streaming,
                row.slo_target_us,
            );
            prompt.labels = *numbers.entry(key).or_insert_with(|| {
                self.labels.push(labels(&self.trace, row));
                LabelsId(self.labels.len() as u32 - 1)
            });
        }
    }

    /// Finds the sessions and which of their rounds continue the one before.
    fn link_sessions(&mut self) {
        let mut numbers = BTreeMap::new();
        let mut rounds: Vec<Vec<u32>> = Vec::new();
        for (index, row) in self.trace.rows.iter().enumerate() {
            if row.session == TextId::default() {
                continue;
            }
            let number = *numbers.entry(row.session).or_insert_with(|| {
                self.sessions.push(row.session);
                rounds.push(Vec::new());
                SessionId(self.sessions.len() as u32 - 1)
            });
            self.prompts[index].session = Some(number);
            rounds[number.0 as usize].push(index as u32);
        }
        let growth = self.trace.header.context_growth;
        for mut rounds in rounds {
            rounds.sort_by_key(|&row| self.trace.rows[row as usize].round);
            for pair in rounds.windows(2) {
                self.link(growth, pair[0] as usize, pair[1] as usize);
            }
        }
    }

    /// Lets a round begin with the prompt and the answer of the round before, if its length says that it does.
    fn link(&mut self, growth: ContextGrowth, before: usize, round: usize) {
        if self.prompts[before].prefix != self.prompts[round].prefix {
            return;
        }
        let answer_tokens = self.trace.rows[before].output_tokens;
        let history = self.prompts[before].suffix_tokens.saturating_add(answer_tokens);
        let prompt = &mut self.prompts[round];
        match growth {
            ContextGrowth::Accumulate => prompt.suffix_tokens = history.saturating_add(prompt.fresh_tokens),
            ContextGrowth::None => match prompt.suffix_tokens.checked_sub(history) {
                Some(fresh) => prompt.fresh_tokens = fresh,
                None => return,
            },
        }
        prompt.previous = Some(before as u32);
        self.prompts[before].continued = true;
    }

    fn draw_rows(&mut self, rng: &mut GoRand) {
        for (row, prompt) in self.trace.rows.iter().zip(&mut self.prompts) {
            let mut head = tokens::draw_request(rng, suffix_tokens(row), row.output_tokens);
            head[HEAD_TOKENS.min(prompt.fresh_tokens as usize)..].fill(0);
            prompt.head = head;
        }
    }

    fn content(&self, row: usize) -> Content {
        let prompt = &self.prompts[row];
        let uid = row as u64;
        if prompt.prefix.is_none() && prompt.previous.is_none() && !prompt.continued {
            return Content::Unique { uid, head: prompt.head };
        }
        let mut segments = Vec::new();
        segments.push(self.fresh(row));
        let mut round = row;
        while let Some(previous) = self.prompts[round].previous {
            round = previous as usize;
            let tokens = self.trace.rows[round].output_tokens;
            segments.push(Segment::Answer { uid: u64::from(previous), tokens });
            segments.push(self.fresh(round));
        }
        segments.extend(prompt.prefix.map(|(group, tokens)| Segment::Group { group, tokens }));
        segments.reverse();
        Content::Shared { prompt: segments, answer_uid: uid }
    }

    fn fresh(&self, row: usize) -> Segment {
        let Prompt { fresh_tokens: tokens, head, .. } = self.prompts[row];
        Segment::Fresh { uid: row as u64, tokens, head }
    }
}

/// Prompt tokens behind the prefix. A server's own count includes the prefix, so it serves only without one.
fn suffix_tokens(row: &TraceRow) -> u32 {
    if row.server_input_tokens > 0 && row.prefix_group == TextId::default() {
        row.server_input_tokens
    } else {
        row.input_tokens
    }
}

fn labels(trace: &Trace, row: &TraceRow) -> Labels {
    let text = |id| trace.text(id).to_owned();
    Labels {
        client: text(row.client),
        tenant: text(row.tenant),
        slo_class: text(row.slo_class),
        model: text(row.model),
        adapter: text(row.adapter),
        prefix_group: text(row.prefix_group),
        streaming: row.streaming,
        slo_target: (row.slo_target_us > 0).then(|| Tick::from_us(row.slo_target_us)),
    }
}

/// What the row says of its parts, if anything.
fn composition(row: &TraceRow) -> Option<Box<Composition>> {
    let &TraceRow { text_tokens, image_tokens, audio_tokens, video_tokens, reason_ratio, .. } = row;
    let composition = Composition { text_tokens, image_tokens, audio_tokens, video_tokens, reason_ratio };
    (composition != Composition::default()).then(|| Box::new(composition))
}

fn name(row: &TraceRow) -> RequestName {
    match u64::try_from(row.request_id) {
        Ok(id) => RequestName::Indexed(id),
        Err(_) => RequestName::text(&format!("request_{}", row.request_id)),
    }
}

impl RequestSource for Replay {
    fn next_arrival(&mut self) -> Option<RequestSpec> {
        let index = *self.order.get(self.next)? as usize;
        self.next += 1;
        let row = &self.trace.rows[index];
        let prompt = &self.prompts[index];
        let prefix_tokens = prompt.prefix.map_or(0, |(_, tokens)| tokens);
        Some(RequestSpec {
            arrival: self.trace.injection(row),
            name: name(row),
            input_tokens: prefix_tokens.saturating_add(prompt.suffix_tokens),
            output_tokens: row.output_tokens,
            max_output_tokens: row.output_tokens,
            deadline: (row.deadline_us > 0).then(|| Tick::from_us(row.deadline_us)),
            content: self.content(index),
            labels: prompt.labels,
            session: prompt.session.map(|session| SessionRound { session, round: row.round }),
            composition: composition(row),
        })
    }

    fn is_reactive(&self) -> bool {
        false
    }

    fn on_end(&mut self, _ended: SessionRound, _at: Tick, _end: RequestEnd) -> Option<RequestSpec> {
        None
    }

    fn labels(&self) -> &[Labels] {
        &self.labels
    }

    fn session_name(&self, session: SessionId) -> &str {
        self.trace.text(self.sessions[session.0 as usize])
    }

    fn groups(&self) -> &[Vec<u32>] {
        &self.groups
    }
}
