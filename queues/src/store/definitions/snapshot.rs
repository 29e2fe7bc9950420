//! All definitions as one JSON file that people and other tools can read.
//!
//! Invariants: the file is replaced in whole; a value that is text stands there as text.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize, Serializer};

use super::entries::Entries;
use super::journal::replace;

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Value<'a> {
    Text(Cow<'a, str>),
    Bytes { hex: String },
}

#[derive(Deserialize)]
struct Document {
    format: u32,
    revision: u64,
    definitions: BTreeMap<String, Value<'static>>,
}

/// As [`Document`], without a copy of what is in it.
#[derive(Serialize)]
struct Written<'a> {
    format: u32,
    revision: u64,
    #[serde(serialize_with = "write_definitions")]
    definitions: &'a Entries,
}

fn write_definitions<S: Serializer>(entries: &Entries, to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(entries.iter().map(|(key, bytes)| {
        let value = match std::str::from_utf8(bytes) {
            Ok(text) => Value::Text(text.into()),
            Err(_) => Value::Bytes { hex: hex(bytes) },
        };
        (&**key, value)
    }))
}

/// Definitions as of a revision.
pub(super) struct Snapshot {
    pub(super) revision: u64,
    pub(super) entries: Entries,
}

impl Snapshot {
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let document = Written { format: 1, revision: self.revision, definitions: &self.entries };
        replace(path, |file| serde_json::to_writer_pretty(file, &document).map_err(io::Error::other))
    }

    /// `None` if there is no file; an error if it cannot be understood.
    pub(super) fn read(path: &Path) -> io::Result<Option<Self>> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let document: Document = serde_json::from_slice(&bytes).map_err(io::Error::other)?;
        if document.format != 1 {
            return Err(io::Error::other(format!("unknown format {}", document.format)));
        }
        let mut entries = Entries::new();
        for (key, value) in document.definitions {
            let bytes = match value {
                Value::Text(text) => text.into_owned().into_bytes(),
                Value::Bytes { hex } => {
                    unhex(&hex).ok_or_else(|| io::Error::other(format!("{key} is not hex")))?
                }
            };
            entries.insert(key.into(), bytes.into());
        }
        Ok(Some(Self { revision: document.revision, entries }))
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    let pairs = bytes.iter();
    pairs.flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| {
            let [high, low] = pair else { return None };
            u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
        })
        .collect()
}
