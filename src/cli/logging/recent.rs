//! Feeds the recent log.

use std::fmt;
use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::net::now;
use crate::recent_log::{Line, RecentLog};

/// The layer that keeps lines.
pub(super) struct Recent(pub(super) Arc<RecentLog>);

impl<S: Subscriber> Layer<S> for Recent {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        // A library's line about sending a line to a follower would itself be the next line.
        if *metadata.level() > Level::INFO && !metadata.target().starts_with("leveret") {
            return;
        }
        let mut line = Line::new(now().0, *metadata.level(), metadata.target());
        event.record(&mut Fields(&mut line));
        self.0.keep(line);
    }
}

struct Fields<'a>(&'a mut Line);

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.add(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.add(field.name(), format!("{value:?}"));
    }
}
