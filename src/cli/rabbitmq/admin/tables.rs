//! Responses as `rabbitmqadmin` shows them: nested members become columns, joined by dots, down to a depth.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::fault::Fault;
use super::fault;

/// Columns shown first, if present.
const FIRST: [&str; 7] =
    ["vhost", "name", "type", "source", "destination", "destination_type", "routing_key"];

/// Members shown as JSON, whatever the depth.
const WHOLE: [&str; 3] = ["value", "definition", "arguments"];

fn flat(prefix: &str, value: &Value, depth: usize, row: &mut BTreeMap<String, String>) {
    let whole = WHOLE.contains(&prefix);
    match value {
        Value::Object(map) if !whole => {
            for (name, member) in map {
                let (path, deeper) = if prefix.is_empty() {
                    (name.clone(), depth)
                } else {
                    (format!("{prefix}.{name}"), depth.saturating_sub(1))
                };
                if deeper > 0 || prefix.is_empty() && !member.is_object() {
                    flat(&path, member, deeper, row);
                }
            }
        }
        Value::Array(list) if list.iter().all(|one| !one.is_object()) => {
            let texts: Vec<_> = list.iter().map(text).collect();
            row.insert(prefix.to_owned(), texts.join(" "));
        }
        Value::Array(_) if !whole => {}
        other => {
            row.insert(prefix.to_owned(), text(other));
        }
    }
}

fn text(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

fn table(value: &Value, depth: usize, asked: &[&str]) -> (Vec<String>, Vec<Vec<String>>) {
    let items = match value {
        Value::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    let rows: Vec<BTreeMap<String, String>> = items
        .iter()
        .map(|item| {
            let mut row = BTreeMap::new();
            flat("", item, depth, &mut row);
            row
        })
        .collect();
    let columns = if asked.is_empty() {
        let mut columns: Vec<String> = rows.iter().flat_map(|row| row.keys().cloned()).collect();
        columns.sort();
        columns.dedup();
        let place = |name: &String| FIRST.iter().position(|first| first == name).unwrap_or(FIRST.len());
        columns.sort_by_key(place);
        columns
    } else {
        asked.iter().map(|name| (*name).to_owned()).collect()
    };
    let cells = |row: &BTreeMap<String, String>| {
        columns.iter().map(|name| row.get(name).cloned().unwrap_or_default()).collect()
    };
    let rows = rows.iter().map(cells).collect();
    (columns, rows)
}

fn drawn(columns: &[String], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = (0..columns.len())
        .map(|at| {
            let longest = rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
            longest.max(columns[at].chars().count())
        })
        .collect();
    let bar = widths.iter().fold("+".to_owned(), |bar, width| bar + &"-".repeat(width + 2) + "+") + "\n";
    let mut shown = bar.clone();
    let head = columns.iter().zip(&widths).map(|(name, width)| format!(" {name:^width$} |"));
    shown += &head.fold("|".to_owned(), |line, cell| line + &cell);
    shown = shown + "\n" + &bar;
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!(" {cell:<width$} |"));
        shown += &cells.fold("|".to_owned(), |line, cell| line + &cell);
        shown.push('\n');
    }
    shown + &bar
}

/// Formats a response with the requested columns, in that order. `says`: include the text around results.
pub(super) fn shown(
    format: &str,
    value: &Value,
    depth: usize,
    asked: &[&str],
    says: bool,
) -> Result<String, Fault> {
    match format {
        "raw_json" => return Ok(format!("{value}\n")),
        "pretty_json" => return Ok(serde_json::to_string_pretty(value).unwrap_or_default() + "\n"),
        _ => {}
    }
    let (columns, rows) = table(value, depth, asked);
    if rows.is_empty() || columns.is_empty() {
        return Ok(if says { "No items\n".to_owned() } else { String::new() });
    }
    let lines = |line: &dyn Fn(&Vec<String>) -> String| {
        rows.iter().fold(String::new(), |all, row| all + &line(row) + "\n")
    };
    Ok(match format {
        "table" => drawn(&columns, &rows),
        "tsv" => {
            let head = if says { columns.join("\t") + "\n" } else { String::new() };
            head + &lines(&|row| row.join("\t"))
        }
        "kvp" => lines(&|row| {
            let pairs: Vec<_> =
                columns.iter().zip(row).map(|(name, cell)| format!("{name}=\"{cell}\"")).collect();
            pairs.join(" ")
        }),
        "long" => {
            let width = columns.iter().map(|name| name.chars().count()).max().unwrap_or(0);
            let rule = format!("\n{}\n", "-".repeat(80));
            let one = |row: &Vec<String>| {
                let pairs = columns.iter().zip(row).map(|(name, cell)| format!("{name:>width$}: {cell}\n"));
                pairs.collect::<String>() + &rule
            };
            format!("{rule}\n{}", lines(&one))
        }
        "bash" => {
            let at = columns.iter().position(|name| name == "name");
            let names: Vec<_> =
                at.map(|at| rows.iter().map(|row| row[at].clone()).collect()).unwrap_or_default();
            names.join(" ") + "\n"
        }
        other => return Err(fault(format!("*** Format {other} not recognised"))),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_become_tables_with_names_first() {
        let list = json!([{ "a": 1, "name": "x", "b": { "c": 2 } }, { "name": "yy", "a": true }]);
        let want = "+------+------+\n| name |  a   |\n+------+------+\n| x    | 1    |\n| yy   | True |\n+------+------+\n";
        assert_eq!(shown("table", &list, 1, &[], true).unwrap(), want);
        assert_eq!(shown("tsv", &list, 2, &[], true).unwrap(), "name\ta\tb.c\nx\t1\t2\nyy\tTrue\t\n");
        assert_eq!(shown("bash", &list, 1, &[], true).unwrap(), "x yy\n");
        assert_eq!(
            shown("kvp", &list, 1, &[], true).unwrap(),
            "name=\"x\" a=\"1\"\nname=\"yy\" a=\"True\"\n"
        );
        assert_eq!(shown("table", &json!([]), 1, &[], true).unwrap(), "No items\n");
        assert_eq!(shown("raw_json", &json!([]), 1, &[], true).unwrap(), "[]\n");
        let asked = shown("tsv", &list, usize::MAX, &["b.c", "name", "none"], true).unwrap();
        assert_eq!(asked, "b.c\tname\tnone\n2\tx\t\n\tyy\t\n");
        assert!(shown("nonsense", &list, 1, &[], true).is_err());
    }
}
