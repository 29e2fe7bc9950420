//! The route table (docs/http-api.md). Path segments are decoded individually, so a vhost `/` is `%2F` in a path.
//!
//! Long: the one table from paths to handlers.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

use super::error::Refused;
use super::openapi::{
    Gives, Routes, any_object, body, check, delete, list, nothing, one, post, stream, text, whole,
};
use super::{
    Api, Shared, access, accounts, attempts, audit, bindings, connections, consumers, delayed, error, events,
    exchanges, explain, export, get as got, health, import, limits, lint, login, logs, lost, node, node_info,
    overview, parameters, policies, publish, queues, redrive, schemas, server, topic_permissions, topology,
    unsupported, vhosts,
};

/// Maximum request body, unless it carries messages or definitions, in bytes.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Maximum definitions file, in bytes.
const DEFINITIONS_BYTES_MAX: usize = 256 * 1024 * 1024;

/// The API, and the dashboard for paths outside `/api`.
pub(super) fn all(api: &Api, ui: Router) -> Router {
    let (routes, description) = described(api).finish(node_info::VERSION);
    let description: Arc<str> = serde_json::to_string(&description).unwrap_or_default().into();
    let shown = move || {
        let description = Arc::clone(&description);
        async move { ([(CONTENT_TYPE, "application/json")], String::from(&*description)) }
    };
    api.streams.answer_with(routes.clone().with_state(Arc::clone(api)));
    let routes =
        routes.route("/openapi.json", get(shown)).fallback(|| async { Refused::not_found("path_not_found") });
    Router::new()
        .nest("/api", routes)
        .fallback_service(ui)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(audit::log))
        .layer(middleware::from_fn_with_state(Arc::clone(api), access::guard))
        .layer(middleware::from_fn(server::read_ahead))
        .layer(middleware::from_fn_with_state(Arc::clone(api), in_time))
        .layer(middleware::from_fn(error::uniform))
        .layer(middleware::from_fn(server::secure))
        .layer(compress())
        .with_state(Arc::clone(api))
}

/// Smaller answers are sent as they are: they fit a packet.
const COMPRESSED_BYTES_MIN: u64 = 1024;

/// Compresses answers for clients that accept gzip, but for streams of events, which have to arrive one by one. At the
/// fastest level: lists of queues shrink to a tenth, for some milliseconds per megabyte.
fn compress() -> CompressionLayer<impl Predicate> {
    let fit = SizeAbove::new(COMPRESSED_BYTES_MIN).and(NotForContentType::SSE);
    CompressionLayer::new().gzip(true).quality(CompressionLevel::Fastest).compress_when(fit)
}

async fn in_time(State(api): State<Api>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(api.facts.process.http_timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Refused::too_late().into_response(),
    }
}

/// Maximum size of a request that carries a message, by the current limits.
fn publication_bytes_max(api: &Shared) -> usize {
    let message = usize::try_from(api.broker.limits().message_bytes_max).unwrap_or(usize::MAX);
    // Base64 turns three bytes into four; properties are extra.
    message.saturating_add(message / 2).saturating_add(BODY_BYTES_MAX)
}

fn described(api: &Api) -> Routes {
    about()
        .merge(virtual_hosts())
        .merge(messages(api))
        .merge(entities())
        .merge(clients())
        .merge(people())
        .merge(definitions())
        .merge(topologies())
        .merge(checks())
        .merge(lost::routes())
        .merge(explain::routes())
        .merge(lint::routes())
        .merge(rules())
        .merge(policies())
        .merge(unsupported())
}

fn about() -> Routes {
    Routes::about("Broker")
        .at("/overview", one("Totals, rates and listeners", &schemas::OVERVIEW, overview::get))
        .at(
            "/events",
            stream("A stream of server-sent events: answers, each time they have changed", events::listen)
                .query("watch", "A path below `/api` with its query; may be given up to 16 times."),
        )
        .at(
            "/cluster-name",
            whole("The cluster's name", &schemas::CLUSTER_NAME, overview::cluster_name).put(
                "Gives it another",
                body::<overview::ClusterName>(),
                overview::put_cluster_name,
            ),
        )
        .at("/version", text("The version", overview::version).for_everybody())
        .at("/extensions", list("Extensions of the dashboard", &schemas::NOTHING, unsupported::none))
        .at(
            "/logs",
            whole("The last lines of the log", &schemas::LOG, logs::all)
                .query("after", LOG_AFTER)
                .query("level", LOG_LEVEL),
        )
        .at(
            "/livelog",
            stream(
                "The log's lines as they come: server-sent events, each with a line in JSON",
                logs::follow,
            )
            .query("after", LOG_AFTER)
            .query("level", LOG_LEVEL),
        )
        .at("/nodes", list("Nodes: this one", &schemas::NODE, node::all))
        .at("/nodes/{name}", one("A node", &schemas::NODE, node::get))
        .at("/nodes/{name}/memory", one("What a node's memory is used for", &schemas::MEMORY, node::memory))
}

/// Descriptions of the log parameters.
const LOG_AFTER: &str = "Only lines behind the one with this `seq`.";
const LOG_LEVEL: &str = "Only lines as grave as this: `error`, `warn`, `info`, `debug`, `trace`.";

fn virtual_hosts() -> Routes {
    Routes::about("Virtual hosts")
        .at("/vhosts", list("Virtual hosts", &schemas::VHOST, vhosts::all))
        .at(
            "/vhosts/{vhost}",
            one("A virtual host", &schemas::VHOST, vhosts::get)
                .put("Creates or changes a virtual host", body::<vhosts::Metadata>(), vhosts::put)
                .delete("Deletes a virtual host with all that is in it", vhosts::delete),
        )
        .at(
            "/vhosts/{vhost}/deletion/protection",
            post("Protects a virtual host from deletion", nothing(), Gives::Nothing, vhosts::protected)
                .delete("Lifts the protection", vhosts::unprotected),
        )
        .at(
            "/vhosts/{vhost}/permissions",
            list("Permissions in a virtual host", &schemas::PERMISSION, accounts::permissions_in),
        )
        .at(
            "/vhosts/{vhost}/topic-permissions",
            list(
                "Topic permissions in a virtual host",
                &schemas::TOPIC_PERMISSION,
                topic_permissions::in_vhost,
            ),
        )
        .at(
            "/vhosts/{vhost}/connections",
            list("Connections to a virtual host", &schemas::CONNECTION, connections::list),
        )
        .at(
            "/vhosts/{vhost}/channels",
            list("Channels of a virtual host", &schemas::CHANNEL, connections::channels),
        )
}

fn messages(api: &Api) -> Routes {
    Routes::about("Messages")
        .at(
            "/exchanges/{vhost}/{name}/publish",
            post(
                "Publishes a message",
                body::<publish::Publication>(),
                Gives::One(&schemas::ROUTED),
                publish::publish,
            )
            .body_bytes_max_by(api, publication_bytes_max),
        )
        .at(
            "/queues/{vhost}/{name}/get",
            post(
                "Gets messages, or looks at them where they stand (`peek`)",
                body::<got::Wish>(),
                Gives::Many(&schemas::MESSAGE),
                got::get,
            ),
        )
        .at("/queues/{vhost}/{name}/contents", delete("Purges a queue", queues::purge))
        .at(
            "/queues/{vhost}/{name}/retry/release",
            post(
                "Makes all messages that wait for their retry ready now",
                nothing(),
                Gives::One(&schemas::RELEASED),
                queues::release_retries,
            ),
        )
        .at(
            "/queues/{vhost}/{name}/redrive",
            post(
                "Moves messages back to the queue each came from, or to a queue or an exchange; reports as it goes on to who accepts events",
                body::<redrive::Wish>(),
                Gives::One(&schemas::REDRIVEN),
                redrive::redrive,
            ),
        )
        .at(
            "/exchanges/{vhost}/{name}/delayed",
            whole(
                "Messages that wait for their time, the next due first",
                &schemas::DELAYED_PAGE,
                delayed::list,
            )
            .query("after", "Only those behind the message with this id.")
            .query("page_size", "Messages of a page, 1 to 100; 50 if nothing is said."),
        )
        .at(
            "/exchanges/{vhost}/{name}/delayed/{id}",
            whole("A delayed message, with its body", &schemas::DELAYED, delayed::one)
                .query("truncate", "Bytes of the body to show; 65536 if nothing is said.")
                .put("Gives it another time", body::<delayed::Time>(), delayed::reschedule)
                .delete("Drops it", delayed::cancel),
        )
        .at(
            "/exchanges/{vhost}/{name}/delayed/{id}/release",
            post("Releases it now", nothing(), Gives::Nothing, delayed::release),
        )
}

fn entities() -> Routes {
    const UNUSED: &str = "`true`: only if nobody uses it.";
    Routes::about("Exchanges, queues, bindings")
        .at("/exchanges", list("Exchanges", &schemas::EXCHANGE, exchanges::list))
        .at("/exchanges/{vhost}", list("Exchanges of a virtual host", &schemas::EXCHANGE, exchanges::list))
        .at(
            "/exchanges/{vhost}/{name}",
            one("An exchange", &schemas::EXCHANGE, exchanges::get)
                .put("Declares an exchange", body::<exchanges::Declaration>(), exchanges::put)
                .delete("Deletes an exchange", exchanges::delete)
                .query("if-unused", UNUSED),
        )
        .at(
            "/exchanges/{vhost}/{name}/bindings/source",
            list("Bindings from an exchange", &schemas::BINDING, bindings::from_exchange),
        )
        .at(
            "/exchanges/{vhost}/{name}/bindings/destination",
            list("Bindings to an exchange", &schemas::BINDING, bindings::to_exchange),
        )
        .at(
            "/queues",
            list("Queues", &schemas::QUEUE, queues::list)
                .query("disable_stats", STATS)
                .query("enable_queue_totals", TOTALS),
        )
        .at("/queues/detailed", list("Queues", &schemas::QUEUE, queues::list))
        .at(
            "/queues/{vhost}",
            list("Queues of a virtual host", &schemas::QUEUE, queues::list)
                .query("disable_stats", STATS)
                .query("enable_queue_totals", TOTALS),
        )
        .at(
            "/queues/{vhost}/{name}",
            one("A queue, with its consumers", &schemas::QUEUE, queues::get)
                .put("Declares a queue", body::<queues::Declaration>(), queues::put)
                .delete("Deletes a queue", queues::delete)
                .query("if-unused", UNUSED)
                .query("if-empty", "`true`: only if there is no message in it."),
        )
        .at(
            "/queues/{vhost}/{name}/bindings",
            list("Bindings of a queue", &schemas::BINDING, bindings::of_queue),
        )
        .at("/bindings", list("Bindings", &schemas::BINDING, bindings::list))
        .at("/bindings/{vhost}", list("Bindings of a virtual host", &schemas::BINDING, bindings::list))
        .at(
            "/bindings/{vhost}/e/{source}/{kind}/{destination}",
            list("Bindings between two", &schemas::BINDING, bindings::between).post(
                "Binds; `Location` is the new binding's path",
                body::<bindings::Properties>(),
                Gives::New,
                bindings::post,
            ),
        )
        .at(
            "/bindings/{vhost}/e/{source}/{kind}/{destination}/{properties}",
            one("A binding", &schemas::BINDING, bindings::get).delete("Unbinds", bindings::delete),
        )
}

/// Descriptions of the two parameters of a cheap listing.
const STATS: &str = "`true`: no rates and no numbers.";
const TOTALS: &str = "`true`: with `disable_stats`, the numbers of messages all the same.";

fn clients() -> Routes {
    Routes::about("Connections, channels, consumers")
        .at("/connections", list("Connections", &schemas::CONNECTION, connections::list))
        .at(
            "/connections/{name}",
            one("A connection", &schemas::CONNECTION, connections::get)
                .delete("Closes a connection; the header `X-Reason` says why", connections::delete),
        )
        .at(
            "/connections/{name}/channels",
            list("Channels of a connection", &schemas::CHANNEL, connections::channels_of),
        )
        .at(
            "/connections/username/{user}",
            list("Connections of a user", &schemas::CONNECTION, connections::of_user)
                .delete("Closes a user's connections", connections::delete_of_user),
        )
        .at("/channels", list("Channels", &schemas::CHANNEL, connections::channels))
        .at("/channels/{name}", one("A channel", &schemas::CHANNEL, connections::get_channel))
        .at("/consumers", list("Consumers", &schemas::CONSUMER, consumers::list))
        .at("/consumers/{vhost}", list("Consumers of a virtual host", &schemas::CONSUMER, consumers::list))
}

fn people() -> Routes {
    Routes::about("Users and permissions")
        .at("/whoami", whole("Who is logged in", &schemas::WHO, accounts::whoami))
        .at(
            "/login",
            post(
                "Opens a session and sets its cookie",
                body::<login::Credentials>(),
                Gives::One(&schemas::WHO),
                login::login,
            )
            .for_everybody()
            .refusing_logins(),
        )
        .at("/logout", post("Ends the session", nothing(), Gives::Nothing, login::logout).for_everybody())
        .at(
            "/auth/attempts/{node}",
            list("Logins by protocol", &schemas::ATTEMPTS, attempts::by_protocol)
                .delete("Counts anew", attempts::reset),
        )
        .at(
            "/auth/attempts/{node}/source",
            list("Logins by address", &schemas::ATTEMPTS, attempts::by_source)
                .delete("Counts anew", attempts::reset),
        )
        .at(
            "/auth/hash_password/{password}",
            whole("A password, hashed for `password_hash`", &schemas::HASH, accounts::hash),
        )
        .at("/users", list("Users", &schemas::USER, accounts::all))
        .at(
            "/users/bulk-delete",
            post("Deletes users", body::<accounts::Names>(), Gives::Nothing, accounts::delete_many),
        )
        .at(
            "/users/without-permissions",
            list("Users without permissions", &schemas::USER, accounts::without_permissions),
        )
        .at(
            "/users/{user}",
            one("A user", &schemas::USER, accounts::get)
                .put("Creates or changes a user", body::<accounts::UserBody>(), accounts::put)
                .delete("Deletes a user", accounts::delete),
        )
        .at(
            "/users/{user}/permissions",
            list("Permissions of a user", &schemas::PERMISSION, accounts::permissions_of),
        )
        .at(
            "/users/{user}/topic-permissions",
            list("Topic permissions of a user", &schemas::TOPIC_PERMISSION, topic_permissions::of_user),
        )
        .at("/permissions", list("Permissions", &schemas::PERMISSION, accounts::all_permissions))
        .at(
            "/permissions/{vhost}/{user}",
            one("A user's permissions in a virtual host", &schemas::PERMISSION, accounts::get_permission)
                .put("Sets them", any_object(), accounts::put_permission)
                .delete("Takes them away", accounts::delete_permission),
        )
}

fn definitions() -> Routes {
    const DRY: &str = "`true`: says what would change, and changes nothing.";
    let all = || {
        one("Definitions of the broker", &schemas::DEFINITIONS, export::cluster)
            .post(
                "Imports definitions",
                any_object(),
                Gives::OneOrNothing(&schemas::DRY_RUN),
                import::cluster,
            )
            .query("dry_run", DRY)
            .body_bytes_max(DEFINITIONS_BYTES_MAX)
    };
    let some = || {
        one("Definitions of a virtual host", &schemas::VHOST_DEFINITIONS, export::of_vhost)
            .post(
                "Imports definitions into a virtual host",
                any_object(),
                Gives::OneOrNothing(&schemas::DRY_RUN),
                import::of_vhost,
            )
            .query("dry_run", DRY)
            .body_bytes_max(DEFINITIONS_BYTES_MAX)
    };
    Routes::about("Definitions")
        .at("/definitions", all())
        .at("/definitions/{vhost}", some())
        .at("/all-configuration", all())
        .at("/all-configuration/{vhost}", some())
}

fn topologies() -> Routes {
    Routes::about("Topology")
        .at(
            "/topology/plan",
            post(
                "What differs from a topology",
                body::<topology::Wish>(),
                Gives::One(&schemas::PLAN),
                topology::plan,
            )
            .body_bytes_max(DEFINITIONS_BYTES_MAX),
        )
        .at(
            "/topology/apply",
            post(
                "Makes the broker as a topology says",
                body::<topology::Wish>(),
                Gives::One(&schemas::PLAN),
                topology::apply,
            )
            .refuses("409", "The broker has changed since the plan was made.")
            .body_bytes_max(DEFINITIONS_BYTES_MAX),
        )
        .at(
            "/topology/drift",
            whole("What differs from the declared topology", &schemas::DRIFT, topology::drift),
        )
}

fn checks() -> Routes {
    let path = |name: &str| format!("/health/checks/{name}");
    Routes::about("Health")
        .at(&path("is-in-service"), check("Whether messages are taken", health::in_service).for_everybody())
        .at(&path("ready-to-serve-clients"), check("The same", health::in_service).for_everybody())
        .at(&path("reached-target-cluster-size"), check("Always well", health::always_well).for_everybody())
        .at(
            &path("below-node-connection-limit"),
            check("Whether more connections are taken", health::below_connection_limit).for_everybody(),
        )
        .at(&path("alarms"), check("Whether an alarm is on", health::alarms))
        .at(&path("local-alarms"), check("The same", health::alarms))
        .at(&path("lost"), check("Whether nothing has lost its definition", lost::check))
        .at(&path("virtual-hosts"), check("Whether there are virtual hosts", health::vhosts))
        .at(&path("port-listener/{port}"), check("Whether this port is listened on", health::port))
        .at(&path("protocol-listener/{protocol}"), check("Whether this protocol is spoken", health::protocol))
        .at(
            &path("certificate-expiration/{within}/{unit}"),
            check("Whether certificates are valid so long", health::certificates),
        )
        .at(&path("node-is-quorum-critical"), check("Always well", health::well_for_users))
        .at(&path("node-is-mirror-sync-critical"), check("Always well", health::well_for_users))
        .at(&path("metadata-store/initialized"), check("Always well", health::well_for_users))
        .at(&path("metadata-store/initialized/with-data"), check("Always well", health::well_for_users))
        .at(
            &path("quorum-queues-without-elected-leaders/vhost/{vhost}/pattern/{pattern}"),
            check("Always well", health::well_for_users),
        )
        .at(
            &path("quorum-queues-without-elected-leaders/all-vhosts/pattern/{pattern}"),
            check("Always well", health::well_for_users),
        )
        .at("/healthchecks/node", check("Whether messages are taken", health::this_node))
        .at(
            "/healthchecks/node/{name}",
            check("Whether messages are taken, if it is this node", health::node),
        )
        .at("/aliveness-test/{vhost}", check("Declares a queue, publishes, gets", health::aliveness))
}

fn rules() -> Routes {
    with_parameters(limits_and_topics(Routes::about("Limits, topic permissions and parameters")))
}

fn limits_and_topics(routes: Routes) -> Routes {
    routes
        .at("/vhost-limits", list("Limits of virtual hosts", &schemas::VHOST_LIMITS, limits::of_vhosts))
        .at(
            "/vhost-limits/{vhost}",
            list("Limits of a virtual host", &schemas::VHOST_LIMITS, limits::of_one_vhost),
        )
        .at(
            "/vhost-limits/{vhost}/{limit}",
            delete("Takes a limit away", limits::delete_of_vhost).put(
                "Sets max-connections or max-queues",
                body::<limits::LimitBody>(),
                limits::put_of_vhost,
            ),
        )
        .at("/user-limits", list("Limits of users", &schemas::USER_LIMITS, limits::of_users))
        .at("/user-limits/{user}", list("Limits of a user", &schemas::USER_LIMITS, limits::of_one_user))
        .at(
            "/user-limits/{user}/{limit}",
            delete("Takes a limit away", limits::delete_of_user).put(
                "Sets max-connections or max-channels",
                body::<limits::LimitBody>(),
                limits::put_of_user,
            ),
        )
        .at(
            "/topic-permissions",
            list("Topic permissions", &schemas::TOPIC_PERMISSION, topic_permissions::all),
        )
        .at(
            "/topic-permissions/{vhost}/{user}",
            list(
                "A user's topic permissions in a virtual host",
                &schemas::TOPIC_PERMISSION,
                topic_permissions::get,
            )
            .put("Sets one", any_object(), topic_permissions::put)
            .delete("Takes them away", topic_permissions::delete),
        )
        .at(
            "/topic-permissions/{vhost}/{user}/{exchange}",
            list(
                "A user's topic permission on an exchange",
                &schemas::TOPIC_PERMISSION,
                topic_permissions::get_one,
            )
            .delete("Takes it away", topic_permissions::delete_one),
        )
}

fn with_parameters(routes: Routes) -> Routes {
    routes
        .at("/parameters", list("Parameters", &schemas::PARAMETER, parameters::all))
        .at(
            "/parameters/{component}",
            list("Parameters of a component", &schemas::PARAMETER, parameters::of_component),
        )
        .at(
            "/parameters/{component}/{vhost}",
            list("Those of a virtual host", &schemas::PARAMETER, parameters::in_vhost),
        )
        .at(
            "/parameters/{component}/{vhost}/{name}",
            one("A parameter", &schemas::PARAMETER, parameters::get)
                .put("Sets it", body::<parameters::ParameterBody>(), parameters::put)
                .delete("Takes it away", parameters::delete),
        )
        .at(
            "/global-parameters",
            list("Global parameters", &schemas::GLOBAL_PARAMETER, parameters::all_global),
        )
        .at(
            "/global-parameters/{name}",
            one("A global parameter", &schemas::GLOBAL_PARAMETER, parameters::get_global)
                .put("Sets it", body::<parameters::ParameterBody>(), parameters::put_global)
                .delete("Takes it away", parameters::delete_global),
        )
}

fn policies() -> Routes {
    Routes::about("Policies")
        .at("/policies", list("Policies", &schemas::POLICY, policies::list))
        .at("/policies/{vhost}", list("Policies of a virtual host", &schemas::POLICY, policies::list))
        .at(
            "/policies/{vhost}/{name}",
            one("A policy", &schemas::POLICY, policies::get)
                .put("Sets it", body::<policies::PolicyBody>(), policies::put)
                .delete("Deletes it", policies::delete),
        )
        .at("/operator-policies", list("Operator policies", &schemas::POLICY, policies::list_of_operators))
        .at(
            "/operator-policies/{vhost}",
            list("Operator policies of a virtual host", &schemas::POLICY, policies::list_of_operators),
        )
        .at(
            "/operator-policies/{vhost}/{name}",
            one("An operator policy", &schemas::POLICY, policies::get_of_operators)
                .put("Sets it", body::<policies::PolicyBody>(), policies::put_of_operators)
                .delete("Deletes it", policies::delete_of_operators),
        )
        .at(
            "/queues/{vhost}/{name}/effective",
            whole(
                "What a queue keeps to, and who said so",
                &schemas::EFFECTIVE,
                policies::effective_of_queue,
            ),
        )
        .at(
            "/exchanges/{vhost}/{name}/effective",
            whole(
                "What an exchange keeps to, and who said so",
                &schemas::EFFECTIVE,
                policies::effective_of_exchange,
            ),
        )
}

fn unsupported() -> Routes {
    let object = || {
        whole("None", &schemas::NOTHING, unsupported::missing)
            .put("Refused", any_object(), unsupported::unsupported)
            .delete("None", unsupported::missing)
    };
    Routes::about("Empty here")
        .at("/feature-flags", list("None", &schemas::NOTHING, unsupported::none))
        .at("/deprecated-features", list("None", &schemas::NOTHING, unsupported::none))
        .at("/deprecated-features/used", list("None", &schemas::NOTHING, unsupported::none))
        .at("/shovels", list("None", &schemas::NOTHING, unsupported::none))
        .at("/shovels/{vhost}", list("None", &schemas::NOTHING, unsupported::none_in_vhost))
        .at("/shovels/vhost/{vhost}/{name}", object())
        .at("/federation-links", list("None", &schemas::NOTHING, unsupported::none))
        .at("/federation-links/{vhost}", list("None", &schemas::NOTHING, unsupported::none_in_vhost))
}
