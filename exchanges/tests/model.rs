//! Random topologies and messages: the router against a model of lists and recursion.

use std::collections::{BTreeMap, BTreeSet};

use leveret_exchanges::{
    Args, Bound, Destination, Envelope, ExchangeSpec, ExplainLimits, NoAttributes, Origin, OwnedValue,
    Refusal, Removed, Router, Scratch, Value,
};
use proptest::prelude::*;

type Key = String;
/// Headers or arguments; see [`headers_match`] for the meaning of values.
type Fields = Vec<(String, i8)>;
type Binding = (String, End, Key, Fields);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum End {
    Queue(u32),
    Exchange(String),
}

impl End {
    fn as_destination(&self) -> Destination<u32, &str> {
        match self {
            Self::Queue(queue) => Destination::Queue(*queue),
            Self::Exchange(name) => Destination::Exchange(name),
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Declare(String, &'static str, bool, Option<String>),
    Delete(String, bool),
    Bind(String, End, Key, Fields),
    Unbind(usize),
    QueueGone(u32),
    QueueNamed(u32),
    Policy(String, Option<String>),
    Route(String, Vec<Key>, Fields),
}

/// Kind, auto-delete, alternate, policy alternate.
type Exchange = (&'static str, bool, Option<String>, Option<String>);

#[derive(Default)]
struct Model {
    exchanges: BTreeMap<String, Exchange>,
    queues: BTreeSet<u32>,
    bindings: Vec<Binding>,
}

impl Model {
    fn new() -> Self {
        let mut model = Self::default();
        for (name, kind) in [("amq.topic", "topic"), ("amq.headers", "headers")] {
            model.exchanges.insert(name.to_owned(), (kind, false, None, None));
        }
        model
    }

    fn remove_where(&mut self, gone: impl Fn(&Binding) -> bool) {
        let sources: BTreeSet<String> =
            self.bindings.iter().filter(|binding| gone(binding)).map(|binding| binding.0.clone()).collect();
        self.bindings.retain(|binding| !gone(binding));
        for source in sources {
            let orphaned = self.bindings.iter().all(|binding| binding.0 != source);
            if orphaned && self.exchanges.get(&source).is_some_and(|exchange| exchange.1) {
                self.remove_exchange(&source);
            }
        }
    }

    fn remove_exchange(&mut self, name: &str) {
        if self.exchanges.remove(name).is_some() {
            let end = End::Exchange(name.to_owned());
            self.remove_where(|binding| binding.0 == name || binding.1 == end);
        }
    }

    fn route(&self, exchange: &str, keys: &[Key], headers: &[(String, i8)]) -> Option<Vec<u32>> {
        let mut visited = BTreeSet::new();
        let mut queues = BTreeSet::new();
        let mut pending = vec![exchange.to_owned()];
        if exchange.is_empty() {
            let named = self.queues.iter().copied();
            return Some(named.filter(|queue| keys.contains(&format!("q{queue}"))).collect());
        }
        self.exchanges.get(exchange)?;
        while let Some(name) = pending.pop() {
            let Some((kind, _, alternate, policy)) = self.exchanges.get(&name) else {
                continue;
            };
            if !visited.insert(name.clone()) {
                continue;
            }
            let mut hit = false;
            for (_, end, key, args) in self.bindings.iter().filter(|binding| binding.0 == name) {
                let matches = match *kind {
                    "direct" => keys.contains(key),
                    "topic" => keys.iter().any(|message| topic(key, message)),
                    "headers" => headers_match(args, headers),
                    _ => true,
                };
                if matches {
                    hit = true;
                    match end {
                        End::Queue(queue) => drop(queues.insert(*queue)),
                        End::Exchange(to) => pending.push(to.clone()),
                    }
                }
            }
            if !hit {
                pending.extend(alternate.clone().or_else(|| policy.clone()));
            }
        }
        Some(queues.into_iter().collect())
    }
}

fn topic(pattern: &str, key: &str) -> bool {
    fn matches(pattern: &[&str], key: &[&str]) -> bool {
        match (pattern, key) {
            ([], []) => true,
            (["#", rest @ ..], _) => {
                matches(rest, key) || key.split_first().is_some_and(|(_, key)| matches(pattern, key))
            }
            ([part, rest @ ..], [word, key @ ..]) => (*part == "*" || part == word) && matches(rest, key),
            _ => false,
        }
    }
    let words = |text: &'_ str| -> Vec<String> {
        let words = text.split('.').map(str::to_owned);
        words.take(if text.is_empty() { 0 } else { 999 }).collect()
    };
    let (pattern, key) = (words(pattern), words(key));
    let pattern: Vec<&str> = pattern.iter().map(String::as_str).collect();
    let key: Vec<&str> = key.iter().map(String::as_str).collect();
    matches(&pattern, &key)
}

/// Value 0 is void; for `x-match` it is the position in all, any, all-with-x, any-with-x.
fn headers_match(args: &[(String, i8)], headers: &[(String, i8)]) -> bool {
    let x_match = args.iter().find(|arg| arg.0 == "x-match").map_or(0, |arg| arg.1);
    let (any, with_x) = (x_match % 2 == 1, x_match >= 2);
    let mut results = args
        .iter()
        .filter(|arg| arg.0 != "x-match" && (with_x || !arg.0.starts_with("x-")))
        .map(|arg| headers.iter().any(|header| header.0 == arg.0 && (arg.1 == 0 || header.1 == arg.1)));
    if any { results.any(|it| it) } else { results.all(|it| it) }
}

fn args_of(args: &[(String, i8)]) -> Args {
    let values = args.iter().map(|(name, value)| {
        let value = match (&**name, value) {
            ("x-match", place) => {
                OwnedValue::text(["all", "any", "all-with-x", "any-with-x"][place.unsigned_abs() as usize])
            }
            (_, 0) => OwnedValue::Void,
            (_, value) => OwnedValue::int(i64::from(*value)),
        };
        (&**name, value)
    });
    values.collect()
}

fn exchange_name() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[uvwxyz]",
        1 => Just("amq.topic".to_owned()),
        1 => Just("amq.headers".to_owned()),
    ]
}

fn pattern() -> impl Strategy<Value = Key> {
    let word = prop_oneof![Just("a"), Just("b"), Just("c"), Just("*"), Just("#"), Just("#"), Just("")];
    prop::collection::vec(word, 0..6).prop_map(|words| words.join("."))
}

fn key() -> impl Strategy<Value = Key> {
    prop_oneof![
        8 => prop::collection::vec(prop_oneof![Just("a"), Just("b"), Just("c"), Just("d"), Just("")], 0..7)
            .prop_map(|words| words.join(".")),
        1 => (0..8_u32).prop_map(|queue| format!("q{queue}")),
    ]
}

fn headers() -> impl Strategy<Value = Fields> {
    let name = prop_oneof![Just("a"), Just("b"), Just("c"), Just("x-d")];
    prop::collection::btree_map(name.prop_map(str::to_owned), 1..4_i8, 0..4)
        .prop_map(|map| map.into_iter().collect())
}

fn arguments() -> impl Strategy<Value = Fields> {
    let name = prop_oneof![Just("a"), Just("b"), Just("c"), Just("x-d"), Just("x-match")];
    prop::collection::btree_map(name.prop_map(str::to_owned), 0..4_i8, 0..4)
        .prop_map(|map| map.into_iter().collect())
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![Just("direct"), Just("topic"), Just("fanout"), Just("headers")];
    let end = prop_oneof![
        3 => (0..8_u32).prop_map(End::Queue),
        2 => exchange_name().prop_map(End::Exchange),
    ];
    let entry = prop_oneof![9 => exchange_name(), 1 => Just(String::new())];
    prop_oneof![
        4 => ("[uvwxyz]", kind, any::<bool>(), prop::option::of(exchange_name()))
            .prop_map(|(name, kind, auto_delete, alternate)| Step::Declare(name, kind, auto_delete, alternate)),
        1 => ("[uvwxyz]", any::<bool>()).prop_map(|(name, if_unused)| Step::Delete(name, if_unused)),
        12 => (exchange_name(), end, pattern(), arguments())
            .prop_map(|(source, end, key, args)| Step::Bind(source, end, key, args)),
        4 => any::<usize>().prop_map(Step::Unbind),
        1 => (0..8_u32).prop_map(Step::QueueGone),
        3 => (0..8_u32).prop_map(Step::QueueNamed),
        1 => (exchange_name(), prop::option::of(exchange_name())).prop_map(|(name, to)| Step::Policy(name, to)),
        12 => (entry, prop::collection::vec(key(), 1..4), headers())
            .prop_map(|(exchange, keys, headers)| Step::Route(exchange, keys, headers)),
    ]
}

/// Applies a step to both, and compares their answers.
type Removal = Result<Option<Removed<u32>>, Refusal>;

/// The removal equals its plan, in any order.
fn same_removal(planned: &Removal, done: &Removal) {
    let sorted = |removal: &Removal| {
        removal.clone().map(|removed| {
            removed.map(|removed| {
                let lines = |all: Vec<String>| all.into_iter().collect::<BTreeSet<_>>();
                let bindings = removed.bindings.iter().map(|one| format!("{one:?}")).collect();
                let exchanges = removed.exchanges.iter().map(|one| format!("{one:?}")).collect();
                (removed.bindings.len(), removed.exchanges.len(), lines(bindings), lines(exchanges))
            })
        })
    };
    assert_eq!(sorted(planned), sorted(done));
}

#[expect(clippy::too_many_lines, reason = "one arm for each action")]
fn apply(step: Step, router: &mut Router<u32>, model: &mut Model, scratch: &mut Scratch<u32>) {
    match step {
        Step::Declare(name, kind, auto_delete, alternate) => {
            let argument = alternate.as_deref().map(OwnedValue::text);
            let spec = ExchangeSpec {
                kind,
                auto_delete,
                args: argument.into_iter().map(|value| ("alternate-exchange", value)).collect(),
                ..ExchangeSpec::default()
            };
            let declared = router.declare(&name, spec);
            let wanted = (kind, auto_delete, alternate);
            let known = model.exchanges.get(&name);
            let same = known.is_none_or(|known| (known.0, known.1, known.2.clone()) == wanted);
            assert_eq!(declared.is_ok(), same);
            let (kind, auto_delete, alternate) = wanted;
            let exchange = (kind, auto_delete, alternate, None);
            model.exchanges.entry(name).or_insert(exchange);
        }
        Step::Delete(name, if_unused) => {
            let used = model.bindings.iter().any(|binding| binding.0 == name);
            let planned = router.plan_delete(&name, if_unused);
            let deleted = router.delete(&name, if_unused);
            same_removal(&planned, &deleted);
            assert_eq!(deleted.is_err(), used && if_unused);
            if deleted.is_ok() {
                model.remove_exchange(&name);
            }
        }
        Step::Bind(source, end, key, args) => {
            let planned = router.plan_bind(&source, end.as_destination(), &key, &args_of(&args));
            let bound = router.bind(&source, end.as_destination(), &key, args_of(&args));
            let new = bound.as_ref().map(|bound| match bound {
                Bound::New(binding) => Some(binding.durable),
                Bound::Existing => None,
            });
            assert_eq!(planned.as_ref().map(|planned| *planned), new);
            let there = model.exchanges.contains_key(&source)
                && match &end {
                    End::Queue(queue) => model.queues.contains(queue),
                    End::Exchange(name) => model.exchanges.contains_key(name),
                };
            let binding = (source, end, key, args);
            let new = !model.bindings.contains(&binding);
            assert_eq!(bound.is_ok(), there, "{bound:?}");
            if there {
                assert_eq!(matches!(bound, Ok(Bound::New(_))), new);
            }
            if there && new {
                model.bindings.push(binding);
            }
        }
        Step::Unbind(place) => {
            let Some(place) = place.checked_rem(model.bindings.len()) else {
                return;
            };
            let binding = model.bindings[place].clone();
            let (source, end, key, args) = &binding;
            for there in [true, false] {
                let planned = router.plan_unbind(source, end.as_destination(), key, &args_of(args));
                let unbound = router.unbind(source, end.as_destination(), key, &args_of(args));
                same_removal(&planned, &unbound);
                assert_eq!(unbound.expect("unbinds").is_some(), there);
            }
            model.remove_where(|other| *other == binding);
        }
        Step::QueueGone(queue) => {
            let before = model.bindings.len();
            let planned = router.plan_queue_gone(queue);
            let removed = router.queue_gone(queue);
            same_removal(&Ok(Some(planned)), &Ok(Some(removed.clone())));
            model.queues.remove(&queue);
            model.remove_where(|binding| binding.1 == End::Queue(queue));
            assert_eq!(removed.bindings.len(), before - model.bindings.len());
        }
        Step::QueueNamed(queue) => {
            let new = router.queue_named(format!("q{queue}"), queue, true);
            assert_eq!(new, model.queues.insert(queue));
        }
        Step::Policy(name, to) => {
            let set = router.set_policy_alternate(&name, to.as_deref());
            assert_eq!(set.is_ok(), model.exchanges.contains_key(&name));
            if let Some(exchange) = model.exchanges.get_mut(&name) {
                exchange.3 = to;
            }
        }
        Step::Route(exchange, keys, headers) => {
            check_route(router, model, scratch, &exchange, &keys, &headers);
        }
    }
}

fn check_route(
    router: &Router<u32>,
    model: &Model,
    scratch: &mut Scratch<u32>,
    exchange: &str,
    keys: &[Key],
    headers: &[(String, i8)],
) {
    let bytes: Vec<&[u8]> = keys.iter().map(String::as_bytes).collect();
    let values = headers.iter().map(|(name, value)| (name, Value::Int(i64::from(*value))));
    let values: Vec<_> = values.collect();
    let envelope = Envelope {
        exchange: exchange.as_bytes(),
        keys: &bytes,
        attributes: &&values[..],
        origin: Origin::Client,
    };
    let mut out = vec![77];
    let result = router.route(&envelope, scratch, &mut out);
    let wanted = model.route(exchange, keys, headers);
    assert_eq!(result.is_ok(), wanted.is_some());
    out.sort_unstable();
    assert_eq!(out, wanted.unwrap_or_default(), "route {exchange} {keys:?} {headers:?}");
    if let Ok(explained) = router.explain(&envelope, scratch, ExplainLimits::NONE) {
        let mut queues = explained.queues;
        queues.sort_unstable();
        assert_eq!(queues, out, "explanation of {exchange} {keys:?} {headers:?}");
    }
    if result.is_ok_and(|info| info.cacheable) {
        let plain = Envelope { attributes: &NoAttributes, ..envelope };
        let mut again = Vec::new();
        router.route(&plain, scratch, &mut again).expect("routes");
        again.sort_unstable();
        assert_eq!(again, out, "cacheable, yet headers matter");
    }
}

fn check_lists(router: &Router<u32>, model: &Model) {
    assert_eq!(router.exchange_count(), model.exchanges.len() + 5);
    assert_eq!(router.binding_count(), model.bindings.len());
    for name in model.exchanges.keys() {
        let end = End::Exchange(name.clone());
        let from = model.bindings.iter().filter(|binding| binding.0 == *name);
        let to = model.bindings.iter().filter(|binding| binding.1 == end);
        assert_eq!(router.bindings_from(name).count(), from.count());
        assert_eq!(router.bindings_to(end.as_destination()).count(), to.count());
    }
    for queue in &model.queues {
        let to = model.bindings.iter().filter(|binding| binding.1 == End::Queue(*queue));
        assert_eq!(router.bindings_to(Destination::Queue(*queue)).count(), to.count() + 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn router_behaves_like_the_list_model(steps in prop::collection::vec(step(), 1..120)) {
        let (mut router, mut model) = (Router::new(), Model::new());
        let mut scratch = Scratch::new(1);
        for queue in 0..8 {
            apply(Step::QueueNamed(queue), &mut router, &mut model, &mut scratch);
        }
        for name in ["u", "v", "w"] {
            let kind = ["topic", "headers", "direct"][usize::from(name.as_bytes()[0] - b'u')];
            apply(Step::Declare(name.to_owned(), kind, false, None), &mut router, &mut model, &mut scratch);
        }
        for step in steps {
            apply(step, &mut router, &mut model, &mut scratch);
        }
        check_lists(&router, &model);
        // Removals leave nothing behind.
        for queue in 0..8 {
            apply(Step::QueueGone(queue), &mut router, &mut model, &mut scratch);
        }
        while !model.bindings.is_empty() {
            apply(Step::Unbind(0), &mut router, &mut model, &mut scratch);
        }
        check_lists(&router, &model);
    }

    #[test]
    fn topic_index_agrees_with_recursion(
        patterns in prop::collection::vec(pattern(), 1..60),
        removed in prop::collection::vec(any::<bool>(), 60),
        keys in prop::collection::vec(key(), 1..20),
    ) {
        let mut router = Router::new();
        let mut alive = Vec::new();
        for (queue, pattern) in (0_u32..).zip(&patterns) {
            router.queue_named(format!("q{queue}"), queue, true);
            router.bind("amq.topic", Destination::Queue(queue), pattern, Args::EMPTY).expect("binds");
        }
        for ((queue, pattern), removed) in (0_u32..).zip(&patterns).zip(removed) {
            if removed {
                router.unbind("amq.topic", Destination::Queue(queue), pattern, &Args::EMPTY).expect("unbinds");
            } else {
                alive.push((queue, pattern));
            }
        }
        let (mut scratch, mut out) = (Scratch::new(1), Vec::new());
        for key in keys {
            let envelope = Envelope {
                exchange: b"amq.topic",
                keys: &[key.as_bytes()],
                attributes: &NoAttributes,
                origin: Origin::Client,
            };
            router.route(&envelope, &mut scratch, &mut out).expect("routes");
            out.sort_unstable();
            let matching = alive.iter().filter(|(_, pattern)| topic(pattern, &key));
            let wanted: Vec<u32> = matching.map(|(queue, _)| *queue).collect();
            prop_assert_eq!(&out, &wanted, "{:?}", key);
        }
    }

    #[test]
    fn headers_index_agrees_with_looking_at_each_binding(
        bindings in prop::collection::vec(arguments(), 1..60),
        removed in prop::collection::vec(any::<bool>(), 60),
        messages in prop::collection::vec(headers(), 1..20),
    ) {
        let mut router = Router::new();
        let mut alive = Vec::new();
        for (queue, args) in (0_u32..).zip(&bindings) {
            router.queue_named(format!("q{queue}"), queue, true);
            router.bind("amq.headers", Destination::Queue(queue), "", args_of(args)).expect("binds");
        }
        for ((queue, args), removed) in (0_u32..).zip(&bindings).zip(removed) {
            if removed {
                router.queue_gone(queue);
            } else {
                alive.push((queue, args));
            }
        }
        let (mut scratch, mut out) = (Scratch::new(1), Vec::new());
        for message in messages {
            let values: Vec<_> = message.iter().map(|(name, value)| (name, Value::Int(i64::from(*value)))).collect();
            let envelope = Envelope {
                exchange: b"amq.headers",
                keys: &[b""],
                attributes: &&values[..],
                origin: Origin::Client,
            };
            router.route(&envelope, &mut scratch, &mut out).expect("routes");
            out.sort_unstable();
            let matching = alive.iter().filter(|(_, args)| headers_match(args, &message));
            let wanted: Vec<u32> = matching.map(|(queue, _)| *queue).collect();
            prop_assert_eq!(&out, &wanted, "{:?}", message);
        }
    }
}
