//! What is varied: settings with the values that each may take.
//!
//! A dimension is a list of levels, also where it is a range: a range of reals has a thousand of them, which is finer than
//! any answer. So a point is a list of numbers of levels, two points are the same or they are not, and a space has a size.
//!
//! | text | meaning |
//! |---|---|
//! | `tp=1,2,4` | these values; with `\|` between them where values have commas |
//! | `rate=5..50` | a range of reals |
//! | `max-num-seqs=16..512` | a range of whole numbers |
//! | `rate=5..50/10` | ten values of it, equally far apart |
//! | `max-num-seqs=log:16..512/6` | six values, each the same multiple of the one before |
//! | `prefill-instances+decode-instances=1+7,2+6` | two settings that change together |

use blis_config::Diagnostic;

/// Levels of a range that says no number of them.
const LEVELS: u32 = 1_001;
/// Most levels of a dimension.
const MOST_LEVELS: u32 = 100_000;

/// A setting, or several that change together, with its levels.
#[derive(Clone, Debug, PartialEq)]
pub struct Dimension {
    /// The settings' names.
    pub names: Vec<String>,
    /// The values of each level, one per name.
    pub levels: Vec<Vec<String>>,
    /// Whether neighbouring levels are alike: numbers that grow. Otherwise the levels are just different.
    pub is_ordered: bool,
    /// Whether it is a range that said no number of levels, too fine to try all of.
    pub is_fine: bool,
}

/// All dimensions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Space {
    /// In the order in which they were given.
    pub dimensions: Vec<Dimension>,
}

/// A point of a space: the number of a level of each dimension.
pub type Point = Vec<u32>;

impl Space {
    /// Reads `NAME=VALUES` of every dimension.
    ///
    /// # Errors
    /// Everything that is wrong with them. `flag` is what they were given with.
    pub fn parse<T: AsRef<str>>(flag: &str, texts: &[T]) -> Result<Self, Vec<Diagnostic>> {
        let (mut dimensions, mut problems) = (Vec::<Dimension>::new(), Vec::new());
        for text in texts.iter().map(AsRef::as_ref) {
            match Dimension::parse(text) {
                Ok(dimension) => {
                    let twice = dimension
                        .names
                        .iter()
                        .find(|name| dimensions.iter().any(|other| other.names.contains(name)));
                    if let Some(name) = twice {
                        problems.push(Diagnostic::new(format!("{flag} {text}: {name} is varied twice")));
                    } else {
                        dimensions.push(dimension);
                    }
                }
                Err(problem) => problems
                    .push(Diagnostic { message: format!("{flag} {text}: {}", problem.message), ..problem }),
            }
        }
        if problems.is_empty() { Ok(Self { dimensions }) } else { Err(problems) }
    }

    /// Number of points; `None` when it does not fit.
    pub fn size(&self) -> Option<u64> {
        self.dimensions
            .iter()
            .try_fold(1u64, |size, dimension| size.checked_mul(dimension.levels.len() as u64))
    }

    /// Number of points when there are few enough to try them all.
    pub fn countable(&self, most: u64) -> Option<u64> {
        let is_coarse = self.dimensions.iter().all(|dimension| !dimension.is_fine);
        self.size().filter(|&size| is_coarse && size <= most)
    }

    /// The point with this number, the last dimension changing fastest.
    pub fn nth(&self, mut n: u64) -> Point {
        let mut point = vec![0; self.dimensions.len()];
        for (level, dimension) in point.iter_mut().zip(&self.dimensions).rev() {
            let levels = dimension.levels.len() as u64;
            *level = (n % levels) as u32;
            n /= levels;
        }
        point
    }

    /// The point at a place in the unit cube.
    pub fn at(&self, place: &[f64]) -> Point {
        let level = |(at, dimension): (&f64, &Dimension)| {
            let levels = dimension.levels.len();
            ((at * levels as f64) as usize).min(levels - 1) as u32
        };
        place.iter().zip(&self.dimensions).map(level).collect()
    }

    /// The settings at a point, with their values.
    pub fn settings(&self, point: &[u32]) -> Vec<(&str, &str)> {
        point
            .iter()
            .zip(&self.dimensions)
            .flat_map(|(&level, dimension)| {
                let values = &dimension.levels[level as usize];
                dimension.names.iter().zip(values).map(|(name, value)| (name.as_str(), value.as_str()))
            })
            .collect()
    }

    /// The names of all settings, in the order of [`Self::settings`].
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.dimensions.iter().flat_map(|dimension| dimension.names.iter().map(String::as_str))
    }
}

impl Dimension {
    fn parse(text: &str) -> Result<Self, Diagnostic> {
        let usage = || {
            Diagnostic::new("must be NAME=VALUES")
                .with_help("such as tp=1,2,4 or rate=5..50/10 or max-num-seqs=log:16..512/6")
        };
        let (names, values) = text.split_once('=').ok_or_else(usage)?;
        let names: Vec<String> =
            names.split('+').map(|name| name.trim().trim_start_matches('-').to_owned()).collect();
        if names.iter().any(String::is_empty) || values.trim().is_empty() {
            return Err(usage());
        }
        if let Some(range) = Range::parse(values.trim())? {
            if names.len() > 1 {
                return Err(Diagnostic::new("settings that change together need a list of values"));
            }
            let levels = range.levels().into_iter().map(|value| vec![value]).collect();
            return Ok(Self { names, levels, is_ordered: true, is_fine: range.is_fine() });
        }
        let separator = if values.contains('|') { '|' } else { ',' };
        let mut levels = Vec::new();
        for value in values.split(separator).map(str::trim).filter(|value| !value.is_empty()) {
            let parts: Vec<String> = match names.len() {
                1 => vec![value.to_owned()],
                _ => value.split('+').map(|part| part.trim().to_owned()).collect(),
            };
            if parts.len() != names.len() {
                return Err(Diagnostic::new(format!(
                    "\"{value}\" must be {} values joined by +",
                    names.len()
                )));
            }
            let number = |text: &String| text.parse::<f64>().ok();
            let same = |(a, b): (&String, &String)| a == b || (number(a).is_some() && number(a) == number(b));
            let is_known = |level: &Vec<String>| level.iter().zip(&parts).all(same);
            if levels.iter().any(is_known) {
                return Err(Diagnostic::new(format!("\"{value}\" is given twice")));
            }
            levels.push(parts);
        }
        if levels.is_empty() || levels.len() > MOST_LEVELS as usize {
            return Err(Diagnostic::new(format!("there must be 1 to {MOST_LEVELS} values")));
        }
        let numbers: Option<Vec<f64>> = levels.iter().map(|level| level[0].parse().ok()).collect();
        let is_ordered = numbers.is_some_and(|numbers| numbers.is_sorted_by(|a, b| a < b));
        Ok(Self { names, levels, is_ordered, is_fine: false })
    }
}

/// A range of numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Range {
    from: f64,
    to: f64,
    is_whole: bool,
    is_logarithmic: bool,
    levels: Option<u32>,
}

impl Range {
    /// Reads `[log:]FROM..TO[/LEVELS]`; `None` for text without two dots.
    fn parse(text: &str) -> Result<Option<Self>, Diagnostic> {
        let (is_logarithmic, range) = text.strip_prefix("log:").map_or((false, text), |range| (true, range));
        // Paths have two dots too.
        let parts =
            range.split_once("..").filter(|(from, _)| is_logarithmic || from.trim().parse::<f64>().is_ok());
        let Some((from, to)) = parts else {
            let without_range = || Diagnostic::new("log: needs a range, such as log:16..512");
            return if is_logarithmic { Err(without_range()) } else { Ok(None) };
        };
        let (to, levels) = to.split_once('/').map_or((to, None), |(to, levels)| (to, Some(levels)));
        let number = |text: &str| {
            let value = text.trim().parse::<f64>().ok().filter(|value| value.is_finite());
            value.ok_or_else(|| Diagnostic::new(format!("\"{}\" is not a number", text.trim())))
        };
        let is_whole = [from, to].iter().all(|text| text.trim().parse::<i64>().is_ok());
        let (from, to) = (number(from)?, number(to)?);
        if from >= to {
            return Err(Diagnostic::new(format!("the range must grow, {from} is not below {to}")));
        }
        if is_logarithmic && from <= 0.0 {
            return Err(Diagnostic::new(format!("a logarithmic range must begin above 0, not at {from}")));
        }
        let levels = match levels.map(|text| (text.trim(), text.trim().parse::<u32>())) {
            None => None,
            Some((_, Ok(levels))) if (2..=MOST_LEVELS).contains(&levels) => Some(levels),
            Some((text, _)) => {
                let problem = format!("\"/{text}\" must be a number of values from 2 to {MOST_LEVELS}");
                return Err(Diagnostic::new(problem));
            }
        };
        Ok(Some(Self { from, to, is_whole, is_logarithmic, levels }))
    }

    /// Whether nobody would want all of its levels.
    fn is_fine(self) -> bool {
        self.levels.is_none() && !self.has_every_number()
    }

    fn has_every_number(self) -> bool {
        self.is_whole && !self.is_logarithmic && self.to - self.from < f64::from(LEVELS)
    }

    fn levels(self) -> Vec<String> {
        if self.levels.is_none() && self.has_every_number() {
            return (self.from as i64..=self.to as i64).map(|value| value.to_string()).collect();
        }
        let last = self.levels.unwrap_or(LEVELS) - 1;
        // As many digits as tell neighbours apart, and a few more.
        let step = (self.to - self.from) / f64::from(last);
        let digits = 3.0 + libm::ceil(libm::log10(self.from.abs().max(self.to.abs()) / step));
        let digits = if self.is_logarithmic { 6 } else { digits.clamp(6.0, 15.0) as usize };
        let mut all: Vec<String> =
            (0..=last).map(|n| self.level(f64::from(n) / f64::from(last), digits)).collect();
        // Whole numbers round to the same where levels are close.
        all.dedup();
        all
    }

    fn level(self, at: f64, digits: usize) -> String {
        // The ends are exact.
        let value = match (at, self.is_logarithmic) {
            (0.0, _) => self.from,
            (1.0, _) => self.to,
            (_, true) => self.from * libm::pow(self.to / self.from, at),
            (_, false) => self.from + (self.to - self.from) * at,
        };
        match (self.is_whole, at) {
            (true, _) => libm::rint(value).to_string(),
            // The ends are as they were given.
            (false, 0.0 | 1.0) => value.to_string(),
            (false, _) => rounded(value, digits).to_string(),
        }
    }
}

/// A real with so many significant digits.
fn rounded(value: f64, digits: usize) -> f64 {
    format!("{value:.*e}", digits - 1).parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(text: &str) -> Vec<String> {
        let space = Space::parse("--set", &[text]).unwrap();
        space.dimensions[0].levels.iter().map(|level| level.join("+")).collect()
    }

    #[test]
    fn values_are_listed_or_follow_from_a_range() {
        assert_eq!(levels("tp=1,2,4"), ["1", "2", "4"]);
        assert_eq!(levels("--routing-scorers=a:1,b:2|a:1"), ["a:1,b:2", "a:1"]);
        assert_eq!(levels("n=3..6"), ["3", "4", "5", "6"]);
        assert_eq!(levels("rate=5..50/4"), ["5", "20", "35", "50"]);
        assert_eq!(levels("rate=0.1..0.2/3"), ["0.1", "0.15", "0.2"]);
        assert_eq!(levels("n=log:16..512/6"), ["16", "32", "64", "128", "256", "512"]);
        assert_eq!(levels("a+b=1+7,2+6"), ["1+7", "2+6"]);
        assert_eq!(levels("rate=1000000.5..1000001.5/3"), ["1000000.5", "1000001", "1000001.5"]);
        assert_eq!(levels("policy-config=../a.yaml,../b.yaml"), ["../a.yaml", "../b.yaml"]);
        assert_eq!(levels("n=log:1..4"), ["1", "2", "3", "4"], "whole numbers that round to the same");
    }

    #[test]
    fn only_growing_numbers_are_ordered_and_only_open_ranges_are_fine() {
        let texts = ["tp=1,2,4", "tp2=4,1,2", "router=a,b", "rate=1.5..9", "n=1..9", "m=1..5000"];
        let space = Space::parse("--set", &texts).unwrap();
        let told: Vec<_> = space.dimensions.iter().map(|d| (d.is_ordered, d.is_fine)).collect();
        let (ordered, fine) = ((true, false), (true, true));
        assert_eq!(told, [ordered, (false, false), (false, false), fine, ordered, fine]);
        assert_eq!(space.countable(u64::MAX), None);
    }

    #[test]
    fn points_are_numbered_with_the_last_dimension_changing_fastest() {
        let space = Space::parse("--set", &["a=x,y", "b=1,2,3"]).unwrap();
        assert_eq!(space.countable(6), Some(6));
        assert_eq!(space.countable(5), None);
        assert_eq!(space.nth(4), [1, 1]);
        assert_eq!(space.at(&[0.99, 0.0]), [1, 0]);
        assert_eq!(space.settings(&[1, 2]), [("a", "y"), ("b", "3")]);
    }

    /// Law: all problems at once.
    #[test]
    fn every_wrong_dimension_is_named_with_what_is_wrong() {
        let texts = [
            "tp",
            "=1",
            "tp=",
            "n=9..1",
            "n=log:0..8",
            "n=1..x",
            "n=1..9/1",
            "n=log:3",
            "a+b=1,2",
            "a=1,1",
            "b=2",
            "b=3",
            "c=1,1.0",
        ];
        let problems = Space::parse("--set", &texts).unwrap_err();
        assert_eq!(problems.len(), 12, "{problems:#?}");
    }
}
