//! The log: what identifies a line's client, what is never logged, what a client cannot do to it, and access over
//! HTTP.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::harness::Broker;
use crate::management::{Http, listening};
use crate::raw::Client;
use crate::wait;

/// A connection as this user, up to `connection.open`.
fn login(broker: &Broker, name: &str, user: &str, password: &str) -> Client {
    let mut client = Client::start(broker.amqp, "");
    client.say(&format!(
        "0 connection.start-ok client_properties={{connection_name:\"{name}\"}} mechanism=PLAIN \
         response=\"\\0{user}\\0{password}\" locale=en_US"
    ));
    client
}

fn open(client: &mut Client) {
    client.hear("0 connection.tune");
    client.say("0 connection.tune-ok channel_max=10 frame_max=131072 heartbeat=0");
    client.say("0 connection.open virtual_host=/");
    client.hear("0 connection.open-ok");
    client.open_channel(1);
}

/// The log when the channel of "worker-7" is closed for a missing queue.
fn log_of_a_closed_channel(broker: &Broker) -> String {
    let mut client = login(broker, "worker-7", "guest", "guest");
    open(&mut client);
    client.say("1 queue.declare queue=gone passive=true");
    client.channel_closes(404, "queue.declare", "gone");
    wait::until("the line", || broker.log().contains("channel closed"));
    broker.log()
}

#[test]
fn a_line_says_whose_connection_it_is_about() {
    let broker = Broker::new();
    let log = log_of_a_closed_channel(&broker);
    let line = log.lines().find(|line| line.contains("channel closed")).expect("waited for");
    for part in ["peer=127.0.0.1:", "name=\"worker-7\"", "user=\"guest\"", "vhost=\"/\"", "channel=1"] {
        assert!(line.contains(part), "{part} in {line}");
    }
}

#[test]
fn no_secret_is_ever_logged() {
    let config = ["--log-level", "trace"];
    let broker = Broker::with(&config);
    let http = Http::of(&broker);
    let secrets = [
        "s3cret-right",
        "s3cret-wrong",
        "s3cret-http",
        "s3cret-plain-wrong",
        "s3cret-amqplain-right",
        "s3cret-amqplain-wrong",
        "s3cret-amqplain-broken",
    ];
    let user = json!({ "password": "s3cret-right", "tags": "management" });
    http.put("/api/users/someone", &user).is(201);
    let all = json!({ "configure": ".*", "write": ".*", "read": ".*" });
    http.put("/api/permissions/%2F/someone", &all).is(201);
    open(&mut login(&broker, "a", "someone", "s3cret-right"));
    login(&broker, "a", "someone", "s3cret-plain-wrong").hangs_up();
    http.put("/api/users/other", &json!({ "password": "s3cret-amqplain-right", "tags": "" })).is(201);
    for (length, password, answer) in [
        ('\u{15}', "s3cret-amqplain-right", "0 connection.tune"),
        ('\u{15}', "s3cret-amqplain-wrong", "0 connection.close reply_code=403"),
        ('\u{7f}', "s3cret-amqplain-broken", "0 connection.close reply_code=502"),
    ] {
        let mut client = Client::start(broker.amqp, "");
        let table = format!("\u{5}LOGINS\0\0\0\u{5}other\u{8}PASSWORDS\0\0\0{length}{password}");
        client.start_ok("AMQPLAIN", &table.replace('\0', "\\0"));
        client.hear(answer);
    }
    http.login("someone", "s3cret-wrong").get("/api/whoami").is(401);
    http.login("someone", "s3cret-right").get("/api/whoami").is(200);
    http.get("/api/auth/hash_password/s3cret-http").is(200);
    let hash = "c2VjcmV0LWhhc2gtb2YtYS11c2VyLXRoYXQtaXMtbG9uZw==";
    http.put("/api/users/hashed", &json!({ "password_hash": hash, "tags": "" }));
    wait::until("lines at trace", || {
        broker.log().contains("TRACE") && broker.log().contains("login refused")
    });
    let log = broker.log();
    let encoded = |text: &str| {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode(text)
    };
    for secret in secrets {
        for shape in [secret.to_owned(), encoded(secret), encoded(&format!("someone:{secret}"))] {
            let line = log.lines().find(|line| line.contains(&shape));
            assert!(line.is_none(), "{shape} is in {line:?}");
        }
    }
    assert!(!log.contains(hash), "hashes are secrets, too");
    assert!(!log.contains("$argon2"), "hashes are secrets, too");
    let shown = http.get("/api/logs").is(200).text;
    assert!(secrets.iter().all(|secret| !shown.contains(secret)));
}

#[test]
fn in_json_a_line_has_whose_connection_it_is_about_as_members() {
    let broker = Broker::with(&["--log-format", "json"]);
    let log = log_of_a_closed_channel(&broker);
    for line in log.lines() {
        let parsed: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for member in ["timestamp", "level", "target", "message"] {
            assert!(parsed[member].is_string(), "{member} in {line}");
        }
    }
    let line = log.lines().find(|line| line.contains("channel closed")).expect("waited for");
    let line: Value = serde_json::from_str(line).expect("JSON");
    let said = ["name", "user", "vhost", "channel"].map(|member| line[member].clone());
    assert_eq!(said, [json!("worker-7"), json!("guest"), json!("/"), json!(1)], "{line}");
    assert!(line["peer"].as_str().is_some_and(|peer| peer.starts_with("127.0.0.1:")), "{line}");
}

/// A token signed with this secret.
fn token(secret: &str, user: &str, ends: u64) -> String {
    use base64::Engine;
    let encoded = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    let claims = json!({ "aud": "leveret", "sub": user, "exp": ends, "scope": "leveret.configure:*/* leveret.tag:management" });
    let text = format!("{}.{}", encoded(br#"{"alg":"HS256"}"#), encoded(claims.to_string().as_bytes()));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    format!("{text}.{}", encoded(ring::hmac::sign(&key, text.as_bytes()).as_ref()))
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story")]
fn no_secret_of_a_file_a_token_or_an_import_is_ever_logged() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("write");
        path.display().to_string()
    };
    let key = "s3cret-key-that-signs-tokens-and-is-long-enough";
    let (key_file, _) = (write("key", key), write("password", "s3cret-in-a-file\n"));
    let topology = write("t.yaml", "users: {t: {password: {file: password}, tags: management}}\n");
    let said = |password: &str| {
        format!(
            "log_level = \"trace\"\nadmin_user = \"guest\"\nadmin_password = {password}\ntopology = {topology:?}\n\
             [oauth]\nresource_server_id = \"leveret\"\nhs256_key_file = {key_file:?}\n"
        )
    };
    let config = write("leveret.toml", &said("\"guest\""));
    let broker = Broker::with(&["--config", &config]);
    let http = Http::of(&broker);

    // Tokens: as a password, renewed, as a bearer, and refused ones.
    let now = leveret::net::now().0 / 1000;
    let [good, renewed, other] =
        [("ann", 600), ("ann", 900), ("bob", 600)].map(|(user, s)| token(key, user, now + s));
    let ended = token(key, "ann", now - 600);
    let mut client = login(&broker, "a", "ann", &good);
    open(&mut client);
    client.say(&format!("0 connection.update-secret new_secret=\"{renewed}\" reason=renewed"));
    client.hear("0 connection.update-secret-ok");
    client.say(&format!("0 connection.update-secret new_secret=\"{other}\" reason=renewed"));
    client.connection_closes(530, "connection.update-secret", "refused");
    login(&broker, "a", "ann", &ended).hangs_up();
    for (token, status) in [(&good, 200), (&ended, 401)] {
        let bearer = format!("Bearer {token}");
        http.nobody().call("GET", "/api/whoami", &[("authorization", bearer.as_str())], "").is(status);
    }

    // HTTP: a session, and bodies that are imported, applied, or unreadable.
    let answer =
        http.nobody().post("/api/login", &json!({ "username": "t", "password": "s3cret-in-a-file" })).is(200);
    let cookie = answer.header("set-cookie").and_then(|set| set.split(['=', ';']).nth(1)).expect("a cookie");
    let hash = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR";
    let user = |name: &str, secret: &str| json!({ "name": name, "password": secret, "tags": "" });
    let hashed = json!({ "name": "h", "password_hash": hash, "tags": "" });
    http.post("/api/definitions", &json!({ "users": [user("i", "s3cret-imported"), hashed] })).is(204);
    http.post("/api/definitions", &json!({ "users": [user("", "s3cret-refused")], "queues": [{}] })).is(400);
    http.post("/api/topology/apply", &json!({ "topology": { "users": [user("p", "s3cret-applied")] } }))
        .is(200);
    let body = "{\"password\":\"s3cret-broken\" \"tags\":\"\"}";
    http.call("PUT", "/api/users/b", &[], body).is(400);

    // Reloads: with another password, with passwords in the wrong places, with an invalid file.
    let reload = |awaited: &str| {
        let before = broker.log().matches(awaited).count();
        broker.signal(rustix::process::Signal::HUP);
        wait::until(awaited, || broker.log().matches(awaited).count() > before);
    };
    write("leveret.toml", &said("\"s3cret-changed\""));
    reload("reload: admin_password stays");
    for password in ["7351973519", "\"s3cret-open", "[\"s3cret-listed\"]"] {
        write("leveret.toml", &said(password));
        reload("leveret.toml:3:");
    }
    write("leveret.toml", &(said("\"guest\"") + "jwks_url = \"https://me:s3cret-url@issuer.example/\"\n"));
    reload("leveret.toml:8:12: oauth.jwks_url");
    write("leveret.toml", &said("\"guest\""));
    for password in
        ["s3cret-plain", "7351973519", "73519.73519", "[s3cret-listed]", "!s3cret-tagged x", "{s3cret: x}"]
    {
        write("t.yaml", &format!("users:\n  t:\n    password: {password}\n"));
        reload("t.yaml:3:");
    }

    let log = broker.log();
    let shown = http.get("/api/logs").is(200).text;
    let signature = |token: &String| token.rsplit('.').next().expect("three parts").to_owned();
    let tokens = [&good, &renewed, &other, &ended].map(signature);
    let secrets = ["s3cret-", "7351973519", "73519.73519", hash, cookie];
    for secret in secrets.into_iter().chain(tokens.iter().map(String::as_str)) {
        let line = log.lines().chain(shown.lines()).find(|line| line.contains(secret));
        assert!(line.is_none(), "{secret} is in {line:?}");
    }
}

#[test]
fn a_flood_of_failures_is_counted_not_written() {
    let broker = Broker::new();
    let mut client = broker.client();
    for _ in 0..300 {
        client.say("1 queue.declare queue=gone passive=true");
        client.channel_closes(404, "queue.declare", "gone");
        client.open_channel(1);
    }
    wait::until("the number of lines left out", || broker.log().contains("suppressed"));
    let suppressed = || {
        let log = broker.log();
        let told = log
            .lines()
            .filter_map(|line| line.split("suppressed ").nth(1)?.split(' ').next()?.parse::<usize>().ok());
        told.sum::<usize>()
    };
    let written = || broker.log().lines().filter(|line| line.contains(" channel closed")).count();
    wait::until("all are told", || {
        let examples = broker.log().lines().filter(|line| line.contains("lines like")).count();
        written() - examples + suppressed() == 300
    });
    assert!(written() < 290, "{} of 300 were written", written());
}

#[test]
fn a_client_begins_no_line_of_its_own() {
    let broker = Broker::new();
    let mut client = broker.client();
    client.say("1 queue.declare queue=\"x\\n2026 ERROR forged\u{1b}[2J\" passive=true");
    client.channel_closes(404, "queue.declare", "");
    wait::until("the line", || broker.log().contains("forged"));
    let log = broker.log();
    assert!(log.lines().all(|line| !line.starts_with("2026 ERROR")), "{log}");
    assert!(!log.contains('\u{1b}'), "{log}");
}

#[test]
fn the_last_lines_are_there_over_http_for_those_who_may() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let all = http.get("/api/logs").is(200).json;
    let lines = all["lines"].as_array().expect("lines");
    let started = lines.iter().find(|line| line["message"].as_str().unwrap().contains("amqp listening"));
    let started = started.expect("the start is there");
    assert_eq!((&started["level"], &started["target"]), (&json!("info"), &json!("leveret::cli::serve")));

    let latest = all["latest"].as_u64().expect("a number");
    assert_eq!(http.get(&format!("/api/logs?after={latest}")).is(200).json["lines"], json!([]));
    login(&broker, "a", "nobody", "wrong").hangs_up();
    let mut warnings = json!([]);
    wait::until("the refusal", || {
        warnings = http.get(&format!("/api/logs?after={latest}&level=warn")).is(200).json["lines"].take();
        warnings.as_array().is_some_and(|lines| lines.len() == 1)
    });
    assert_eq!(warnings[0]["fields"]["login"], "nobody");

    http.get("/api/logs?level=loud").refused(400, "bad_request", "level must be");
    http.get("/api/logs?after=x").refused(400, "bad_request", "after must be");
    let monitoring = http.user("watcher", "monitoring");
    monitoring.get("/api/logs").is(200);
    let management = http.user("clerk", "management");
    management.get("/api/logs").refused(401, "not_authorised", "Not monitor user");
    management.get("/api/livelog").refused(401, "not_authorised", "Not monitor user");
    http.nobody().get("/api/livelog").is(401);
}

/// The lines that report this change.
fn lines_of(broker: &Broker, change: &str) -> Vec<String> {
    wait::until(change, || broker.log().contains(change));
    broker.log().lines().filter(|line| line.contains(change)).map(str::to_owned).collect()
}

#[test]
fn a_change_over_http_is_one_line_with_the_user_the_change_and_the_peer() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let durable = json!({ "durable": true });
    http.put("/api/queues/%2F/a%20b", &durable).is(201);
    http.put("/api/exchanges/%2F/x", &json!({ "type": "fanout" })).is(201);
    let made = http.post("/api/bindings/%2F/e/x/q/a%20b", &json!({ "routing_key": "k" })).is(201);
    assert_eq!(made.text, "");
    for _ in 0..3 {
        let message = json!({ "properties": {}, "routing_key": "a b", "payload": "s3cret", "payload_encoding": "string" });
        http.post("/api/exchanges/%2F/amq.default/publish", &message).is(200);
    }
    let purged = http.delete("/api/queues/%2F/a%20b/contents").is(204);
    assert_eq!(purged.header("leveret-count"), Some("3"));
    http.post("/api/queues/%2F/a%20b/retry/release", &json!({})).is(200);
    http.post("/api/explain/%2F", &json!({ "exchange": "x", "routing_key": "k" })).is(200);
    http.delete("/api/bindings/%2F/e/x/q/a%20b/k").is(204);
    http.delete("/api/queues/%2F/a%20b").is(204);
    http.delete("/api/queues/%2F/a%20b").is(404);
    http.put("/api/users/dave", &json!({ "password": "s3cret", "tags": "" })).is(201);
    let all = json!({ "configure": ".*", "write": ".*", "read": ".*" });
    http.put("/api/permissions/%2F/dave", &all).is(201);
    http.put("/api/permissions/%2F/dave", &all).is(204);
    let policy = json!({ "pattern": "^a$", "definition": { "max-length": 5 } });
    http.put("/api/policies/%2F/short", &policy).is(201);
    http.delete("/api/policies/%2F/short").is(204);
    http.put("/api/vhosts/v", &json!({})).is(201);
    http.delete("/api/vhosts/v").is(204);
    http.post("/api/users/bulk-delete", &json!({ "users": ["dave"] })).is(204);
    http.post("/api/definitions?dry_run=true", &json!({ "vhosts": [{ "name": "w" }] })).is(200);
    http.post("/api/definitions", &json!({ "vhosts": [{ "name": "w" }], "queues": [{}] })).is(400);
    let wish = json!({ "topology": { "vhosts": [{ "name": "/" }, { "name": "u" }] }, "prune": true, "prune_vhosts": true });
    http.post("/api/topology/plan", &wish).is(200);
    http.post("/api/topology/apply", &wish).is(200);
    for change in [
        "declared queue: a b",
        "declared exchange: x",
        "declared binding: x, a b",
        "purged queue: a b, messages: 3",
        "released retries of queue: a b, messages: 0",
        "deleted binding: x, a b, k",
        "deleted queue: a b, messages: 0",
        "declared user: dave",
        "declared permissions of user: dave",
        "updated permissions of user: dave",
        "declared policy: short",
        "deleted policy: short",
        "declared vhost: v",
        "deleted vhost: v",
        "deleted 1 users: dave",
        "imported definitions: 1 created, 0 unchanged, 1 refused",
        "applied a topology: ",
    ] {
        let lines = lines_of(&broker, change);
        assert_eq!(lines.len(), 1, "{change}: {lines:?}");
        for part in [" INFO ", "user=\"guest\"", "peer=127.0.0.1:"] {
            assert!(lines[0].contains(part), "{part} in {}", lines[0]);
        }
    }
    assert!(lines_of(&broker, "purged queue")[0].contains("vhost=\"/\""));
    for deleted in ["topology: deleted vhost w", "topology: deleted queue"] {
        let told = broker.log().contains(deleted);
        assert_eq!(told, deleted.contains("vhost"), "{deleted}");
    }
    let log = broker.log();
    assert!(!["publish", "explain", "s3cret"].iter().any(|word| log.contains(word)), "{log}");
}

#[test]
fn what_clients_take_away_is_logged_and_what_they_declare_only_at_debug() {
    let said = |client: &mut Client, line: &str, answer: &str| {
        client.say(line);
        client.hear(answer);
    };
    for (level, debug) in [("info", false), ("debug", true)] {
        let broker = Broker::with(&["--log-level", level]);
        let mut client = broker.client();
        said(&mut client, "1 queue.declare queue=q", "1 queue.declare-ok");
        said(&mut client, "1 queue.declare queue=own exclusive", "1 queue.declare-ok");
        said(&mut client, "1 exchange.declare exchange=x type=fanout", "1 exchange.declare-ok");
        said(&mut client, "1 queue.bind queue=q exchange=x routing_key=k", "1 queue.bind-ok");
        client.publish("exchange=x", "m");
        said(&mut client, "1 queue.purge queue=q", "1 queue.purge-ok message_count=1");
        for gone in ["own", "q", "missing"] {
            said(&mut client, &format!("1 queue.delete queue={gone}"), "1 queue.delete-ok");
        }
        said(&mut client, "1 exchange.delete exchange=x", "1 exchange.delete-ok");
        let removed = lines_of(&broker, "deleted exchange: x");
        let lines = ["purged queue: q, messages: 1", "deleted queue: q, messages: 0"];
        for line in lines.iter().flat_map(|change| lines_of(&broker, change)).chain(removed) {
            for part in [" INFO ", "user=\"guest\"", "peer=127.0.0.1:", "vhost=\"/\""] {
                assert!(line.contains(part), "{part} in {line}");
            }
        }
        for change in [
            "declared queue: q",
            "declared exchange: x",
            "added binding: x, q, k",
            "deleted queue: own, messages: 0",
        ] {
            assert_eq!(broker.log().contains(change), debug, "{change} at {level}");
        }
        assert!(!broker.log().contains("missing,"), "nothing was deleted");
    }
}

/// Follows the log, line by line.
fn follow(broker: &Broker, query: &str) -> impl Iterator<Item = String> {
    let mut stream = TcpStream::connect(listening(broker, "http")).expect("a connection");
    stream.set_read_timeout(Some(wait::LIMIT)).expect("a timeout");
    // guest:guest
    let head = "HTTP/1.1\r\nhost: x\r\nauthorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n\r\n";
    write!(stream, "GET /api/livelog?{query} {head}").expect("a request");
    BufReader::new(stream).lines().map(|line| line.expect("a line"))
}

#[test]
fn who_followed_the_log_before_a_restart_hears_the_new_one_from_its_start() {
    let broker = Broker::new();
    let first = follow(&broker, "after=1000000").find(|line| line.starts_with("id:"));
    assert_eq!(first.as_deref(), Some("id: 1"));
}

#[test]
fn the_log_can_be_followed() {
    let broker = Broker::new();
    let mut lines = follow(&broker, "level=warn");
    let head: Vec<_> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
    assert!(head[0].contains("200"), "{head:?}");
    assert!(head.iter().any(|line| line.contains("text/event-stream")), "{head:?}");
    for name in ["one", "two"] {
        login(&broker, "a", name, "wrong").hangs_up();
        let data = lines.by_ref().find(|line| line.starts_with("data:")).expect("an event");
        assert!(data.contains(&format!("\"login\":\"{name}\"")), "{data}");
    }
}
