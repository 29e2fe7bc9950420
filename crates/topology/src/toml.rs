//! TOML as nodes.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::node::{Content, DEPTH_MAX, Key, Node, OUT_OF_RANGE, Wrong};

/// The start offsets of a text's lines.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        let behind = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self(std::iter::once(0).chain(behind).collect())
    }

    fn line(&self, offset: usize) -> usize {
        self.0.partition_point(|start| *start <= offset)
    }
}

/// Parses a text.
pub(super) fn read(text: &str) -> Result<Node, Wrong> {
    let lines = Lines::of(text);
    let table = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(0, |span| lines.line(span.start));
        Wrong::at(line, format!("not TOML: {}", error.message()))
    })?;
    Ok(Node { line: 1, content: map(table.into_inner(), &lines, 0)? })
}

fn map(table: DeTable<'_>, lines: &Lines, depth: usize) -> Result<Content, Wrong> {
    let mut map = Vec::with_capacity(table.len());
    for (key, value) in table {
        let line = lines.line(key.span().start);
        map.push((Key { line, text: key.into_inner().into_owned() }, node(value, lines, depth + 1)?));
    }
    // The table is sorted by name; errors are reported in file order.
    map.sort_by_key(|(key, _)| key.line);
    Ok(Content::Map(map))
}

fn node(value: Spanned<DeValue<'_>>, lines: &Lines, depth: usize) -> Result<Node, Wrong> {
    let line = lines.line(value.span().start);
    if depth > DEPTH_MAX {
        return Err(Wrong::at(line, format!("nested deeper than {DEPTH_MAX}")));
    }
    let content = match value.into_inner() {
        DeValue::String(text) => Content::Text(text.into_owned()),
        DeValue::Boolean(flag) => Content::Bool(flag),
        DeValue::Integer(number) => {
            Content::whole(number.as_str(), number.radix()).ok_or_else(|| Wrong::at(line, OUT_OF_RANGE))?
        }
        DeValue::Float(number) => match number.as_str().parse::<f64>() {
            Ok(number) if number.is_finite() => Content::Broken(number),
            _ => return Err(Wrong::at(line, OUT_OF_RANGE)),
        },
        DeValue::Datetime(_) => {
            return Err(Wrong::at(line, "a date is nothing that a broker knows; write it as a text"));
        }
        DeValue::Array(list) => {
            let nodes: Result<Vec<_>, _> =
                list.into_iter().map(|value| node(value, lines, depth + 1)).collect();
            Content::List(nodes?)
        }
        DeValue::Table(table) => map(table, lines, depth)?,
    };
    Ok(Node { line, content })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_lines() {
        let node = read("a = 1\n\n[b.c]\nd = [\"x\", 1_000, 0x1]\n").unwrap();
        let Content::Map(map) = node.content else { panic!("a map") };
        assert_eq!((map[0].0.line, &map[0].1.content), (1, &Content::Whole(1)));
        let Content::Map(b) = &map[1].1.content else { panic!("a map") };
        assert_eq!((map[1].0.line, b[0].0.text.as_str()), (3, "c"));
    }

    #[test]
    fn what_is_wrong_has_its_line() {
        for (text, line, words) in [
            ("a = 1\nb =", 2, "not TOML"),
            ("a = 1\na = 2", 2, "not TOML"),
            ("a = 1\n\nb = 2024-01-01", 3, "a date"),
            ("a = 99999999999999999999", 1, "out of range"),
        ] {
            let wrong = read(text).unwrap_err();
            assert_eq!(wrong.line, line, "{text}: {wrong}");
            assert!(wrong.why.contains(words), "{text}: {wrong}");
        }
    }
}
