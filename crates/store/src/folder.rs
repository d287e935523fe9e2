//! A folder with an experiment: what was asked, and the rows that there are.
//!
//! ```text
//! FOLDER/experiment.json                    what was asked
//! FOLDER/rows/part-1-of-2-000001.parquet    rows, while parts write them
//! FOLDER/rows/000000-5d3c….parquet          rows in order, once all are there
//! FOLDER/index.sqlite                       the same for SQL; made from the others at any time
//! FOLDER/part-1-of-2.lock                   held by the process that writes this part
//! FOLDER/….parquet.damaged                  a file that was put aside
//! ```

use crate::error::Error;
use crate::experiment::{self, Experiment};
use crate::part::Part;
use crate::shard::{self, Decoded};
use crate::value::{Column, Row};
use crate::{files, trials};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Name of the folder with the shards, in which there is nothing else.
const ROWS: &str = "rows";

/// An experiment on disk.
#[derive(Clone, Debug)]
pub struct Folder {
    pub(crate) path: PathBuf,
    pub(crate) experiment: Experiment,
    pub(crate) fingerprint: String,
}

/// What is in a folder.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contents {
    /// The rows by trial, each once.
    pub rows: Vec<Row>,
    /// Files that cannot be believed, none of whose rows are taken.
    pub damaged: Vec<Damage>,
}

/// A file that cannot be believed.
#[derive(Clone, Debug, PartialEq)]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub reason: String,
    /// The trials that it alone had, where the file still tells.
    pub lost: Option<Vec<u64>>,
}

/// How much is in a folder.
#[derive(Clone, Debug, PartialEq)]
pub struct Extent {
    /// Trials, each counted once.
    pub trials: u64,
    /// Size of the files with rows, bytes.
    pub bytes: u64,
    /// Files that cannot be believed. That two files contradict each other shows only when [`Folder::read`] compares them.
    pub damaged: Vec<Damage>,
}

/// A sound shard.
pub(crate) struct Shard {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) digest: String,
    pub(crate) rows: Vec<Row>,
}

/// The shards, before their rows are put together.
#[derive(Default)]
pub(crate) struct Scan {
    pub(crate) shards: Vec<Shard>,
    pub(crate) damaged: Vec<Damage>,
}

impl Contents {
    /// The trials of this part that are planned and not there.
    pub fn missing(&self, part: Part, planned: u64) -> Vec<u64> {
        let there: BTreeSet<u64> = self.rows.iter().map(|row| row.trial).collect();
        (0..planned).filter(|&trial| part.has(trial) && !there.contains(&trial)).collect()
    }
}

impl Folder {
    /// Makes a folder for an experiment, or takes up the one that is there for the same experiment.
    ///
    /// # Errors
    /// The folder holds another experiment, or cannot be written; the columns cannot be kept.
    pub fn create(path: &Path, experiment: &Experiment) -> Result<Self, Error> {
        experiment.check()?;
        let file = path.join(experiment::FILE);
        let rows = path.join(ROWS);
        fs::create_dir_all(&rows).map_err(|error| Error::writing(&rows, error))?;
        // The folder's own name is safe too then. Where its parent may not be read, that is left to the system.
        let _ = path.parent().map(files::sync_folder);
        if !file.exists() {
            files::write_new(path, experiment::STEM, &file, &experiment.to_file())?;
        }
        // Whoever wrote it: it must be the same.
        let folder = Self::open(path)?;
        match folder.experiment.difference(experiment) {
            None => Ok(folder),
            Some(difference) => Err(Error::OtherExperiment { folder: path.to_owned(), difference }),
        }
    }

    /// Opens a folder that is there.
    ///
    /// # Errors
    /// There is none, it has no experiment, or what it says of the experiment is damaged.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = path.join(experiment::FILE);
        let bytes = fs::read(&file).map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory if !path.is_dir() => {
                Error::NoFolder(path.to_owned())
            }
            ErrorKind::NotFound => Error::NoExperiment(path.to_owned()),
            _ => Error::reading(&file, error),
        })?;
        let experiment = Experiment::from_file(&file, &bytes)?;
        let fingerprint = experiment.fingerprint();
        Ok(Self { path: path.to_owned(), experiment, fingerprint })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was asked.
    pub fn experiment(&self) -> &Experiment {
        &self.experiment
    }

    /// The folder with the shards.
    pub fn rows_path(&self) -> PathBuf {
        self.path.join(ROWS)
    }

    /// All rows. A damaged file hides none but its own.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn read(&self) -> Result<Contents, Error> {
        let Scan { shards, mut damaged } = self.scan(Some(&self.experiment.columns))?;
        let rows = self.merge(shards, &mut damaged);
        Ok(Contents { rows, damaged })
    }

    /// How much there is. Every file is checked, and no figure is read.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn extent(&self) -> Result<Extent, Error> {
        let Scan { shards, damaged } = self.scan(None)?;
        let trials: BTreeSet<u64> =
            shards.iter().flat_map(|shard| &shard.rows).map(|row| row.trial).collect();
        let bytes = shards.iter().map(|shard| shard.bytes).sum();
        Ok(Extent { trials: trials.len() as u64, bytes, damaged })
    }

    /// How many trials are there, for messages.
    pub(crate) fn count(&self) -> Option<u64> {
        self.extent().ok().map(|extent| extent.trials)
    }

    /// Every shard, with the fields of `columns` or without any.
    pub(crate) fn scan(&self, columns: Option<&[Column]>) -> Result<Scan, Error> {
        // Where another process finishes the folder meanwhile, a listed file is gone and its rows are in others.
        loop {
            if let Some(scan) = self.try_scan(columns)? {
                return Ok(scan);
            }
        }
    }

    fn try_scan(&self, columns: Option<&[Column]>) -> Result<Option<Scan>, Error> {
        let folder = self.rows_path();
        let mut scan = Scan::default();
        for name in self.shard_names()? {
            let file = folder.join(&name);
            let bytes = match fs::read(&file) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                Err(error) => {
                    let reason = format!("it cannot be read: {error}");
                    scan.damaged.push(Damage { file, reason, lost: None });
                    continue;
                }
            };
            let (length, told) = (bytes.len() as u64, trials::tell(&bytes));
            match shard::decode(columns, &self.fingerprint, bytes) {
                Ok(Decoded { rows, digest }) => {
                    scan.shards.push(Shard { name, bytes: length, digest, rows });
                }
                Err(reason) => scan.damaged.push(Damage { file, reason, lost: told }),
            }
        }
        Ok(Some(scan))
    }

    fn shard_names(&self) -> Result<Vec<String>, Error> {
        let mut names = files::names(&self.rows_path())?;
        let is_shard = |name: &str| {
            !name.starts_with('.') && Path::new(name).extension().is_some_and(|end| end == "parquet")
        };
        names.retain(|name| is_shard(name));
        Ok(names)
    }

    /// Every trial once. Equal trials are equal everywhere; a file that says otherwise is not believed.
    pub(crate) fn merge(&self, shards: Vec<Shard>, damaged: &mut Vec<Damage>) -> Vec<Row> {
        let mut rows: BTreeMap<u64, Row> = BTreeMap::new();
        for shard in shards {
            let differs = |row: &&Row| rows.get(&row.trial).is_some_and(|other| !row.is_identical(other));
            if let Some(row) = shard.rows.iter().find(differs) {
                let reason =
                    format!("its trial {} has other fields than the same trial elsewhere", row.trial);
                let lost = shard.rows.iter().map(|row| row.trial).collect();
                damaged.push(Damage { file: self.rows_path().join(shard.name), reason, lost: Some(lost) });
                continue;
            }
            rows.extend(shard.rows.into_iter().map(|row| (row.trial, row)));
        }
        for lost in damaged.iter_mut().filter_map(|damage| damage.lost.as_mut()) {
            lost.retain(|trial| !rows.contains_key(trial));
        }
        damaged.sort_by(|a, b| a.file.cmp(&b.file));
        rows.into_values().collect()
    }

    /// Puts a damaged file aside, beside the experiment, so that its trials can be run again. Returns its new place.
    ///
    /// # Errors
    /// It cannot be moved.
    pub fn set_aside(&self, damage: &Damage) -> Result<PathBuf, Error> {
        let name = damage.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut place = self.path.join(format!("{name}.damaged"));
        for number in 2.. {
            if !place.exists() {
                break;
            }
            place = self.path.join(format!("{name}.{number}.damaged"));
        }
        match fs::rename(&damage.file, &place) {
            // Another process was faster.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(place),
            renamed => renamed.map_err(|error| Error::writing(&damage.file, error))?,
        }
        files::sync_folder(&self.path)?;
        files::sync_folder(&self.rows_path())?;
        Ok(place)
    }
}
