//! Figures of whole sessions.

use crate::column::DurationColumn;
use crate::distribution::Distribution;
use crate::record::RequestRecord;
use blis_kernel::Tick;
use blis_kernel::stats::Ascending;

/// Figures of all sessions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SessionFigures {
    /// Sessions of which a request reached an instance.
    pub sessions: u64,
    /// Time to first token of first rounds, milliseconds.
    pub ttft_cold_ms: Distribution,
    /// Time to first token of later rounds, milliseconds.
    pub ttft_warm_ms: Distribution,
    /// From the arrival of the first round to the last completion, milliseconds.
    pub duration_ms: Distribution,
}

#[derive(Clone, Copy, Debug, Default)]
struct Span {
    seen: bool,
    begun: Option<Tick>,
    last_completion: Tick,
}

/// Collects the requests of sessions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sessions {
    spans: Vec<Span>,
    cold: DurationColumn,
    warm: DurationColumn,
}

impl Sessions {
    /// Adds a registered request, if it belongs to a session.
    pub(crate) fn add(&mut self, request: &RequestRecord) {
        let Some(place) = request.session else { return };
        let index = place.session as usize;
        if index >= self.spans.len() {
            self.spans.resize(index + 1, Span::default());
        }
        let span = &mut self.spans[index];
        span.seen = true;
        if place.round == 0 {
            span.begun = Some(request.arrival);
        }
        if let Some(e2e) = request.e2e {
            span.last_completion = span.last_completion.max(request.arrival + e2e);
        }
        if let Some(ttft) = request.ttft {
            if place.round == 0 { &mut self.cold } else { &mut self.warm }.push(ttft);
        }
    }

    /// The figures, if there are sessions at all.
    pub(crate) fn figures(mut self) -> Option<SessionFigures> {
        let sessions = self.spans.iter().filter(|span| span.seen).count() as u64;
        if sessions == 0 {
            return None;
        }
        let in_ms = |column: &mut DurationColumn| {
            column.sort();
            let values_ms: Vec<f64> = (0..column.count()).map(|rank| column.at(rank) / 1000.0).collect();
            Distribution::of(&values_ms[..])
        };
        let completed = self.spans.iter().filter_map(|span| Some((span.begun?, span.last_completion)));
        let mut durations_ms: Vec<f64> = completed
            .filter(|(begun, completed)| completed > begun)
            .map(|(begun, completed)| completed.as_ms() - begun.as_ms())
            .collect();
        durations_ms.sort_unstable_by(f64::total_cmp);
        Some(SessionFigures {
            sessions,
            ttft_cold_ms: in_ms(&mut self.cold),
            ttft_warm_ms: in_ms(&mut self.warm),
            duration_ms: Distribution::of(&durations_ms[..]),
        })
    }
}
