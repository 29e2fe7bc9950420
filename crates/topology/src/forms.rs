//! Short forms for hand-written files, beside the long ones.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::model::Binding;
use super::spanned::{At, meant};

/// A type read from a string, a map, or nothing (the default). `others`: the error for a number, where the message
/// must not repeat it.
macro_rules! short_or_long {
    (
        $(#[$doc:meta])* $name:ident from $long:ident, $expecting:literal, $from_text:expr
        $(, others: $others:expr)?
    ) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub(super) struct $name(pub(super) $long);

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Form;
                impl<'de> serde::de::Visitor<'de> for Form {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($expecting)
                    }

                    fn visit_unit<E: serde::de::Error>(self) -> Result<$name, E> {
                        Ok($name::default())
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        let from_text: fn(&str) -> Result<$long, String> = $from_text;
                        from_text(text).map($name).map_err(E::custom)
                    }

                    $(
                        fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<$name, E> {
                            Err(E::custom($others))
                        }

                        fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<$name, E> {
                            Err(E::custom($others))
                        }

                        fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<$name, E> {
                            Err(E::custom($others))
                        }
                    )?

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<$name, A::Error> {
                        <$long>::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map($name)
                    }
                }
                deserializer.deserialize_any(Form)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let long = generator.subschema_for::<$long>();
                let from_text: fn(&str) -> Result<$long, String> = $from_text;
                // Only some types have a string form.
                if ["", "all", "classic"].iter().any(|text| from_text(text).is_ok()) {
                    schemars::json_schema!({ "anyOf": [long, { "type": "string" }, { "type": "null" }] })
                } else {
                    schemars::json_schema!({ "anyOf": [long, { "type": "null" }] })
                }
            }
        }
    };
}
pub(super) use short_or_long;

/// One string or several.
#[derive(Clone, Debug, Default)]
pub(super) struct Words(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = Words;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a word or a list of words")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Words, E> {
                let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
                Ok(Words(words.map(str::to_owned).collect()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Words, A::Error> {
                Vec::deserialize(de::value::SeqAccessDeserializer::new(seq)).map(Words)
            }
        }
        deserializer.deserialize_any(Form)
    }
}

impl JsonSchema for Words {
    fn schema_name() -> Cow<'static, str> {
        "Words".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] })
    }
}

/// A duration: milliseconds, or a number with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Milliseconds(pub(super) u64);

/// Parses a number with a unit.
fn milliseconds(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim() {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 7 * 86_400_000,
        _ => return None,
    };
    number.checked_mul(unit)
}

impl<'de> Deserialize<'de> for Milliseconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl Visitor<'_> for Form {
            type Value = Milliseconds;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("milliseconds, or a time as in 30s, 5m, 1h, 7d")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Milliseconds, E> {
                Ok(Milliseconds(number))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Milliseconds, E> {
                let number = u64::try_from(number);
                number.map(Milliseconds).map_err(|_| E::custom("a time is not negative"))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Milliseconds, E> {
                let number = milliseconds(text).map(Milliseconds);
                number.ok_or_else(|| E::custom(format!("{text:?} is not a time as in 30s, 5m, 1h, 7d")))
            }
        }
        deserializer.deserialize_any(Form)
    }
}

impl JsonSchema for Milliseconds {
    fn schema_name() -> Cow<'static, str> {
        "Milliseconds".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "integer", "minimum": 0 },
                { "type": "string", "pattern": "^[0-9]+ ?(ms|s|m|min|h|d|w)$" },
            ],
        })
    }
}

/// Separates the two ends of a binding.
const ARROW: &str = " -> ";

/// Precedes an exchange as the destination of a binding.
const TO_EXCHANGE: &str = "exchange ";

/// Precedes a queue whose name would be misread.
const TO_QUEUE: &str = "queue ";

fn end(text: &str) -> (bool, String) {
    match (text.strip_prefix(TO_EXCHANGE), text.strip_prefix(TO_QUEUE)) {
        (Some(name), _) => (true, name.trim().to_owned()),
        (None, Some(name)) => (false, name.trim().to_owned()),
        (None, None) => (false, text.trim().to_owned()),
    }
}

/// `exchange -> queue`, `exchange -> exchange other`, either followed by `: key`.
fn from_text(text: &str) -> Result<Binding, String> {
    let wrong =
        || format!("{text:?} is not a binding as in \"exchange -> queue\" or \"exchange -> queue: key\"");
    let (source, rest) = text.split_once(ARROW).ok_or_else(wrong)?;
    let (target, key) = rest.split_once(": ").unwrap_or((rest, ""));
    let (to_exchange, destination) = end(target);
    if source.trim().is_empty() || destination.is_empty() {
        return Err(wrong());
    }
    let (source, routing_key) = (source.trim().to_owned(), key.trim().to_owned());
    Ok(Binding { source, to_exchange, destination, routing_key, ..Binding::default() })
}

/// The text that [`from_text`] parses into the same ends, if there is one.
pub(super) fn ends_as_text(binding: &Binding) -> Option<String> {
    let prefix = match () {
        () if binding.to_exchange => TO_EXCHANGE,
        () if binding.destination.starts_with(TO_EXCHANGE) || binding.destination.starts_with(TO_QUEUE) => {
            TO_QUEUE
        }
        () => "",
    };
    let text = format!("{}{ARROW}{prefix}{}", binding.source, binding.destination);
    let same = from_text(&text).is_ok_and(|read| {
        read.source == binding.source
            && read.to_exchange == binding.to_exchange
            && read.destination == binding.destination
            && read.routing_key.is_empty()
    });
    same.then_some(text)
}

/// Bindings of a vhost.
#[derive(Clone, Debug, Default)]
pub(super) struct Bindings(pub(super) Vec<At<Binding>>);

/// The value of `exchange -> queue:`: a key, several, or a key with arguments.
struct Keys(Vec<(usize, String, Map<String, Value>)>);

/// A key with arguments.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct KeyMap {
    /// Routing key, pattern or weight.
    #[serde(default, alias = "routing_key")]
    key: String,
    /// Arguments, by the names they have in AMQP.
    #[serde(default)]
    arguments: Map<String, Value>,
}

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = Keys;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a routing key, a list of them, or {key, arguments}")
            }

            fn visit_unit<E: de::Error>(self) -> Result<Keys, E> {
                self.visit_str("")
            }

            fn visit_str<E: de::Error>(self, key: &str) -> Result<Keys, E> {
                Ok(Keys(vec![(0, key.to_owned(), Map::new())]))
            }

            fn visit_i64<E: de::Error>(self, weight: i64) -> Result<Keys, E> {
                self.visit_str(&weight.to_string())
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Keys, A::Error> {
                let map = KeyMap::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Keys(vec![(0, map.key, map.arguments)]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Keys, A::Error> {
                let mut keys = Vec::new();
                while let Some(At { line, value: Keys(more) }) = seq.next_element()? {
                    keys.extend(more.into_iter().map(|(_, key, arguments)| (line, key, arguments)));
                }
                Ok(Keys(keys))
            }
        }
        deserializer.deserialize_any(Form)
    }
}

/// The members of a binding that is written as a map.
const MEMBERS: [&str; 8] =
    ["source", "from", "destination", "to", "destination_type", "routing_key", "key", "arguments"];

/// A key in a map that is one or more bindings: one of [`MEMBERS`], or two ends.
enum Member {
    Long(String),
    Short(Binding),
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.contains(ARROW) {
            return from_text(&text).map(Self::Short).map_err(de::Error::custom);
        }
        if MEMBERS.contains(&text.as_str()) {
            return Ok(Self::Long(text));
        }
        Err(de::Error::custom(format!("unknown key {text:?}{}", meant(&text, &MEMBERS))))
    }
}

/// Two ends, as a map key.
struct Ends(Binding);

impl<'de> Deserialize<'de> for Ends {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(&String::deserialize(deserializer)?).map(Self).map_err(de::Error::custom)
    }
}

/// Adds a binding for each key given for two ends.
fn add_short<'de, A: MapAccess<'de>>(
    ends: &Binding,
    map: &mut A,
    into: &mut Vec<At<Binding>>,
) -> Result<(), A::Error> {
    let At { line, value: Keys(keys) } = map.next_value()?;
    for (own, key, arguments) in keys {
        let routing_key = if key.is_empty() { ends.routing_key.clone() } else { key };
        let value = Binding { routing_key, arguments, ..ends.clone() };
        into.push(At { line: if own == 0 { line } else { own }, value });
    }
    Ok(())
}

/// An entry of a list of bindings: those of a vhost name their source.
#[derive(Debug)]
struct Entry<const OF_VHOST: bool> {
    short: Vec<At<Binding>>,
    long: Option<Binding>,
}

impl<'de, const OF_VHOST: bool> Deserialize<'de> for Entry<OF_VHOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form<const OF_VHOST: bool>;
        impl<'de, const OF_VHOST: bool> Visitor<'de> for Form<OF_VHOST> {
            type Value = Entry<OF_VHOST>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(if OF_VHOST {
                    "a binding as in \"exchange -> queue: key\", or a map"
                } else {
                    "a binding as in \"key -> queue\", or a map"
                })
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                let binding = if OF_VHOST { from_text(text) } else { from_key_text(text) };
                let binding = binding.map_err(E::custom)?;
                Ok(Entry { short: Vec::new(), long: Some(binding) })
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let (mut short, mut long, mut is_long) = (Vec::new(), Binding::default(), false);
                while let Some(member) = map.next_key::<Member>()? {
                    match member {
                        Member::Short(ends) if OF_VHOST => add_short(&ends, &mut map, &mut short)?,
                        Member::Short(_) => {
                            return Err(de::Error::custom("the exchange is known here: \"key -> queue\""));
                        }
                        Member::Long(name) => {
                            is_long = true;
                            long_member(&mut long, &name, &mut map)?;
                        }
                    }
                }
                if is_long && long.destination.is_empty() {
                    return Err(de::Error::custom("a binding needs a destination"));
                }
                if is_long && OF_VHOST && long.source.is_empty() {
                    return Err(de::Error::custom("a binding needs a source"));
                }
                Ok(Entry { short, long: is_long.then_some(long) })
            }
        }
        deserializer.deserialize_any(Form::<OF_VHOST>)
    }
}

fn long_member<'de, A: MapAccess<'de>>(
    binding: &mut Binding,
    name: &str,
    map: &mut A,
) -> Result<(), A::Error> {
    match name {
        "source" | "from" => binding.source = map.next_value()?,
        "destination" => binding.destination = map.next_value()?,
        "to" => (binding.to_exchange, binding.destination) = end(&map.next_value::<String>()?),
        "destination_type" => binding.to_exchange = map.next_value::<DestinationType>()?.0,
        "routing_key" | "key" => binding.routing_key = map.next_value()?,
        _ => binding.arguments = map.next_value()?,
    }
    Ok(())
}

/// `true`: an exchange.
struct DestinationType(bool);

impl<'de> Deserialize<'de> for DestinationType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "exchange" => Ok(Self(true)),
            "queue" => Ok(Self(false)),
            other => {
                Err(de::Error::custom(format!("unknown {other:?}{}", meant(other, &["queue", "exchange"]))))
            }
        }
    }
}

/// `key -> queue`, where the exchange is given by context.
fn from_key_text(text: &str) -> Result<Binding, String> {
    // Without a key nothing precedes the arrow.
    let given = if text.starts_with(ARROW.trim_start()) { format!(" {text}") } else { text.to_owned() };
    let Some((key, target)) = given.split_once(ARROW) else {
        return Err(format!("{text:?} is not a binding as in \"key -> queue\""));
    };
    let (to_exchange, destination) = end(target);
    if destination.is_empty() {
        return Err(format!("{text:?} is not a binding as in \"key -> queue\""));
    }
    Ok(Binding { to_exchange, destination, routing_key: key.trim().to_owned(), ..Binding::default() })
}

impl<'de> Deserialize<'de> for Bindings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = Bindings;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map as in {\"exchange -> queue\": key}, or a list of bindings")
            }

            fn visit_unit<E: de::Error>(self) -> Result<Bindings, E> {
                Ok(Bindings::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Bindings, A::Error> {
                let mut all = Vec::new();
                while let Some(Ends(ends)) = map.next_key()? {
                    add_short(&ends, &mut map, &mut all)?;
                }
                Ok(Bindings(all))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Bindings, A::Error> {
                entries::<A, true>(seq).map(Bindings)
            }
        }
        deserializer.deserialize_any(Form)
    }
}

fn entries<'de, A: SeqAccess<'de>, const OF_VHOST: bool>(mut seq: A) -> Result<Vec<At<Binding>>, A::Error> {
    let mut all = Vec::new();
    while let Some(At { line, value }) = seq.next_element::<At<Entry<OF_VHOST>>>()? {
        all.extend(value.short);
        all.extend(value.long.map(|value| At { line, value }));
    }
    Ok(all)
}

impl JsonSchema for Bindings {
    fn schema_name() -> Cow<'static, str> {
        "Bindings".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let key = generator.subschema_for::<KeyMap>();
        let one = json_schema!({ "anyOf": [{ "type": ["string", "integer", "null"] }, key] });
        let keys = json_schema!({ "anyOf": [one, { "type": "array", "items": one }] });
        let short = json_schema!({
            "type": "object", "patternProperties": { "^.+ -> .+$": keys }, "additionalProperties": false,
        });
        json_schema!({
            "anyOf": [
                short,
                { "type": "array", "items": { "anyOf": [{ "type": "string" }, short, long_schema()] } },
                { "type": "null" },
            ],
        })
    }
}

fn long_schema() -> Schema {
    json_schema!({
        "type": "object",
        "properties": {
            "source": { "type": "string" }, "from": { "type": "string" },
            "destination": { "type": "string" }, "to": { "type": "string" },
            "destination_type": { "enum": ["queue", "exchange"] },
            "routing_key": { "type": "string" }, "key": { "type": "string" },
            "arguments": { "type": "object" },
        },
        "additionalProperties": false,
    })
}

/// Bindings from one exchange.
#[derive(Clone, Debug, Default)]
pub(super) struct ExchangeBindings(pub(super) Vec<At<Binding>>);

impl<'de> Deserialize<'de> for ExchangeBindings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = ExchangeBindings;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of bindings as in \"key -> queue\"")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<ExchangeBindings, A::Error> {
                entries::<A, false>(seq).map(ExchangeBindings)
            }
        }
        deserializer.deserialize_any(Form)
    }
}

impl JsonSchema for ExchangeBindings {
    fn schema_name() -> Cow<'static, str> {
        "ExchangeBindings".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "items": { "anyOf": [{ "type": "string" }, long_schema()] } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bindings_as_texts() {
        let binding = |source: &str, to_exchange, destination: &str, key: &str| Binding {
            source: source.to_owned(),
            to_exchange,
            destination: destination.to_owned(),
            routing_key: key.to_owned(),
            ..Binding::default()
        };
        for (text, want) in [
            ("events -> orders", binding("events", false, "orders", "")),
            ("events -> orders: order.*", binding("events", false, "orders", "order.*")),
            ("events -> exchange audit: #", binding("events", true, "audit", "#")),
            ("a b -> queue exchange c", binding("a b", false, "exchange c", "")),
        ] {
            assert_eq!(from_text(text).unwrap(), want, "{text}");
        }
        for wrong in ["events", "events->orders", " -> orders", "events -> "] {
            assert!(from_text(wrong).is_err(), "{wrong}");
        }
        assert_eq!(from_key_text("order.* -> orders").unwrap(), binding("", false, "orders", "order.*"));
        assert_eq!(from_key_text("-> exchange x").unwrap(), binding("", true, "x", ""));
        assert!(from_key_text("orders").is_err());
    }

    #[test]
    fn names_that_would_be_misread_have_no_short_form() {
        let ends = |source: &str, destination: &str| {
            let (source, destination) = (source.to_owned(), destination.to_owned());
            ends_as_text(&Binding { source, destination, ..Binding::default() })
        };
        assert_eq!(ends("a", "b").as_deref(), Some("a -> b"));
        assert_eq!(ends("a", "exchange b").as_deref(), Some("a -> queue exchange b"));
        for (source, destination) in [("a -> b", "c"), ("a ", "b"), ("a", "b: c"), ("", "b"), ("a", " b")] {
            assert_eq!(ends(source, destination), None, "{source:?} {destination:?}");
        }
    }

    #[test]
    fn times_have_units() {
        for (text, want) in
            [("10ms", 10), ("30s", 30_000), ("5 m", 300_000), ("1h", 3_600_000), ("7d", 604_800_000)]
        {
            assert_eq!(milliseconds(text), Some(want), "{text}");
        }
        for wrong in ["", "5", "h", "-1s", "5y", "99999999999999999999s", "18446744073709551615w"] {
            assert_eq!(milliseconds(wrong), None, "{wrong}");
        }
    }
}
