//! On which file system a file is, by `/proc/self/mountinfo`.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::process::full_name;

/// A mounted file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where it is mounted.
    pub at: PathBuf,
    /// Its type, as the kernel names it: `ext4`, `nfs4`, `fuse.sshfs`.
    pub kind: String,
}

impl Mount {
    /// The mount that has `path`; `None` where the system does not tell.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let path = full_name(path)?;
        let list = fs::read("/proc/self/mountinfo").ok()?;
        let mounts = list.split(|&byte| byte == b'\n').filter_map(mount);
        // A later mount covers an earlier one of the same place.
        mounts.filter(|mount| path.starts_with(&mount.at)).fold(None, |best: Option<Self>, next| {
            let is_deeper = best
                .as_ref()
                .is_none_or(|best| next.at.components().count() >= best.at.components().count());
            if is_deeper { Some(next) } else { best }
        })
    }

    /// Whether its files may be used by other machines, or are served by a program.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        const SHARED: [&str; 12] = [
            "nfs",
            "nfs4",
            "cifs",
            "smb3",
            "smbfs",
            "9p",
            "virtiofs",
            "afs",
            "ceph",
            "glusterfs",
            "lustre",
            "vboxsf",
        ];
        SHARED.contains(&self.kind.as_str()) || self.kind.starts_with("fuse")
    }
}

/// The device that has the file at `path`; `None` where it is not there.
#[must_use]
pub fn device_of(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|found| found.dev())
}

/// Parses a line of mountinfo (proc(5)): the place is the fifth word, with blanks as `\040`; the
/// type comes after ` - `.
fn mount(line: &[u8]) -> Option<Mount> {
    let mut words = line.split(|&byte| byte == b' ');
    let at = unescaped(words.nth(4)?);
    let kind = words.skip_while(|word| *word != b"-").nth(1)?;
    Some(Mount { at, kind: String::from_utf8_lossy(kind).into_owned() })
}

fn unescaped(word: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&first, after)) = rest.split_first() {
        let octal = after.first_chunk::<3>().filter(|_| first == b'\\');
        let value = octal.and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        });
        bytes.push(value.unwrap_or(first));
        rest = match value {
            Some(_) => after.get(3..).unwrap_or_default(),
            None => after,
        };
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_mountinfo_is_read() {
        let line =
            b"36 35 98:0 /mnt1 /a\\040b rw,noatime master:1 - nfs4 host:/x rw,errors=continue";
        let found = mount(line).unwrap();
        assert_eq!((found.at.as_path(), found.kind.as_str()), (Path::new("/a b"), "nfs4"));
        assert!(found.is_shared());
        assert_eq!(mount(b""), None);
    }

    #[test]
    fn this_file_is_on_a_mount() {
        use std::os::unix::ffi::OsStrExt;
        let mount = Mount::of(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        assert!(!mount.kind.is_empty() && mount.at.as_os_str().as_bytes().starts_with(b"/"));
        assert_eq!(Mount::of(Path::new("/proc/self/status")).unwrap().kind, "proc");
    }
}
