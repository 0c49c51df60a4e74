//! A directory that appears whole or not at all: filled under another name beside its place,
//! synced, then renamed.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::new_file::{directory_of, sync_directory, temporary};
use super::{Error, Result, Verb};

/// Nobody but its owner looks into it.
const MODE: u32 = 0o700;

/// A directory in the making. Dropped without [`NewDirectory::publish`], it is removed with all
/// that is in it; a process that is killed leaves it under a name that begins with a dot.
#[derive(Debug)]
pub struct NewDirectory {
    target: PathBuf,
    staged: TempDir,
}

/// Whether a new directory can appear at `target`: nothing is there, or an empty directory.
///
/// # Errors
/// When that cannot be asked.
pub fn is_free(target: &Path) -> Result<bool> {
    let failed = |source| Error::new(Verb::Access, target, source);
    match fs::symlink_metadata(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(failed(error)),
        Ok(_) => {}
    }
    match fs::read_dir(target) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(false),
        // A link that leads nowhere.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

impl NewDirectory {
    /// Begins a directory that will appear at `target`.
    ///
    /// # Errors
    /// When nothing can be created in the directory that `target` is in.
    pub fn beside(target: &Path) -> Result<Self> {
        let target = fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
        let staged = temporary()
            .permissions(fs::Permissions::from_mode(MODE))
            .tempdir_in(directory_of(&target))
            .map_err(|source| Error::new(Verb::Open, target.as_path(), source))?;
        Ok(Self { target, staged })
    }

    /// Where it is as long as it is in the making.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.staged.path()
    }

    /// Makes a folder in it.
    ///
    /// # Errors
    /// When it cannot be created, or is there already.
    pub fn add_folder(&self, name: &OsStr) -> Result<PathBuf> {
        let path = self.path().join(name);
        let failed = |source| Error::new(Verb::Open, path.as_path(), source);
        fs::create_dir(&path).map_err(failed)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(MODE)).map_err(failed)?;
        Ok(path)
    }

    /// Gives a file in it its final mode.
    ///
    /// # Errors
    /// When the file is not there, or is somebody else's.
    pub fn set_mode(&self, name: &Path, mode: u32) -> Result<()> {
        let path = self.path().join(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))
            .map_err(|source| Error::new(Verb::Open, path, source))
    }

    /// Makes it durable under its name. The files in it are synced already.
    ///
    /// # Errors
    /// When it cannot be synced or renamed, or something is at its place.
    pub fn publish(self) -> Result<()> {
        let failed = |source| Error::new(Verb::Rename, self.target.as_path(), source);
        let sync = |folder: &Path| sync_directory(&folder.join("any name"));
        for entry in fs::read_dir(self.path()).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_dir() {
                sync(&path)?;
            }
        }
        sync(self.path())?;
        // It replaces an empty directory, and nothing else.
        fs::rename(self.path(), &self.target).map_err(failed)?;
        let Self { target, staged } = self;
        let _ = staged.keep();
        sync_directory(&target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_appears_whole_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("new");
        let new = NewDirectory::beside(&target).unwrap();
        fs::write(new.path().join("file"), b"x").unwrap();
        let inner = new.add_folder(OsStr::new("inner")).unwrap();
        fs::write(inner.join("file"), b"y").unwrap();
        new.set_mode(Path::new("file"), 0o400).unwrap();
        assert!(!target.exists());
        new.publish().unwrap();
        assert_eq!(fs::read(target.join("inner/file")).unwrap(), b"y");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!([mode(&target), mode(&target.join("file"))], [0o700, 0o400]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn without_its_name_it_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let new = NewDirectory::beside(&folder.path().join("new")).unwrap();
        fs::write(new.path().join("file"), b"x").unwrap();
        drop(new);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn only_an_empty_directory_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("new");
        assert!(is_free(&target).unwrap());
        fs::create_dir(&target).unwrap();
        assert!(is_free(&target).unwrap());
        let new = NewDirectory::beside(&target).unwrap();
        fs::write(target.join("theirs"), b"x").unwrap();
        assert!(!is_free(&target).unwrap());
        assert!(new.publish().is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        fs::remove_file(target.join("theirs")).unwrap();
        NewDirectory::beside(&target).unwrap().publish().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, b"x").unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        assert!(!is_free(&file).unwrap() && !is_free(&link).unwrap());
    }
}
