//! Everybody is let in.
//!
//! `admit = yes`

use super::{Admission, AdmissionView, Decision};
use crate::Reads;
use crate::registry::{Entry, MakeAdmission};
use std::borrow::Cow;

/// What the registry says of it.
pub const ENTRY: Entry<MakeAdmission> = Entry {
    name: "always-admit",
    summary: "everybody is let in",
    formula: "true",
    params: &[],
    make: &|_| Box::new(AlwaysAdmit),
};

/// `always-admit`.
#[derive(Clone, Copy, Debug, Default)]
pub struct AlwaysAdmit;

impl Admission for AlwaysAdmit {
    fn admit(&mut self, _: &AdmissionView<'_>) -> Decision {
        Decision::Admit
    }

    fn reads(&self) -> Reads {
        Reads::NONE
    }

    fn reason(&self) -> Cow<'static, str> {
        Cow::Borrowed("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::view;

    #[test]
    fn the_longest_prompt_is_let_in() {
        assert_eq!(AlwaysAdmit.admit(&view(0, u32::MAX)), Decision::Admit);
    }
}
