//! Names of files in reports.
//!
//! People see a name escaped, on one line. JSON has the text, and where the name is no UTF-8 its
//! bytes in base64 beside it: `path` and `path_bytes`, `wal` and `wal_path_bytes`.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::text;

/// The key of the text of a name that is no UTF-8, before its bytes are put beside it. No report
/// has such a field.
const TEXT: &str = "$file_name";
/// The key of its bytes.
const BYTES: &str = "$file_name_bytes";

/// The name of a file in a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileName(PathBuf);

impl FileName {
    /// The name as the system takes it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl<P: AsRef<Path>> From<P> for FileName {
    fn from(path: P) -> Self {
        Self(path.as_ref().to_owned())
    }
}

impl AsRef<OsStr> for FileName {
    fn as_ref(&self) -> &OsStr {
        self.0.as_os_str()
    }
}

/// Escaped, with bytes that are no UTF-8 as `\xe9`.
impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.as_os_str().as_bytes().utf8_chunks() {
            f.write_str(&text::escaped(chunk.valid()))?;
            chunk.invalid().iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
        }
        Ok(())
    }
}

impl Serialize for FileName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(text) = self.0.to_str() {
            return serializer.serialize_str(text);
        }
        let mut both = serializer.serialize_struct("FileName", 2)?;
        both.serialize_field(TEXT, &self.0.to_string_lossy())?;
        both.serialize_field(BYTES, &STANDARD.encode(self.0.as_os_str().as_bytes()))?;
        both.end()
    }
}

/// Serializes a path as a [`FileName`].
///
/// # Errors
/// When the serializer fails.
pub fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    FileName::from(path).serialize(serializer)
}

/// Puts the bytes of every name in `value` that is no UTF-8 beside its text.
pub(super) fn put_bytes_beside(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let old = std::mem::take(fields);
            for (key, mut field) in old {
                put_bytes_beside(&mut field);
                match parts(&mut field) {
                    Some((text, bytes)) => {
                        let beside = match key.as_str() {
                            "path" => "path_bytes".to_owned(),
                            name => format!("{name}_path_bytes"),
                        };
                        fields.insert(key, text);
                        fields.insert(beside, bytes);
                    }
                    None => {
                        fields.insert(key, field);
                    }
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(put_bytes_beside),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Text and bytes of a name that is no UTF-8.
fn parts(field: &mut Value) -> Option<(Value, Value)> {
    let fields: &mut Map<String, Value> = field.as_object_mut()?;
    Some((fields.get_mut(TEXT)?.take(), fields.get_mut(BYTES)?.take()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(Serialize)]
    struct Inner {
        path: FileName,
    }

    #[derive(Serialize)]
    struct Outer {
        wal: Option<FileName>,
        inner: Vec<Inner>,
        size: u64,
    }

    #[test]
    fn bytes_stand_beside_names_that_are_no_utf8() {
        let name = |bytes: &[u8]| FileName::from(OsStr::from_bytes(bytes));
        let inner = [b"plain".as_slice(), b"caf\xe9"].map(|bytes| Inner { path: name(bytes) });
        let outer = Outer { wal: Some(name(b"\xff-wal")), inner: inner.into(), size: 7 };
        let mut value = serde_json::to_value(outer).unwrap();
        put_bytes_beside(&mut value);
        let wanted = json!({
            "wal": "\u{fffd}-wal", "wal_path_bytes": "/y13YWw=",
            "inner": [{"path": "plain"}, {"path": "caf\u{fffd}", "path_bytes": "Y2Fm6Q=="}],
            "size": 7
        });
        assert_eq!(value.to_string(), wanted.to_string());
    }

    #[test]
    fn people_see_a_name_on_one_line() {
        let name = FileName::from(OsStr::from_bytes(b"a\x1b[31m\nb\xe9"));
        assert_eq!(name.to_string(), "a\\x1b[31m\\nb\\xe9");
    }
}
