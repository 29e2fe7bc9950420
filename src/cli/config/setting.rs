//! Types of settings: parsing from text (flags, environment) and from TOML, and display.

use std::net::SocketAddr;
use std::path::PathBuf;

use toml::Value;
use toml::de::DeValue;
use tracing_subscriber::EnvFilter;

use leveret_broker::product::Product;

/// The type of a key.
pub trait Setting: Sized {
    /// The form of a value, for `--help` and the documents: `ADDRESS:PORT`.
    const FORM: &'static str;
    /// Allowed words; empty if not limited to a choice.
    const WORDS: &'static [&'static str] = &[];
    /// Whether values are never shown.
    const SECRET: bool = false;

    /// Parses text from a flag or an environment variable.
    fn from_text(text: &str) -> Result<Self, String>;

    /// Parses a value from the file. Strings are parsed like a flag.
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::String(text) => Self::from_text(text),
            other => Err(format!("expected a string, found {}", what(other))),
        }
    }

    /// The value in file syntax; `None` if unset.
    fn show(&self) -> Option<Value>;

    /// The value as a number, for its key's range check.
    fn number(&self) -> Option<u64> {
        None
    }
}

fn what(value: &DeValue<'_>) -> String {
    match value {
        DeValue::Integer(number) => format!("the integer {number}"),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::String(_) => "a string".to_owned(),
        DeValue::Float(_) => "a float".to_owned(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "an array".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

impl Setting for SocketAddr {
    const FORM: &'static str = "ADDRESS:PORT";

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("{text:?} is not an address and port like 127.0.0.1:5672"))
    }

    fn show(&self) -> Option<Value> {
        Some(Value::String(self.to_string()))
    }
}

impl Setting for PathBuf {
    const FORM: &'static str = "PATH";

    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("the path is empty".to_owned()) } else { Ok(Self::from(text)) }
    }

    fn show(&self) -> Option<Value> {
        Some(Value::String(self.display().to_string()))
    }
}

impl Setting for Product {
    const FORM: &'static str = "NAME VERSION";

    fn from_text(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }

    fn show(&self) -> Option<Value> {
        let ours = self.version == Self::default().version;
        Some(Value::String(if ours { self.name.clone() } else { format!("{} {}", self.name, self.version) }))
    }
}

impl Setting for String {
    const FORM: &'static str = "TEXT";

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn show(&self) -> Option<Value> {
        Some(Value::String(self.clone()))
    }
}

impl Setting for bool {
    const FORM: &'static str = "BOOL";
    const WORDS: &'static [&'static str] = &["true", "false"];

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("expected true or false, found {text:?}"))
    }

    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| format!("expected true or false, found {}", what(value)))
    }

    fn show(&self) -> Option<Value> {
        Some(Value::Boolean(*self))
    }
}

macro_rules! whole_numbers {
    ($($type:ty),+) => { $(
        impl Setting for $type {
            const FORM: &'static str = "NUMBER";

            fn from_text(text: &str) -> Result<Self, String> {
                text.parse().map_err(|_| format!("expected a whole number from 0 to {}, found {text:?}", Self::MAX))
            }

            fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
                integer(value)?.try_into().map_err(|_| format!("the number is above {}", Self::MAX))
            }

            fn show(&self) -> Option<Value> {
                i64::try_from(*self).ok().map(Value::Integer)
            }

            fn number(&self) -> Option<u64> {
                u64::try_from(*self).ok()
            }
        }
    )+ };
}

whole_numbers!(u16, u32, u64, usize);

fn integer(value: &DeValue<'_>) -> Result<u64, String> {
    let DeValue::Integer(number) = value else {
        return Err(format!("expected a whole number, found {}", what(value)));
    };
    u64::from_str_radix(number.as_str(), number.radix())
        .map_err(|_| format!("expected a whole number of at least 0, found {number}"))
}

/// An optional value.
impl<T: Setting> Setting for Option<T> {
    const FORM: &'static str = T::FORM;
    const WORDS: &'static [&'static str] = T::WORDS;
    const SECRET: bool = T::SECRET;

    fn from_text(text: &str) -> Result<Self, String> {
        T::from_text(text).map(Some)
    }

    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        T::from_toml(value).map(Some)
    }

    fn show(&self) -> Option<Value> {
        self.as_ref().and_then(T::show)
    }

    fn number(&self) -> Option<u64> {
        self.as_ref().and_then(T::number)
    }
}

/// A list: an array in the file, comma-separated in a flag.
impl<T: Setting> Setting for Vec<T> {
    const FORM: &'static str = T::FORM;
    const WORDS: &'static [&'static str] = T::WORDS;
    const SECRET: bool = T::SECRET;

    fn from_text(text: &str) -> Result<Self, String> {
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(T::from_text).collect()
    }

    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::Array(values) => values.iter().map(|value| T::from_toml(value.get_ref())).collect(),
            DeValue::String(text) => Self::from_text(text),
            other => Err(format!("expected an array, found {}", what(other))),
        }
    }

    fn show(&self) -> Option<Value> {
        Some(Value::Array(self.iter().filter_map(T::show).collect()))
    }
}

/// A number of bytes: plain, or with a unit as in `256MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u64);

/// Units of [`Bytes`]. Decimal units are powers of 1000.
const UNITS: [(&str, u64); 9] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

impl Setting for Bytes {
    const FORM: &'static str = "BYTES";

    fn from_text(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected bytes like 1048576, 512KiB or 256MiB, found {text:?}");
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let unit = unit.trim();
        let factor = match UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) {
            Some((_, factor)) => *factor,
            None if unit.is_empty() => 1,
            None => return Err(wrong()),
        };
        let number: u64 = number.parse().map_err(|_| wrong())?;
        number.checked_mul(factor).map(Self).ok_or_else(|| format!("{text:?} is too large"))
    }

    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::String(text) => Self::from_text(text),
            DeValue::Integer(_) => integer(value).map(Self),
            other => Err(format!("expected bytes like 1048576 or \"256MiB\", found {}", what(other))),
        }
    }

    fn show(&self) -> Option<Value> {
        let whole =
            UNITS[..3].iter().rev().find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor));
        match whole {
            Some((unit, factor)) => Some(Value::String(format!("{}{unit}", self.0 / factor))),
            None => i64::try_from(self.0).ok().map(Value::Integer),
        }
    }

    fn number(&self) -> Option<u64> {
        Some(self.0)
    }
}

/// An amount of memory: bytes, or a percentage of what the process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemorySize {
    /// Absolute, in bytes.
    Bytes(Bytes),
    /// Percentage of the machine's or the control group's memory.
    Percent(u8),
}

impl MemorySize {
    /// In bytes, given `total` bytes of memory.
    pub fn of(self, total: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.0,
            Self::Percent(percent) => total / 100 * u64::from(percent),
        }
    }
}

impl Setting for MemorySize {
    const FORM: &'static str = "BYTES|PERCENT";

    fn from_text(text: &str) -> Result<Self, String> {
        let Some(percent) = text.strip_suffix('%') else {
            return Bytes::from_text(text).map(Self::Bytes).map_err(|why| format!("{why} (or a percentage)"));
        };
        match percent.trim().parse() {
            Ok(percent @ 1..=100) => Ok(Self::Percent(percent)),
            _ => Err(format!("expected a percentage from 1% to 100%, found {text:?}")),
        }
    }

    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::String(text) => Self::from_text(text),
            other => Bytes::from_toml(other).map(Self::Bytes),
        }
    }

    fn show(&self) -> Option<Value> {
        match self {
            Self::Bytes(bytes) => bytes.show(),
            Self::Percent(percent) => Some(Value::String(format!("{percent}%"))),
        }
    }

    fn number(&self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes.0),
            Self::Percent(_) => None,
        }
    }
}

/// Format of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines of text.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

impl Setting for LogFormat {
    const FORM: &'static str = "FORMAT";
    const WORDS: &'static [&'static str] = &["text", "json"];

    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("expected text or json, found {text:?}")),
        }
    }

    fn show(&self) -> Option<Value> {
        let word = match self {
            Self::Text => "text",
            Self::Json => "json",
        };
        Some(Value::String(word.to_owned()))
    }
}

/// Log filter: a level, or levels per module. Always valid for `tracing`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLevel(String);

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// Parts of the broker as operators name them, and the modules behind the names. A name outlives a move of its code.
const PARTS: [(&str, &str); 7] = [
    ("leveret::broker", "leveret_broker"),
    ("leveret::queues", "leveret_queues"),
    ("leveret::session", "leveret_amqp091::session"),
    ("leveret::store", "leveret_store"),
    ("leveret::topology", "leveret_topology"),
    ("leveret::wire", "leveret_amqp091::wire"),
    ("leveret::perf", "leveret_perf"),
];

/// A filter in which the names of parts are those of their modules.
fn by_module(text: &str) -> String {
    let module = |part: &str| {
        let part = part.trim();
        let found = PARTS.iter().find_map(|(name, module)| {
            part.strip_prefix(name)
                .filter(|rest| rest.starts_with(['=', ':']))
                .map(|rest| format!("{module}{rest}"))
        });
        found.unwrap_or_else(|| part.to_owned())
    };
    text.split(',').map(module).collect::<Vec<_>>().join(",")
}

impl LogLevel {
    /// As a filter for `tracing`.
    pub fn filter(&self) -> EnvFilter {
        EnvFilter::new(by_module(&self.0))
    }
}

impl Default for LogLevel {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl Setting for LogLevel {
    const FORM: &'static str = "LEVEL";

    fn from_text(text: &str) -> Result<Self, String> {
        for part in text.split(',').map(str::trim) {
            // `tracing` would interpret a misspelt level as a module name.
            let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
            if !LEVELS.contains(&level) {
                return Err(format!("{level:?} is no level; they are {}", LEVELS.join(", ")));
            }
        }
        EnvFilter::try_new(text).map_err(|error| error.to_string())?;
        Ok(Self(text.to_owned()))
    }

    fn show(&self) -> Option<Value> {
        Some(Value::String(self.0.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_a_number_or_have_a_unit() {
        for (text, bytes) in
            [("0", 0), ("1048576", 1 << 20), ("1MiB", 1 << 20), ("2 kb", 2_000), ("3GiB", 3 << 30), ("7B", 7)]
        {
            assert_eq!(Bytes::from_text(text), Ok(Bytes(bytes)), "{text}");
        }
        for text in ["", "MiB", "1.5MiB", "-1", "1XiB", "99999999999TiB", "10%"] {
            assert!(Bytes::from_text(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bytes_are_shown_as_they_can_be_read() {
        for bytes in [0, 1, 1023, 1024, 1025, 512 << 10, 128 << 20, 5 << 30] {
            let shown = Bytes(bytes).show().unwrap();
            let text = shown.as_str().map_or_else(|| shown.to_string(), str::to_owned);
            assert_eq!(Bytes::from_text(&text), Ok(Bytes(bytes)));
        }
    }

    #[test]
    fn memory_can_be_a_percentage() {
        assert_eq!(MemorySize::from_text("40%").unwrap().of(1000), 400);
        assert_eq!(MemorySize::from_text("1KiB").unwrap().of(1000), 1024);
        for text in ["0%", "101%", "%", "4.5%"] {
            assert!(MemorySize::from_text(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_misspelt_level_is_not_taken_for_a_module() {
        for text in ["info", "info,leveret::net=debug", "off", "leveret=trace"] {
            assert!(LogLevel::from_text(text).is_ok(), "{text}");
        }
        for text in ["inof", "", "info,leveret", "leveret=loud", "info,,debug"] {
            assert!(LogLevel::from_text(text).is_err(), "{text}");
        }
    }

    #[test]
    fn parts_keep_their_names_in_filters() {
        for (text, filter) in [
            ("info,leveret::session=warn", "info,leveret_amqp091::session=warn"),
            ("leveret::broker::publish=trace, debug", "leveret_broker::publish=trace,debug"),
            ("leveret::net=debug,leveret=info", "leveret::net=debug,leveret=info"),
            ("leveret::storeroom=warn", "leveret::storeroom=warn"),
        ] {
            assert_eq!(by_module(text), filter);
        }
    }

    #[test]
    fn several_values_are_an_array_or_have_commas() {
        assert_eq!(Vec::<u16>::from_text("1, 2,3"), Ok(vec![1, 2, 3]));
        assert_eq!(Vec::<u16>::from_text(""), Ok(vec![]));
        assert!(Vec::<u16>::from_text("1,x").is_err());
    }
}
