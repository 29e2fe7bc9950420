//! Declared shapes of answers: members, their kinds, and which are always present. They become the schemas of the
//! `OpenAPI` description; a test checks every answer against them (`tests/it/management/every_route.rs`).

use std::collections::BTreeMap;

use utoipa::openapi::schema::{
    AdditionalProperties, ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, SchemaType, Type,
};
use utoipa::openapi::{Ref, RefOr};

/// An object in answers, with its name in the description.
pub(super) struct Shape {
    pub(super) name: &'static str,
    pub(super) parts: &'static [Part],
}

/// Some members of an object.
pub(super) enum Part {
    /// Always present: names, separated by spaces.
    Must(&'static str, Kind),
    /// Omitted where they carry no information.
    May(&'static str, Kind),
    /// Numbers and their rates, always present: each name, and the name of its details.
    Rated(&'static [(&'static str, &'static str)]),
    /// The same, omitted where they carry no information.
    MayBeRated(&'static [(&'static str, &'static str)]),
}

/// The kind of a member.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Text,
    Whole,
    Number,
    Flag,
    /// Any JSON.
    Any,
    /// An object with arbitrary member names.
    Map(&'static Kind),
    List(&'static Kind),
    Of(&'static Shape),
    /// The kind, or `null`.
    OrNull(&'static Kind),
}

/// The members of `_details`.
pub(super) static RATE: Shape = Shape {
    name: "Rate",
    parts: &[Part::Must("rate", Kind::Number), Part::May("samples", Kind::List(&Kind::Of(&SAMPLE)))],
};

static SAMPLE: Shape = Shape { name: "Sample", parts: &[Part::Must("sample timestamp", Kind::Whole)] };

/// Schemas by name.
pub(super) type Schemas = BTreeMap<String, RefOr<Schema>>;

impl Shape {
    /// A reference to its schema, which is added to `schemas` together with the schemas that it refers to.
    pub(super) fn schema(&self, schemas: &mut Schemas) -> RefOr<Schema> {
        if !schemas.contains_key(self.name) {
            // Registered before its parts are visited, which may refer to it.
            schemas.insert(self.name.to_owned(), RefOr::T(Schema::default()));
            let schema = self.written(schemas);
            schemas.insert(self.name.to_owned(), schema);
        }
        RefOr::Ref(Ref::from_schema_name(self.name))
    }

    /// Member names with their kinds.
    pub(super) fn members(&self) -> Vec<(&'static str, Kind)> {
        let parts = self.parts.iter();
        parts
            .flat_map(|part| match part {
                Part::Must(names, kind) | Part::May(names, kind) => {
                    names.split_whitespace().map(|name| (name, *kind)).collect::<Vec<_>>()
                }
                Part::Rated(names) | Part::MayBeRated(names) => names
                    .iter()
                    .flat_map(|(name, details)| [(*name, Kind::Whole), (*details, Kind::Of(&RATE))])
                    .collect(),
            })
            .collect()
    }

    /// Whether there is a member at a path of names joined by dots.
    pub(super) fn has(&self, path: &str) -> bool {
        let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
        let found = self.members().into_iter().find(|(member, _)| *member == name);
        found.is_some_and(|(_, kind)| rest.is_none_or(|rest| kind.has(rest)))
    }

    fn written(&self, schemas: &mut Schemas) -> RefOr<Schema> {
        let mut object = ObjectBuilder::new().schema_type(Type::Object);
        for part in self.parts {
            object = match part {
                Part::Must(names, kind) => names
                    .split_whitespace()
                    .fold(object, |object, name| object.property(name, kind.schema(schemas)).required(name)),
                Part::May(names, kind) => names
                    .split_whitespace()
                    .fold(object, |object, name| object.property(name, kind.schema(schemas))),
                Part::Rated(names) | Part::MayBeRated(names) => {
                    let always = matches!(part, Part::Rated(_));
                    names.iter().fold(object, |object, (name, details)| {
                        let object = object
                            .property(*name, Kind::Whole.schema(schemas))
                            .property(*details, RATE.schema(schemas));
                        if always { object.required(*name).required(*details) } else { object }
                    })
                }
            };
        }
        RefOr::T(object.into())
    }
}

impl Kind {
    fn has(self, path: &str) -> bool {
        match self {
            Self::Any | Self::Map(_) => true,
            Self::Of(shape) => shape.has(path),
            Self::OrNull(kind) => kind.has(path),
            Self::Text | Self::Whole | Self::Number | Self::Flag | Self::List(_) => false,
        }
    }

    fn schema(self, schemas: &mut Schemas) -> RefOr<Schema> {
        let plain = |kind: Type| RefOr::T(ObjectBuilder::new().schema_type(kind).into());
        match self {
            Self::Text => plain(Type::String),
            Self::Whole => plain(Type::Integer),
            Self::Number => plain(Type::Number),
            Self::Flag => plain(Type::Boolean),
            Self::Any => RefOr::T(ObjectBuilder::new().schema_type(SchemaType::AnyValue).into()),
            Self::Map(values) => RefOr::T(
                ObjectBuilder::new()
                    .schema_type(Type::Object)
                    .additional_properties(Some(AdditionalProperties::RefOr(values.schema(schemas))))
                    .into(),
            ),
            Self::List(items) => RefOr::T(ArrayBuilder::new().items(items.schema(schemas)).into()),
            Self::Of(shape) => shape.schema(schemas),
            Self::OrNull(kind) => {
                let either = OneOfBuilder::new().item(kind.schema(schemas)).item(plain(Type::Null));
                RefOr::T(Schema::OneOf(either.build()))
            }
        }
    }
}
