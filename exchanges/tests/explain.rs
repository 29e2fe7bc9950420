//! Random topologies of all exchange types: an explanation names exactly the queues that routing gives, and the
//! bindings that it calls matching lead to exactly those.

use std::collections::BTreeSet;

use leveret_exchanges::{
    Args, Attributes, Destination, Envelope, ExchangeSpec, ExplainLimits, InnerKind, Kind, Origin,
    OwnedValue, Property, Router, Scratch, Value,
};
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Exchange {
    kind: InnerKind,
    delayed: bool,
    internal: bool,
    alternate: Option<usize>,
}

/// Source, destination (an exchange below [`EXCHANGES`], a queue above), words of the key, arguments.
type Binding = (usize, usize, Vec<&'static str>, Vec<(&'static str, i64)>);

const EXCHANGES: usize = 6;
const QUEUES: usize = 6;

fn exchange() -> impl Strategy<Value = Exchange> {
    let delayed = prop::bool::weighted(0.15);
    let alternate = prop::option::of(0..=EXCHANGES);
    (prop::sample::select(InnerKind::ALL.to_vec()), delayed, prop::bool::weighted(0.1), alternate)
        .prop_map(|(kind, delayed, internal, alternate)| Exchange { kind, delayed, internal, alternate })
}

fn words() -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "*", "#"]), 0..4)
}

fn headers() -> impl Strategy<Value = Vec<(&'static str, i64)>> {
    prop::collection::vec((prop::sample::select(vec!["a", "b", "x-c"]), 0..3_i64), 0..3)
}

fn binding() -> impl Strategy<Value = Binding> {
    (0..EXCHANGES, 0..EXCHANGES + QUEUES, words(), headers())
}

struct Message {
    headers: Vec<(&'static str, i64)>,
    delay: bool,
}

impl Attributes for Message {
    fn each_header(&self, each: &mut dyn FnMut(&[u8], Value<'_>)) {
        self.headers.iter().for_each(|(name, value)| each(name.as_bytes(), Value::Int(*value)));
    }

    fn property(&self, _: Property) -> Option<Value<'_>> {
        None
    }

    fn wants_delay(&self) -> bool {
        self.delay
    }
}

fn router(exchanges: &[Exchange], bindings: &[Binding]) -> Router<u32> {
    let mut router = Router::new();
    for queue in 0..QUEUES {
        let id = u32::try_from(queue).expect("few");
        router.queue_named(format!("q{queue}"), id, true);
    }
    for (number, exchange) in exchanges.iter().enumerate() {
        let mut args = vec![("x-max-hops", OwnedValue::int(1))];
        args.extend(exchange.alternate.map(|to| ("alternate-exchange", OwnedValue::text(&format!("x{to}")))));
        args.extend(exchange.delayed.then(|| ("x-delayed-type", OwnedValue::text(exchange.kind.name()))));
        let spec = ExchangeSpec {
            kind: if exchange.delayed { Kind::DELAYED } else { exchange.kind.name() },
            internal: exchange.internal,
            args: args.into_iter().collect(),
            ..ExchangeSpec::default()
        };
        router.declare(&format!("x{number}"), spec).expect("declares");
    }
    for (source, destination, words, args) in bindings {
        let name = format!("x{destination}");
        let destination = match destination.checked_sub(EXCHANGES) {
            Some(queue) => Destination::Queue(u32::try_from(queue).expect("few")),
            None => Destination::Exchange(name.as_str()),
        };
        let key = match exchanges[*source].kind {
            InnerKind::ConsistentHash => "1".to_owned(),
            InnerKind::LocalRandom => String::new(),
            _ => words.join("."),
        };
        let args: Args = args.iter().map(|(name, value)| (*name, OwnedValue::int(*value))).collect();
        // Some types take no bindings to exchanges.
        let _ = router.bind(&format!("x{source}"), destination, &key, args);
    }
    router
}

fn check(router: &Router<u32>, envelope: &Envelope<'_>) -> Result<(), TestCaseError> {
    let mut given = Vec::new();
    let result = router.route(envelope, &mut Scratch::new(7), &mut given);
    let explained = router.explain(envelope, &mut Scratch::new(7), ExplainLimits::NONE);
    prop_assert_eq!(result.is_ok(), explained.is_ok());
    let Ok(explained) = explained else { return Ok(()) };
    prop_assert_eq!(&explained.queues, &given);
    let mut led_to = BTreeSet::new();
    for visit in &explained.visits {
        for matched in &visit.matched {
            if let Destination::Queue(queue) = matched.binding.destination {
                led_to.insert(queue);
            }
        }
        let name = &*visit.exchange.name;
        let bindings = if visit.held { 0 } else { router.bindings_from(name).count() };
        prop_assert_eq!(visit.matched_count + visit.missed_count, bindings, "{}", name);
    }
    prop_assert_eq!(led_to, given.into_iter().collect::<BTreeSet<_>>());
    let names: BTreeSet<_> = explained.visits.iter().map(|visit| &visit.exchange.name).collect();
    prop_assert_eq!(names.len(), explained.visit_count, "each exchange is visited once");
    let lazy =
        router.explain(envelope, &mut Scratch::new(7), ExplainLimits { visits: 1, listed: 1, work: 3 });
    prop_assert_eq!(lazy.map(|lazy| lazy.queues), Ok(explained.queues), "limits change no destination");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn an_explanation_names_exactly_the_queues_that_routing_gives(
        exchanges in prop::collection::vec(exchange(), EXCHANGES),
        bindings in prop::collection::vec(binding(), 0..40),
        keys in prop::collection::vec(prop::collection::vec(prop::sample::select(vec!["a", "b", "q1"]), 0..4), 1..3),
        headers in headers(),
        delay in any::<bool>(),
        broker in any::<bool>(),
    ) {
        let router = router(&exchanges, &bindings);
        let keys: Vec<String> = keys.iter().map(|words| words.join(".")).collect();
        let keys: Vec<&[u8]> = keys.iter().map(String::as_bytes).collect();
        let (message, origin) =
            (Message { headers, delay }, if broker { Origin::Broker } else { Origin::Client });
        for number in 0..=EXCHANGES {
            let name = format!("x{number}");
            check(&router, &Envelope { exchange: name.as_bytes(), keys: &keys, attributes: &message, origin })?;
        }
        check(&router, &Envelope { exchange: b"", keys: &keys, attributes: &message, origin })?;
    }
}
