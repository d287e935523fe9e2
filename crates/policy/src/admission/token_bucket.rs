//! A bucket of prompt tokens that refills with time.
//!
//! tokens := min(capacity, tokens + (now - last) * refill / 10^6); a prompt of n tokens is let in iff tokens >= n,
//! and takes n. The whole prompt counts, cached or not; a refused request takes nothing.

use super::{Admission, AdmissionView, Decision};
use crate::Reads;
use crate::registry::{Entry, MakeAdmission, Param, Range};
use blis_kernel::Tick;
use std::borrow::Cow;

const CAPACITY: &str = "token-bucket-capacity";
const REFILL_RATE: &str = "token-bucket-refill-rate";

/// What the registry says of it.
pub const ENTRY: Entry<MakeAdmission> = Entry {
    name: "token-bucket",
    summary: "a bucket of prompt tokens that refills with time",
    formula: "admit if min(C, tokens + elapsed * r) >= prompt tokens, and take them",
    params: &[
        Param {
            name: CAPACITY,
            summary: "size of the bucket, prompt tokens (C)",
            default: 10_000.0,
            range: Range::Positive,
        },
        Param {
            name: REFILL_RATE,
            summary: "refill, tokens per second (r)",
            default: 1_000.0,
            range: Range::Positive,
        },
    ],
    make: &|setup| Box::new(TokenBucket::new(setup.params.get(CAPACITY), setup.params.get(REFILL_RATE))),
};

/// `token-bucket`.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    capacity_tokens: f64,
    refill_tokens_per_s: f64,
    tokens: f64,
    last: Tick,
}

impl TokenBucket {
    /// A full bucket at time zero. Both must be finite and above 0.
    pub fn new(capacity_tokens: f64, refill_tokens_per_s: f64) -> Self {
        Self { capacity_tokens, refill_tokens_per_s, tokens: capacity_tokens, last: Tick::ZERO }
    }
}

impl Admission for TokenBucket {
    fn admit(&mut self, view: &AdmissionView<'_>) -> Decision {
        if view.now > self.last {
            let elapsed_us = (view.now - self.last).as_us() as f64;
            let filled = self.tokens + elapsed_us * self.refill_tokens_per_s / 1e6;
            self.tokens = self.capacity_tokens.min(filled);
            self.last = view.now;
        }
        let cost = view.input_tokens as f64;
        if self.tokens < cost {
            return Decision::Reject;
        }
        self.tokens -= cost;
        Decision::Admit
    }

    fn reads(&self) -> Reads {
        Reads::NONE
    }

    fn reason(&self) -> Cow<'static, str> {
        Cow::Borrowed("insufficient tokens")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::view;
    use proptest::prelude::*;

    #[test]
    fn capacity_100_at_1000_per_second() {
        let mut bucket = TokenBucket::new(100.0, 1000.0);
        let got: Vec<_> = [(0, 60), (0, 60), (10_000, 50), (10_000, 1), (1_000_000, 100), (1_000_000, 1)]
            .iter()
            .map(|&(at, tokens)| bucket.admit(&view(at, tokens)) == Decision::Admit)
            .collect();
        assert_eq!(got, [true, false, true, false, true, false]);
        assert_eq!(bucket.reason(), "insufficient tokens");
    }

    #[test]
    fn parameters_must_be_finite_and_positive() {
        let refused = |name, value| ENTRY.with(&[(name, value)]).unwrap_err().to_string();
        assert_eq!(
            refused(CAPACITY, 0.0),
            "token-bucket-capacity of token-bucket is 0; it must be a finite number above 0"
        );
        assert!(
            refused(REFILL_RATE, f64::INFINITY)
                .starts_with("token-bucket-refill-rate of token-bucket is inf")
        );
        assert!(ENTRY.with(&[(CAPACITY, f64::NAN)]).is_err());
    }

    proptest! {
        /// The bucket never holds more than its capacity nor less than nothing, and never lets in more tokens
        /// than its first filling and the refill since.
        #[test]
        fn admitted_tokens_stay_within_capacity_plus_refill(
            requests in prop::collection::vec((0i64..100_000, 1u32..300), 1..100),
            capacity in 1.0f64..1000.0,
            rate in 1.0f64..10_000.0,
        ) {
            let mut bucket = TokenBucket::new(capacity, rate);
            let (mut now, mut admitted) = (0, 0.0);
            for (wait, tokens) in requests {
                now += wait;
                if bucket.admit(&view(now, tokens)) == Decision::Admit {
                    admitted += tokens as f64;
                }
                prop_assert!((0.0..=capacity).contains(&bucket.tokens));
                prop_assert!(admitted <= capacity + now as f64 * rate / 1e6 + 1e-6);
            }
        }
    }
}
