//! Detectors of saturation: which run and with what settings.

use super::check::{Check, POSITIVE, Source, is_positive};
use crate::diagnostic::{Diagnostic, unknown_name};
use crate::options::RunOptions;
use crate::yaml::{self, Spanned};
use blis_kernel::Tick;
use blis_metrics::saturation::{
    DEFAULT_DRIFT_WINDOW, DEFAULT_FINAL_WINDOW, DEFAULT_THRESHOLD_MS, DetectorKind, Settings,
};
use serde::Deserialize;
use std::path::Path;

/// The word for every detector.
const ALL: &str = "all";
/// The word of earlier releases for none.
const NONE: &str = "none";
const US_PER_S: f64 = 1e6;

/// A value with its place in the file, if it is there.
type Maybe<T> = Option<Spanned<T>>;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    threshold: Maybe<Threshold>,
    backlog_drift: Maybe<BacklogDrift>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Threshold {
    threshold_ms: Maybe<f64>,
}

/// All but the window belong to a procedure that the detector no longer follows: they are checked, without effect.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct BacklogDrift {
    window_size_sec: Maybe<f64>,
    min_windows: Maybe<f64>,
    peak_ratio: Maybe<f64>,
    peak_ratio_band: Maybe<f64>,
    confidence_ci: Maybe<f64>,
    warmup_windows: Maybe<f64>,
    tail_windows: Maybe<f64>,
    saturated_drain_ratio: Maybe<f64>,
    transient_drain_ratio: Maybe<f64>,
}

/// The detectors' settings; `None` when none runs.
pub(super) fn settings(check: &mut Check, options: &RunOptions) -> Option<Settings> {
    let wanted = options.detectors.as_deref().unwrap_or_default();
    let detectors = detectors(check, wanted);
    if wanted.is_empty() || wanted == NONE {
        let given = [
            ("saturation-config", options.saturation_config.is_some()),
            ("saturation-report", options.saturation_report),
            ("saturation-final-window", options.saturation_final_window_us.is_some()),
        ];
        for (flag, _) in given.iter().filter(|(_, is_given)| *is_given) {
            check.problem(Diagnostic::new(format!("--{flag} needs --detectors")));
        }
        return None;
    }
    check.note("detectors", wanted, Source::Given);
    let mut settings = Settings {
        detectors,
        threshold_ms: DEFAULT_THRESHOLD_MS,
        drift_window: DEFAULT_DRIFT_WINDOW,
        final_window: DEFAULT_FINAL_WINDOW,
        keep_verdicts: options.saturation_report,
    };
    if let Some(path) = &options.saturation_config {
        check.note("saturation-config", path.display(), Source::Given);
        let text = super::read(check, "--saturation-config", path, true)?;
        Reader { check: &mut *check, path, settings: &mut settings }.read(&text);
    }
    if let Some(us) = options.saturation_final_window_us {
        let us = check.integer("saturation-final-window", Some(us), 1, 1..=i64::MAX);
        settings.final_window = Tick::from_us(us);
    } else {
        check.note("saturation-final-window", settings.final_window.as_us(), Source::Default);
    }
    Some(settings)
}

/// The detectors of a list, in their order, each once.
fn detectors(check: &mut Check, wanted: &str) -> Vec<DetectorKind> {
    let names: Vec<&str> = wanted.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    if names.is_empty() && !wanted.is_empty() {
        check.problem(Diagnostic::new(format!("--detectors is \"{wanted}\"; it names no detector")));
    }
    if names.contains(&ALL) {
        if names.len() > 1 {
            check.problem(
                Diagnostic::new(format!("--detectors is \"{wanted}\"; {ALL} stands alone"))
                    .with_help("leave the other names out"),
            );
        }
        return DetectorKind::ALL.to_vec();
    }
    if names == [NONE] {
        return Vec::new();
    }
    let known = DetectorKind::ALL.map(DetectorKind::name);
    for name in names.iter().filter(|name| !known.contains(name)) {
        let problem = unknown_name("detector", name, known.into_iter().chain([ALL]));
        check.problem(Diagnostic { message: format!("--detectors: {}", problem.message), ..problem });
    }
    DetectorKind::ALL.into_iter().filter(|kind| names.contains(&kind.name())).collect()
}

struct Reader<'a> {
    check: &'a mut Check,
    path: &'a Path,
    settings: &'a mut Settings,
}

impl Reader<'_> {
    fn read(&mut self, text: &str) {
        if text.trim().is_empty() {
            return;
        }
        let file: File = match yaml::from_str(text, &self.path.display().to_string()) {
            Ok(file) => file,
            Err(problems) => return self.check.problems.extend(problems),
        };
        if let Some(block) = &file.threshold {
            self.belongs("threshold", block, DetectorKind::Threshold);
            let given = block.value.threshold_ms.as_ref();
            if let Some(ms) = self.real("threshold.threshold_ms", given, is_positive, POSITIVE) {
                self.settings.threshold_ms = ms;
            }
        }
        if let Some(block) = &file.backlog_drift {
            self.belongs("backlog_drift", block, DetectorKind::BacklogDrift);
            self.backlog_drift(&block.value);
        }
    }

    fn backlog_drift(&mut self, block: &BacklogDrift) {
        let is_window: fn(f64) -> bool = |s| (1.0 / US_PER_S..=i64::MAX as f64 / 2.0 / US_PER_S).contains(&s);
        let window = self.real(
            "backlog_drift.window_size_sec",
            block.window_size_sec.as_ref(),
            is_window,
            "from 0.000001 to 4.6e12",
        );
        if let Some(window_s) = window {
            let window = Tick::trunc(window_s * US_PER_S);
            self.settings.drift_window = window;
            self.settings.final_window = window;
        }
        let count: fn(f64) -> bool = |n| n >= 0.0 && n.fract() == 0.0;
        let least_one: fn(f64) -> bool = |n| n >= 1.0 && n.fract() == 0.0;
        let not_negative: fn(f64) -> bool = |x| x.is_finite() && x >= 0.0;
        let between: fn(f64) -> bool = |x| x > 0.0 && x < 1.0;
        let ratio: fn(f64) -> bool = |x| x > 0.0 && x <= 1.0;
        let unused = [
            ("min_windows", block.min_windows.as_ref(), least_one, "a whole number above 0"),
            ("peak_ratio", block.peak_ratio.as_ref(), is_positive, POSITIVE),
            ("peak_ratio_band", block.peak_ratio_band.as_ref(), not_negative, "a finite number, 0 or more"),
            ("confidence_ci", block.confidence_ci.as_ref(), between, "between 0 and 1"),
            ("warmup_windows", block.warmup_windows.as_ref(), count, "a whole number, 0 or more"),
            ("tail_windows", block.tail_windows.as_ref(), count, "a whole number, 0 or more"),
            ("saturated_drain_ratio", block.saturated_drain_ratio.as_ref(), ratio, "above 0 and at most 1"),
            ("transient_drain_ratio", block.transient_drain_ratio.as_ref(), ratio, "above 0 and at most 1"),
        ];
        for (key, given, is_allowed, allowed) in unused {
            self.real(&format!("backlog_drift.{key}"), given, is_allowed, allowed);
        }
        let ratio_or = |given: Option<&Spanned<f64>>, default| given.map_or(default, |given| given.value);
        let saturated = ratio_or(block.saturated_drain_ratio.as_ref(), 0.95);
        let transient = ratio_or(block.transient_drain_ratio.as_ref(), 0.98);
        let place = block.saturated_drain_ratio.as_ref().or(block.transient_drain_ratio.as_ref());
        if let Some(place) = place.filter(|_| saturated > transient) {
            let message = format!(
                "backlog_drift.saturated_drain_ratio is {saturated}; it must be at most transient_drain_ratio, \
                 {transient}"
            );
            self.report(place, message);
        }
        let given: Vec<_> = unused.iter().filter(|row| row.1.is_some()).map(|row| row.0).collect();
        if !given.is_empty() {
            let (path, keys) = (self.path.display(), given.join(", "));
            self.check.warn(format!("{path}: backlog_drift.window_size_sec is all that counts, not {keys}"));
        }
    }

    /// A block tunes a detector that runs.
    fn belongs<T>(&mut self, key: &str, block: &Spanned<T>, kind: DetectorKind) {
        if !self.settings.detectors.contains(&kind) {
            self.report(
                block,
                format!("{key} tunes the detector {}, which --detectors leaves out", kind.name()),
            );
        }
    }

    fn real(
        &mut self,
        key: &str,
        given: Option<&Spanned<f64>>,
        is_allowed: fn(f64) -> bool,
        allowed: &str,
    ) -> Option<f64> {
        let given = given?;
        if is_allowed(given.value) {
            return Some(given.value);
        }
        self.report(given, format!("{key} is {}; it must be {allowed}", given.value));
        None
    }

    fn report<T>(&mut self, place: &Spanned<T>, message: String) {
        let at = place.referenced;
        let problem = Diagnostic::new(message).in_file(self.path.display().to_string());
        let has_place = at.line() > 0;
        self.check.problem(if has_place {
            problem.at(at.line() as u32, at.column() as u32)
        } else {
            problem
        });
    }
}
