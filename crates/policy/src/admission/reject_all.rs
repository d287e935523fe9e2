//! Nobody is let in; for tests of what comes before the gate.
//!
//! `admit = no`

use super::{Admission, AdmissionView, Decision};
use crate::Reads;
use crate::registry::{Entry, MakeAdmission};
use std::borrow::Cow;

/// What the registry says of it.
pub const ENTRY: Entry<MakeAdmission> = Entry {
    name: "reject-all",
    summary: "nobody is let in (for tests)",
    formula: "false",
    params: &[],
    make: &|_| Box::new(RejectAll),
};

/// `reject-all`.
#[derive(Clone, Copy, Debug, Default)]
pub struct RejectAll;

impl Admission for RejectAll {
    fn admit(&mut self, _: &AdmissionView<'_>) -> Decision {
        Decision::Reject
    }

    fn reads(&self) -> Reads {
        Reads::NONE
    }

    fn reason(&self) -> Cow<'static, str> {
        Cow::Borrowed("reject-all")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::view;

    #[test]
    fn the_shortest_prompt_is_turned_away_with_a_reason() {
        assert_eq!(RejectAll.admit(&view(0, 1)), Decision::Reject);
        assert_eq!(RejectAll.reason(), "reject-all");
    }
}
