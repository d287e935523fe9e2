//! Files that are there as a whole or not at all, also after a crash.

use crate::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Writes a file under another name and renames it when its bytes are on the disk. What is left over by a process that
/// died in between begins with `.` and `stem` and ends in `.tmp`; see [`sweep_up`].
///
/// # Errors
/// As the file system refuses; nothing is left behind then.
pub(crate) fn write(folder: &Path, stem: &str, target: &Path, bytes: &[u8]) -> Result<(), Error> {
    place(folder, stem, target, bytes, |temporary| fs::rename(temporary, target))
}

/// The same for a file that must not be there yet; `false` when it is.
///
/// # Errors
/// As the file system refuses.
pub(crate) fn write_new(folder: &Path, stem: &str, target: &Path, bytes: &[u8]) -> Result<bool, Error> {
    let mut is_new = true;
    place(folder, stem, target, bytes, |temporary| {
        // A link, unlike a rename, never replaces what another process was faster to put there.
        match fs::hard_link(temporary, target) {
            Ok(()) => fs::remove_file(temporary),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                is_new = false;
                fs::remove_file(temporary)
            }
            Err(_) if target.exists() => {
                is_new = false;
                fs::remove_file(temporary)
            }
            Err(_) => fs::rename(temporary, target),
        }
    })?;
    Ok(is_new)
}

fn place(
    folder: &Path,
    stem: &str,
    target: &Path,
    bytes: &[u8],
    put: impl FnOnce(&Path) -> io::Result<()>,
) -> Result<(), Error> {
    let (mut file, temporary) = temporary(folder, stem).map_err(|error| Error::writing(target, error))?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    drop(file);
    written.and_then(|()| put(&temporary)).map_err(|error| {
        // The failure is told; that the leftover is swept up later too is no matter of its own.
        let _ = fs::remove_file(&temporary);
        Error::writing(target, error)
    })?;
    sync_folder(target.parent().unwrap_or(folder))
}

/// A new file, whatever other processes and machines do at the same time.
fn temporary(folder: &Path, stem: &str) -> io::Result<(File, PathBuf)> {
    let mut number = 0_u64;
    loop {
        let path = folder.join(format!(".{stem}-{}-{number}.tmp", std::process::id()));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
            opened => return opened.map(|file| (file, path)),
        }
    }
}

/// Removes what processes left that died while they wrote files of this stem, of which only the caller writes any.
pub(crate) fn sweep_up(folder: &Path, stem: &str) -> Result<(), Error> {
    let start = format!(".{stem}-");
    for name in names(folder)? {
        if name.starts_with(&start) && Path::new(&name).extension().is_some_and(|end| end == "tmp") {
            remove(&folder.join(name))?;
        }
    }
    Ok(())
}

/// Removes a file; one that is gone already is no failure.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::writing(path, error)),
        _ => Ok(()),
    }
}

/// Makes the names in a folder safe, as far as the system knows how to.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), Error> {
    if cfg!(unix) {
        // The parent of a bare name is written as nothing.
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        return synced.map_err(|error| Error::writing(folder, error));
    }
    Ok(())
}

/// The names in a folder, in order; names that are no text are none of ours.
pub(crate) fn names(folder: &Path) -> Result<Vec<String>, Error> {
    let failed = |error| Error::reading(folder, error);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        names.extend(entry.map_err(failed)?.file_name().into_string().ok());
    }
    names.sort_unstable();
    Ok(names)
}
