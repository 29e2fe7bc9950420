//! All definitions as one JSON file that people and other tools can read.
//!
//! Invariants: the file is replaced atomically; a textual value is stored as text; a sum over all of it shows whether
//! it is as written.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize, Serializer};

use super::entries::{Entries, Meta};
use super::journal::{replace, whole};
use crate::disk::Disk;

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
    #[serde(default)]
    check: Option<String>,
    definitions: BTreeMap<String, Value<'static>>,
}

/// As [`Document`], but borrowing its content.
#[derive(Serialize)]
struct Written<'a> {
    format: u32,
    revision: u64,
    check: Option<String>,
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

/// Definitions at a revision.
pub(super) struct Snapshot {
    pub(super) revision: u64,
    pub(super) entries: Entries,
}

/// The state of the snapshot in the folder.
pub(super) enum Found {
    Missing,
    /// It is as written.
    Whole(Snapshot),
    /// It is not; the reason, and what can be recovered from it.
    Damaged(String, Entries),
}

impl Snapshot {
    pub(super) fn write(&self, disk: &dyn Disk, name: &str) -> io::Result<()> {
        let document = Written {
            format: 1,
            revision: self.revision,
            check: Some(Meta::of(&self.entries, self.revision).check()),
            definitions: &self.entries,
        };
        let bytes = serde_json::to_vec_pretty(&document).map_err(io::Error::other)?;
        replace(disk, name, &bytes)
    }

    /// Reads it; an error only if the disk fails.
    pub(super) fn read(disk: &dyn Disk, name: &str) -> io::Result<Found> {
        match whole(disk, name) {
            Ok(bytes) => Ok(Self::parse(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Missing),
            Err(error) => Err(error),
        }
    }

    /// Parses a file of any content.
    pub(super) fn parse(bytes: &[u8]) -> Found {
        let document: Document = match serde_json::from_slice(bytes) {
            Ok(document) => document,
            Err(error) => return Found::Damaged(error.to_string(), Entries::new()),
        };
        if document.format != 1 {
            return Found::Damaged(format!("unknown format {}", document.format), Entries::new());
        }
        let mut entries = Entries::new();
        let mut wrong = None;
        for (key, value) in document.definitions {
            let bytes = match value {
                Value::Text(text) => Some(text.into_owned().into_bytes()),
                Value::Bytes { hex } => unhex(&hex),
            };
            if let Some(bytes) = bytes {
                entries.insert(key.into(), bytes.into());
            } else {
                wrong = Some(format!("{key:?} is not hex"));
            }
        }
        // Earlier versions wrote no sum.
        let check = document.check.is_none_or(|check| check == Meta::of(&entries, document.revision).check());
        if !check {
            wrong.get_or_insert_with(|| "its content is not what was written".to_owned());
        }
        match wrong {
            Some(why) => Found::Damaged(why, entries),
            None => Found::Whole(Self { revision: document.revision, entries }),
        }
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
