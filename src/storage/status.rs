//! What the file system knows of a file beside its content.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

use nix::unistd::{Gid, Group, Uid, User};

/// What the file system knows of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The device that has it.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
    /// Names that it has; 0 for a file that was deleted.
    pub links: u64,
    /// Number of its owner.
    pub uid: u32,
    /// Number of its group.
    pub gid: u32,
    /// Its permissions, 12 bits.
    pub mode: u32,
    /// Its length.
    pub size_bytes: u64,
    /// What it takes on its disk.
    pub allocated_bytes: u64,
    /// When its content was changed last.
    pub modified: Option<SystemTime>,
    /// When it was read last, as far as the mount keeps count.
    pub accessed: Option<SystemTime>,
    /// When it was made.
    pub created: Option<SystemTime>,
}

impl Status {
    /// That of the file at `path`, links followed; `None` where it cannot be asked.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        const BLOCK_BYTES: u64 = 512;
        let found = fs::metadata(path).ok()?;
        Some(Self {
            device: found.dev(),
            inode: found.ino(),
            links: found.nlink(),
            uid: found.uid(),
            gid: found.gid(),
            mode: found.mode() & 0o7777,
            size_bytes: found.len(),
            allocated_bytes: found.blocks().saturating_mul(BLOCK_BYTES),
            modified: found.modified().ok(),
            accessed: found.accessed().ok(),
            created: found.created().ok(),
        })
    }

    /// Whether both are of the same file.
    #[must_use]
    pub fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// The name of its owner; `None` where the number has none.
    #[must_use]
    pub fn owner(&self) -> Option<String> {
        User::from_uid(Uid::from_raw(self.uid)).ok().flatten().map(|user| user.name)
    }

    /// The name of its group; `None` where the number has none.
    #[must_use]
    pub fn group(&self) -> Option<String> {
        Group::from_gid(Gid::from_raw(self.gid)).ok().flatten().map(|group| group.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_inode_whatever_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        fs::write(&one, b"abc").unwrap();
        fs::hard_link(&one, &two).unwrap();
        let (first, second) = (Status::of(&one).unwrap(), Status::of(&two).unwrap());
        assert!(first.is_same_file(&second));
        assert_eq!((first.size_bytes, first.links), (3, 2));
        fs::remove_file(&two).unwrap();
        fs::copy(&one, &two).unwrap();
        assert!(!first.is_same_file(&Status::of(&two).unwrap()));
        assert_eq!(Status::of(&folder.path().join("nothing")), None);
    }
}
