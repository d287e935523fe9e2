//! Recorded traces (TraceV2): a header and one row per request.

mod blocks;
mod closed_loop;
mod export;
mod header;
mod problem;
mod prompts;
mod read;
mod replay;
mod row;
mod write;

pub use blocks::push_block;
pub use closed_loop::{ClosedLoop, RoundProblem};
pub use export::{RowNumbers, RowStatus, Served, TraceExport};
pub use header::{
    ContextGrowth, GoodputTarget, ObservedKvMetrics, RecordedKvOffload, RecordedSecondaryTier,
    RecordedServer, TRACE_VERSIONS, TimeUnit, TraceHeader, TraceMode,
};
pub use problem::{TraceError, TraceProblem};
pub use row::{BlockRun, OwnRow, RunsId, TextId, TraceRow};
pub use write::{OptionalColumns, TraceWriter};

use blis_kernel::Tick;

/// Horizon of [`Trace::auto_horizon`] for a trace that ends at time zero: ten minutes.
const SHORT_TRACE_HORIZON: Tick = Tick::from_us(600_000_000);

/// A trace in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// What is said about the whole trace.
    pub header: TraceHeader,
    rows: Vec<TraceRow>,
    texts: Vec<String>,
    runs: Vec<BlockRun>,
    /// Lag of the recorded send times behind the arrival clock, microseconds.
    send_base_us: i64,
}

impl Trace {
    /// The rows in file order.
    pub fn rows(&self) -> &[TraceRow] {
        &self.rows
    }

    /// A text that a row refers to.
    pub fn text(&self, id: TextId) -> &str {
        &self.texts[id.0 as usize]
    }

    /// The blocks that the prompt of a row begins with.
    pub fn blocks(&self, row: &TraceRow) -> &[BlockRun] {
        row.blocks.of(&self.runs)
    }

    /// When a replay injects a row.
    ///
    /// Real traces give send times as wall-clock time and everything else relative to the start of the run: the
    /// smallest lag between the two clocks is taken off. Never negative.
    pub fn injection(&self, row: &TraceRow) -> Tick {
        let at_us =
            if row.send_us > 0 { row.send_us.saturating_sub(self.send_base_us) } else { row.arrival_us };
        Tick::from_us(at_us.max(0))
    }

    /// Twice the latest injection time; ten minutes when that is zero; [`Tick::MAX`] when it cannot be doubled.
    pub fn auto_horizon(&self) -> Tick {
        let latest = self.rows.iter().map(|row| self.injection(row)).max().unwrap_or(Tick::ZERO);
        if latest == Tick::ZERO { SHORT_TRACE_HORIZON } else { latest + latest }
    }
}

/// The smallest (send − arrival) of the rows that were sent, for traces of a real server; elsewhere the clocks agree.
fn send_base_us(mode: TraceMode, rows: &[TraceRow]) -> i64 {
    let sent = rows.iter().filter(|row| row.send_us > 0);
    match mode {
        TraceMode::Real => sent.map(|row| row.send_us.saturating_sub(row.arrival_us)).min().unwrap_or(0),
        TraceMode::Generated | TraceMode::Replayed => 0,
    }
}
