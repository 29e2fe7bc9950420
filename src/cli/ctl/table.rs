//! JSON rows as a table: numbers right-aligned, columns truncated to the terminal's width. Output to anything but
//! a terminal is not truncated.

use std::io::{self, IsTerminal, Write};

use serde_json::Value;

/// Narrowest width that a column is cut to, in characters.
const WIDTH_MIN: usize = 8;

/// Separator between columns.
const GAP: &str = "  ";

/// A column: its title, and the path of its values in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    /// Heading.
    pub(super) title: String,
    /// Member names, joined by dots.
    pub(super) path: String,
}

impl Column {
    /// A column whose title is the last part of its path.
    pub(super) fn of(path: &str) -> Self {
        let title = path.rsplit('.').next().unwrap_or(path);
        Self { title: title.to_owned(), path: path.to_owned() }
    }

    /// Its value in a row; null if the row has none.
    pub(super) fn value<'a>(&self, row: &'a Value) -> &'a Value {
        static NOTHING: Value = Value::Null;
        // A member's own name may contain dots.
        row.get(&self.path)
            .or_else(|| self.path.split('.').try_fold(row, |value, name| value.get(name)))
            .unwrap_or(&NOTHING)
    }
}

/// A value as a cell: one line, without cursor control.
pub(super) fn shown(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(flag) => if *flag { "yes" } else { "no" }.to_owned(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => format!("{float:.1}"),
            _ => number.to_string(),
        },
        Value::Array(list) if list.iter().all(Value::is_string) => {
            list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
        }
        Value::Array(list) => Value::Array(list.clone()).to_string(),
        Value::Object(map) => {
            let member = |(name, value): (&String, &Value)| format!("{name}={}", shown(value));
            map.iter().map(member).collect::<Vec<_>>().join(" ")
        }
    };
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A number of bytes in the largest unit that leaves something before the point.
pub(super) fn bytes(count: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let Some(at) = (0..units.len()).rev().find(|at| count >> (10 * (at + 1)) > 0) else {
        return format!("{count} B");
    };
    let tenths = (u128::from(count) * 10) >> (10 * (at + 1));
    format!("{}.{} {}", tenths / 10, tenths % 10, units[at])
}

/// Width of the terminal in characters; `None`: not a terminal.
pub(super) fn terminal_width() -> Option<usize> {
    let out = io::stdout();
    if !out.is_terminal() {
        return None;
    }
    rustix::termios::tcgetwinsize(out).ok().map(|size| usize::from(size.ws_col)).filter(|width| *width > 0)
}

/// Writes the table. `width`: maximum line width.
pub(super) fn write(
    out: &mut impl Write,
    columns: &[Column],
    rows: &[Value],
    width: Option<usize>,
) -> io::Result<()> {
    let cells: Vec<Vec<String>> =
        rows.iter().map(|row| columns.iter().map(|column| shown(column.value(row))).collect()).collect();
    let numeric: Vec<bool> = columns
        .iter()
        .map(|column| rows.iter().all(|row| matches!(column.value(row), Value::Number(_) | Value::Null)))
        .collect();
    let mut widths: Vec<usize> = (0..columns.len())
        .map(|at| {
            let longest = cells.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
            longest.max(columns[at].title.chars().count())
        })
        .collect();
    if let Some(width) = width {
        fit(&mut widths, width.saturating_sub(GAP.len() * columns.len().saturating_sub(1)));
    }
    let titles: Vec<String> = columns.iter().map(|column| column.title.clone()).collect();
    for row in std::iter::once(&titles).chain(&cells) {
        let mut line = String::new();
        for (at, cell) in row.iter().enumerate() {
            let cell = cut(cell, widths[at]);
            let space = " ".repeat(widths[at].saturating_sub(cell.chars().count()));
            let (before, behind) = if numeric[at] { (space.as_str(), "") } else { ("", space.as_str()) };
            line.push_str(if at == 0 { "" } else { GAP });
            line.push_str(before);
            line.push_str(&cell);
            line.push_str(behind);
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Shrinks the widest column until all fit, or none can shrink.
fn fit(widths: &mut [usize], room: usize) {
    while widths.iter().sum::<usize>() > room {
        let Some(widest) = widths.iter_mut().max().filter(|width| **width > WIDTH_MIN) else { return };
        *widest -= 1;
    }
}

fn cut(cell: &str, width: usize) -> String {
    if cell.chars().count() <= width {
        return cell.to_owned();
    }
    let mut kept: String = cell.chars().take(width.saturating_sub(1)).collect();
    kept.push('…');
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn written(columns: &[&str], rows: &[Value], width: Option<usize>) -> String {
        let columns: Vec<_> = columns.iter().copied().map(Column::of).collect();
        let mut out = Vec::new();
        write(&mut out, &columns, rows, width).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_stand_to_the_right_and_texts_to_the_left() {
        let rows = [json!({"name": "a", "n": {"x": 10}}), json!({"name": "longer", "n": {"x": 5}})];
        assert_eq!(written(&["name", "n.x"], &rows, None), "name     x\na       10\nlonger   5\n");
    }

    #[test]
    fn bytes_are_in_their_largest_unit() {
        for (count, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_610_612_736, "1.5 GiB"),
            (17_692_622_848, "16.4 GiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn a_table_fits_the_terminal_and_the_widest_column_gives() {
        let rows = [json!({"name": "x".repeat(50), "state": "running"})];
        let text = written(&["name", "state"], &rows, Some(30));
        assert!(text.lines().all(|line| line.chars().count() <= 30), "{text}");
        assert!(text.contains("xxx…  running"), "{text}");
    }

    #[test]
    fn names_cannot_move_the_cursor_nor_break_lines() {
        let text = written(&["name"], &[json!({"name": "a\u{1b}[2Jb\nc"})], None);
        assert_eq!(text, "name\na\u{fffd}[2Jb\u{fffd}c\n");
    }
}
