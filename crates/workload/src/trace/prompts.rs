//! What a replay adds to the rows of a trace: prefix groups, sessions, and which tokens prompts have in common.

use super::{ContextGrowth, TextId, Trace, TraceRow, blocks};
use crate::content::{Content, GroupId, HEAD_TOKENS, Segment};
use crate::request::{
    Composition, DetailKinds, Details, Labels, LabelsId, RequestSpec, SessionId, SessionRound,
};
use crate::tokens;
use blis_kernel::rng::GoRand;
use blis_kernel::{RequestName, Tick};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a replay adds to a row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Prompt {
    /// The row of the round whose prompt and answer this prompt begins with.
    pub(super) previous: Option<u32>,
    /// Whether a later round begins with this one.
    continued: bool,
    prefix: Option<(GroupId, u32)>,
    /// Tokens behind the prefix and the earlier rounds.
    fresh_tokens: u32,
    /// Tokens behind the prefix.
    suffix_tokens: u32,
    /// Tokens of the answer that a later round repeats.
    answer_tokens: u32,
    head: [u32; HEAD_TOKENS],
    labels: LabelsId,
    session: Option<SessionId>,
}

/// A session of a trace.
pub(super) struct Session {
    pub(super) name: TextId,
    /// Its rows in order of their rounds.
    pub(super) rounds: Vec<u32>,
}

/// The rows of a trace as requests.
pub(super) struct Prompts {
    pub(super) trace: Arc<Trace>,
    prompts: Vec<Prompt>,
    groups: Vec<Vec<u32>>,
    labels: Vec<Labels>,
    /// In order of first appearance.
    pub(super) sessions: Vec<Session>,
}

impl Prompts {
    /// Draws the tokens of the prefix groups, in order of the first row of each with a prefix length.
    pub(super) fn new(trace: Arc<Trace>, rng: &mut GoRand) -> Self {
        let sessions = trace.sessions();
        let prompts = vec![Prompt::default(); trace.rows.len()];
        let mut this = Self { prompts, trace, groups: Vec::new(), labels: Vec::new(), sessions };
        this.draw_groups(rng);
        this.number_labels();
        for (number, session) in this.sessions.iter().enumerate() {
            for &row in &session.rounds {
                this.prompts[row as usize].session = Some(SessionId(number as u32));
            }
        }
        this
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
            // A prompt of recorded blocks has no other beginning.
            let group = numbers
                .get(&row.prefix_group)
                .copied()
                .filter(|_| row.blocks.of(&self.trace.runs).is_empty());
            prompt.prefix = group.map(|group| (group, self.groups[group.0 as usize].len() as u32));
            prompt.suffix_tokens = suffix_tokens(row);
            prompt.fresh_tokens = prompt.suffix_tokens;
            prompt.answer_tokens = row.output_tokens;
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

    /// Finds out which rounds continue the one before.
    pub(super) fn link_sessions(&mut self) {
        let sessions = std::mem::take(&mut self.sessions);
        for session in &sessions {
            for pair in session.rounds.windows(2) {
                self.link(pair[0] as usize, pair[1] as usize);
            }
        }
        self.sessions = sessions;
    }

    /// Lets a round begin with the prompt and the answer of the round before, if its length says that it does.
    fn link(&mut self, before: usize, round: usize) {
        let rows = &self.trace.rows;
        let has_blocks = |row: usize| !self.trace.blocks(&rows[row]).is_empty();
        if self.prompts[before].prefix != self.prompts[round].prefix
            || has_blocks(before)
            || has_blocks(round)
        {
            return;
        }
        let history = self.prompts[before].history_tokens();
        let prompt = &mut self.prompts[round];
        match self.trace.header.context_growth {
            ContextGrowth::Accumulate => prompt.suffix_tokens = history.saturating_add(prompt.fresh_tokens),
            ContextGrowth::None => match prompt.suffix_tokens.checked_sub(history) {
                Some(fresh) => prompt.fresh_tokens = fresh,
                None => return,
            },
        }
        prompt.previous = Some(before as u32);
        self.prompts[before].continued = true;
    }

    /// An answer was shorter or longer than the row says: `tokens` of it are what the next round repeats.
    pub(super) fn answered(&mut self, row: usize, tokens: u32, next: usize) {
        if self.prompts[next].previous == Some(row as u32) {
            self.prompts[row].answer_tokens = tokens;
            let history = self.prompts[row].history_tokens();
            let prompt = &mut self.prompts[next];
            prompt.suffix_tokens = history.saturating_add(prompt.fresh_tokens);
        }
    }

    /// Draws the tokens of a row: input ids, then output ids. A round that continues another one draws as many, and
    /// repeats tokens of the other instead of its first ones.
    pub(super) fn draw(&mut self, row: usize, rng: &mut GoRand) {
        let recorded = &self.trace.rows[row];
        let prompt = &mut self.prompts[row];
        prompt.head = tokens::draw_request(rng, suffix_tokens(recorded), recorded.output_tokens);
        prompt.head[HEAD_TOKENS.min(prompt.fresh_tokens as usize)..].fill(0);
    }

    /// The request of a row.
    pub(super) fn request(&self, row: usize, arrival: Tick, deadline: Option<Tick>) -> RequestSpec {
        let recorded = &self.trace.rows[row];
        let prompt = &self.prompts[row];
        let prefix_tokens = prompt.prefix.map_or(0, |(_, tokens)| tokens);
        RequestSpec {
            arrival,
            name: name(recorded),
            input_tokens: prefix_tokens.saturating_add(prompt.suffix_tokens),
            output_tokens: recorded.output_tokens,
            max_output_tokens: recorded.output_tokens,
            deadline,
            content: self.content(row),
            labels: prompt.labels,
            session: prompt.session.map(|session| SessionRound { session, round: recorded.round }),
            composition: composition(recorded),
        }
    }

    /// The session of a row, if it has one.
    pub(super) fn session_of(&self, row: usize) -> Option<SessionId> {
        self.prompts[row].session
    }

    fn content(&self, row: usize) -> Content {
        let prompt = &self.prompts[row];
        let uid = row as u64;
        let runs = self.trace.blocks(&self.trace.rows[row]);
        if let Some(block_tokens) = self.trace.header.prefix_block_tokens.filter(|_| !runs.is_empty()) {
            let mut segments = Vec::with_capacity(runs.len() + 1);
            let known = blocks::segments(runs, block_tokens, prompt.suffix_tokens, &mut segments);
            let tokens = prompt.suffix_tokens - known;
            if tokens > 0 {
                let mut head = prompt.head;
                head[HEAD_TOKENS.min(tokens as usize)..].fill(0);
                segments.push(Segment::Fresh { uid, tokens, head });
            }
            return Content::Shared { prompt: segments, answer_uid: uid };
        }
        if prompt.prefix.is_none() && prompt.previous.is_none() && !prompt.continued {
            return Content::Unique { uid, head: prompt.head };
        }
        let mut segments = Vec::new();
        segments.push(self.fresh(row));
        let mut round = row;
        while let Some(previous) = self.prompts[round].previous {
            round = previous as usize;
            let tokens = self.prompts[round].answer_tokens;
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

    pub(super) fn labels(&self) -> &[Labels] {
        &self.labels
    }

    pub(super) fn groups(&self) -> &[Vec<u32>] {
        &self.groups
    }

    pub(super) fn session_name(&self, session: SessionId) -> &str {
        self.trace.text(self.sessions[session.0 as usize].name)
    }

    pub(super) fn detail_kinds(&self) -> DetailKinds {
        let rows = &self.trace.rows;
        DetailKinds {
            vllm_priority: rows.iter().any(|row| row.vllm_priority != 0),
            think_time: rows.iter().any(|row| row.think_time_us != 0),
            blocks: !self.trace.runs.is_empty(),
        }
    }

    pub(super) fn details(&self, request: &RequestSpec) -> Details {
        let row = &self.trace.rows[request.content.uid() as usize];
        Details { vllm_priority: row.vllm_priority, think_time: Tick::from_us(row.think_time_us) }
    }
}

impl Prompt {
    fn history_tokens(&self) -> u32 {
        self.suffix_tokens.saturating_add(self.answer_tokens)
    }
}

impl Trace {
    /// The sessions in order of first appearance, each with its rows in order of their rounds.
    pub(super) fn sessions(&self) -> Vec<Session> {
        let mut numbers = BTreeMap::new();
        let mut sessions: Vec<Session> = Vec::new();
        for (index, row) in self.rows.iter().enumerate() {
            if row.session != TextId::default() {
                let number = *numbers.entry(row.session).or_insert_with(|| {
                    sessions.push(Session { name: row.session, rounds: Vec::new() });
                    sessions.len() - 1
                });
                sessions[number].rounds.push(index as u32);
            }
        }
        for session in &mut sessions {
            session.rounds.sort_by_key(|&row| self.rows[row as usize].round);
        }
        sessions
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
        network: None,
        prefix_group: text(row.prefix_group),
        streaming: row.streaming,
        slo_target: (row.slo_target_us > 0).then(|| Tick::from_us(row.slo_target_us)),
    }
}

fn name(row: &TraceRow) -> RequestName {
    match u64::try_from(row.request_id) {
        Ok(id) => RequestName::Indexed(id),
        Err(_) => RequestName::text(&format!("request_{}", row.request_id)),
    }
}

/// What the row says of its parts, if anything.
fn composition(row: &TraceRow) -> Option<Box<Composition>> {
    let &TraceRow { text_tokens, image_tokens, audio_tokens, video_tokens, reason_ratio, .. } = row;
    let composition = Composition { text_tokens, image_tokens, audio_tokens, video_tokens, reason_ratio };
    (composition != Composition::default()).then(|| Box::new(composition))
}
