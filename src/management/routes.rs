//! Which path is answered by what (rabbitmq-semantics 3a). Segments are unquoted one by one, so a vhost
//! `/` is `%2F` in a path.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post, put};

use super::error::Refused;
use super::{
    Api, access, accounts, bindings, connections, consumers, error, exchanges, export, health, import,
    limits, node, not_here, overview, parameters, policies, publish, queues, server, topic_permissions,
    vhosts,
};

/// Bytes of a request's body, unless it carries messages or definitions.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of a file of definitions.
const DEFINITIONS_BYTES_MAX: usize = 256 * 1024 * 1024;

/// The API, and the dashboard for what is not below `/api`.
pub(super) fn all(api: &Api, ui: Router) -> Router {
    let message = usize::try_from(api.broker.limits.message_bytes_max).unwrap_or(usize::MAX);
    // Base64 makes four bytes of three; properties come on top.
    let publication = message.saturating_add(message / 2).saturating_add(BODY_BYTES_MAX);
    let routes = about()
        .merge(entities())
        .merge(people())
        .merge(checks())
        .merge(rules())
        .merge(policies())
        .merge(not_here())
        .merge(large("/exchanges/{vhost}/{name}/publish", post(publish::publish), publication))
        .merge(definitions("/definitions"))
        .merge(definitions("/all-configuration"));
    let routes = routes.fallback(|| async { Refused::not_found("Not Found") });
    Router::new()
        .nest("/api", routes)
        .fallback_service(ui)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(Arc::clone(api), access::guard))
        .layer(middleware::from_fn(in_time))
        .layer(middleware::from_fn(error::uniform))
        .layer(middleware::from_fn(server::secure))
        .with_state(Arc::clone(api))
}

async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(server::REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Refused::too_late().into_response(),
    }
}

fn large(path: &str, method: MethodRouter<Api>, bytes: usize) -> Router<Api> {
    Router::new().route(path, method.layer(DefaultBodyLimit::max(bytes)))
}

fn definitions(path: &str) -> Router<Api> {
    let all = get(export::cluster).post(import::cluster);
    let one = get(export::of_vhost).post(import::of_vhost);
    large(path, all, DEFINITIONS_BYTES_MAX).merge(large(
        &format!("{path}/{{vhost}}"),
        one,
        DEFINITIONS_BYTES_MAX,
    ))
}

fn about() -> Router<Api> {
    Router::new()
        .route("/overview", get(overview::get))
        .route("/cluster-name", get(overview::cluster_name))
        .route("/version", get(overview::version))
        .route("/extensions", get(overview::extensions))
        .route("/nodes", get(node::all))
        .route("/nodes/{name}", get(node::get))
        .route("/nodes/{name}/memory", get(node::memory))
}

fn entities() -> Router<Api> {
    Router::new()
        .route("/vhosts", get(vhosts::all))
        .route("/vhosts/{vhost}", get(vhosts::get).put(vhosts::put).delete(vhosts::delete))
        .route("/vhosts/{vhost}/deletion/protection", post(vhosts::protected).delete(vhosts::unprotected))
        .route("/vhosts/{vhost}/permissions", get(accounts::permissions_in))
        .route("/vhosts/{vhost}/topic-permissions", get(topic_permissions::in_vhost))
        .route("/vhosts/{vhost}/connections", get(connections::in_vhost))
        .route("/vhosts/{vhost}/channels", get(connections::channels_in_vhost))
        .route("/exchanges", get(exchanges::all))
        .route("/exchanges/{vhost}", get(exchanges::in_vhost))
        .route("/exchanges/{vhost}/{name}", get(exchanges::get).put(exchanges::put).delete(exchanges::delete))
        .route("/exchanges/{vhost}/{name}/bindings/source", get(bindings::from_exchange))
        .route("/exchanges/{vhost}/{name}/bindings/destination", get(bindings::to_exchange))
        .route("/queues", get(queues::all))
        .route("/queues/detailed", get(queues::all))
        .route("/queues/{vhost}", get(queues::in_vhost))
        .route("/queues/{vhost}/{name}", get(queues::get).put(queues::put).delete(queues::delete))
        .route("/queues/{vhost}/{name}/contents", delete(queues::purge))
        .route("/queues/{vhost}/{name}/get", post(super::get::get))
        .route("/queues/{vhost}/{name}/bindings", get(bindings::of_queue))
        .route("/bindings", get(bindings::all))
        .route("/bindings/{vhost}", get(bindings::in_vhost))
        .route(
            "/bindings/{vhost}/e/{source}/{kind}/{destination}",
            get(bindings::between).post(bindings::post),
        )
        .route(
            "/bindings/{vhost}/e/{source}/{kind}/{destination}/{properties}",
            get(bindings::get).delete(bindings::delete),
        )
        .route("/connections", get(connections::all))
        .route("/connections/{name}", get(connections::get).delete(connections::delete))
        .route("/connections/{name}/channels", get(connections::channels_of))
        .route("/connections/username/{user}", get(connections::of_user).delete(connections::delete_of_user))
        .route("/channels", get(connections::channels))
        .route("/channels/{name}", get(connections::get_channel))
        .route("/consumers", get(consumers::all))
        .route("/consumers/{vhost}", get(consumers::in_vhost))
}

fn people() -> Router<Api> {
    Router::new()
        .route("/whoami", get(accounts::whoami))
        .route("/auth/hash_password/{password}", get(accounts::hash))
        .route("/users", get(accounts::all))
        .route("/users/", get(accounts::all))
        .route("/users/bulk-delete", post(accounts::delete_many))
        .route("/users/without-permissions", get(accounts::without_permissions))
        .route("/users/{user}", get(accounts::get).put(accounts::put).delete(accounts::delete))
        .route("/users/{user}/permissions", get(accounts::permissions_of))
        .route("/users/{user}/topic-permissions", get(topic_permissions::of_user))
        .route("/permissions", get(accounts::all_permissions))
        .route(
            "/permissions/{vhost}/{user}",
            get(accounts::get_permission).put(accounts::put_permission).delete(accounts::delete_permission),
        )
}

fn checks() -> Router<Api> {
    let check = |name: &str| format!("/health/checks/{name}");
    Router::new()
        .route(&check("is-in-service"), get(health::in_service))
        .route(&check("ready-to-serve-clients"), get(health::in_service))
        .route(&check("reached-target-cluster-size"), get(health::always_well))
        .route(&check("below-node-connection-limit"), get(health::below_connection_limit))
        .route(&check("alarms"), get(health::alarms))
        .route(&check("local-alarms"), get(health::alarms))
        .route(&check("virtual-hosts"), get(health::vhosts))
        .route(&check("port-listener/{port}"), get(health::port))
        .route(&check("protocol-listener/{protocol}"), get(health::protocol))
        .route(&check("certificate-expiration/{within}/{unit}"), get(health::certificates))
        .route(&check("node-is-quorum-critical"), get(health::well_for_users))
        .route(&check("node-is-mirror-sync-critical"), get(health::well_for_users))
        .route(&check("metadata-store/initialized"), get(health::well_for_users))
        .route(&check("metadata-store/initialized/with-data"), get(health::well_for_users))
        .route(
            &check("quorum-queues-without-elected-leaders/vhost/{vhost}/pattern/{pattern}"),
            get(health::well_for_users),
        )
        .route(
            &check("quorum-queues-without-elected-leaders/all-vhosts/pattern/{pattern}"),
            get(health::well_for_users),
        )
        .route("/healthchecks/node", get(health::well_for_users))
        .route("/healthchecks/node/{node}", get(health::well_for_users))
        .route("/aliveness-test/{vhost}", get(health::aliveness))
}

fn rules() -> Router<Api> {
    Router::new()
        .route("/parameters", get(parameters::all))
        .route("/parameters/{component}", get(parameters::of_component))
        .route("/parameters/{component}/{vhost}", get(parameters::in_vhost))
        .route(
            "/parameters/{component}/{vhost}/{name}",
            get(parameters::get).put(parameters::put).delete(parameters::delete),
        )
        .route("/global-parameters", get(parameters::all_global))
        .route(
            "/global-parameters/{name}",
            get(parameters::get_global).put(parameters::put_global).delete(parameters::delete_global),
        )
        .route("/vhost-limits", get(limits::of_vhosts))
        .route("/vhost-limits/{vhost}", get(limits::of_one_vhost))
        .route("/vhost-limits/{vhost}/{name}", put(limits::put_of_vhost).delete(limits::delete_of_vhost))
        .route("/user-limits", get(limits::of_users))
        .route("/user-limits/{user}", get(limits::of_one_user))
        .route("/user-limits/{user}/{name}", put(limits::put_of_user).delete(limits::delete_of_user))
        .route("/topic-permissions", get(topic_permissions::all))
        .route(
            "/topic-permissions/{vhost}/{user}",
            get(topic_permissions::get).put(topic_permissions::put).delete(topic_permissions::delete),
        )
        .route(
            "/topic-permissions/{vhost}/{user}/{exchange}",
            get(topic_permissions::get_one).delete(topic_permissions::delete_one),
        )
}

fn policies() -> Router<Api> {
    Router::new()
        .route("/policies", get(policies::all))
        .route("/policies/{vhost}", get(policies::in_vhost))
        .route("/policies/{vhost}/{name}", get(policies::get).put(policies::put).delete(policies::delete))
        .route("/operator-policies", get(policies::all_of_operators))
        .route("/operator-policies/{vhost}", get(policies::of_operators_in_vhost))
        .route(
            "/operator-policies/{vhost}/{name}",
            get(policies::get_of_operators)
                .put(policies::put_of_operators)
                .delete(policies::delete_of_operators),
        )
        .route("/queues/{vhost}/{name}/effective", get(policies::effective_of_queue))
        .route("/exchanges/{vhost}/{name}/effective", get(policies::effective_of_exchange))
}

fn not_here() -> Router<Api> {
    let object = || get(not_here::missing).put(not_here::unsupported).delete(not_here::missing);
    Router::new()
        .route("/feature-flags", get(not_here::none))
        .route("/deprecated-features", get(not_here::none))
        .route("/deprecated-features/used", get(not_here::none))
        .route("/shovels", get(not_here::none))
        .route("/shovels/{vhost}", get(not_here::none_in_vhost))
        .route("/shovels/vhost/{vhost}/{name}", object())
        .route("/federation-links", get(not_here::none))
        .route("/federation-links/{vhost}", get(not_here::none_in_vhost))
}
