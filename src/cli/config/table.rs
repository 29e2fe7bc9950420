//! Metadata of a key, and the macro that generates the settings, their defaults and the table of keys from one
//! list.

use toml::Value;
use toml::de::DeValue;

use super::Config;
use super::setting::{Bytes, Setting};

/// When a changed value takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// At once, on SIGHUP.
    Live,
    /// At the next start.
    Restart,
}

/// A configuration key.
#[derive(Debug)]
pub struct Key {
    /// Its name in [`Config`], from which the flag and the environment variable are derived.
    pub name: &'static str,
    /// Its table in the file; the table's name is not repeated in the key's name there.
    pub table: Option<&'static str>,
    /// Heading in the documents.
    pub group: &'static str,
    /// Purpose, and reason for the default. The first line can stand alone.
    pub doc: &'static str,
    /// The form of a value.
    pub form: &'static str,
    /// Allowed words, if limited to a choice.
    pub words: &'static [&'static str],
    /// Its unit, if any.
    pub unit: Option<&'static str>,
    /// Minimum and maximum.
    pub range: Option<(u64, u64)>,
    /// When a changed value takes effect.
    pub change: Change,
    /// Whether values are never shown.
    pub secret: bool,
    pub(super) set_text: fn(&mut Config, &str) -> Result<(), String>,
    pub(super) set_toml: fn(&mut Config, &DeValue<'_>) -> Result<(), String>,
    pub(super) get: fn(&Config) -> Option<Value>,
    pub(super) same: fn(&Config, &Config) -> bool,
    pub(super) copy: fn(&Config, &mut Config),
}

impl Key {
    /// `--data-dir`, without the dashes in front.
    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    /// `LEVERET_DATA_DIR`.
    pub fn variable(&self) -> String {
        format!("LEVERET_{}", self.name.to_uppercase())
    }

    /// Its name within its table: `cert_file` for `tls_cert_file`.
    pub fn leaf(&self) -> &'static str {
        let within = self.table.and_then(|table| self.name.strip_prefix(table)?.strip_prefix('_'));
        within.unwrap_or(self.name)
    }

    /// Its path in the file: `tls.cert_file`.
    pub fn path(&self) -> String {
        self.table.map_or_else(|| self.name.to_owned(), |table| format!("{table}.{}", self.leaf()))
    }

    /// The value from `config` in file syntax; `None` if unset, a placeholder if secret.
    pub fn show(&self, config: &Config) -> Option<Value> {
        let value = (self.get)(config)?;
        Some(if self.secret { Value::String("(secret)".to_owned()) } else { value })
    }

    /// Whether the value is the same in both.
    pub fn is_same(&self, one: &Config, other: &Config) -> bool {
        (self.same)(one, other)
    }

    /// Copies the value.
    pub fn copy(&self, from: &Config, to: &mut Config) {
        (self.copy)(from, to);
    }

    /// The documentation as one line.
    pub fn sentences(&self) -> String {
        self.doc.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Unit, range and choice, as text.
    pub fn facts(&self) -> Vec<String> {
        let shown = |number: u64| match self.unit {
            Some("bytes") => Bytes(number).show().map_or_else(|| number.to_string(), |value| plain(&value)),
            _ => number.to_string(),
        };
        let words = (!self.words.is_empty()).then(|| format!("one of {}", self.words.join(", ")));
        let unit = self.unit.map(|unit| format!("in {unit}"));
        let range = self.range.map(|(least, greatest)| match greatest {
            u64::MAX => format!("at least {}", shown(least)),
            _ => format!("{} to {}", shown(least), shown(greatest)),
        });
        words.into_iter().chain(unit).chain(range).collect()
    }

    /// For `-h`: the first sentence and the default.
    pub fn help(&self) -> String {
        let text = self.sentences();
        let first = text.split_once(". ").map_or(text.trim_end_matches('.'), |(first, _)| first);
        match self.show(&Config::default()) {
            Some(value) => format!("{first} [default: {}]", plain(&value)),
            None => first.to_owned(),
        }
    }

    /// For `--help`: everything known.
    pub fn long_help(&self) -> String {
        let mut facts = self.facts();
        facts.extend(self.show(&Config::default()).map(|value| format!("default: {}", plain(&value))));
        match facts.as_slice() {
            [] => self.sentences(),
            facts => format!("{} [{}]", self.sentences(), facts.join("; ")),
        }
    }
}

/// A value without TOML's quotes around text.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Checks the value against its key's range; an unset value passes.
pub(super) fn in_range<T: Setting>(value: T, range: Option<(u64, u64)>) -> Result<T, String> {
    match (value.number(), range) {
        (Some(number), Some((least, greatest))) if !(least..=greatest).contains(&number) => {
            Err(format!("{number} is not between {least} and {greatest}"))
        }
        _ => Ok(value),
    }
}

/// Generates [`Config`], its defaults and the table of keys. See `keys.rs` for the list's syntax.
macro_rules! keys {
    ($(
        $group:literal, $table:expr => {
            $(
                $(#[doc = $doc:literal])+
                $name:ident: $type:ty = $default:expr, $change:ident
                    $(, unit $unit:literal)? $(, range $least:expr, $greatest:expr)?;
            )+
        }
    )+) => {
        /// Settings in force, documented in the table of keys.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Config {
            $($(
                $(#[doc = $doc])+
                pub $name: $type,
            )+)+
        }

        impl Default for Config {
            fn default() -> Self {
                Self { $($($name: $default,)+)+ }
            }
        }

        /// All keys, in the order of the documents. Tables come last, as TOML requires.
        pub static KEYS: &[Key] = &[$($({
            const RANGE: Option<(u64, u64)> = keys!(@option $(($least, $greatest))?);
            Key {
                name: stringify!($name),
                table: $table,
                group: $group,
                doc: concat!($($doc, "\n"),+),
                form: <$type as Setting>::FORM,
                words: <$type as Setting>::WORDS,
                unit: keys!(@option $($unit)?),
                range: RANGE,
                change: Change::$change,
                secret: <$type as Setting>::SECRET,
                set_text: |config, text| {
                    config.$name = in_range(Setting::from_text(text)?, RANGE)?;
                    Ok(())
                },
                set_toml: |config, value| {
                    config.$name = in_range(Setting::from_toml(value)?, RANGE)?;
                    Ok(())
                },
                get: |config| Setting::show(&config.$name),
                same: |one, other| one.$name == other.$name,
                copy: |from, to| to.$name.clone_from(&from.$name),
            }
        },)+)+];
    };
    (@option) => { None };
    (@option $value:expr) => { Some($value) };
}

pub(super) use keys;
