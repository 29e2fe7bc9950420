//! A serde deserialiser for nodes, with errors that carry their line and key path.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};

use super::node::{Content, Key, Node, Wrong};

/// The struct name that [`At`] requests.
const AT: &str = "$leveret::at";

/// A value with the line of its key, or its own line in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct At<T> {
    pub(super) line: usize,
    pub(super) value: T,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Both<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Both<T> {
            type Value = At<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a line and a value")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<At<T>, A::Error> {
                let missing = || de::Error::custom("a value without a line");
                let line = seq.next_element::<u64>()?.ok_or_else(missing)?;
                let value = seq.next_element()?.ok_or_else(missing)?;
                Ok(At { line: usize::try_from(line).unwrap_or_default(), value })
            }
        }
        deserializer.deserialize_tuple_struct(AT, 2, Both(std::marker::PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl de::Error for Wrong {
    fn custom<T: fmt::Display>(why: T) -> Self {
        Self::at(0, why.to_string())
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::at(0, format!("unknown key {field:?}{}", meant(field, expected)))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::at(0, format!("unknown {variant:?}{}", meant(variant, expected)))
    }
}

/// The known word closest to the input, or all if none is close.
pub fn meant(given: &str, known: &[&str]) -> String {
    match nearest(given, known.iter().copied()) {
        Some(word) => format!(", did you mean {word:?}?"),
        None if known.is_empty() => String::new(),
        None => format!(", known are: {}", known.join(", ")),
    }
}

/// The word closest to the input, if it is close.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given = given.to_lowercase().replace('_', "-");
    let closeness = |word: &str| strsim::jaro_winkler(&given, &word.to_lowercase().replace('_', "-"));
    let rated = known.into_iter().map(|word| (closeness(word), word));
    rated.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(close, _)| *close > 0.8).map(|(_, word)| word)
}

/// Deserialises a node.
pub(super) fn from_node<'de, T: Deserialize<'de>>(node: &'de Node) -> Result<T, Wrong> {
    T::deserialize(Source { node, line: node.line })
}

/// A node to deserialise; `line` is its key's.
#[derive(Clone, Copy)]
struct Source<'de> {
    node: &'de Node,
    line: usize,
}

impl Source<'_> {
    /// The innermost value's error determines the line.
    fn placed(self, mut wrong: Wrong) -> Wrong {
        if wrong.line == 0 {
            wrong.line = self.line;
        }
        wrong
    }
}

impl<'de> Deserializer<'de> for Source<'de> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let outcome = match &self.node.content {
            Content::Null => visitor.visit_unit(),
            Content::Bool(flag) => visitor.visit_bool(*flag),
            Content::Whole(number) => visitor.visit_i64(*number),
            Content::Large(number) => visitor.visit_u64(*number),
            Content::Broken(number) => visitor.visit_f64(*number),
            Content::Text(text) => visitor.visit_borrowed_str(text),
            Content::List(list) => visitor.visit_seq(Items(list.iter())),
            Content::Map(map) => visitor.visit_map(Members { rest: map.iter(), value: None }),
        };
        outcome.map_err(|wrong| self.placed(wrong))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.node.content {
            Content::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let outcome = match &self.node.content {
            Content::Text(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            _ => self.deserialize_any(visitor),
        };
        outcome.map_err(|wrong| self.placed(wrong))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        // A list would be read as the members in order.
        match self.node.content {
            Content::Map(_) => self.deserialize_any(visitor),
            _ => self.deserialize_any(OnlyMap).map(|never| match never {}),
        }
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        if name == AT {
            visitor.visit_seq(LineAndValue { source: self, told: 0 })
        } else {
            self.deserialize_any(visitor)
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple map identifier ignored_any
    }
}

/// Accepts only maps, and reports an error for anything else.
struct OnlyMap;

impl Visitor<'_> for OnlyMap {
    type Value = Infallible;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }
}

struct LineAndValue<'de> {
    source: Source<'de>,
    told: u8,
}

impl<'de> SeqAccess<'de> for LineAndValue<'de> {
    type Error = Wrong;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Wrong> {
        self.told += 1;
        match self.told {
            1 => seed.deserialize((self.source.line as u64).into_deserializer()).map(Some),
            2 => seed.deserialize(self.source).map(Some),
            _ => Ok(None),
        }
    }
}

struct Items<'de>(std::slice::Iter<'de, Node>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Wrong;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Wrong> {
        let Some(node) = self.0.next() else { return Ok(None) };
        let source = Source { node, line: node.line };
        seed.deserialize(source).map(Some).map_err(|wrong| source.placed(wrong))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

struct Members<'de> {
    rest: std::slice::Iter<'de, (Key, Node)>,
    value: Option<&'de (Key, Node)>,
}

impl<'de> MapAccess<'de> for Members<'de> {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Wrong> {
        self.value = self.rest.next();
        let Some((key, _)) = self.value else { return Ok(None) };
        let deserializer = de::value::BorrowedStrDeserializer::new(&key.text);
        seed.deserialize(deserializer).map(Some).map_err(|mut wrong: Wrong| {
            wrong.line = key.line;
            wrong
        })
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Wrong> {
        let Some((key, node)) = self.value.take() else {
            return Err(de::Error::custom("a value without a key"));
        };
        seed.deserialize(Source { node, line: key.line }).map_err(|mut wrong| {
            if wrong.line == 0 {
                wrong.line = key.line;
            }
            wrong.path.insert(0, key.text.clone());
            wrong
        })
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}
