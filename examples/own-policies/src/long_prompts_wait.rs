//! Long prompts are turned away while every instance has requests waiting.

use blis_policy::admission::{Admission, AdmissionView, Decision};
use blis_policy::registry::MakeAdmission;
use blis_policy::{Entry, Param, Range, Reads};
use std::borrow::Cow;

pub(crate) const ENTRY: Entry<MakeAdmission> = Entry {
    name: "long-prompts-wait",
    summary: "long prompts are turned away while every instance has a queue",
    formula: "refuse if prompt tokens > n and min QD > 0",
    params: &[Param {
        name: "long-prompt-tokens",
        summary: "longest prompt that is always let in, tokens (n)",
        default: 2000.0,
        range: Range::PositiveCount,
    }],
    make: &|setup| Box::new(LongPromptsWait { longest: setup.params.get("long-prompt-tokens") }),
};

struct LongPromptsWait {
    longest: f64,
}

impl Admission for LongPromptsWait {
    fn admit(&mut self, view: &AdmissionView<'_>) -> Decision {
        let is_long = f64::from(view.input_tokens) > self.longest;
        let all_wait = view.queue_depth.iter().all(|&waiting| waiting > 0);
        if is_long && all_wait { Decision::Reject } else { Decision::Admit }
    }

    fn reads(&self) -> Reads {
        Reads::SNAPSHOT
    }

    fn reason(&self) -> Cow<'static, str> {
        Cow::Borrowed("long prompt while everybody waits")
    }
}
