//! Lists in the formats of `RabbitMQ`'s tools: tab-separated columns, JSON, CSV, a drawn table.

use std::fmt::Write;

use serde_json::Value;

/// An output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// The default: columns for lists, text for everything else.
    Plain,
    /// Tab-separated columns.
    Table,
    Json,
    Csv,
    /// A drawn table.
    Pretty,
    /// Erlang terms.
    Erlang,
}

impl Format {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "table" => Some(Self::Table),
            "json" => Some(Self::Json),
            "csv" => Some(Self::Csv),
            "pretty_table" => Some(Self::Pretty),
            "erlang" => Some(Self::Erlang),
            _ => None,
        }
    }
}

/// An AMQP table as arguments are shown: `RabbitMQ`'s tools show types, which JSON has lost; integers are shown as
/// long.
#[derive(Clone, Debug)]
pub(super) struct Arguments<'a>(pub(super) &'a Value);

impl Arguments<'_> {
    /// A JSON list of names, types and values.
    pub(super) fn typed(&self) -> Value {
        let members = self.0.as_object().into_iter().flatten();
        members
            .map(|(name, value)| Value::Array(vec![name.clone().into(), kind(value).into(), value.clone()]))
            .collect()
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "void",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "double",
        Value::Number(_) => "long",
        Value::String(_) => "longstr",
        Value::Array(_) => "array",
        Value::Object(_) => "table",
    }
}

/// A value in a column: bare text, lists and tables in Erlang syntax. No line breaks.
pub(super) fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(list) if list.iter().all(is_typed) => {
            let parts = list.iter().map(|one| format!("{{{},{}}}", one[0], term(&one[2])));
            format!("[{}]", parts.collect::<Vec<_>>().join(","))
        }
        Value::Array(list) => format!("[{}]", list.iter().map(cell).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    };
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => shown.push_str("\\t"),
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            c if c.is_control() => shown.push('\u{fffd}'),
            c => shown.push(c),
        }
    }
    shown
}

/// Whether this is an entry of [`Arguments::typed`].
fn is_typed(value: &Value) -> bool {
    value.as_array().is_some_and(|parts| parts.len() == 3 && parts[0].is_string() && parts[1].is_string())
}

fn term(value: &Value) -> String {
    match value {
        Value::Array(list) => format!("[{}]", list.iter().map(term).collect::<Vec<_>>().join(",")),
        Value::Object(map) => {
            let parts = map.iter().map(|(name, value)| format!("{{{:?},{}}}", name, term(value)));
            format!("[{}]", parts.collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}

/// A list in a format. `headers`: with a header line, if the format has one.
pub(super) fn table(format: Format, headers: bool, columns: &[&str], rows: &[Vec<Value>]) -> String {
    match format {
        Format::Plain | Format::Table => {
            if rows.is_empty() {
                return String::new();
            }
            let names = headers.then(|| columns.join("\t"));
            let lines = rows.iter().map(|row| row.iter().map(cell).collect::<Vec<_>>().join("\t"));
            names.into_iter().chain(lines).fold(String::new(), |all, line| all + &line + "\n")
        }
        Format::Json => json(columns, rows),
        Format::Csv => csv(headers, columns, rows),
        Format::Pretty => pretty(columns, rows),
        Format::Erlang => {
            let row = |row: &Vec<Value>| {
                let pairs =
                    columns.iter().zip(row).map(|(name, value)| format!("{{{name},{}}}", erlang(value)));
                format!("[{}]", pairs.collect::<Vec<_>>().join(","))
            };
            format!("[{}]\n", rows.iter().map(row).collect::<Vec<_>>().join(",\n "))
        }
    }
}

fn erlang(value: &Value) -> String {
    match value {
        Value::String(text) => format!("<<{text:?}>>"),
        other => term(other),
    }
}

fn json(columns: &[&str], rows: &[Vec<Value>]) -> String {
    if rows.is_empty() {
        return "[]\n".to_owned();
    }
    // Members in the requested column order.
    let row = |row: &Vec<Value>| {
        let members = columns.iter().zip(row).map(|(name, value)| format!("{}:{value}", Value::from(*name)));
        format!("{{{}}}\n", members.collect::<Vec<_>>().join(","))
    };
    format!("[\n{}]\n", rows.iter().map(row).collect::<Vec<_>>().join(","))
}

fn csv(headers: bool, columns: &[&str], rows: &[Vec<Value>]) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let line =
        |cells: Vec<String>| cells.iter().map(|cell| quoted(cell)).collect::<Vec<_>>().join(",") + "\n";
    let mut text = String::new();
    if headers && !rows.is_empty() {
        text += &line(columns.iter().map(|name| (*name).to_owned()).collect());
    }
    for row in rows {
        text += &line(row.iter().map(cell).collect());
    }
    text
}

/// Lines are drawn with the terminal's alternate character set, as `RabbitMQ` does.
fn pretty(columns: &[&str], rows: &[Vec<Value>]) -> String {
    if rows.is_empty() {
        return pretty(&["Output"], &[vec!["[]".into()]]);
    }
    // Texts in a list have no brackets here.
    let drawn = |value: &Value| match value {
        Value::Array(list) if !list.is_empty() && list.iter().all(Value::is_string) => {
            list.iter().map(cell).collect::<Vec<_>>().join(", ")
        }
        other => cell(other),
    };
    let cells: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(drawn).collect()).collect();
    let width = |at: usize| {
        let longest = cells.iter().map(|row| row.get(at).map_or(0, |cell| cell.chars().count())).max();
        longest.unwrap_or(0).max(columns[at].chars().count())
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let rule = |left: char, middle: &str, right: char| {
        let parts = widths.iter().map(|width| "q".repeat(width + 2)).collect::<Vec<_>>().join(middle);
        format!("\u{1b}(0{left}{parts}{right}\u{1b}(B\n")
    };
    let bar = "\u{1b}(0x\u{1b}(B";
    let line = |row: &[String], bold: bool| {
        let mut text = bar.to_owned();
        for (cell, width) in row.iter().zip(&widths) {
            let gap = " ".repeat(width.saturating_sub(cell.chars().count()));
            let cell = if bold { format!("\u{1b}[1m{cell}\u{1b}[0m") } else { cell.clone() };
            let _ = write!(text, " {cell}{gap} {bar}");
        }
        text + "\n"
    };
    let names: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
    let mut text = rule('l', "w", 'k') + &line(&names, true);
    for row in &cells {
        text += &rule('t', "n", 'u');
        text += &line(row, false);
    }
    text + &rule('m', "v", 'j')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_look_as_those_of_rabbitmq_s_tools() {
        let columns = ["name", "tracing", "tags"];
        let rows =
            [vec![json!("/"), json!(false), json!(["a", "b"])], vec![json!("v\t1"), json!(true), json!([])]];
        for (format, want) in [
            (Format::Plain, "name\ttracing\ttags\n/\tfalse\t[a, b]\nv\\t1\ttrue\t[]\n"),
            (
                Format::Json,
                "[\n{\"name\":\"/\",\"tracing\":false,\"tags\":[\"a\",\"b\"]}\n,{\"name\":\"v\\t1\",\"tracing\":true,\"tags\":[]}\n]\n",
            ),
            (
                Format::Csv,
                "\"name\",\"tracing\",\"tags\"\n\"/\",\"false\",\"[a, b]\"\n\"v\\t1\",\"true\",\"[]\"\n",
            ),
        ] {
            assert_eq!(table(format, true, &columns, &rows), want);
        }
        assert_eq!(table(Format::Table, false, &columns[..1], &[vec![json!("a")]]), "a\n");
        assert_eq!(table(Format::Json, true, &columns, &[]), "[]\n");
        let drawn = table(Format::Pretty, true, &columns[..1], &[vec![json!("/")]]);
        assert!(drawn.starts_with("\u{1b}(0lqqqqqqk\u{1b}(B\n") && drawn.contains(" /    "), "{drawn:?}");
        assert!(table(Format::Pretty, true, &columns, &rows).contains(" a, b "));
        assert!(table(Format::Pretty, true, &columns, &[]).contains(" []     "));
    }

    #[test]
    fn arguments_stand_as_terms_and_in_json_with_types() {
        let typed = Arguments(&json!({ "x-max-length": 5, "x-a": "b" })).typed();
        assert_eq!(cell(&typed), "[{\"x-a\",\"b\"},{\"x-max-length\",5}]");
        assert_eq!(typed, json!([["x-a", "longstr", "b"], ["x-max-length", "long", 5]]));
        assert_eq!(cell(&Arguments(&json!({})).typed()), "[]");
    }
}
