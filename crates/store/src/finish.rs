//! The final form of a folder: whatever its history, the same rows give the same files.

use crate::error::Error;
use crate::folder::{Folder, Scan};
use crate::writer::MOST_ROWS;
use crate::{experiment, files, index, shard};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;

/// Prefix of the names of files that are not in place yet.
const STEM: &str = "finish";
/// Digits of the checksum in a file's name. Names that follow from the content never replace a file by a different one.
const DIGITS: usize = 16;

impl Folder {
    /// Writes all rows anew, in order, and then removes the files in which they were. Interrupted at any point it loses
    /// nothing, and may be done again; done again it changes nothing. Where several processes do it, one waits for the
    /// other.
    ///
    /// # Errors
    /// Planned trials are missing, a file is damaged, or the folder cannot be written; what was there is still there.
    pub fn finish(&self) -> Result<(), Error> {
        let path = self.path.join("finish.lock");
        let failed = |error| Error::writing(&path, error).with_safe(|| self.count());
        let lock = OpenOptions::new().create(true).append(true).open(&path).map_err(failed)?;
        lock.lock().map_err(failed)?;
        // Of an index that is being written at this moment nothing is lost but the copy.
        for stem in [STEM, index::STEM, experiment::STEM] {
            files::sweep_up(&self.path, stem)?;
        }

        let Scan { shards, mut damaged } = self.scan(Some(&self.experiment.columns))?;
        let old: BTreeMap<String, String> =
            shards.iter().map(|shard| (shard.name.clone(), shard.digest.clone())).collect();
        let rows = self.merge(shards, &mut damaged);
        if let Some(first) = damaged.into_iter().next() {
            return Err(Error::Damaged { file: first.file, reason: first.reason });
        }
        self.check_complete(rows.iter().map(|row| row.trial))?;

        let mut new = BTreeSet::new();
        for (number, rows) in rows.chunks(MOST_ROWS).enumerate() {
            let encoded = shard::encode(&self.experiment.columns, &self.fingerprint, rows);
            let name = format!("{number:06}-{}.parquet", &encoded.digest[..DIGITS]);
            if old.get(&name) != Some(&encoded.digest) {
                files::write(&self.path, STEM, &self.rows_path().join(&name), &encoded.bytes)
                    .map_err(|error| error.with_safe(|| self.count()))?;
            }
            new.insert(name);
        }
        for name in old.keys().filter(|name| !new.contains(*name)) {
            files::remove(&self.rows_path().join(name))?;
        }
        files::sync_folder(&self.rows_path())
    }

    fn check_complete(&self, trials: impl Iterator<Item = u64>) -> Result<(), Error> {
        let Some(planned) = self.experiment.trials else { return Ok(()) };
        let there: BTreeSet<u64> = trials.collect();
        let mut missing = (0..planned).filter(|trial| !there.contains(trial));
        let Some(first) = missing.next() else { return Ok(()) };
        let missing = 1 + missing.count() as u64;
        Err(Error::Incomplete { folder: self.path.clone(), planned, missing, first })
    }
}
