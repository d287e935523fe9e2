//! The experiments in a folder of folders.

use crate::error::Error;
use crate::experiment;
use crate::files;
use crate::folder::{Extent, Folder};
use std::path::{Path, PathBuf};

/// A folder with an experiment, or with what is left of one.
#[derive(Debug)]
pub struct Listed {
    /// Where it is.
    pub path: PathBuf,
    /// What it holds, or why that cannot be told.
    pub found: Result<(Folder, Extent), Error>,
}

/// The experiments in the folders of `root`, by name. One that is damaged is listed too.
///
/// # Errors
/// There is no such folder, or it cannot be listed.
pub fn list(root: &Path) -> Result<Vec<Listed>, Error> {
    if !root.is_dir() {
        return Err(Error::NoFolder(root.to_owned()));
    }
    let folders = files::names(root)?.into_iter().map(|name| root.join(name));
    let experiments = folders.filter(|path| path.join(experiment::FILE).exists());
    Ok(experiments
        .map(|path| {
            let found = Folder::open(&path).and_then(|folder| folder.extent().map(|extent| (folder, extent)));
            Listed { path, found }
        })
        .collect())
}
