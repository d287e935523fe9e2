//! A folder of measurements: which points it has, and where its models' configurations lie.

use crate::point::{Measurements, Point};
use crate::silicon::ClosedLoops;
use crate::{experiments, recordings, silicon, steps};
use blis_config::Diagnostic;
use blis_config::catalogue::Catalogue;
use blis_config::diagnostic::unknown_name;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Which points are wanted. Without any word about it all of them are, but for those of [`Self::ONLY_BY_NAME`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Sets by name; empty = all.
    pub sets: Vec<String>,
    /// Parts of models' names; empty = all.
    pub models: Vec<String>,
    /// GPU types; empty = all.
    pub gpus: Vec<String>,
    /// Most points of a set, spread over it.
    pub limit: Option<usize>,
    /// Which of the closed loops.
    pub closed_loops: ClosedLoops,
}

impl Selection {
    /// The set of runs in which most requests waited for minutes.
    pub const ONLY_BY_NAME: &'static str = "excluded-overload";

    fn takes(&self, point: &Point) -> bool {
        let has = |wanted: &[String], is: &dyn Fn(&str) -> bool| {
            wanted.is_empty() || wanted.iter().any(|word| is(&word.to_lowercase()))
        };
        let model = point.server.model.to_lowercase();
        let gpu = point.server.gpu.to_lowercase();
        let by_default = !self.sets.is_empty() || point.set != Self::ONLY_BY_NAME;
        by_default
            && has(&self.sets, &|word| point.set.to_lowercase() == word)
            && has(&self.models, &|word| model.contains(word))
            && has(&self.gpus, &|word| gpu == word)
    }
}

/// A folder, and what it is read with.
pub(crate) struct Folder<'a> {
    pub(crate) path: &'a Path,
    gpus: Vec<String>,
}

/// What the description of a workload says that the table of runs does not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Described {
    /// Different prompts.
    pub(crate) prompts: u32,
    /// Mean length of a prompt as servers counted it, over the models of which that is known.
    pub(crate) prompt_tokens: Option<f64>,
}

/// The points of a folder that are wanted, in order of set and name; and files of it that cannot be used.
///
/// # Errors
/// Everything that is wrong with its files, or with the selection.
pub fn read(path: &Path, selection: &Selection) -> Result<Measurements, Vec<Diagnostic>> {
    let folder = Folder { path, gpus: Catalogue::embedded().gpu_names() };
    let mut problems = Vec::new();
    let mut keep = |found: Result<Vec<Point>, Vec<Diagnostic>>| {
        found.unwrap_or_else(|found| {
            problems.extend(found);
            Vec::new()
        })
    };
    let mut points = Vec::new();
    let mut left_out = Vec::new();
    let table = experiments::table(&folder)?;
    if let Some(table) = &table {
        points.extend(keep(experiments::points(table, &folder)));
        points.extend(keep(recordings::points(table, &folder).map(|found| {
            left_out = found.left_out;
            found.points
        })));
    }
    points.extend(keep(silicon::points(&folder, selection.closed_loops)));
    points.extend(keep(steps::scheduler_steps(table.as_ref(), &folder)));
    points.extend(keep(steps::forward_passes(&folder)));
    if points.is_empty() && problems.is_empty() {
        problems.push(Diagnostic::new(format!(
            "{} has no measurements: neither ground-truth/experiments.csv nor silicon/dev.csv nor steps",
            path.display()
        )));
    }
    let sets: BTreeSet<&str> = points.iter().map(|point| point.set.as_str()).collect();
    if !sets.is_empty() {
        for set in selection.sets.iter().filter(|set| !sets.contains(set.to_lowercase().as_str())) {
            problems.push(unknown_name("set of --sets", set, sets.iter().copied()));
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    points.retain(|point| selection.takes(point));
    if !selection.sets.is_empty() && !selection.sets.iter().any(|set| set == recordings::SET) {
        left_out.clear();
    }
    points.sort_by(|a, b| (&a.set, &a.id).cmp(&(&b.set, &b.id)));
    Ok(Measurements { points: spread(points, selection.limit), left_out })
}

/// At most so many points of each set, at even distances.
fn spread(points: Vec<Point>, limit: Option<usize>) -> Vec<Point> {
    let Some(limit) = limit else { return points };
    let mut sizes: BTreeMap<String, usize> = BTreeMap::new();
    for point in &points {
        *sizes.entry(point.set.clone()).or_default() += 1;
    }
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut wanted = |point: &Point| {
        let (size, place) = (sizes[&point.set], seen.entry(point.set.clone()).or_default());
        *place += 1;
        size <= limit || *place * limit / size > (*place - 1) * limit / size
    };
    points.into_iter().filter(|point| wanted(point)).collect()
}

impl Folder<'_> {
    /// The configuration of a model, where the folder has one of that name.
    pub(crate) fn model_config(&self, model: &str) -> Option<PathBuf> {
        let short = model.rsplit('/').next().unwrap_or(model);
        let path = self.path.join("model-configs").join(format!("{short}.json"));
        path.is_file().then_some(path)
    }

    /// A GPU type as the catalogue calls it, where the two differ in letters' case or in the memory's unit.
    pub(crate) fn gpu(&self, name: &str) -> String {
        let plain = name.strip_suffix("GB").unwrap_or(name);
        let known = self.gpus.iter().find(|known| known.eq_ignore_ascii_case(plain));
        known.map_or_else(|| name.to_uppercase(), String::clone)
    }

    /// The description of a workload.
    pub(crate) fn workload(&self, name: &str) -> Result<Described, Vec<Diagnostic>> {
        let path = self.path.join("ground-truth/workloads").join(format!("{name}.yaml"));
        let file = path.display().to_string();
        let text = fs::read_to_string(&path)
            .map_err(|error| vec![Diagnostic::new(format!("cannot be read: {error}")).in_file(&file)])?;
        let document: Value = blis_config::yaml::from_str(&text, &file)?;
        let executed = &document["as_executed"];
        let Some(prompts) = executed["distinct_prompts"].as_f64().filter(|count| *count >= 1.0) else {
            let problem = "as_executed.distinct_prompts is missing; it must be a whole number of at least 1";
            return Err(vec![Diagnostic::new(problem).in_file(&file)]);
        };
        let counted: Vec<f64> = executed["prompt_tokens_mean_measured"]
            .as_object()
            .map(|models| models.values().filter_map(Value::as_f64).collect())
            .unwrap_or_default();
        let mean = counted.iter().sum::<f64>() / counted.len().max(1) as f64;
        let prompt_tokens = (!counted.is_empty()).then_some(mean);
        Ok(Described { prompts: prompts as u32, prompt_tokens })
    }
}
