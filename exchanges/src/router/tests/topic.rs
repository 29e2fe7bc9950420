//! Topic patterns.

use super::*;

#[test]
fn topic_patterns_match_word_by_word_with_empty_words_counting() {
    for (pattern, key, wanted) in [
        ("a.b", "a.b", true),
        ("a.b", "a.b.", false),
        ("", "", true),
        ("", "a", false),
        ("*", "", false),
        ("#", "", true),
        ("#", "a.b.c", true),
        ("*", "a", true),
        ("*", "a.b", false),
        ("*.*", ".", true),
        ("*", ".", false),
        ("a.*", "a", false),
        ("a.*", "a.", true),
        ("a.*", "a.b", true),
        ("a.#", "a", true),
        ("a.#", "a.b.c", true),
        ("a.#", "ab", false),
        ("#.a", "a", true),
        ("#.a", "b.a", true),
        ("#.a", "a.b", false),
        ("a..b", "a..b", true),
        ("a.*.b", "a..b", true),
        ("a.#.b", "a..b", true),
        ("a.#.b", "a.b", true),
        ("a.#.b", "a.b.b.b", true),
        ("a.#.b", "a.b.c", false),
        ("#.#", "", true),
        ("#.#.a", "x.a", true),
        ("#.*", "", false),
        ("#.*", "a", true),
        ("*.#", "", false),
        ("*.#.*", "a", false),
        ("*.#.*", "a.b", true),
        ("#.*.#.a", "a", false),
        ("#.*.#.a", "b.c.a", true),
        ("a*", "ab", false),
        ("a*.#", "a*.x", true),
        ("*.stock.#", "usd.stock", true),
        ("#.a.#.a.#", "a.b.a", true),
        ("#.a.#.a.#", "a.b", false),
    ] {
        let mut router = vhost();
        bind(&mut router, "amq.topic", "q1", pattern);
        assert_eq!(route(&router, "amq.topic", key).len(), usize::from(wanted), "{pattern} {key}");
        // Next to others that share words and wildcards.
        for other in ["#.z", "*.z", "a.z", "a.#.z", "a.*.z", "#.a.#.z", "*.stock.z"] {
            bind(&mut router, "amq.topic", "q2", other);
        }
        assert_eq!(route(&router, "amq.topic", key).len(), usize::from(wanted), "{pattern} {key}");
        let unbound = router.unbind("amq.topic", to("q1"), pattern, &Args::EMPTY);
        assert_eq!(unbound.map(|removed| removed.map(|all| all.bindings.len())), Ok(Some(1)));
        assert_eq!(route(&router, "amq.topic", key), []);
    }
}

#[test]
fn topic_with_many_hashes_takes_polynomial_time() {
    let mut router = vhost();
    // 85 times `#.a`, then a word that no key has: a backtracking matcher would never finish.
    let pattern = format!("{}never", "#.a.".repeat(62));
    bind(&mut router, "amq.topic", "q1", &pattern);
    for depth in 0..60 {
        bind(&mut router, "amq.topic", "q2", &format!("{}#.never", "#.*.".repeat(depth)));
        bind(&mut router, "amq.topic", "q3", &format!("{}b.#.a", "#.a.".repeat(depth)));
    }
    let key = "a.".repeat(126) + "b.a";
    assert_eq!(key.len(), 255);
    assert_eq!(route(&router, "amq.topic", &key), [3]);
    assert_eq!(route(&router, "amq.topic", &".".repeat(255)), []);
}
