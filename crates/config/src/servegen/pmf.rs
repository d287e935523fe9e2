//! Textual dictionaries `{value: probability, …}`.

/// Values with their probabilities, in order of value.
pub(super) type Pmf = Vec<(f64, f64)>;

/// Reads a dictionary as Python prints one: keys bare or quoted, a comma behind the last entry allowed.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse(text: &str) -> Result<Pmf, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(Pmf::new());
    }
    let inner = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let inner = inner.ok_or_else(|| format!("\"{text}\" is no dictionary, {{value: probability, …}}"))?;
    let mut pmf = Pmf::new();
    for entry in inner.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let number = |text: &str| {
            let text = text.trim().trim_matches(['"', '\'']).trim();
            text.parse::<f64>().ok().filter(|number| number.is_finite())
        };
        let pair = entry.split_once(':').and_then(|(value, p)| Some((number(value)?, number(p)?)));
        let (value, probability) = pair.ok_or_else(|| format!("\"{entry}\" is not value: probability"))?;
        if probability < 0.0 {
            return Err(format!("the probability of {value} is {probability}; it must be at least 0"));
        }
        pmf.push((value, probability));
    }
    pmf.sort_by(|a, b| a.0.total_cmp(&b.0));
    Ok(pmf)
}

/// The lognormal distribution with the mean and variance of the logarithm: (mu, sigma). `None` when no positive value
/// has a positive probability.
pub(super) fn fit_lognormal(pmf: &Pmf) -> Option<(f64, f64)> {
    let (mut weight, mut first, mut second) = (0.0, 0.0, 0.0);
    for &(value, p) in pmf.iter().filter(|&&(value, p)| value > 0.0 && p > 0.0) {
        let ln = libm::log(value);
        weight += p;
        first += p * ln;
        second += p * ln * ln;
    }
    if weight <= 0.0 {
        return None;
    }
    let mu = first / weight;
    // A single value has variance 0, which rounding may miss by a hair.
    let variance = (second / weight - mu * mu).max(0.0);
    Some((mu, variance.sqrt()))
}

#[cfg(test)]
mod tests {
    use super::{fit_lognormal, parse};

    #[test]
    fn dictionaries_are_read_as_python_prints_them() {
        assert_eq!(parse("{20: 0.5, 7.0: 3e-1, }").unwrap(), [(7.0, 0.3), (20.0, 0.5)]);
        assert_eq!(parse("{\"0.1\": 0.3, '0.9': 0.7}").unwrap(), [(0.1, 0.3), (0.9, 0.7)]);
        assert!(parse("").unwrap().is_empty() && parse(" {} ").unwrap().is_empty());
        for (bad, wanted) in [
            ("{5: -1}", "the probability of 5 is -1"),
            ("{5 0.1}", "\"5 0.1\" is not value: probability"),
            ("5: 1", "no dictionary"),
            ("{a: 1}", "\"a: 1\" is not"),
        ] {
            let problem = parse(bad).unwrap_err();
            assert!(problem.contains(wanted), "{problem}");
        }
    }

    #[test]
    fn the_fit_has_the_moments_of_the_logarithm() {
        let (mu, sigma) = fit_lognormal(&vec![(0.0, 0.5), (1.0, 0.2), (libm::exp(2.0), 0.2)]).unwrap();
        assert!((mu - 1.0).abs() < 1e-12 && (sigma - 1.0).abs() < 1e-12, "{mu} {sigma}");
        assert_eq!(fit_lognormal(&vec![(1.0, 0.4)]), Some((0.0, 0.0)));
        assert_eq!(fit_lognormal(&vec![(0.0, 1.0)]), None);
    }
}
