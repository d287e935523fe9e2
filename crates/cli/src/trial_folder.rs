//! The folder in which a sweep keeps its trials: written as they come, taken up again after whatever stopped it.

use crate::Exit;
use crate::around::Messages;
use blis::resolve::files;
use blis::{Diagnostic, RunOptions};
use blis_kernel::rng::fnv1a_64;
use blis_search::rows;
use blis_search::sweep::Trial;
use blis_search::{Part, Sweep};
use blis_store::{Folder, Writer};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// Rows wait so long at most until they are on the disk.
const PATIENCE: Duration = Duration::from_secs(1);

/// An open folder.
pub(crate) struct TrialFolder {
    folder: Folder,
    writer: Writer,
    written: Instant,
}

impl TrialFolder {
    /// Makes the folder, or takes it up again: then the trials that it has already. Damaged files are put aside and told of.
    ///
    /// # Errors
    /// Another sweep is in it, or it cannot be written.
    pub(crate) fn open(
        path: &Path,
        sweep: &Sweep,
        part: Part,
        name: &str,
        base: &Value,
        logger: Messages<'_>,
    ) -> Result<(Self, Vec<Trial>), Exit> {
        let folder = Folder::create(path, &rows::experiment(sweep, name, base))?;
        let contents = folder.read()?;
        let writer = folder.writer(part)?;
        for damage in &contents.damaged {
            let place = folder.set_aside(damage)?;
            logger.warning(format_args!(
                "{} is damaged ({}): it is now {}, and its trials are run again",
                damage.file.display(),
                damage.reason,
                place.display()
            ));
        }
        let known = contents.rows.iter().filter_map(|row| rows::trial(sweep, row)).collect();
        Ok((Self { folder, writer, written: Instant::now() }, known))
    }

    /// Keeps a trial.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn add(&mut self, sweep: &Sweep, trial: &Trial) -> Result<(), Exit> {
        self.writer.add(rows::row(sweep, trial))?;
        self.tick()
    }

    /// Writes what has waited for long enough.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn tick(&mut self) -> Result<(), Exit> {
        if self.written.elapsed() >= PATIENCE {
            self.writer.flush()?;
            self.written = Instant::now();
        }
        Ok(())
    }

    /// Writes the rest of a sweep that ends early.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn leave(mut self) -> Result<(), Exit> {
        Ok(self.writer.flush()?)
    }

    /// Writes the rest, and brings the files into their final form when every part is done.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn close(mut self, sweep: &Sweep) -> Result<(), Exit> {
        self.writer.flush()?;
        drop(self.writer);
        let missing = self.folder.read()?.missing(Part::WHOLE, sweep.trials);
        if missing.is_empty() {
            self.folder.finish()?;
        }
        Ok(())
    }
}

/// What is the same in all trials: the flags that say what is run (`given`), prices, and what the files hold that any of
/// the runs reads.
///
/// # Errors
/// A file that is named cannot be read.
pub(crate) fn base(
    given: &BTreeMap<String, Vec<String>>,
    prices: &BTreeMap<String, f64>,
    variants: &[RunOptions],
) -> Result<Value, Vec<Diagnostic>> {
    let (mut files, mut problems) = (BTreeMap::new(), BTreeMap::new());
    for options in variants {
        for path in files::inputs(options) {
            let content = match options.texts.get(&path) {
                Some(text) => Ok(text.clone().into_bytes()),
                None => fs::read(&path),
            };
            let name = path.display().to_string();
            match content {
                Ok(content) => {
                    files.insert(name, format!("{:016x}", fnv1a_64(&String::from_utf8_lossy(&content))));
                }
                // The catalogue's file need not be there, nor have folders a text.
                Err(error) if !files::is_optional(options, &path) && !path.is_dir() => {
                    problems.insert(name.clone(), Diagnostic::new(format!("cannot read {name}: {error}")));
                }
                Err(_) => {}
            }
        }
    }
    if problems.is_empty() {
        Ok(json!({"flags": given, "prices": prices, "files": files}))
    } else {
        Err(problems.into_values().collect())
    }
}
