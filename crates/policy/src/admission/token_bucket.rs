//! A bucket of prompt tokens that refills with time.
//!
//! tokens := min(capacity, tokens + (now - last) * refill / 10^6); a prompt of n tokens is let in iff tokens >= n,
//! and takes n. The whole prompt counts, cached or not; a refused request takes nothing.

use super::{Admission, AdmissionView, Decision};
use crate::Reads;
use blis_kernel::Tick;
use std::borrow::Cow;

/// Capacity when none is configured, tokens.
pub const DEFAULT_CAPACITY_TOKENS: f64 = 10_000.0;
/// Refill rate when none is configured, tokens per second.
pub const DEFAULT_REFILL_TOKENS_PER_S: f64 = 1_000.0;

/// A parameter that is not finite and above zero.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("token-bucket: {name} is {value}; it must be a finite number above 0")]
pub struct TokenBucketError {
    /// Which parameter.
    pub name: &'static str,
    /// Its value.
    pub value: f64,
}

/// `token-bucket`.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    capacity_tokens: f64,
    refill_tokens_per_s: f64,
    tokens: f64,
    last: Tick,
}

impl TokenBucket {
    /// A full bucket at time zero.
    ///
    /// # Errors
    /// A parameter that is not finite and above zero.
    pub fn new(capacity_tokens: f64, refill_tokens_per_s: f64) -> Result<Self, TokenBucketError> {
        for (name, value) in [("capacity", capacity_tokens), ("refill rate", refill_tokens_per_s)] {
            if !(value.is_finite() && value > 0.0) {
                return Err(TokenBucketError { name, value });
            }
        }
        Ok(Self { capacity_tokens, refill_tokens_per_s, tokens: capacity_tokens, last: Tick::ZERO })
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
        let mut bucket = TokenBucket::new(100.0, 1000.0).unwrap();
        let got: Vec<_> = [(0, 60), (0, 60), (10_000, 50), (10_000, 1), (1_000_000, 100), (1_000_000, 1)]
            .iter()
            .map(|&(at, tokens)| bucket.admit(&view(at, tokens)) == Decision::Admit)
            .collect();
        assert_eq!(got, [true, false, true, false, true, false]);
        assert_eq!(bucket.reason(), "insufficient tokens");
    }

    #[test]
    fn parameters_must_be_finite_and_positive() {
        assert_eq!(TokenBucket::new(0.0, 1.0).unwrap_err().name, "capacity");
        assert_eq!(TokenBucket::new(1.0, f64::INFINITY).unwrap_err().name, "refill rate");
        assert!(TokenBucket::new(f64::NAN, 1.0).is_err());
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
            let mut bucket = TokenBucket::new(capacity, rate).unwrap();
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
