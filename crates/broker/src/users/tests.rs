//! Logins and permissions.

use super::*;
use crate::names::QueueName;

fn users() -> Users {
    let users = Users::new();
    let record = UserRecord {
        password_hash: hash_password(b"guest").expect("randomness"),
        tags: vec!["administrator".to_owned()],
    };
    users.put("guest", record);
    users
}

#[test]
fn login_wants_the_right_password_and_guest_only_from_loopback() {
    let users = users();
    assert!(users.login("guest", b"guest", true, || true).is_ok());
    assert_eq!(users.login("guest", b"wrong", true, || true), Err(LoginRefused::Credentials));
    assert_eq!(users.login("nobody", b"guest", true, || true), Err(LoginRefused::Credentials));
    assert_eq!(users.login("guest", b"guest", false, || true), Err(LoginRefused::LoopbackOnly));
}

#[test]
fn nobody_s_hash_costs_what_ours_cost() {
    let ours = hash_password(b"x").expect("randomness");
    let cost = |hash: &str| hash.rsplitn(3, '$').nth(2).map(str::to_owned);
    assert_eq!(cost(NOBODY), cost(&ours));
    assert!(argon2::password_hash::phc::PasswordHash::new(NOBODY).is_ok());
    assert!(users().login_again("nobody", b"x", true).is_none(), "it is to be checked");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it is about the time that passes")]
fn a_wrong_password_takes_as_long_whatever_the_hash() {
    let users = users();
    let put = |name: &str, password_hash| users.put(name, UserRecord { password_hash, tags: Vec::new() });
    put(
        "imported",
        super::super::password::imported(&super::super::password::portable_hash(b"pw"), None)
            .expect("a hash"),
    );
    put("without", String::new());
    let time = |name: &str| {
        let begun = std::time::Instant::now();
        assert_eq!(users.login(name, b"wrong", true, || true), Err(LoginRefused::Credentials));
        begun.elapsed()
    };
    let quickest = |name: &str| (0..3).map(|_| time(name)).min().expect("three times");
    let nobody = quickest("nobody");
    for name in ["imported", "without", "guest"] {
        assert!(quickest(name) > nobody / 10, "{name} is told from nobody, who takes {nobody:?}");
    }
    assert!(users.login("imported", b"pw", true, || true).is_ok());
}

#[test]
fn failures_are_not_remembered() {
    let users = users();
    for name in ["a", "b", "guest"] {
        assert!(users.login(name, b"wrong", true, || true).is_err());
    }
    assert!(users.remembered.lock().is_empty());
}

#[test]
fn a_changed_password_is_not_remembered() {
    let users = users();
    assert!(users.login("guest", b"guest", true, || true).is_ok());
    let record = UserRecord { password_hash: hash_password(b"new").expect("randomness"), tags: Vec::new() };
    users.put("guest", record);
    assert_eq!(users.login("guest", b"guest", true, || true), Err(LoginRefused::Credentials));
    assert!(users.login("guest", b"new", true, || true).is_ok());
}

#[test]
fn permissions_match_anywhere_and_empty_means_none() {
    let users = users();
    let record = PermissionRecord { configure: "^a".to_owned(), write: "b".to_owned(), read: String::new() };
    users.permit("guest", "/", record).expect("patterns");
    let (user, vhost) = (UserName::new("guest"), VhostName::new("/"));
    let mut rights = AccessRights::of(&users, &user, &vhost).expect("rights");
    let queue = |name: &str| Resource::Queue(QueueName::new(name));
    assert!(rights.check(Access::Configure, &queue("abc")).is_ok());
    assert!(rights.check(Access::Configure, &queue("xa")).is_err());
    assert!(rights.check(Access::Write, &queue("abc")).is_ok());
    assert!(rights.check(Access::Read, &queue("abc")).is_err());
    users.permit("guest", "/", PermissionRecord::all()).expect("patterns");
    rights.refresh(&users);
    assert!(rights.check(Access::Read, &queue("abc")).is_ok());
}
