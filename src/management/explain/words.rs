//! An explanation in sentences.

use leveret_broker::arguments::{get, value_text};
use leveret_broker::explain::{Arrival, DeadLetterWay, Explained, Hop, Outcome};
use leveret_broker::listing::BindingView;
use leveret_exchanges::{InnerKind, OwnedValue, Why, Word};
use leveret_queues::Overflow;

use super::super::tables::legible;

/// Maximum headers named in one sentence.
const HEADERS_MAX: usize = 5;

fn plural(count: usize, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

/// The result in one sentence.
pub(super) fn summary(explained: &Explained) -> String {
    let later = explained.queues.iter().filter(|arrival| arrival.after_delay).count();
    let count = explained.queue_count;
    match explained.outcome {
        Outcome::Refused => {
            let why = explained.refusal.as_ref().map(ToString::to_string).unwrap_or_default();
            format!("The publish is refused: {why}.")
        }
        Outcome::Duplicate => "The exchange drops the message as a duplicate.".to_owned(),
        Outcome::Rejected => {
            "A queue is full and refuses the message; with confirms the publisher receives basic.nack."
                .to_owned()
        }
        Outcome::Queued if later > 0 => {
            format!("The message is routed to {}, {later} of them after its delay.", plural(count, "queue"))
        }
        Outcome::Queued => format!("The message is routed to {}.", plural(count, "queue")),
        Outcome::Held if count == 0 => {
            "The message is held until its delay has elapsed; as things are now, it is then dropped."
                .to_owned()
        }
        Outcome::Held => {
            format!(
                "The message is held until its delay has elapsed, then routed to {}.",
                plural(count, "queue")
            )
        }
        Outcome::Unroutable => {
            "No queue receives the message: it is returned if it is mandatory, otherwise dropped.".to_owned()
        }
    }
}

/// Why a binding does not match.
pub(super) fn why(why: &Why, binding: &BindingView, hop: &Hop, explained: &Explained) -> String {
    match why {
        Why::Key => {
            let keys: Vec<_> = explained.keys.iter().map(|key| format!("'{}'", legible(key))).collect();
            format!("the binding key '{}' is not {}", binding.routing_key, keys.join(" or "))
        }
        Why::Words(words) => of_words(words),
        Why::Headers(headers) => {
            let any = get(&binding.arguments, "x-match").map(value_text);
            let any = any.is_some_and(|value| value.starts_with("any"));
            let named = headers.iter().take(HEADERS_MAX).map(|header| {
                let name = legible(&header.header);
                if header.absent {
                    return format!("header '{name}' is absent");
                }
                let wanted = get(&binding.arguments, &name).map(value_text).unwrap_or_default();
                format!("header '{name}' is not '{wanted}', or of another type")
            });
            let named = named.collect::<Vec<_>>().join("; ");
            match (any, named.is_empty()) {
                (true, true) => "x-match any without headers to compare matches nothing".to_owned(),
                (true, false) => format!("none of the headers matches: {named}"),
                (false, _) => named,
            }
        }
        Why::NotPicked if hop.exchange.kind.inner == InnerKind::ConsistentHash => {
            format!("the hash of {} selects another binding", hashed(hop))
        }
        Why::NotPicked if hop.exchange.kind.inner == InnerKind::ModulusHash => {
            "the hash of the routing key selects another binding".to_owned()
        }
        Why::NotPicked => "one binding is picked at random for each message; this time another".to_owned(),
        Why::Horizon => "the message has reached the link's hop limit, or came from the other end".to_owned(),
    }
}

/// The part of a message that a consistent-hash exchange hashes.
fn hashed(hop: &Hop) -> String {
    let text = |name| hop.exchange.args.get(name).and_then(OwnedValue::as_text);
    match (text("hash-header"), text("hash-property")) {
        (Some(header), _) => format!("header '{header}'"),
        (None, Some(property)) => format!("property {property}"),
        (None, None) => "the routing key".to_owned(),
    }
}

fn of_words(words: &[Word]) -> String {
    let (at, last) = (words.len(), words.last());
    match last {
        None => "the pattern does not match".to_owned(),
        Some(Word { pattern, key: Some(key), .. }) if pattern.is_empty() => {
            format!("the pattern ends after word {}, the key continues with '{key}'", at - 1)
        }
        Some(Word { pattern, key: Some(key), .. }) => {
            format!("word {at} of the pattern is '{pattern}', the key has '{key}' there")
        }
        Some(Word { pattern, key: None, .. }) => {
            format!("word {at} of the pattern is '{pattern}', but the key has ended")
        }
    }
}

/// What a queue would do with the message.
pub(super) fn effects(arrival: &Arrival) -> Vec<String> {
    let settings = &arrival.view.settings;
    if let Some(found) = arrival.duplicates.as_ref().filter(|found| found.duplicate) {
        return vec![format!("drops it as a duplicate: the id in header '{}' was seen before", found.header)];
    }
    let dies = if settings.dead_letters { "dead-lettered" } else { "dropped" };
    let mut effects = Vec::new();
    match arrival.full {
        Some(Overflow::DropHead) => {
            effects.push(format!("full: unless a consumer takes one, the oldest message is {dies}"));
        }
        Some(Overflow::RejectPublish) => effects.push("full: refuses the message".to_owned()),
        Some(Overflow::RejectPublishDeadLetter) => {
            effects.push(format!("full: refuses the message, which is {dies}"));
        }
        None => {}
    }
    effects.push(waiting(arrival));
    effects.push(if arrival.written {
        "is written to disk".to_owned()
    } else if settings.durable {
        "is not written to disk, as the message is transient".to_owned()
    } else {
        "is not written to disk, as the queue is transient".to_owned()
    });
    if settings.max_priority.is_some() {
        effects.push(format!("has priority {}", arrival.priority));
    }
    if let Some(ttl) = arrival.ttl_ms {
        effects.push(format!("expires after {ttl} ms and is then {dies}"));
    }
    if let Some(limit) = settings.delivery_limit {
        effects.push(format!("is {dies} after {limit} failed deliveries"));
    }
    effects.extend(arrival.dead_letters.as_ref().map(of_dead_letters));
    effects
}

fn waiting(arrival: &Arrival) -> String {
    let counts = &arrival.view.counts;
    match (counts.ready, counts.consumers) {
        (0, 0) => "waits for a consumer".to_owned(),
        (0, _) => "is delivered at once if a consumer has credit".to_owned(),
        (ready, 0) => format!("waits behind {ready} ready messages, without a consumer"),
        (ready, _) => format!("waits behind {ready} ready messages"),
    }
}

fn of_dead_letters(way: &DeadLetterWay) -> String {
    let exchange = &way.exchange;
    if !way.exists {
        return format!("dead letters are dropped: the dead-letter exchange '{exchange}' does not exist");
    }
    let names: Vec<_> = way.queues.iter().map(|queue| queue.name.as_str()).collect();
    let more = way.queue_count - names.len();
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    match (way.queue_count, way.held, way.cycles) {
        (0, true, _) => format!("dead letters are held by the exchange '{exchange}' for their delay"),
        (0, false, 0) => {
            format!("dead letters are dropped: the exchange '{exchange}' routes them to no queue")
        }
        (0, false, _) => format!(
            "dead letters would return to a queue that dropped them; the cycle through '{exchange}' is cut"
        ),
        _ => format!("dead letters go through the exchange '{exchange}' to {}{more}", names.join(", ")),
    }
}
