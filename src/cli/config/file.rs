//! The configuration file: its keys, and its errors by line and column.

use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::keys::KEYS;
use super::table::Key;
use super::{Config, Problem};

/// Similarity, from 0 to 1, from which a name is suggested for another.
const ALIKE: f64 = 0.75;

/// A file being read into `config`.
pub(super) struct File<'a> {
    path: &'a Path,
    text: &'a str,
    config: &'a mut Config,
    /// Keys set by the file, with their lines.
    pub(super) found: Vec<(&'static Key, usize)>,
    pub(super) problems: Vec<Problem>,
}

impl<'a> File<'a> {
    /// Reads `text` into `config`. Invalid values leave it unchanged.
    pub(super) fn read(path: &'a Path, text: &'a str, config: &'a mut Config) -> Self {
        let mut file = Self { path, text, config, found: Vec::new(), problems: Vec::new() };
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            // Not its `Display`, which quotes the line: that may contain a secret.
            let at = error.span().unwrap_or_default();
            file.problem(&at, error.message().to_owned());
        }
        if file.problems.is_empty() {
            for (name, value) in table.get_ref() {
                file.top(name, value);
            }
        }
        file
    }

    fn top(&mut self, name: &Spanned<DeString<'_>>, value: &Spanned<DeValue<'_>>) {
        let table = name.get_ref().as_ref();
        match value.get_ref() {
            DeValue::Table(within) if KEYS.iter().any(|key| key.table == Some(table)) => {
                for (name, value) in within {
                    self.set(Some(table), name, value);
                }
            }
            _ => self.set(None, name, value),
        }
    }

    fn set(&mut self, table: Option<&str>, name: &Spanned<DeString<'_>>, value: &Spanned<DeValue<'_>>) {
        let leaf = name.get_ref().as_ref();
        let path = table.map_or_else(|| leaf.to_owned(), |table| format!("{table}.{leaf}"));
        let Some(key) = KEYS.iter().find(|key| key.table == table && key.leaf() == leaf) else {
            let (what, hint) = match value.get_ref() {
                DeValue::Table(_) => ("table", table_alike(&path).map(str::to_owned)),
                _ => ("key", alike(&path)),
            };
            let hint = hint.map(|it| format!("; did you mean {it:?}?")).unwrap_or_default();
            self.problem(&name.span(), format!("unknown {what} {path:?}{hint}"));
            return;
        };
        match (key.set_toml)(self.config, value.get_ref()) {
            Ok(()) => {
                let (line, _) = self.place(&name.span());
                self.found.push((key, line));
            }
            Err(why) => self.problem(&value.span(), format!("{path}: {why}")),
        }
    }

    fn problem(&mut self, at: &Range<usize>, why: String) {
        let (line, column) = self.place(at);
        self.problems.push(Problem::File { path: PathBuf::from(self.path), line, column, why });
    }

    /// Line and column, from 1; the column in characters.
    fn place(&self, at: &Range<usize>) -> (usize, usize) {
        let before = self.text.get(..at.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        (line, before[start..].chars().count() + 1)
    }
}

/// The key or table that was probably meant.
fn alike(path: &str) -> Option<String> {
    let names = KEYS.iter().map(Key::path);
    let leaf = path.rsplit('.').next();
    // A correct name in the wrong table is as good as a similar one.
    let same = names.clone().find(|name| name.rsplit('.').next() == leaf);
    same.or_else(|| most_alike(path, names))
}

/// A table whose name is at most two edits away.
fn table_alike(name: &str) -> Option<&'static str> {
    let tables = KEYS.iter().filter_map(|key| key.table);
    let distances = tables.map(|table| (strsim::osa_distance(table, name), table));
    distances.min().filter(|(distance, _)| *distance <= 2).map(|(_, table)| table)
}

/// The most similar name, if any is similar enough. Their common prefix is ignored.
pub(super) fn most_alike(given: &str, names: impl Iterator<Item = String>) -> Option<String> {
    let own = |name: &str| name.strip_prefix("LEVERET_").unwrap_or(name).to_owned();
    names
        .map(|name| (strsim::jaro_winkler(&own(&name), &own(given)), name))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, name)| name)
}
