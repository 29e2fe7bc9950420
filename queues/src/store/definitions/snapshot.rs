//! All definitions as one JSON file that people and other tools can read.
//!
//! Invariants: the file is replaced in whole; a value that is text stands there as text.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::journal::replace;

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Bytes { hex: String },
}

#[derive(Serialize, Deserialize)]
struct Document {
    format: u32,
    revision: u64,
    definitions: BTreeMap<String, Value>,
}

/// Definitions as of a revision.
pub(super) struct Snapshot {
    pub(super) revision: u64,
    pub(super) entries: BTreeMap<String, Vec<u8>>,
}

impl Snapshot {
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let value = |bytes: &Vec<u8>| match std::str::from_utf8(bytes) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_) => Value::Bytes { hex: hex(bytes) },
        };
        let entries = self.entries.iter();
        let document = Document {
            format: 1,
            revision: self.revision,
            definitions: entries.map(|(key, bytes)| (key.clone(), value(bytes))).collect(),
        };
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
        let mut entries = BTreeMap::new();
        for (key, value) in document.definitions {
            let bytes = match value {
                Value::Text(text) => text.into_bytes(),
                Value::Bytes { hex } => {
                    unhex(&hex).ok_or_else(|| io::Error::other(format!("{key} is not hex")))?
                }
            };
            entries.insert(key, bytes);
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
