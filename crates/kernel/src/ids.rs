//! Typed ids.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// The number of an instance, counted from zero in order of construction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(pub u32);

impl InstanceId {
    /// As an index into per-instance columns.
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "instance_{}", self.0)
    }
}

/// What a request is called in reports and in ties.
///
/// Kept structured and small, and only written out when somebody reads it; the order is that of the text, byte by byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestName {
    /// `request_<n>`: the n-th request of the source.
    Indexed(u64),
    /// A request made when an earlier request of its session ended.
    FollowUp(Arc<FollowUpName>),
    /// Any other text, as a caller of the library names its requests.
    Text(Arc<String>),
}

/// `session_<session>_round_<round>_<counter>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowUpName {
    /// Name of the session.
    pub session: Arc<str>,
    /// Round within the session, from zero.
    pub round: u32,
    /// Number of the follow-up over the whole run.
    pub counter: u64,
}

impl RequestName {
    /// A name of any text.
    pub fn text(text: &str) -> Self {
        Self::Text(Arc::new(text.to_owned()))
    }
}

impl fmt::Display for RequestName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Indexed(n) => write!(f, "request_{n}"),
            Self::FollowUp(name) => {
                write!(f, "session_{}_round_{}_{}", name.session, name.round, name.counter)
            }
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl Ord for RequestName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.to_string().as_bytes().cmp(other.to_string().as_bytes())
    }
}

impl PartialOrd for RequestName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
