//! Distributions of lengths and gaps.

use super::reader::{At, POSITIVE, Reader, is_positive};
use super::schema::{Arrival, Dist, Maybe};
use crate::diagnostic::{Diagnostic, unknown_name};
use blis_kernel::samplers::{
    ArrivalApproximation, ArrivalProcess, EmpiricalLengths, GapShape, LengthSampler,
};

/// Every type with its parameters: those that must be there, and those that may.
const TYPES: [(&str, &[&str], &[&str]); 6] = [
    ("gaussian", &["mean", "std_dev", "min", "max"], &[]),
    ("exponential", &["mean"], &["min", "max"]),
    ("lognormal", &["mu", "sigma"], &["min", "max"]),
    ("pareto_lognormal", &["alpha", "xm", "mu", "sigma", "mix_weight"], &[]),
    ("constant", &["value"], &[]),
    (EMPIRICAL, &[], &[]),
];
const EMPIRICAL: &str = "empirical";
/// The coefficients of variation for which there is a Weibull shape.
const WEIBULL_CV: std::ops::RangeInclusive<f64> = 0.01..=10.4;

/// Stands in for a distribution with a problem.
const ANY: LengthSampler = LengthSampler::Constant { value: 1 };

impl Reader<'_> {
    /// A distribution that has to be there.
    pub(super) fn required_lengths(&mut self, parent: &At, key: &str, given: &Maybe<Dist>) -> LengthSampler {
        if given.is_none() {
            self.report(&parent.key::<()>(key, None), "is missing");
        }
        self.lengths(parent, key, given).unwrap_or(ANY)
    }

    /// A distribution that may be absent; `None` also when something is wrong with it.
    pub(super) fn lengths(&mut self, parent: &At, key: &str, given: &Maybe<Dist>) -> Option<LengthSampler> {
        let given = given.as_ref()?;
        let at = parent.key(key, Some(given));
        let dist = &given.value;
        let before = self.problems.len();
        if let Some(file) = dist.file.as_ref().filter(|file| !file.value.is_empty()) {
            let file_at = at.key("file", Some(file));
            self.report(&file_at, "is not read; write the table into params, tokens: weight");
        }
        let Some(kind) = &dist.kind else {
            self.report(&at.key::<()>("type", None), "is missing");
            return None;
        };
        let Some((name, required, optional)) = TYPES.iter().find(|(name, ..)| *name == kind.value) else {
            let type_at = at.key("type", Some(kind));
            let problem = unknown_name(&type_at.path, &kind.value, TYPES.map(|(name, ..)| name));
            self.problem(&type_at, problem);
            return None;
        };
        let at = at.key::<()>("params", None);
        if *name == EMPIRICAL {
            let table = self.table(&at, dist);
            return (self.problems.len() == before).then_some(LengthSampler::Empirical(table));
        }
        for (param, value) in dist.params.iter().flatten() {
            let param_at = at.key(param, Some(value));
            if !required.contains(&param.as_str()) && !optional.contains(&param.as_str()) {
                let known = required.iter().chain(*optional).copied();
                let problem = unknown_name(&format!("parameter of {name}"), param, known);
                self.problem(&param_at, problem);
            } else if !value.value.is_finite() {
                self.out_of_range(&param_at, value.value, "finite");
            }
        }
        for param in *required {
            if !dist.params.as_ref().is_some_and(|params| params.contains_key(*param)) {
                self.report(&at.key::<()>(param, None), format_args!("is missing; {name} needs it"));
            }
        }
        if self.problems.len() > before {
            return None;
        }
        let param =
            |name: &str| dist.params.as_ref().and_then(|p| p.get(name)).map_or(0.0, |value| value.value);
        let (min, max) = (param("min") as i64, param("max") as i64);
        let is_bounded = *name == "gaussian" || (min > 0 && max > 0);
        if min > max && is_bounded {
            self.out_of_range(&at.key::<()>("min", None), min, &format!("at most max, which is {max}"));
            return None;
        }
        Some(match *name {
            "gaussian" => {
                LengthSampler::Gaussian { mean: param("mean"), std_dev: param("std_dev"), min, max }
            }
            "exponential" => LengthSampler::Exponential { mean: param("mean"), min, max },
            "lognormal" => LengthSampler::Lognormal { mu: param("mu"), sigma: param("sigma"), min, max },
            "pareto_lognormal" => LengthSampler::ParetoLognormal {
                alpha: param("alpha"),
                xm: param("xm"),
                mu: param("mu"),
                sigma: param("sigma"),
                mix_weight: param("mix_weight"),
            },
            _ => LengthSampler::Constant { value: param("value") as i64 },
        })
    }

    fn table(&mut self, at: &At, dist: &Dist) -> EmpiricalLengths {
        let mut pairs = Vec::new();
        for (key, weight) in dist.params.iter().flatten() {
            let key_at = at.key(key, Some(weight));
            if !weight.value.is_finite() {
                self.out_of_range(&key_at, weight.value, "finite");
            }
            let digits = key.split_once('.').map_or(key.as_str(), |(whole, fraction)| {
                if fraction.bytes().all(|digit| digit == b'0') { whole } else { "" }
            });
            match digits.parse::<i64>() {
                Ok(tokens) if tokens >= 0 => pairs.push((tokens, weight.value)),
                _ => self.report(&key_at, "is not a number of tokens: it must be whole and at least 0"),
            }
        }
        if dist.params.as_ref().is_none_or(std::collections::BTreeMap::is_empty) {
            self.report(at, "is empty; empirical needs at least one entry, tokens: weight");
        }
        EmpiricalLengths::new(pairs)
    }

    /// How gaps vary.
    pub(super) fn process(&mut self, parent: &At, given: &Maybe<Arrival>) -> Option<ArrivalProcess> {
        let at = parent.key("arrival", given.as_ref());
        let Some(arrival) = given.as_ref().map(|given| &given.value) else {
            self.report(&at.key::<()>("process", None), "is missing");
            return None;
        };
        let before = self.problems.len();
        let gap = GapShape {
            cv: self.real(&at, "cv", &arrival.cv, is_positive, POSITIVE),
            shape: self.real(&at, "shape", &arrival.shape, is_positive, POSITIVE),
            scale_us: self.real(&at, "scale", &arrival.scale, is_positive, POSITIVE),
        };
        let known = [
            ("poisson", ArrivalProcess::Poisson),
            ("gamma", ArrivalProcess::Gamma(gap)),
            ("weibull", ArrivalProcess::Weibull(gap)),
            ("constant", ArrivalProcess::Constant),
        ];
        if arrival.process.as_ref().is_none_or(|process| process.value.is_empty()) {
            self.report(&at.key("process", arrival.process.as_ref()), "is missing");
        }
        let process = self.word(&at, "process", &arrival.process, &known)?;
        let is_explicit = gap.shape.is_some() && gap.scale_us.is_some();
        if let (ArrivalProcess::Weibull(_), false, Some(cv)) = (process, is_explicit, gap.cv)
            && !WEIBULL_CV.contains(&cv)
        {
            let allowed = format!("from {} to {} for weibull", WEIBULL_CV.start(), WEIBULL_CV.end());
            self.out_of_range(&at.key("cv", arrival.cv.as_ref()), cv, &allowed);
        }
        if self.problems.len() > before {
            return None;
        }
        match process.approximation() {
            Some(ArrivalApproximation::GammaAsPoisson { cv }) => {
                self.warn(&at, format_args!("is drawn as poisson: gamma with cv {cv} is too bursty"));
            }
            Some(ArrivalApproximation::WeibullShape { cv, shape }) => {
                self.warn(&at, format_args!("has the weibull shape {shape}, the nearest to cv {cv}"));
            }
            None => {}
        }
        Some(process)
    }

    /// Tells that an entry cannot have a key.
    pub(super) fn refuse_key<T>(&mut self, parent: &At, key: &str, given: &Maybe<T>, owner: &str) {
        if let Some(given) = given {
            let at = parent.key(key, Some(given));
            let problem = Diagnostic::new(format!("unknown key \"{key}\": only {owner} have it"));
            self.problem(&at, problem);
        }
    }
}
