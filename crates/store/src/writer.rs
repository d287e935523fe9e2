//! A part's rows on their way to the disk.

use crate::error::Error;
use crate::folder::Folder;
use crate::part::Part;
use crate::value::{Row, Value};
use crate::{files, shard};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{File, OpenOptions, TryLockError};

/// Rows of a file at most.
pub(crate) const MOST_ROWS: usize = 65_536;

/// Takes the rows of one part. They are safe after [`Writer::flush`]; what was added since is gone with the writer.
#[derive(Debug)]
pub struct Writer {
    folder: Folder,
    part: Part,
    /// Held while the writer lives, and let go by the system when the process dies.
    _lock: File,
    next: u32,
    pending: BTreeMap<u64, Row>,
}

impl Folder {
    /// The writer of a part. Writers of different parts, in one process, in many or on many machines, know nothing of each
    /// other.
    ///
    /// # Errors
    /// Another writer of the same part is alive, or the folder cannot be written.
    pub fn writer(&self, part: Part) -> Result<Writer, Error> {
        let lock = self.lock(part)?;
        files::sweep_up(&self.path, &part.stem())?;
        let names = [files::names(&self.rows_path())?, files::names(&self.path)?].concat();
        let last = names.iter().filter_map(|name| part.number(name)).max().unwrap_or_default();
        Ok(Writer { folder: self.clone(), part, _lock: lock, next: last + 1, pending: BTreeMap::new() })
    }

    fn lock(&self, part: Part) -> Result<File, Error> {
        let path = self.path.join(format!("{}.lock", part.stem()));
        let failed = |error| Error::writing(&path, error).with_safe(|| self.count());
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(Error::InUse { folder: self.path.clone(), part }),
            Err(TryLockError::Error(source)) => {
                Err(Error::Io { doing: "locked", path: path.clone(), source, safe: None })
            }
        }
    }
}

impl Writer {
    /// Takes a row.
    ///
    /// # Errors
    /// It does not fit the columns, or there is another one of this trial already. Every so many rows are written as
    /// by [`Writer::flush`], and may fail like it; the row is taken nevertheless.
    pub fn add(&mut self, row: Row) -> Result<(), Error> {
        if let Some(reason) = row.problem(&self.folder.experiment.columns) {
            return Err(Error::BadRow { trial: row.trial, reason });
        }
        let row = Row { trial: row.trial, values: row.values.into_iter().map(Value::kept).collect() };
        match self.pending.entry(row.trial) {
            Entry::Vacant(place) => {
                place.insert(row);
            }
            Entry::Occupied(there) if there.get().is_identical(&row) => {}
            Entry::Occupied(_) => {
                let reason = "it was added before, with other fields".to_owned();
                return Err(Error::BadRow { trial: row.trial, reason });
            }
        }
        if self.pending.len() >= MOST_ROWS {
            self.flush()?;
        }
        Ok(())
    }

    /// How many rows wait to be written.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Writes what was added since the last time. When it returns, the rows are on the disk.
    ///
    /// # Errors
    /// The disk is full or refuses. Nothing is lost then: the rows still wait, and it may be tried again.
    pub fn flush(&mut self) -> Result<(), Error> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let rows: Vec<Row> = self.pending.values().cloned().collect();
        let Folder { path, experiment, fingerprint } = &self.folder;
        let encoded = shard::encode(&experiment.columns, fingerprint, &rows);
        let target = self.folder.rows_path().join(self.part.shard(self.next));
        files::write(path, &self.part.stem(), &target, &encoded.bytes)
            .map_err(|error| error.with_safe(|| self.folder.count()))?;
        self.next += 1;
        self.pending.clear();
        Ok(())
    }
}
