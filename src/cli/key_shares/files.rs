//! New pages in a folder, each whole and durable, with an ending that says that they open nothing
//! yet.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::os::dir::Dir;
use crate::os::special::rename_to_free;

/// The end of the name of a page whose key is not there yet.
pub(super) const UNFINISHED: &str = ".unfinished";

/// Pages under their unfinished names. They are removed when this is dropped, unless they were
/// [finished](NewPages::finish).
pub(super) struct NewPages {
    folder: PathBuf,
    /// Whether the folder was made for them.
    is_new: bool,
    names: Vec<String>,
    /// How many of them have their final names.
    finished: usize,
    is_kept: bool,
}

impl NewPages {
    /// Makes the folder if it does not exist, for its owner only.
    pub(super) fn begin(folder: &Path) -> io::Result<Self> {
        let is_new = match DirBuilder::new().mode(0o700).create(folder) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => false,
            Err(error) => return Err(error),
        };
        let folder = folder.to_owned();
        let pages = Self { folder, is_new, names: Vec::new(), finished: 0, is_kept: false };
        if is_new {
            let above = pages.folder.parent().filter(|above| !above.as_os_str().is_empty());
            File::open(above.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        Ok(pages)
    }

    /// Writes a page under its unfinished name, durably but for the folder; mode 0600. Fails if
    /// there is a file of one of its names.
    pub(super) fn write(&mut self, name: &str, text: &str) -> io::Result<()> {
        if self.folder.join(name).symlink_metadata().is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let path = self.folder.join(format!("{name}{UNFINISHED}"));
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
        self.names.push(name.to_owned());
        file.write_all(text.as_bytes())?;
        file.sync_all()
    }

    /// Makes the names of all pages durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }

    /// Gives all pages their final names, durably. Replaces no file.
    pub(super) fn finish(mut self) -> io::Result<()> {
        let folder = Dir::open(&self.folder)?;
        for name in &self.names {
            let unfinished = format!("{name}{UNFINISHED}");
            rename_to_free(&folder, unfinished.as_bytes(), name.as_bytes())?;
            self.finished += 1;
        }
        self.sync()?;
        self.is_kept = true;
        Ok(())
    }
}

impl Drop for NewPages {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        // The caller reports why; what cannot be removed says by its name that it opens nothing.
        for (at, name) in self.names.iter().enumerate() {
            let ending = if at < self.finished { "" } else { UNFINISHED };
            let _ = fs::remove_file(self.folder.join(format!("{name}{ending}")));
        }
        if self.is_new {
            let _ = fs::remove_dir(&self.folder);
        }
    }
}
