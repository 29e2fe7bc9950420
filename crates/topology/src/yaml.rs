//! YAML 1.2 (and so JSON) as nodes. Plain scalars have the types of the core schema; merge keys and tags are not
//! supported. Aliases are, but their expansion is bounded.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::node::{Content, DEPTH_MAX, Key, NODES_MAX, Node, OUT_OF_RANGE, Wrong};

/// Parses the single document of a text.
pub(super) fn read(text: &str) -> Result<Node, Wrong> {
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        anchors: HashMap::new(),
        nodes: 0,
        lines: text.lines().count().max(1),
    };
    let mut document = None;
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => break,
            (Event::DocumentStart(_), span) if document.is_some() => {
                return Err(Wrong::at(span.start.line(), "a second document; one file holds one"));
            }
            (Event::DocumentStart(_), _) => {
                let (event, span) = reader.next()?;
                document = Some(reader.node(event, span, 0)?);
            }
            _ => {}
        }
    }
    Ok(document.unwrap_or(Node { line: 1, content: Content::Null }))
}

struct Reader<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    /// By the parser's anchor id, with the number of nodes in each.
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
    lines: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Wrong> {
        match self.parser.next_event() {
            None => Ok((Event::StreamEnd, Span::default())),
            Some(Ok(event)) => Ok(event),
            // An error at the end of the input is reported on the last line.
            Some(Err(error)) => {
                Err(Wrong::at(error.marker().line().min(self.lines), format!("not YAML: {}", error.info())))
            }
        }
    }

    fn count(&mut self, nodes: usize, line: usize) -> Result<(), Wrong> {
        self.nodes += nodes;
        if self.nodes > NODES_MAX {
            return Err(Wrong::at(line, format!("more than {NODES_MAX} values")));
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Wrong> {
        let line = span.start.line();
        if depth > DEPTH_MAX {
            return Err(Wrong::at(line, format!("nested deeper than {DEPTH_MAX}")));
        }
        let before = self.nodes;
        self.count(1, line)?;
        let (anchor, content) = match event {
            Event::Alias(anchor) => {
                let known = self.anchors.get(&anchor).cloned();
                let (node, count) = known.ok_or_else(|| Wrong::at(line, "an alias of what it is in"))?;
                self.count(count, line)?;
                return Ok(Node { line, content: node.content });
            }
            Event::Scalar(text, style, anchor, None) => {
                (anchor, scalar(&text, style).map_err(|why| Wrong::at(line, why))?)
            }
            Event::SequenceStart(anchor, None) => (anchor, self.list(depth)?),
            Event::MappingStart(anchor, None) => (anchor, self.map(depth)?),
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, Some(_))
            | Event::MappingStart(_, Some(_)) => {
                // The tag is not named: it may be an unquoted password.
                return Err(Wrong::at(
                    line,
                    "a tag is not known here; a text that begins with ! needs quotes",
                ));
            }
            _ => (0, Content::Null),
        };
        let node = Node { line, content };
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), self.nodes - before));
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Content, Wrong> {
        let mut list = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd | Event::StreamEnd, _) => return Ok(Content::List(list)),
                (event, span) => list.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Content, Wrong> {
        let mut map: Vec<(Key, Node)> = Vec::new();
        let mut known: HashMap<String, usize> = HashMap::new();
        loop {
            let key = match self.next()? {
                (Event::MappingEnd | Event::StreamEnd, _) => return Ok(Content::Map(map)),
                (Event::Scalar(text, _, _, None), span) => {
                    Key { line: span.start.line(), text: text.into_owned() }
                }
                (_, span) => return Err(Wrong::at(span.start.line(), "a key must be a plain text")),
            };
            if let Some(first) = known.insert(key.text.clone(), key.line) {
                let why = format!("{:?} stands here twice, first in line {first}", key.text);
                return Err(Wrong::at(key.line, why));
            }
            let (event, span) = self.next()?;
            map.push((key, self.node(event, span, depth + 1)?));
        }
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Result<Content, &'static str> {
    if style != ScalarStyle::Plain {
        return Ok(Content::Text(text.to_owned()));
    }
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Content::Null,
        "true" | "True" | "TRUE" => Content::Bool(true),
        "false" | "False" | "FALSE" => Content::Bool(false),
        _ => number(text)?.unwrap_or_else(|| Content::Text(text.to_owned())),
    })
}

/// A number, if a broker can represent it; `None`: a string.
fn number(text: &str) -> Result<Option<Content>, &'static str> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) {
        return Ok(None);
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("", 10)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            if let Some(whole) = Content::whole(digits, radix) {
                return Ok(Some(whole));
            }
            let unsigned = digits.strip_prefix(['+', '-']).unwrap_or(digits);
            if !unsigned.is_empty() && unsigned.chars().all(|c| c.is_digit(radix)) {
                return Err(OUT_OF_RANGE);
            }
        }
    }
    let float = text.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b));
    match text.parse::<f64>() {
        Ok(number) if float && number.is_finite() => Ok(Some(Content::Broken(number))),
        Ok(_) if float => Err(OUT_OF_RANGE),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Content {
        let node = read(&format!("k: {text}")).unwrap();
        match node.content {
            Content::Map(map) => map.into_iter().next().unwrap().1.content,
            other => other,
        }
    }

    #[test]
    fn plain_scalars_have_types_and_quoted_ones_are_texts() {
        let text = |text: &str| Content::Text(text.to_owned());
        for (given, want) in [
            ("5", Content::Whole(5)),
            ("-5", Content::Whole(-5)),
            ("0x10", Content::Whole(16)),
            ("9223372036854775807", Content::Whole(i64::MAX)),
            ("9223372036854775808", Content::Large(1 << 63)),
            ("0xffffffffffffffff", Content::Large(u64::MAX)),
            ("0xyz", text("0xyz")),
            ("1.2.3", text("1.2.3")),
            ("1.5", Content::Broken(1.5)),
            ("true", Content::Bool(true)),
            ("yes", text("yes")),
            ("~", Content::Null),
            ("'5'", text("5")),
            ("\"\"", text("")),
            ("orders.*", text("orders.*")),
            ("1h", text("1h")),
            ("2024-01-01", text("2024-01-01")),
            (".", text(".")),
        ] {
            assert_eq!(of(given), want, "{given}");
        }
    }

    #[test]
    fn what_is_wrong_has_its_line() {
        for (text, line, words) in [
            ("a: 1\nb: [", 2, "not YAML"),
            ("a: 1\na: 2", 2, "\"a\" stands here twice, first in line 1"),
            ("a: 1\n---\nb: 2", 2, "a second document"),
            ("a:\n  b: !!set x", 2, "a tag is not known here"),
            ("? [a]\n: 1", 1, "a key must be a plain text"),
            ("a: 18446744073709551615\nb: 18446744073709551616", 2, "the number is out of range"),
            ("a: 0x10000000000000000", 1, "the number is out of range"),
            ("a: -9223372036854775809", 1, "the number is out of range"),
            ("a: 1e999", 1, "the number is out of range"),
        ] {
            let wrong = read(text).unwrap_err();
            assert_eq!(wrong.line, line, "{text}: {wrong}");
            assert!(wrong.why.contains(words), "{text}: {wrong}");
        }
    }

    #[test]
    fn aliases_stand_for_their_anchor_and_cannot_blow_up() {
        let node = read("a: &x {k: 1}\nb: *x").unwrap();
        let Content::Map(map) = node.content else { panic!("a map") };
        assert_eq!(map[0].1.content, map[1].1.content);
        assert_eq!(map[1].1.line, 2);
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        bomb.extend((1..12).map(|at| {
            let ten = vec![format!("*a{}", at - 1); 10].join(", ");
            format!("a{at}: &a{at} [{ten}]\n")
        }));
        assert!(read(&bomb).unwrap_err().why.contains("more than"));
        let deep = "[".repeat(200);
        assert!(read(&deep).unwrap_err().why.contains("nested deeper"));
    }
}
