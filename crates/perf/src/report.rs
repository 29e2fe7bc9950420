//! The result: as JSON, and as a table.

use std::fmt::Write as _;

use serde::Serialize;

use super::clock::float;
use super::error::PerfError;
use super::link::Server;
use super::meter::{Percentiles, Totals};
use super::process::Usage;
use super::settings::Settings;

/// The results of a run.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) leveret: &'static str,
    pub(super) preset: Option<String>,
    pub(super) url: String,
    pub(super) broker: Server,
    pub(super) settings: Settings,
    pub(super) phases: Vec<Phase>,
}

/// One measurement.
#[derive(Serialize)]
pub(super) struct Phase {
    pub(super) name: &'static str,
    pub(super) seconds: f64,
    #[serde(flatten)]
    pub(super) totals: Totals,
    pub(super) sent_per_second: f64,
    pub(super) confirmed_per_second: f64,
    pub(super) received_per_second: f64,
    /// In microseconds.
    pub(super) confirm_latency_us: Option<Percentiles>,
    /// In microseconds, from publish to arrival.
    pub(super) end_to_end_latency_us: Option<Percentiles>,
    pub(super) operations: Option<Operations>,
    pub(super) broker: Option<Cost>,
    /// CPU microseconds spent by perf itself per message.
    pub(super) perf_cpu_us_per_message: f64,
    /// Caveats about the numbers.
    pub(super) warnings: Vec<String>,
    /// What ended it before its time.
    #[serde(skip)]
    pub(super) ended_by: Option<PerfError>,
}

/// Operations or objects other than messages.
#[derive(Serialize)]
pub(super) struct Operations {
    /// The kind of operation or object.
    pub(super) what: &'static str,
    pub(super) count: u64,
    pub(super) per_second: f64,
    /// In microseconds.
    pub(super) latency_us: Option<Percentiles>,
    /// Resident bytes added to the broker by each idle object.
    pub(super) bytes_each: Option<f64>,
}

/// Resources used by the broker.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Cost {
    pub(super) cpu_seconds: f64,
    /// Per message received, or sent if there are no consumers, or per operation.
    pub(super) cpu_us_per_message: f64,
    pub(super) rss_bytes: u64,
    pub(super) rss_peak_bytes: u64,
    /// Whether the peak covers only this measurement, not the process's whole life.
    pub(super) rss_peak_is_of_this_run: bool,
}

/// The divisors of a phase's costs.
pub(super) struct Spent {
    pub(super) broker: Option<(Usage, Usage, bool)>,
    pub(super) own: (Usage, Usage),
}

impl Phase {
    pub(super) fn new(name: &'static str, seconds: f64, totals: Totals, spent: &Spent) -> Self {
        let messages = if totals.received > 0 { totals.received } else { totals.sent };
        let rate = |count| {
            if seconds > 0.0 { float(count) / seconds } else { 0.0 }
        };
        let mut phase = Self {
            name,
            seconds,
            totals,
            sent_per_second: rate(totals.sent),
            confirmed_per_second: rate(totals.confirmed),
            received_per_second: rate(totals.received),
            confirm_latency_us: None,
            end_to_end_latency_us: None,
            operations: None,
            broker: None,
            perf_cpu_us_per_message: 0.0,
            warnings: Vec::new(),
            ended_by: None,
        };
        phase.cost(messages, spent);
        phase
    }

    /// A phase that measures operations other than messages.
    pub(super) fn of_operations(
        name: &'static str,
        seconds: f64,
        operations: Operations,
        spent: &Spent,
    ) -> Self {
        let mut phase = Self::new(name, seconds, Totals::default(), spent);
        phase.cost(operations.count, spent);
        phase.operations = Some(operations);
        phase
    }

    /// Notes what ended it before its time.
    pub(super) fn end_early(&mut self, why: Option<PerfError>) {
        self.warnings.extend(why.iter().map(|why| format!("ended early: {why}")));
        self.ended_by = why;
    }

    fn cost(&mut self, messages: u64, spent: &Spent) {
        let each = |before: Usage, after: Usage| {
            if messages == 0 { 0.0 } else { (after.cpu_seconds - before.cpu_seconds) * 1e6 / float(messages) }
        };
        self.perf_cpu_us_per_message = each(spent.own.0, spent.own.1);
        self.broker = spent.broker.map(|(before, after, peak_reset)| Cost {
            cpu_seconds: after.cpu_seconds - before.cpu_seconds,
            cpu_us_per_message: each(before, after),
            rss_bytes: after.rss,
            rss_peak_bytes: after.rss_peak,
            rss_peak_is_of_this_run: peak_reset,
        });
    }
}

impl Report {
    /// The table.
    pub(super) fn table(&self) -> String {
        let mut out = String::new();
        let name = self.preset.as_deref().unwrap_or("(own settings)");
        let version = format!("{} {}", self.broker.product, self.broker.version);
        line(&mut out, "measurement", name);
        line(&mut out, "broker", &format!("{} at {}", version.trim(), self.url));
        for phase in &self.phases {
            out.push('\n');
            phase.rows(&mut out);
        }
        out
    }
}

fn line(out: &mut String, label: &str, value: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{label:<22}{value}");
}

impl Phase {
    fn rows(&self, out: &mut String) {
        line(out, self.name, &format!("{:.2} s", self.seconds));
        for (label, count, rate) in [
            ("  sent", self.totals.sent, self.sent_per_second),
            ("  confirmed", self.totals.confirmed, self.confirmed_per_second),
            ("  received", self.totals.received, self.received_per_second),
        ] {
            if count > 0 {
                line(out, label, &format!("{:>12}   {:>12} msg/s", grouped(count), grouped(rounded(rate))));
            }
        }
        for (label, count) in [
            ("  rejected (nack)", self.totals.rejected),
            ("  returned", self.totals.returned),
            ("  requeued", self.totals.requeued),
        ] {
            if count > 0 {
                line(out, label, &format!("{:>12}", grouped(count)));
            }
        }
        if let Some(operations) = &self.operations {
            let rate = grouped(rounded(operations.per_second));
            line(
                out,
                &format!("  {}", operations.what),
                &format!("{:>12}   {rate:>12} /s", grouped(operations.count)),
            );
            if let Some(bytes) = operations.bytes_each {
                line(out, "  bytes each", &format!("{:>12}", grouped(rounded(bytes))));
            }
            latency(out, "  latency", operations.latency_us.as_ref());
        }
        latency(out, "  confirm latency", self.confirm_latency_us.as_ref());
        latency(out, "  end-to-end latency", self.end_to_end_latency_us.as_ref());
        if let Some(cost) = &self.broker {
            let of = if cost.rss_peak_is_of_this_run { "peak" } else { "peak of its life" };
            line(
                out,
                "  broker CPU",
                &format!("{:.2} s, {:.2} us each", cost.cpu_seconds, cost.cpu_us_per_message),
            );
            line(
                out,
                "  broker memory",
                &format!("{} now, {} {of}", mebibytes(cost.rss_bytes), mebibytes(cost.rss_peak_bytes)),
            );
        }
        line(out, "  perf's own CPU", &format!("{:.2} us each", self.perf_cpu_us_per_message));
        for warning in &self.warnings {
            line(out, "  warning", warning);
        }
    }
}

fn latency(out: &mut String, label: &str, percentiles: Option<&Percentiles>) {
    if let Some(found) = percentiles {
        let values = [
            ("p50", found.p50),
            ("p90", found.p90),
            ("p99", found.p99),
            ("p99.9", found.p999),
            ("max", found.max),
        ];
        let shown = values.map(|(name, value)| format!("{name} {}", duration(value)));
        line(out, label, &shown.join("  "));
    }
}

fn duration(microseconds: f64) -> String {
    match microseconds {
        value if value < 1000.0 => format!("{value:.0} us"),
        value if value < 1e6 => format!("{:.2} ms", value / 1e3),
        value => format!("{:.2} s", value / 1e6),
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", float(bytes) / 1_048_576.0)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates; for display")]
fn rounded(number: f64) -> u64 {
    number.round() as u64
}

/// A number with commas as thousands separators.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(cpu_seconds: f64) -> Usage {
        Usage { cpu_seconds, rss: 1 << 20, rss_peak: 2 << 20 }
    }

    fn phase(totals: Totals) -> Phase {
        let spent = Spent { broker: Some((usage(1.0), usage(3.0), true)), own: (usage(0.0), usage(1.0)) };
        Phase::new("traffic", 2.0, totals, &spent)
    }

    #[test]
    fn costs_are_per_message_received_or_else_sent() {
        let received = phase(Totals { sent: 4_000_000, received: 2_000_000, ..Totals::default() });
        let sent = phase(Totals { sent: 4_000_000, ..Totals::default() });
        for (phase, broker, own) in [(received, 1.0, 0.5), (sent, 0.5, 0.25)] {
            let cost = phase.broker.unwrap().cpu_us_per_message;
            assert!((cost - broker).abs() < 1e-9 && (phase.perf_cpu_us_per_message - own).abs() < 1e-9);
            assert!((phase.sent_per_second - 2e6).abs() < 1e-6);
        }
    }

    #[test]
    fn nothing_measured_divides_by_nothing() {
        let spent = Spent { broker: None, own: (usage(0.0), usage(1.0)) };
        let phase = Phase::new("traffic", 0.0, Totals::default(), &spent);
        assert!(phase.sent_per_second.abs() < 1e-9 && phase.perf_cpu_us_per_message.abs() < 1e-9);
    }

    #[test]
    fn table_and_json_say_the_same() {
        let report = Report {
            leveret: "0",
            preset: Some("transient-1k".into()),
            url: "amqp://localhost:5672/%2f".into(),
            broker: Server { product: "Leveret".into(), version: "1".into() },
            settings: Settings::default(),
            phases: vec![phase(Totals { sent: 2_468_024, received: 2_468_024, ..Totals::default() })],
        };
        let table = report.table();
        assert!(table.contains("2,468,024") && table.contains("1,234,012 msg/s"), "{table}");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["phases"][0]["received"], 2_468_024);
        assert_eq!(json["phases"][0]["broker"]["rss_peak_bytes"], 2 << 20);
        assert_eq!(json["settings"]["size"], 1024);
    }

    #[test]
    fn numbers_are_grouped_and_durations_scaled() {
        for (number, want) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), want);
        }
        for (value, want) in [(12.4, "12 us"), (1234.0, "1.23 ms"), (2_500_000.0, "2.50 s")] {
            assert_eq!(duration(value), want);
        }
    }
}
