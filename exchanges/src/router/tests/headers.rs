//! Headers bindings.

use super::*;

/// Arguments from text: `a=1 b=1.5 c=true d='text' e` (the last is void).
fn args(text: &str) -> Args {
    let pairs = text.split_whitespace().map(|pair| {
        let Some((name, value)) = pair.split_once('=') else {
            return (pair, OwnedValue::Void);
        };
        let value = if let Some(text) = value.strip_prefix('\'') {
            OwnedValue::text(text.trim_end_matches('\''))
        } else if let Ok(int) = value.parse::<i64>() {
            OwnedValue::int(int)
        } else if let Ok(float) = value.parse::<f64>() {
            OwnedValue::Float { kind: b'd', value: float }
        } else {
            OwnedValue::Bool(value == "true")
        };
        (name, value)
    });
    pairs.collect()
}

/// Binds with `binding`, publishes with `message`, and checks both the match and the unbind.
#[track_caller]
fn check_args(binding: &Args, message: &Args, wanted: bool) {
    let mut router = vhost();
    // Neighbours that share a name, a predicate, or the whole condition must not matter.
    for neighbour in ["a=1 zz=2", "x-match='any' zz", "a zz=1"] {
        let bound = router.bind("amq.headers", to("q2"), "", args(neighbour));
        assert!(bound.is_ok());
    }
    for key in ["", "twin"] {
        let bound = router.bind("amq.headers", to("q1"), key, binding.clone());
        assert!(bound.is_ok());
    }
    let mut nested = vec![Vec::new(); message.len()];
    let headers: Vec<_> = message
        .iter_as_given()
        .zip(&mut nested)
        .map(|((name, value), nested)| (name, value.as_value(nested)))
        .collect();
    let headers = &headers[..];
    let matches = |router: &Vhost| route_with(router, "amq.headers", &["ignored"], &headers);
    for key in ["", "twin"] {
        assert_eq!(matches(&router) == [1], wanted, "{binding:?} {message:?}");
        let removed = router.unbind("amq.headers", to("q1"), key, binding);
        assert!(removed.is_ok_and(|removed| removed.is_some()));
    }
    assert_eq!(matches(&router), []);
}

#[track_caller]
fn check(binding: &str, message: &str, wanted: bool) {
    check_args(&args(binding), &args(message), wanted);
}

#[test]
fn headers_without_x_match_or_with_all_need_every_argument() {
    for x_match in ["", "x-match='all' ", "x-match='all-with-x' "] {
        let check = |binding: &str, message: &str, wanted| {
            check(&format!("{x_match}{binding}"), message, wanted);
        };
        check("a=1 b=2", "a=1 b=2", true);
        check("a=1 b=2", "b=2 c=3 a=1", true);
        check("a=1 b=2", "a=1", false);
        check("a=1 b=2", "a=1 b=3", false);
        check("a=1", "a=1", true);
        check("", "", true);
        check("", "a=1", true);
    }
}

#[test]
fn headers_with_any_need_one_argument_and_match_nothing_without() {
    for x_match in ["x-match='any' ", "x-match='any-with-x' "] {
        let check = |binding: &str, message: &str, wanted| {
            check(&format!("{x_match}{binding}"), message, wanted);
        };
        check("a=1 b=2", "a=1", true);
        check("a=1 b=2", "a=3 b=2", true);
        check("a=1 b=2", "a=1 b=2", true);
        check("a=1 b=2", "c=1", false);
        check("", "", false);
        check("", "a=1", false);
    }
}

#[test]
fn headers_arguments_with_x_count_only_where_told() {
    check("x-match='all' x-1=1", "", true);
    check("x-1=1 a=1", "a=1", true);
    check("x-match='any' x-1=1", "x-1=1", false);
    check("x-match='all-with-x' x-1=1", "", false);
    check("x-match='all-with-x' x-1=1", "x-1=1", true);
    check("x-match='any-with-x' x-1=1 a=1", "x-1=1", true);
    check("x-match='all-with-x' a=1", "x-match='nothing' a=1", true);
}

#[test]
fn headers_void_argument_asks_for_presence() {
    check("a", "a=1", true);
    check("a", "a", true);
    check("a", "b=1", false);
    check("a b=2", "a='x' b=2", true);
    check("a b=2", "a=1", false);
    check("x-match='any' a b", "b", true);
    check("a=1", "a", false);
}

#[test]
fn headers_compare_by_value_whatever_the_width() {
    check("a=1.0", "a=1", true);
    check("a=1", "a=1.0", true);
    check("a=1.5", "a=1.5", true);
    check("a=1.5", "a=1", false);
    check("a='1'", "a=1", false);
    check("a='x'", "a='x'", true);
    check("a='x'", "a='X'", false);
    check("a=1", "A=1", false);
    check("a=true", "a=true", true);
    check("a=true", "a=1", false);
    for kind in *b"bBsuIilT" {
        let narrow = Args::from_iter([("a", OwnedValue::Int { kind, value: 7 })]);
        check_args(&narrow, &args("a=7"), true);
        check_args(&args("a=7"), &narrow, true);
    }
}

#[test]
fn headers_compare_nested_values_byte_for_byte() {
    let holding = |value| Args::from_iter([("a", value)]);
    let array = |kind| holding(OwnedValue::Array(vec![OwnedValue::Int { kind, value: 1 }]));
    check_args(&array(b'l'), &array(b'l'), true);
    check_args(&array(b'l'), &array(b'I'), false);
    let table = |text| holding(OwnedValue::Table(args(text)));
    check_args(&table("x=1"), &table("x=1"), true);
    check_args(&table("x=1"), &table("x=2"), false);
    check_args(&table(""), &holding(OwnedValue::Array(Vec::new())), false);
}

#[test]
fn headers_binding_with_a_bad_x_match_is_refused() {
    let mut router = vhost();
    for bad in ["x-match='some'", "x-match=1", "x-match"] {
        let bound = router.bind("amq.match", to("q1"), "", args(bad));
        assert!(matches!(bound, Err(Refusal::InvalidBinding(_))), "{bound:?}");
        let bound = router.bind("amq.direct", to("q1"), "", args(bad));
        assert!(bound.is_ok(), "only headers mind");
    }
}
