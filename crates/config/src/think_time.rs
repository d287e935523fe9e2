//! Pauses between the rounds of a session, as people write them.
//!
//! `constant:value=T`, or `lognormal:mu=…,sigma=…[,min=T][,max=T]` with mu and sigma of the logarithm of seconds. T is a
//! number with the unit us, ms or s; without a unit it counts milliseconds.

use blis_kernel::samplers::LengthSampler;
use std::collections::BTreeMap;

/// What a distribution looks like.
const EXPECTED: &str = "constant:value=T or lognormal:mu=NUM,sigma=NUM[,min=T][,max=T]";

/// A sampler of pauses, µs.
///
/// # Errors
/// What was expected instead, or everything that is wrong with the parameters.
pub fn parse_think_time(text: &str) -> Result<LengthSampler, Vec<String>> {
    let expected = || vec![format!("it must be {EXPECTED}")];
    let (kind, pairs) = text.split_once(':').ok_or_else(expected)?;
    let known: &[&str] = match kind.trim() {
        "constant" => &["value"],
        "lognormal" => &["mu", "sigma", "min", "max"],
        _ => return Err(expected()),
    };
    let mut problems = Vec::new();
    let mut values = BTreeMap::new();
    for pair in pairs.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let Some((key, value)) = pair.split_once('=').map(|(key, value)| (key.trim(), value.trim())) else {
            problems.push(format!("\"{pair}\" has no value; write key=value"));
            continue;
        };
        if !known.contains(&key) {
            problems.push(format!("{key} is not known; {kind} has {}", known.join(", ")));
        } else if values.insert(key, value).is_some() {
            problems.push(format!("{key} is there twice"));
        }
    }
    let mut real = |key: &str, is_allowed: fn(f64) -> bool, allowed: &str| {
        let value = values.get(key).map(|text| (text, text.parse().ok().filter(|&value| is_allowed(value))));
        match value {
            Some((_, Some(value))) => return value,
            Some((text, None)) => problems.push(format!("{key} is {text}; it must be {allowed}")),
            None => problems.push(format!("{key} is missing; it must be {allowed}")),
        }
        1.0
    };
    let sampler = if kind.trim() == "constant" {
        let value = values.get("value").map_or(Err("missing"), |text| time_us(text).ok_or(*text));
        let value = value.unwrap_or_else(|given| {
            problems.push(format!("value is {given}; it must be {TIME}"));
            1
        });
        LengthSampler::Constant { value }
    } else {
        let mu = real("mu", f64::is_finite, "a finite number");
        let sigma = real("sigma", |sigma| sigma.is_finite() && sigma > 0.0, "a finite number above 0");
        let mut bound = |key: &str| {
            let Some(text) = values.get(key) else { return 0 };
            time_us(text).unwrap_or_else(|| {
                problems.push(format!("{key} is {text}; it must be {TIME}"));
                0
            })
        };
        let (min, max) = (bound("min"), bound("max"));
        if min > 0 && max > 0 && min > max {
            problems.push(format!("min, {min} us, is above max, {max} us"));
        }
        // From seconds to microseconds.
        LengthSampler::Lognormal { mu: mu + libm::log(1e6), sigma, min, max }
    };
    if problems.is_empty() { Ok(sampler) } else { Err(problems) }
}

/// The pause of a sampler that always gives the same, µs.
pub fn constant_us(sampler: &LengthSampler) -> Option<i64> {
    match sampler {
        LengthSampler::Constant { value } => Some(*value),
        _ => None,
    }
}

/// What a time looks like.
const TIME: &str = "a number of milliseconds, or one with its unit us, ms or s, at least 0";

/// A time in µs; anything finer is cut off.
fn time_us(text: &str) -> Option<i64> {
    let (number, us) = [("us", 1.0), ("ms", 1e3), ("s", 1e6)]
        .into_iter()
        .find_map(|(unit, us)| text.strip_suffix(unit).map(|number| (number, us)))
        .unwrap_or((text, 1e3));
    let value: f64 = number.trim().parse().ok()?;
    (value.is_finite() && value >= 0.0).then_some((value * us) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, us) in [("450", 450_000), ("1.5ms", 1_500), ("2s", 2_000_000), ("7us", 7), ("0.4us", 0)] {
            let constant = LengthSampler::Constant { value: us };
            assert_eq!(parse_think_time(&format!("constant:value={text}")), Ok(constant), "{text}");
        }
        let LengthSampler::Lognormal { mu, sigma, min, max } =
            parse_think_time("lognormal:mu=-0.7, sigma=0.5,,min=100ms,max=3s").unwrap()
        else {
            panic!("not lognormal")
        };
        assert_eq!((sigma, min, max), (0.5, 100_000, 3_000_000));
        assert_eq!(mu, -0.7 + libm::log(1e6));
    }

    #[test]
    fn everything_that_is_wrong_is_told() {
        for (text, told) in [
            ("lognormal", vec![format!("it must be {EXPECTED}")]),
            ("uniform:min=1", vec![format!("it must be {EXPECTED}")]),
            ("constant:value=-1", vec![format!("value is -1; it must be {TIME}")]),
            (
                "lognormal:mu,sigma=0,mean=3,max=1,min=2,min=2",
                vec![
                    "\"mu\" has no value; write key=value".to_owned(),
                    "mean is not known; lognormal has mu, sigma, min, max".to_owned(),
                    "min is there twice".to_owned(),
                    "mu is missing; it must be a finite number".to_owned(),
                    "sigma is 0; it must be a finite number above 0".to_owned(),
                    "min, 2000 us, is above max, 1000 us".to_owned(),
                ],
            ),
        ] {
            assert_eq!(parse_think_time(text).unwrap_err(), told, "{text}");
        }
    }
}
