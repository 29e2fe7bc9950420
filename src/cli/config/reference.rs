//! The key reference and the example file, generated from the table of keys.

use std::fmt::Write;

use super::keys::{Config, KEYS};
use super::table::{Change, Key};

/// Width of the example's comments, in characters.
const WIDTH: usize = 110;

/// `config/leveret.toml`: every key with its default, unit and reason.
pub(super) fn example() -> String {
    let mut text = String::from(
        "# Leveret's configuration, with every key at its default. Flags and environment variables of the\n\
         # same name (--data-dir, LEVERET_DATA_DIR) win over this file. Sizes are bytes or have a unit: \"256MiB\".\n\
         # Those marked as live change on SIGHUP, others at the next start.\n\
         # `leveret check-config --config FILE` checks a file, `leveret config show` tells what is in force.\n",
    );
    let mut group = "";
    for key in KEYS {
        if key.group != group {
            group = key.group;
            let _ = write!(text, "\n## {group}\n");
            if let Some(table) = key.table {
                let _ = write!(text, "\n[{table}]\n");
            }
        }
        let _ = writeln!(text);
        for line in wrapped(&example_text(key)) {
            let _ = writeln!(text, "# {line}");
        }
        let _ = match key.show(&Config::default()) {
            Some(value) if !key.secret => writeln!(text, "{} = {value}", key.leaf()),
            _ => writeln!(text, "# {} = {}", key.leaf(), key.form),
        };
    }
    text
}

/// `docs/configuration.md`.
pub(super) fn markdown() -> String {
    let mut text = String::from(
        "# Configuration\n\n\
         This page is written by `leveret config reference`.\n\n\
         Every key below is a key of the file that `--config` (or `LEVERET_CONFIG`) names, an environment variable, and a\n\
         flag of `leveret serve`: `data_dir`, `LEVERET_DATA_DIR`, `--data-dir`. Flags win over variables, variables over the file,\n\
         the file over defaults. A key in a table stands there in the file; variable and flag have the table's name in front:\n\
         `cert_file` in `[tls]` is `LEVERET_TLS_CERT_FILE` and `--tls-cert-file`. An empty variable counts as not set.\n\n\
         Sizes are bytes (`1048576`) or have a unit (`\"1MiB\"`; also KiB, GiB, TiB, and kB, MB, GB, TB by thousands).\n\n\
         `leveret check-config --config FILE` tells everything that is wrong with a file, by line and column. `leveret config show`\n\
         prints what is in force and where each value comes from, `leveret config example` a file with all keys. On SIGHUP the\n\
         file is read again: keys marked as live change at once (what concerns a single connection: for those that come), for others the log says that\n\
         they wait for a restart.\n",
    );
    let mut group = "";
    for key in KEYS {
        if key.group != group {
            group = key.group;
            let table = key.table.map(|table| format!(": `[{table}]`")).unwrap_or_default();
            let _ = write!(text, "\n## {group}{table}\n");
        }
        let default = match key.show(&Config::default()) {
            Some(value) => format!("`{value}`"),
            None => "not set".to_owned(),
        };
        let mut facts = vec![format!("`{}`", key.form), format!("default {default}")];
        facts.extend(key.facts());
        facts.push(match key.change {
            Change::Live => "live".to_owned(),
            Change::Restart => "at the next start".to_owned(),
        });
        let _ = write!(text, "\n### `{}`\n\n{}\n\n{}.\n", key.path(), key.sentences(), facts.join(" · "));
    }
    text
}

fn example_text(key: &Key) -> String {
    let mut facts = key.facts();
    if key.change == Change::Live {
        facts.push("live".to_owned());
    }
    match facts.as_slice() {
        [] => key.sentences(),
        facts => format!("{} ({})", key.sentences(), facts.join("; ")),
    }
}

fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        if !lines[last].is_empty() && lines[last].len() + 1 + word.len() > WIDTH - 2 {
            lines.push(word.to_owned());
        } else {
            let space = if lines[last].is_empty() { "" } else { " " };
            let _ = write!(lines[last], "{space}{word}");
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cli::config::{ServeArgs, load};

    /// Compares with a file of the project, or writes it if `UPDATE` is set.
    #[track_caller]
    fn stands_in(path: &str, text: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, text).unwrap();
        }
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(there == text, "{} is old: UPDATE=1 cargo test --lib config", path.display());
    }

    #[test]
    fn the_reference_is_that_of_these_keys() {
        stands_in("docs/configuration.md", &markdown());
    }

    #[test]
    fn the_example_names_every_key_and_has_the_defaults() {
        let text = example();
        stands_in("config/leveret.toml", &text);
        for key in KEYS {
            let (set, unset) = (format!("\n{} = ", key.leaf()), format!("\n# {} = ", key.leaf()));
            assert!(text.contains(&set) || text.contains(&unset), "{}", key.name);
        }
        let config = Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/leveret.toml"));
        let loaded = load(&ServeArgs { config, ..ServeArgs::default() }).unwrap();
        assert_eq!(loaded.config, Config::default());
    }

    #[test]
    fn long_text_is_wrapped_between_words() {
        let lines = wrapped(&"word ".repeat(60));
        assert!(lines.len() > 1 && lines.iter().all(|line| line.len() <= WIDTH - 2));
        assert_eq!(lines.join(" "), "word ".repeat(60).trim());
    }
}
