//! What answers look like, declared: members, their kinds, and which are always there. Becomes the schemas of the
//! `OpenAPI` description; a test holds every answer against them (`tests/it/management/every_route.rs`).

use std::collections::BTreeMap;

use utoipa::openapi::schema::{
    AdditionalProperties, ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, SchemaType, Type,
};
use utoipa::openapi::{Ref, RefOr};

/// An object in answers, by its name in the description.
pub(super) struct Shape {
    pub(super) name: &'static str,
    pub(super) parts: &'static [Part],
}

/// Some members of an object.
pub(super) enum Part {
    /// Always there: names, with blanks between them.
    Must(&'static str, Kind),
    /// Left out where they say nothing.
    May(&'static str, Kind),
    /// Numbers and their rates, always there: each name, and that of its details.
    Rated(&'static [(&'static str, &'static str)]),
    /// The same, left out where they say nothing.
    MayBeRated(&'static [(&'static str, &'static str)]),
}

/// What a member may be.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Text,
    Whole,
    Number,
    Flag,
    /// Any JSON.
    Any,
    /// An object whose members have names of somebody's choice.
    Map(&'static Kind),
    List(&'static Kind),
    Of(&'static Shape),
    /// It, or `null`.
    OrNull(&'static Kind),
}

/// What `_details` have.
pub(super) static RATE: Shape = Shape {
    name: "Rate",
    parts: &[Part::Must("rate", Kind::Number), Part::May("samples", Kind::List(&Kind::Of(&SAMPLE)))],
};

static SAMPLE: Shape = Shape { name: "Sample", parts: &[Part::Must("sample timestamp", Kind::Whole)] };

/// Schemas by name.
pub(super) type Schemas = BTreeMap<String, RefOr<Schema>>;

impl Shape {
    /// A reference to its schema, which is added to `schemas` with those that it refers to.
    pub(super) fn schema(&self, schemas: &mut Schemas) -> RefOr<Schema> {
        if !schemas.contains_key(self.name) {
            // Named before its parts are looked at, which may refer to it.
            schemas.insert(self.name.to_owned(), RefOr::T(Schema::default()));
            let schema = self.written(schemas);
            schemas.insert(self.name.to_owned(), schema);
        }
        RefOr::Ref(Ref::from_schema_name(self.name))
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
