//! Cookie logins, and throttling of failed logins.

use serde_json::json;

use super::Http;
use crate::harness::Broker;

/// The cookie set by an answer, without its attributes.
fn cookie(set: &str) -> String {
    set.split(';').next().expect("a cookie").to_owned()
}

fn log_in(http: &Http) -> String {
    let answer = http.post("/api/login", &json!({ "username": "guest", "password": "guest" })).is(200);
    assert_eq!(answer.json, json!({ "name": "guest", "tags": ["administrator"] }));
    let set = answer.header("set-cookie").expect("a cookie");
    for attribute in ["; HttpOnly", "; SameSite=Strict", "; Path=/api"] {
        assert!(set.contains(attribute), "{set}");
    }
    cookie(set)
}

#[test]
fn a_cookie_stands_for_the_password_until_the_logout() {
    let broker = Broker::new();
    let nobody = Http::of(&broker).nobody();
    let cookie = log_in(&nobody);
    let with = [("cookie", cookie.as_str())];
    assert_eq!(nobody.call("GET", "/api/whoami", &with, "").is(200).json["name"], "guest");
    let same = [("cookie", cookie.as_str()), ("sec-fetch-site", "same-origin")];
    nobody.call("PUT", "/api/queues/%2F/q", &same, "{}").is(201);
    nobody.call("POST", "/api/logout", &same, "").is(204);
    nobody.call("GET", "/api/whoami", &with, "").refused(401, "not_authorized", "session has ended");
}

#[test]
fn a_form_logs_in_too_and_wrong_passwords_do_not() {
    let broker = Broker::new();
    let nobody = Http::of(&broker).nobody();
    let form = [("content-type", "application/x-www-form-urlencoded")];
    nobody.call("POST", "/api/login", &form, "username=guest&password=guest").is(200);
    let answer = nobody.call("POST", "/api/login", &form, "username=guest&password=wrong");
    answer.refused(401, "not_authorized", "Login failed");
    assert_eq!(answer.header("set-cookie"), None);
    nobody.call("POST", "/api/login", &[], "nonsense").refused(400, "bad_request", "username and password");
    Http::of(&broker).user("nothing", "");
    let body = r#"{"username":"nothing","password":"pw"}"#;
    nobody.call("POST", "/api/login", &[], body).refused(401, "not_authorised", "Not management user");
}

#[test]
fn another_site_can_neither_log_in_nor_use_the_cookie() {
    let broker = Broker::new();
    let nobody = Http::of(&broker).nobody();
    let cookie = log_in(&nobody);
    for more in [("origin", "http://evil.example"), ("sec-fetch-site", "cross-site"), ("x", "y")] {
        let headers = [("cookie", cookie.as_str()), more];
        nobody.call("PUT", "/api/queues/%2F/q", &headers, "{}").refused(403, "forbidden", "another site");
    }
    let body = r#"{"username":"guest","password":"guest"}"#;
    let site = [("sec-fetch-site", "cross-site")];
    nobody.call("POST", "/api/login", &site, body).refused(403, "forbidden", "another site");
}

#[test]
fn a_session_ends_with_its_user() {
    let broker = Broker::new();
    let admin = Http::of(&broker);
    let ann = json!({ "username": "ann", "password": "pw" });
    for change in ["password", "deletion"] {
        admin.user("ann", "management");
        let answer = admin.nobody().post("/api/login", &ann).is(200);
        let cookie = cookie(answer.header("set-cookie").expect("a cookie"));
        let with = [("cookie", cookie.as_str())];
        admin.nobody().call("GET", "/api/whoami", &with, "").is(200);
        if change == "password" {
            admin.put("/api/users/ann", &json!({ "password": "new", "tags": "management" })).is(204);
        }
        if change == "deletion" {
            admin.delete("/api/users/ann").is(204);
        }
        admin.nobody().call("GET", "/api/whoami", &with, "").is(401);
        admin.delete("/api/users/ann");
    }
}

#[test]
fn scripts_are_refused_without_a_challenge() {
    let broker = Broker::new();
    let nobody = Http::of(&broker).nobody();
    let answer = nobody.call("GET", "/api/overview", &[("sec-fetch-dest", "empty")], "").is(401);
    assert_eq!(answer.header("www-authenticate"), None);
    let answer = nobody.call("GET", "/api/overview", &[], "").is(401);
    assert!(answer.header("www-authenticate").is_some());
}

#[test]
fn an_address_that_guesses_is_held_up_over_both_protocols() {
    let broker = Broker::new();
    let admin = Http::of(&broker);
    let guess = admin.login("guest", "wrong");
    let mut refused = 0;
    let held = loop {
        let answer = guess.get("/api/overview");
        if answer.status == 429 {
            break answer;
        }
        answer.refused(401, "not_authorized", "Login failed");
        refused += 1;
        assert!(refused < 100, "guessing goes on");
    };
    held.refused(429, "too_many_requests", "failed");
    assert!(refused >= 30, "{refused}");
    // Even the right password is not checked, so that it cannot be guessed meanwhile.
    let mut client = crate::raw::Client::start(broker.amqp, "");
    client.start_ok("PLAIN", "\\0guest\\0guest");
    client.hear("0 connection.close");
}

#[test]
fn logins_are_counted() {
    let broker = Broker::new();
    let admin = Http::of(&broker);
    drop(broker.client());
    admin.login("guest", "wrong").get("/api/overview").is(401);
    let node = admin.get("/api/overview").json["node"].as_str().expect("a name").to_owned();
    let attempts = format!("/api/auth/attempts/{node}");
    let all = admin.get(&attempts).is(200).json;
    let of = |rows: &serde_json::Value, protocol: &str| {
        rows.as_array().expect("rows").iter().find(|row| row["protocol"] == protocol).cloned()
    };
    let amqp = of(&all, "amqp091").expect("a row");
    assert_eq!((&amqp["auth_attempts"], &amqp["auth_attempts_failed"]), (&json!(1), &json!(0)));
    assert_eq!(of(&all, "http").expect("a row")["auth_attempts_failed"], 1);
    let sources = admin.get(&format!("{attempts}/source")).is(200).json;
    assert_eq!(of(&sources, "http").expect("a row")["remote_address"], "127.0.0.1");
    admin.delete(&attempts).is(204);
    let all = admin.get(&attempts).is(200).json;
    assert_eq!(of(&all, "amqp091").expect("a row")["auth_attempts"], 0);
}
