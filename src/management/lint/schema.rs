//! The shapes of findings and rules.

use super::super::shape::Kind::{List, Of, OrNull, Text, Whole};
use super::super::shape::Part::Must;
use super::super::shape::Shape;

pub(super) static LINT: Shape = Shape {
    name: "Lint",
    parts: &[
        Must("findings", List(&Of(&FINDING))),
        Must("counts", Of(&COUNTS)),
        Must("examined", Of(&EXAMINED)),
    ],
};

static FINDING: Shape = Shape {
    name: "Finding",
    parts: &[
        Must("rule severity title why advice documentation", Text),
        Must("count", Whole),
        Must("objects", List(&Of(&OBJECT))),
    ],
};

static OBJECT: Shape =
    Shape { name: "FoundObject", parts: &[Must("kind name why", Text), Must("vhost", OrNull(&Text))] };

/// Objects found, by severity.
static COUNTS: Shape = Shape { name: "FindingCounts", parts: &[Must("error warning info", Whole)] };

static EXAMINED: Shape = Shape {
    name: "Examined",
    parts: &[Must("vhosts queues exchanges consumers policies connections", Whole)],
};

pub(super) static RULE: Shape =
    Shape { name: "LintRule", parts: &[Must("rule severity title why advice documentation", Text)] };
