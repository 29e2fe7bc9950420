//! Routes together with their `OpenAPI` description.
//!
//! Invariants: everything served below `/api` is described at `/api/openapi.json`; an operation's statuses follow
//! from its kind, so that none can be forgotten; every answer has a shape (`answers.rs`).

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::handler::Handler;
use axum::middleware::{self, Next};
use axum::routing::{self, MethodRouter};
use utoipa::openapi::path::{
    HttpMethod, Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn,
};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::schema::{
    AdditionalProperties, ArrayBuilder, KnownFormat, ObjectBuilder, OneOfBuilder, Schema, SchemaFormat, Type,
};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, Info, OpenApi, OpenApiBuilder, Paths, RefOr, Required, Response,
    ResponseBuilder,
};
use utoipa::{PartialSchema, ToSchema};

use super::shape::{Schemas, Shape};
use super::{Api, Shared, schemas};

/// Described routes below `/api`.
pub(super) struct Routes {
    router: Router<Api>,
    paths: Paths,
    schemas: Schemas,
    about: &'static str,
}

/// The operations of one path.
pub(super) struct Operations {
    methods: MethodRouter<Api>,
    described: Vec<(HttpMethod, OperationBuilder)>,
    /// Schemas that `described` refers to.
    schemas: Schemas,
    /// Requires a login.
    private: bool,
}

/// A request body.
pub(super) struct Carries {
    body: RequestBody,
}

/// The result of a modifying operation.
#[derive(Clone, Copy)]
pub(super) enum Gives {
    /// 204.
    Nothing,
    /// 201.
    New,
    /// An object.
    One(&'static Shape),
    /// An object, or nothing.
    OneOrNothing(&'static Shape),
    /// An array of objects.
    Many(&'static Shape),
}

/// A JSON object of this type, described inline.
pub(super) fn body<T: ToSchema>() -> Carries {
    Carries { body: json_body(T::schema()) }
}

/// Any JSON object.
pub(super) fn any_object() -> Carries {
    Carries { body: json_body(object_schema()) }
}

/// No body is read.
pub(super) fn nothing() -> Carries {
    Carries { body: RequestBody::new() }
}

fn json_body(schema: impl Into<RefOr<Schema>>) -> RequestBody {
    let content = ContentBuilder::new().schema(Some(schema)).build();
    RequestBodyBuilder::new().content("application/json", content).required(Some(Required::True)).build()
}

fn object_schema() -> RefOr<Schema> {
    RefOr::T(Schema::Object(
        ObjectBuilder::new()
            .schema_type(Type::Object)
            .additional_properties(Some(AdditionalProperties::FreeForm(true)))
            .build(),
    ))
}

/// A list, whole or paged.
pub(super) fn list<H, T>(summary: &str, of: &Shape, handler: H) -> Operations
where
    H: Handler<T, Api>,
    T: 'static,
{
    let mut schemas = Schemas::new();
    let item = of.schema(&mut schemas);
    let bare = ArrayBuilder::new().items(item.clone()).build();
    let either = OneOfBuilder::new().item(bare).item(page(item)).build();
    let operation =
        OperationBuilder::new().summary(Some(summary)).response("200", json(Schema::OneOf(either)));
    let operation = LIST_QUERY.iter().fold(operation, |operation, (name, text)| {
        let schema = if name.starts_with("page") { positive() } else { String::schema() };
        operation.parameter(query_parameter(name, text, schema))
    });
    Operations::new(HttpMethod::Get, operation, schemas, routing::get(handler))
}

/// One page of a list.
fn page(item: RefOr<Schema>) -> Schema {
    let page = ObjectBuilder::new().schema_type(Type::Object);
    let counts = ["filtered_count", "item_count", "page", "page_count", "page_size", "total_count"];
    let page = counts.into_iter().fold(page, |page, name| page.property(name, u64::schema()).required(name));
    page.property("items", ArrayBuilder::new().items(item)).required("items").into()
}

/// One object; `columns` selects members.
pub(super) fn one<H, T>(summary: &str, shape: &Shape, handler: H) -> Operations
where
    H: Handler<T, Api>,
    T: 'static,
{
    let mut operations = whole(summary, shape, handler);
    operations.described = operations
        .described
        .into_iter()
        .map(|(method, operation)| {
            (method, operation.parameter(query_parameter("columns", COLUMNS, String::schema())))
        })
        .collect();
    operations
}

/// One object, without column selection.
pub(super) fn whole<H, T>(summary: &str, shape: &Shape, handler: H) -> Operations
where
    H: Handler<T, Api>,
    T: 'static,
{
    let mut schemas = Schemas::new();
    let schema = shape.schema(&mut schemas);
    let operation = OperationBuilder::new().summary(Some(summary)).response("200", json(schema));
    Operations::new(HttpMethod::Get, operation, schemas, routing::get(handler))
}

/// A text.
pub(super) fn text<H, T>(summary: &str, handler: H) -> Operations
where
    H: Handler<T, Api>,
    T: 'static,
{
    let operation = OperationBuilder::new().summary(Some(summary)).response("200", json(String::schema()));
    Operations::new(HttpMethod::Get, operation, Schemas::new(), routing::get(handler))
}

/// Server-sent events.
pub(super) fn stream<H, T>(summary: &str, handler: H) -> Operations
where
    H: Handler<T, Api>,
    T: 'static,
{
    let content = ContentBuilder::new().schema(Some(String::schema())).build();
    let events =
        ResponseBuilder::new().description("Events, without end.").content("text/event-stream", content);
    let operation = OperationBuilder::new().summary(Some(summary)).response("200", events.build());
    Operations::new(HttpMethod::Get, operation, Schemas::new(), routing::get(handler))
}

/// A health check: 503 on failure, with the findings.
pub(super) fn check<H, T>(summary: &str, handler: H) -> Operations
where
    H: Handler<T, Api>,
    T: 'static,
{
    let mut schemas = Schemas::new();
    let schema = schemas::HEALTH.schema(&mut schemas);
    let operation = OperationBuilder::new()
        .summary(Some(summary))
        .response("200", json(schema.clone()))
        .response("503", described("It is ill; `reason` says why.", schema));
    Operations::new(HttpMethod::Get, operation, schemas, routing::get(handler))
}

/// An operation requested by POST.
pub(super) fn post<H, T>(summary: &str, carries: Carries, gives: Gives, handler: H) -> Operations
where
    H: Handler<T, Api>,
    T: 'static,
{
    Operations::empty().post(summary, carries, gives, handler)
}

/// An operation that deletes.
pub(super) fn delete<H, T>(summary: &str, handler: H) -> Operations
where
    H: Handler<T, Api>,
    T: 'static,
{
    Operations::empty().delete(summary, handler)
}

const COLUMNS: &str = "Members to show, by dotted path, separated by commas; without the others, even those that are always there.";

const LIST_QUERY: &[(&str, &str)] = &[
    ("page", "Which page, from 1. Without it the answer is a bare array of all."),
    ("page_size", "Items of a page, 1 to 500; 100 if nothing is said."),
    ("name", "Only those whose name contains this, or matches it with `use_regex`."),
    ("use_regex", "`true`: `name` is a regular expression."),
    ("sort", "Member to sort by, by dotted path."),
    ("sort_reverse", "`true`: largest first."),
    ("columns", COLUMNS),
];

fn positive() -> RefOr<Schema> {
    RefOr::T(Schema::Object(
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int32)))
            .minimum(Some(1))
            .build(),
    ))
}

fn query_parameter(name: &str, text: &str, schema: RefOr<Schema>) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(text))
        .schema(Some(schema))
        .build()
}

fn json(schema: impl Into<RefOr<Schema>>) -> Response {
    described("As asked.", schema)
}

fn described(text: &str, schema: impl Into<RefOr<Schema>>) -> Response {
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new().description(text).content("application/json", content).build()
}

fn no_content(text: &str) -> Response {
    ResponseBuilder::new().description(text).build()
}

impl Operations {
    fn empty() -> Self {
        Self { methods: MethodRouter::new(), described: Vec::new(), schemas: Schemas::new(), private: true }
    }

    fn new(
        method: HttpMethod,
        operation: OperationBuilder,
        schemas: Schemas,
        methods: MethodRouter<Api>,
    ) -> Self {
        Self { methods, described: vec![(method, operation)], schemas, ..Self::empty() }
    }

    fn with(mut self, method: HttpMethod, operation: OperationBuilder, methods: MethodRouter<Api>) -> Self {
        self.methods = self.methods.merge(methods);
        self.described.push((method, operation));
        self
    }

    /// Adds a PUT that creates or changes the object.
    pub(super) fn put<H, T>(self, summary: &str, carries: Carries, handler: H) -> Self
    where
        H: Handler<T, Api>,
        T: 'static,
    {
        let operation = OperationBuilder::new()
            .summary(Some(summary))
            .request_body(Some(carries.body))
            .response("201", no_content("It is new."))
            .response("204", no_content("It was there, and is as asked now."));
        self.with(HttpMethod::Put, refusing_bodies(operation), routing::put(handler))
    }

    fn giving(&mut self, gives: Gives, operation: OperationBuilder) -> OperationBuilder {
        let done = || no_content("Done.");
        match gives {
            Gives::Nothing => operation.response("204", done()),
            Gives::New => operation.response("201", no_content("It is new.")),
            Gives::One(shape) => operation.response("200", json(shape.schema(&mut self.schemas))),
            Gives::OneOrNothing(shape) => {
                operation.response("200", json(shape.schema(&mut self.schemas))).response("204", done())
            }
            Gives::Many(shape) => {
                let items = ArrayBuilder::new().items(shape.schema(&mut self.schemas)).build();
                operation.response("200", json(items))
            }
        }
    }

    /// Adds a POST.
    pub(super) fn post<H, T>(mut self, summary: &str, carries: Carries, gives: Gives, handler: H) -> Self
    where
        H: Handler<T, Api>,
        T: 'static,
    {
        let operation = OperationBuilder::new().summary(Some(summary));
        let operation = if carries.body.content.is_empty() {
            operation
        } else {
            operation.request_body(Some(carries.body))
        };
        let operation = self.giving(gives, operation);
        self.with(HttpMethod::Post, refusing_bodies(operation), routing::post(handler))
    }

    /// Adds a DELETE.
    pub(super) fn delete<H, T>(self, summary: &str, handler: H) -> Self
    where
        H: Handler<T, Api>,
        T: 'static,
    {
        let operation = OperationBuilder::new()
            .summary(Some(summary))
            .response("204", no_content("It is gone."))
            .response("403", refused("A page of another site made this request."));
        self.with(HttpMethod::Delete, operation, routing::delete(handler))
    }

    /// Adds a query parameter to the last operation.
    pub(super) fn query(mut self, name: &str, text: &str) -> Self {
        if let Some((method, operation)) = self.described.pop() {
            let parameter = query_parameter(name, text, String::schema());
            self.described.push((method, operation.parameter(parameter)));
        }
        self
    }

    /// Adds a possible status to the last operation.
    pub(super) fn refuses(mut self, status: &str, text: &str) -> Self {
        if let Some((method, operation)) = self.described.pop() {
            self.described.push((method, operation.response(status, refused(text))));
        }
        self
    }

    /// Sets the maximum body size.
    pub(super) fn body_bytes_max(self, bytes: usize) -> Self {
        Self { methods: self.methods.layer(DefaultBodyLimit::max(bytes)), ..self }
    }

    /// Sets the maximum body size to the value of `most` at the time of each request.
    pub(super) fn body_bytes_max_by(self, api: &Api, most: fn(&Shared) -> usize) -> Self {
        let limit = move |State(api): State<Api>, mut request: Request, next: Next| async move {
            DefaultBodyLimit::max(most(&api)).apply(&mut request);
            next.run(request).await
        };
        Self { methods: self.methods.layer(middleware::from_fn_with_state(Arc::clone(api), limit)), ..self }
    }

    /// The last operation checks a password.
    pub(super) fn refusing_logins(mut self) -> Self {
        if let Some((method, operation)) = self.described.pop() {
            let operation = operation
                .response("401", refused("Name or password is wrong."))
                .response("429", refused("Too many logins from this address have failed."));
            self.described.push((method, operation));
        }
        self
    }

    /// Requires no login.
    pub(super) fn for_everybody(self) -> Self {
        Self { private: false, ..self }
    }
}

fn refusing_bodies(operation: OperationBuilder) -> OperationBuilder {
    operation
        .response("403", refused("A page of another site made this request."))
        .response("413", refused("The body is too large."))
}

fn refused(text: &str) -> Response {
    let text_schema = || ObjectBuilder::new().schema_type(Type::String);
    let schema = ObjectBuilder::new()
        .schema_type(Type::Object)
        .property("error", text_schema().description(Some("A word for programs.")))
        .property("reason", text_schema().description(Some("What is wrong, for people.")))
        .property("missing", text_schema().description(Some("What is not there, where nothing is found.")))
        .required("error")
        .required("reason")
        .build();
    described(text, schema)
}

/// Adds the statuses common to all operations; each kind adds its own.
fn complete(path: &str, about: &str, private: bool, operation: OperationBuilder) -> Operation {
    let operation = names_in(path).fold(operation, |operation, name| {
        operation.parameter(
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .description(Some(meaning(name)))
                .schema(Some(String::schema()))
                .build(),
        )
    });
    let operation = operation
        .tag(about)
        .response("400", refused("The request is wrong; the reason says how."))
        .response("404", refused("There is none of that name."))
        .response("408", refused("The request took too long."));
    let mut operation = if private {
        operation
            .response("401", refused("Nobody is logged in, or the user may not do this."))
            .response("429", refused("Too many logins from this address have failed."))
            .security(SecurityRequirement::new("login", Vec::<String>::new()))
            .security(SecurityRequirement::new("token", Vec::<String>::new()))
            .build()
    } else {
        operation.build()
    };
    let now_not = || refused("Not now; the reason says why.").into();
    operation.responses.responses.entry("503".to_owned()).or_insert_with(now_not);
    operation
}

fn names_in(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
}

fn meaning(name: &str) -> &'static str {
    match name {
        "vhost" => "Name of the virtual host, quoted: `/` is `%2F`.",
        "user" => "Name of the user.",
        "source" => "Name of the exchange that is bound to; `amq.default` for the default one.",
        "destination" => "Name of what is bound.",
        "kind" => "`q` for a queue, `e` for an exchange.",
        "properties" => "The binding's `properties_key`, as lists show it.",
        _ => "Which one, quoted.",
    }
}

impl Routes {
    /// An empty set, to be filled with routes on this subject.
    pub(super) fn about(about: &'static str) -> Self {
        Self { router: Router::new(), paths: Paths::new(), schemas: Schemas::new(), about }
    }

    /// Adds a path.
    pub(super) fn at(mut self, path: &str, operations: Operations) -> Self {
        self.router = self.router.route(path, operations.methods);
        self.schemas.extend(operations.schemas);
        for (method, operation) in operations.described {
            let operation = complete(path, self.about, operations.private, operation);
            self.paths.add_path_operation(format!("/api{path}"), vec![method], operation);
        }
        self
    }

    /// Adds the routes of another set.
    pub(super) fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.schemas.extend(other.schemas);
        for (path, item) in other.paths.paths {
            let known = self.paths.paths.entry(path).or_default();
            known.merge_operations(item);
        }
        self
    }

    /// The router, and the description of all routes.
    pub(super) fn finish(self, version: &str) -> (Router<Api>, OpenApi) {
        let mut info = Info::new("Leveret management API", version);
        info.description = Some(
            "Paths, bodies and fields are those of RabbitMQ's management API. Names in paths are quoted one by one."
                .to_owned(),
        );
        let login = SecurityScheme::Http(Http::new(HttpAuthScheme::Basic));
        let token = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        let components = ComponentsBuilder::new()
            .security_scheme("login", login)
            .security_scheme("token", token)
            .schemas_from_iter(self.schemas)
            .build();
        let description =
            OpenApiBuilder::new().info(info).paths(self.paths).components(Some(components)).build();
        (self.router, description)
    }
}
