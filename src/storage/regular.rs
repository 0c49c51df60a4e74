//! Opens regular files and nothing else: a FIFO can keep its opener waiting for ever, and a device
//! can act when it is opened.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use nix::libc;

/// What is found under a name, symbolic links followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileType {
    /// Bytes that can be read at any offset.
    Regular,
    /// A directory.
    Directory,
    /// A pipe with a name.
    Fifo,
    /// A socket of this machine.
    Socket,
    /// A device that is read as a stream: a terminal, `/dev/null`.
    CharacterDevice,
    /// A disk.
    BlockDevice,
}

impl FileType {
    /// What it is, with its article.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Regular => "a regular file",
            Self::Directory => "a directory",
            Self::Fifo => "a FIFO (named pipe)",
            Self::Socket => "a socket",
            Self::CharacterDevice => "a character device",
            Self::BlockDevice => "a block device",
        }
    }

    fn of(found: fs::FileType) -> Self {
        if found.is_dir() {
            Self::Directory
        } else if found.is_fifo() {
            Self::Fifo
        } else if found.is_socket() {
            Self::Socket
        } else if found.is_char_device() {
            Self::CharacterDevice
        } else if found.is_block_device() {
            Self::BlockDevice
        } else {
            Self::Regular
        }
    }
}

/// Why something was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is {}; only regular files are opened", .0.words())]
pub struct NotRegular(pub FileType);

impl From<NotRegular> for io::Error {
    fn from(refused: NotRegular) -> Self {
        let kind = match refused.0 {
            FileType::Directory => io::ErrorKind::IsADirectory,
            _ => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, refused)
    }
}

/// What is at `path`; `None` when nothing is there. Opens nothing.
///
/// # Errors
/// When that cannot be asked.
pub(super) fn file_type(path: &Path) -> io::Result<Option<FileType>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(FileType::of(metadata.file_type()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens `path` if it is a regular file, or is to be created. What is there is asked before and
/// after: between the two it may become something else, which then does not keep us waiting.
///
/// # Errors
/// [`NotRegular`], or what opening reports.
pub(super) fn open_regular(
    options: &mut fs::OpenOptions,
    path: &Path,
    flags: i32,
) -> io::Result<fs::File> {
    let only_regular = |found| match found {
        FileType::Regular => Ok(()),
        other => Err(io::Error::from(NotRegular(other))),
    };
    file_type(path)?.map_or(Ok(()), only_regular)?;
    let file = options.custom_flags(libc::O_NONBLOCK | flags).open(path)?;
    only_regular(FileType::of(file.metadata()?.file_type()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::os::OsVfs;
    use crate::storage::{Error, OpenMode, Vfs};

    #[test]
    fn what_is_no_regular_file_is_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let cases = [
            (fifo.as_path(), FileType::Fifo),
            (socket.as_path(), FileType::Socket),
            (Path::new("/dev/null"), FileType::CharacterDevice),
            (folder.path(), FileType::Directory),
        ];
        for (path, wanted) in cases {
            assert_eq!(OsVfs.file_type(path).unwrap(), Some(wanted));
            for mode in [OpenMode::ReadOnly, OpenMode::ReadWrite, OpenMode::Create] {
                let refused = OsVfs.open(path, mode).unwrap_err();
                assert_eq!(refused.not_regular(), Some(wanted), "{mode:?}: {refused:?}");
            }
        }
        assert_eq!(OsVfs.file_type(&folder.path().join("nothing")).unwrap(), None);
    }

    #[test]
    fn a_loop_of_links_is_an_error_that_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        std::os::unix::fs::symlink(&two, &one).unwrap();
        std::os::unix::fs::symlink(&one, &two).unwrap();
        let is_loop = |error: Error| error.is_link_loop();
        assert!(OsVfs.full_path(&one).is_err_and(is_loop));
        assert!(OsVfs.file_type(&one).is_err_and(is_loop));
        assert!(OsVfs.open(&one, OpenMode::ReadOnly).is_err_and(is_loop));
    }
}
