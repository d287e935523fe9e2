//! SLO targets for goodput: as flags give them, and put together from several places.

use crate::diagnostic::Diagnostic;
use crate::quantity::parse_duration;
use blis_metrics::{Latency, SloTargets};

/// What the flags give: the text of `--slo-ttft`, `--slo-itl` and `--slo-e2e`, each `class=duration,…`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SloFlags {
    /// Time to first token.
    pub ttft: Option<String>,
    /// Mean inter-token latency.
    pub itl: Option<String>,
    /// End-to-end latency.
    pub e2e: Option<String>,
}

impl SloFlags {
    /// Each flag that is given, with its name.
    pub(crate) fn given(&self) -> impl Iterator<Item = (Latency, String, &str)> {
        [(Latency::Ttft, &self.ttft), (Latency::Itl, &self.itl), (Latency::E2e, &self.e2e)]
            .into_iter()
            .filter_map(|(latency, text)| {
                Some((latency, format!("slo-{}", latency.name()), text.as_deref()?))
            })
    }

    /// The targets of a run: for each class and latency what a flag says, else what `file` says. Zero, in either
    /// place, means that there is no target.
    ///
    /// # Errors
    /// Everything that is wrong with the flags.
    pub fn over(&self, file: SloTargets) -> Result<SloTargets, Vec<Diagnostic>> {
        let (mut targets, mut problems) = (file, Vec::new());
        for (latency, flag, text) in self.given() {
            let mut seen: Vec<&str> = Vec::new();
            for item in text.split(',').map(str::trim) {
                match parse_item(item) {
                    Ok((class, _)) if seen.contains(&class) => {
                        problems.push(Diagnostic::new(format!("--{flag} gives class \"{class}\" twice")));
                    }
                    Ok((class, ms)) => {
                        seen.push(class);
                        targets.entry(class.to_owned()).or_default().insert(latency, ms);
                    }
                    Err(problem) => problems.push(Diagnostic::new(format!("--{flag}: {problem}"))),
                }
            }
        }
        for class in targets.values_mut() {
            class.retain(|_, ms| *ms > 0.0);
        }
        targets.retain(|_, class| !class.is_empty());
        if problems.is_empty() { Ok(targets) } else { Err(problems) }
    }
}

/// Reads `class=duration`; the duration in milliseconds.
fn parse_item(item: &str) -> Result<(&str, f64), String> {
    let parts = item.split_once('=').map(|(class, duration)| (class.trim(), duration.trim()));
    let Some((class, duration)) = parts.filter(|(class, _)| !class.is_empty()) else {
        return Err(format!("\"{item}\" is not class=duration, as in standard=200ms"));
    };
    match parse_duration(duration) {
        Some(us) if us >= 0 => Ok((class, us as f64 / 1e3)),
        _ => Err(format!(
            "target of class \"{class}\" is \"{duration}\"; it must be a duration with a unit, 0s or more, such as \
             200ms or 1.5s"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn file() -> SloTargets {
        let standard = BTreeMap::from([(Latency::Ttft, 31.0), (Latency::E2e, 900.0)]);
        BTreeMap::from([
            ("standard".to_owned(), standard),
            ("batch".to_owned(), [(Latency::Itl, 0.0)].into()),
        ])
    }

    fn flags(ttft: &str, e2e: &str) -> SloFlags {
        SloFlags { ttft: Some(ttft.to_owned()), itl: None, e2e: Some(e2e.to_owned()) }
    }

    #[test]
    fn a_flag_replaces_what_a_file_says_latency_by_latency() {
        let targets = flags("critical=27ms", "standard=0.7s").over(file()).unwrap();
        let standard = BTreeMap::from([(Latency::Ttft, 31.0), (Latency::E2e, 700.0)]);
        let critical = BTreeMap::from([(Latency::Ttft, 27.0)]);
        assert_eq!(targets, BTreeMap::from([("standard".into(), standard), ("critical".into(), critical)]));
    }

    #[test]
    fn zero_takes_a_target_away_and_a_class_without_targets_is_gone() {
        assert!(flags("standard=0s", "standard=0ms").over(file()).unwrap().is_empty());
        assert!(SloFlags::default().over(SloTargets::new()).unwrap().is_empty());
    }

    #[test]
    fn every_fault_is_named() {
        let faults = flags("standard,=5ms,batch=5", "a=1s,a=2s,b=-1s").over(file()).unwrap_err();
        let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
        for (fault, words) in faults.iter().zip([
            "--slo-ttft: \"standard\" is not class=duration",
            "--slo-ttft: \"=5ms\" is not class=duration",
            "--slo-ttft: target of class \"batch\" is \"5\"; it must be a duration with a unit",
            "--slo-e2e gives class \"a\" twice",
            "--slo-e2e: target of class \"b\" is \"-1s\"",
        ]) {
            assert!(fault.starts_with(words), "{fault}");
        }
        assert_eq!(faults.len(), 5);
    }
}
