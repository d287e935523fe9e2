//! Lists of scorers with their weights.

use super::tables::MakeScorer;
use super::{Configured, Registry, UnknownName};

/// The profile that an empty list stands for.
pub const DEFAULT_SCORERS: &str = "precise-prefix-cache:2,queue-depth:1,kv-utilization:1";

/// The router that takes scorers.
pub const SCORING_ROUTER: &str = crate::routing::weighted::ENTRY.name;

/// Scorers with their weights, in order, checked; parameters at their defaults unless somebody sets them.
pub type Scorers = Vec<(Configured<MakeScorer>, f64)>;

/// What can be wrong with a list of scorers.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ScorerListError {
    /// An item that is not a name, a colon and a weight.
    #[error("scorer \"{item}\" has no weight; write name:weight, as in queue-depth:1")]
    NoWeight {
        /// The item as written.
        item: String,
    },
    /// No such scorer.
    #[error(transparent)]
    Unknown(#[from] UnknownName),
    /// The same scorer twice.
    #[error("scorer \"{name}\" is listed twice")]
    Duplicate {
        /// The scorer.
        name: String,
    },
    /// A weight that is not a finite number above zero.
    #[error("weight of scorer \"{name}\" is \"{weight}\"; it must be a finite number above 0")]
    Weight {
        /// The scorer.
        name: String,
        /// The weight as written.
        weight: String,
    },
}

impl Registry {
    /// Reads `name:weight,…`; the empty text is [`DEFAULT_SCORERS`].
    ///
    /// # Errors
    /// The first item that [`ScorerListError`] describes.
    pub fn parse_scorers(&self, text: &str) -> Result<Scorers, ScorerListError> {
        let text = if text.trim().is_empty() { DEFAULT_SCORERS } else { text };
        let mut scorers = Vec::new();
        for item in text.split(',').map(str::trim) {
            let no_weight = || ScorerListError::NoWeight { item: item.to_owned() };
            let (name, weight) = item.split_once(':').ok_or_else(no_weight)?;
            let (name, weight) = (name.trim(), weight.trim());
            let value = weight
                .parse()
                .map_err(|_| ScorerListError::Weight { name: name.into(), weight: weight.into() })?;
            self.add_scorer(&mut scorers, name, value)?;
        }
        Ok(scorers)
    }

    /// Adds a scorer to a list.
    ///
    /// # Errors
    /// What [`ScorerListError`] describes.
    pub fn add_scorer(&self, scorers: &mut Scorers, name: &str, weight: f64) -> Result<(), ScorerListError> {
        let scorer = self.scorers.get(name)?;
        if scorers.iter().any(|(earlier, _)| earlier.entry.name == name) {
            return Err(ScorerListError::Duplicate { name: name.to_owned() });
        }
        if !(weight.is_finite() && weight > 0.0) {
            return Err(ScorerListError::Weight { name: name.to_owned(), weight: weight.to_string() });
        }
        scorers.push((scorer.with_defaults(), weight));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Scorers, ScorerListError> {
        Registry::built_in().parse_scorers(text)
    }

    #[test]
    fn a_scorer_list_is_read_in_order() {
        let got = parse(" queue-depth:2 , kv-utilization : 0.5").unwrap();
        let got: Vec<_> = got.iter().map(|(scorer, weight)| (scorer.entry.name, *weight)).collect();
        assert_eq!(got, [("queue-depth", 2.0), ("kv-utilization", 0.5)]);
        assert_eq!(parse("").unwrap().len(), 3);
    }

    #[test]
    fn each_fault_of_a_scorer_list_is_named() {
        let fault = |text: &str| parse(text).unwrap_err();
        assert!(matches!(fault("queue-depth"), ScorerListError::NoWeight { .. }));
        assert!(matches!(fault("queue-depth:1,"), ScorerListError::NoWeight { .. }));
        assert!(matches!(fault("queue-dpth:1"), ScorerListError::Unknown(_)));
        assert!(matches!(fault("queue-depth:1,queue-depth:2"), ScorerListError::Duplicate { .. }));
        for weight in ["x", "0", "-1", "inf", "nan", "1:2", ""] {
            assert!(
                matches!(fault(&format!("queue-depth:{weight}")), ScorerListError::Weight { .. }),
                "{weight}"
            );
        }
    }
}
