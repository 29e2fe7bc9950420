//! The Prometheus text exposition format.

use std::fmt::{Display, Write};

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

/// Text in the exposition format.
#[derive(Default)]
pub(super) struct Text(String);

impl Text {
    pub(super) fn kind(&mut self, kind: &str, name: &str) {
        let _ = writeln!(self.0, "# TYPE {name} {kind}");
    }

    pub(super) fn value(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = if labels.is_empty() {
            writeln!(self.0, "{name} {value}")
        } else {
            writeln!(self.0, "{name}{{{labels}}} {value}")
        };
    }

    pub(super) fn gauge(&mut self, name: &str, value: impl Display) {
        self.kind("gauge", name);
        self.value(name, "", value);
    }

    pub(super) fn counter(&mut self, name: &str, labels: &str, value: u64) {
        self.kind("counter", name);
        self.value(name, labels, value);
    }

    pub(super) fn response(self) -> Response {
        ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], self.0).into_response()
    }
}
