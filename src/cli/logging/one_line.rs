//! Keeps each event on one line: clients' names may contain newlines and terminal sequences.

use std::io::{self, Stderr, Write};

/// Writes each event as one line, with other control characters as `\xNN`.
pub(super) struct OneLine<W>(W);

impl OneLine<Stderr> {
    pub(super) fn stderr() -> Self {
        Self(io::stderr())
    }
}

/// The subscriber writes each event in one call.
impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let line = event.strip_suffix(b"\n").unwrap_or(event);
        if line.iter().any(u8::is_ascii_control) {
            let mut escaped = Vec::with_capacity(event.len() + 16);
            for byte in line {
                if byte.is_ascii_control() {
                    write!(escaped, "\\x{byte:02x}")?;
                } else {
                    escaped.push(*byte);
                }
            }
            escaped.extend_from_slice(&event[line.len()..]);
            self.0.write_all(&escaped)?;
        } else {
            self.0.write_all(event)?;
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_end_within_an_event_begins_no_line() {
        for (event, written) in [
            ("plain caf\u{e9}\n", "plain caf\u{e9}\n"),
            ("queue a\nERROR forged\n", "queue a\\x0aERROR forged\n"),
            ("\u{1b}[2J\r\t\n", "\\x1b[2J\\x0d\\x09\n"),
        ] {
            let mut out = OneLine(Vec::new());
            out.write_all(event.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(out.0).unwrap(), written);
        }
    }
}
