//! The shape of an explanation.

use super::super::schemas::BINDING;
use super::super::shape::Kind::{Flag, List, Of, OrNull, Text, Whole};
use super::super::shape::Part::Must;
use super::super::shape::{Kind, Shape};

const TEXTS: Kind = List(&Text);
const MAYBE_TEXT: Kind = OrNull(&Text);
const MAYBE_WHOLE: Kind = OrNull(&Whole);

pub(super) static EXPLANATION: Shape = Shape {
    name: "Explanation",
    parts: &[
        Must("vhost exchange user outcome summary", Text),
        Must("routing_keys", TEXTS),
        Must("refusal", MAYBE_TEXT),
        Must("permissions", Of(&PERMITTED)),
        Must("hops", List(&Of(&HOP))),
        Must("queues", List(&Of(&ARRIVAL))),
        Must("hop_count queue_count", Whole),
    ],
};

static PERMITTED: Shape = Shape { name: "Permitted", parts: &[Must("enter write topic", Flag)] };

static HOP: Shape = Shape {
    name: "Hop",
    parts: &[
        Must("exchange type inner_type reached", Text),
        Must("from held_until policy operator_policy", MAYBE_TEXT),
        Must("internal after_delay picks_one remembers", Flag),
        Must("deduplication", OrNull(&Of(&DEDUPLICATION))),
        Must("alternate", OrNull(&Of(&ALTERNATE))),
        Must("matched", List(&Of(&MATCHED))),
        Must("unmatched", List(&Of(&UNMATCHED))),
        Must("matched_count unmatched_count unexamined_count", Whole),
    ],
};

static DEDUPLICATION: Shape =
    Shape { name: "DuplicateCheck", parts: &[Must("header", Text), Must("present duplicate", Flag)] };

static ALTERNATE: Shape =
    Shape { name: "AlternateExchange", parts: &[Must("exchange", Text), Must("exists used", Flag)] };

static MATCHED: Shape = Shape {
    name: "MatchedBinding",
    parts: &[Must("binding", Of(&BINDING)), Must("words", List(&Of(&WORD)))],
};

static UNMATCHED: Shape = Shape {
    name: "UnmatchedBinding",
    parts: &[
        Must("binding", Of(&BINDING)),
        Must("why", Text),
        Must("words", List(&Of(&WORD))),
        Must("headers", List(&Of(&HEADER))),
    ],
};

static WORD: Shape = Shape {
    name: "PatternWord",
    parts: &[Must("pattern", Text), Must("key", MAYBE_TEXT), Must("matches", Flag)],
};

static HEADER: Shape =
    Shape { name: "UnmatchedHeader", parts: &[Must("header", Text), Must("absent", Flag)] };

static ARRIVAL: Shape = Shape {
    name: "ExplainedQueue",
    parts: &[
        Must("name type overflow", Text),
        Must("durable after_delay written full", Flag),
        Must("policy operator_policy", MAYBE_TEXT),
        Must("messages_ready messages_unacknowledged consumers priority", Whole),
        Must("ttl max_length max_length_bytes delivery_limit", MAYBE_WHOLE),
        Must("deduplication", OrNull(&Of(&DEDUPLICATION))),
        Must("dead_letters", OrNull(&Of(&DEAD_LETTERS))),
        Must("effects", TEXTS),
    ],
};

static DEAD_LETTERS: Shape = Shape {
    name: "DeadLetterWay",
    parts: &[
        Must("exchange", Text),
        Must("exists held", Flag),
        Must("routing_keys queues", TEXTS),
        Must("queue_count cycle_count", Whole),
    ],
};
