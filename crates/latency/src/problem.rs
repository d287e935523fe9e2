//! What can be wrong with the inputs of a step-time model.

use std::fmt;
use thiserror::Error;

/// The inputs of a step-time model do not make sense.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("invalid {backend} model: {}", join(problems))]
pub struct InvalidModel {
    /// Name of the step-time model.
    pub backend: &'static str,
    /// Everything that is wrong; never empty.
    pub problems: Vec<Problem>,
}

fn join(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// One thing that is wrong.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum Problem {
    /// A coefficient list is too short.
    #[error("{list} has {given} coefficients, needs at least {needed}")]
    TooFewCoefficients {
        /// Which list.
        list: CoefficientList,
        /// Its length.
        given: usize,
        /// The length needed.
        needed: usize,
    },
    /// A coefficient is not a number, infinite or negative.
    #[error("{list}[{index}] {}, must be finite and non-negative", is(*value))]
    Coefficient {
        /// Which list.
        list: CoefficientList,
        /// Position in it, counted from 0.
        index: usize,
        /// The coefficient.
        value: f64,
    },
    /// A quantity that must be a positive number is not.
    #[error("{quantity} {}, must be finite and greater than 0", is(*value))]
    NotPositive {
        /// Which quantity.
        quantity: &'static str,
        /// Its value.
        value: f64,
    },
    /// A quantity that must be a number of at least 0 is not.
    #[error("{quantity} {}, must be finite and at least 0", is(*value))]
    Negative {
        /// Which quantity.
        quantity: &'static str,
        /// Its value.
        value: f64,
    },
    /// More of the shorter time is hidden behind the longer one than there is.
    #[error("overlap {}, must be at most 1", is(*value))]
    OverlapAboveOne {
        /// Its value.
        value: f64,
    },
    /// Heads cannot be dealt out evenly to the GPUs of a tensor-parallel group.
    #[error("{quantity} is {value}, must be divisible by TP {tp}")]
    NotDivisible {
        /// Which heads.
        quantity: &'static str,
        /// How many.
        value: u32,
        /// GPUs of the group.
        tp: u32,
    },
    /// An MoE model does not say how many experts a token visits.
    #[error("experts per token is 0, must be 1 to {experts} in a model with {experts} experts")]
    NoExpertsPerToken {
        /// Experts of the model.
        experts: u32,
    },
    /// A token visits more experts than there are.
    #[error(
        "experts per token is {experts_per_token}, must be 1 to {experts} in a model with {experts} experts"
    )]
    TooManyExpertsPerToken {
        /// Experts that a token visits.
        experts_per_token: u32,
        /// Experts of the model.
        experts: u32,
    },
    /// Tokens visit experts of a model that has none.
    #[error("experts per token is {experts_per_token}, must be 0 in a model without experts")]
    ExpertsPerTokenWithoutExperts {
        /// Experts that a token visits.
        experts_per_token: u32,
    },
    /// More than one data-parallel rank on a model whose layers are not MoE.
    #[error("DP is {dp}, must be 1 for a dense model (add instances instead)")]
    DataParallelDense {
        /// Ranks.
        dp: u32,
    },
    /// The tables of a GPU lack an operator of the model.
    #[error("{operator} was not measured on {gpu}")]
    NotMeasured {
        /// The operator.
        operator: &'static str,
        /// The GPU.
        gpu: String,
    },
}

/// Which of the two coefficient lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoefficientList {
    /// Overheads outside the step.
    Alpha,
    /// Terms of the step time.
    Beta,
}

impl fmt::Display for CoefficientList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alpha => "alpha",
            Self::Beta => "beta",
        })
    }
}

fn is(value: f64) -> String {
    if value.is_infinite() {
        format!("is {}Inf", if value < 0.0 { "-" } else { "" })
    } else {
        format!("is {value}")
    }
}

/// Collects problems until a model can be built or not.
pub(crate) struct Checks {
    problems: Vec<Problem>,
}

impl Checks {
    pub(crate) fn new() -> Self {
        Self { problems: Vec::new() }
    }

    pub(crate) fn require(&mut self, holds: bool, problem: Problem) {
        if !holds {
            self.problems.push(problem);
        }
    }

    pub(crate) fn positive(&mut self, quantity: &'static str, value: f64) {
        self.require(value.is_finite() && value > 0.0, Problem::NotPositive { quantity, value });
    }

    /// For quantities that may be 0.
    pub(crate) fn not_negative(&mut self, quantity: &'static str, value: f64) {
        self.require(value.is_finite() && value >= 0.0, Problem::Negative { quantity, value });
    }

    /// For quantities of which 0 means absent.
    pub(crate) fn positive_or_absent(&mut self, quantity: &'static str, value: f64) {
        if value != 0.0 {
            self.positive(quantity, value);
        }
    }

    pub(crate) fn divisible(&mut self, quantity: &'static str, value: u32, tp: u32) {
        if tp > 0 {
            self.require(value.is_multiple_of(tp), Problem::NotDivisible { quantity, value, tp });
        }
    }

    pub(crate) fn coefficients(&mut self, list: CoefficientList, values: &[f64], needed: usize) {
        let given = values.len();
        self.require(given >= needed, Problem::TooFewCoefficients { list, given, needed });
        for (index, &value) in values.iter().enumerate() {
            self.require(value.is_finite() && value >= 0.0, Problem::Coefficient { list, index, value });
        }
    }

    pub(crate) fn finish(self, backend: &'static str) -> Result<(), InvalidModel> {
        let problems = self.problems;
        if problems.is_empty() { Ok(()) } else { Err(InvalidModel { backend, problems }) }
    }
}
