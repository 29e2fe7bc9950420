//! `rabbitmqadmin.conf`: options in sections, one per broker.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::fault::Fault;
use super::fault;

/// Finds an option by its long name, and says whether it takes a value.
pub(super) type Known = fn(&str) -> Option<(&'static str, bool)>;

/// Adds options from the file that the command line does not give. `-c` and `-N` are removed.
pub(super) fn add(said: &mut BTreeMap<&'static str, String>, known: Known) -> Result<(), Fault> {
    let section = said.remove("node").unwrap_or_else(|| "default".to_owned());
    let file = match said.remove("config").map(PathBuf::from) {
        Some(file) => Some(file),
        None => {
            std::env::home_dir().map(|home| home.join(".rabbitmqadmin.conf")).filter(|file| file.is_file())
        }
    };
    let Some(file) = file else { return Ok(()) };
    let text = std::fs::read_to_string(&file)
        .map_err(|_| wrong(&format!("Could not read config file '{}'", file.display())))?;
    match settings(&text, &section) {
        Some(settings) => settings.iter().try_for_each(|(key, value)| set(said, known, &file, key, value)),
        None if section == "default" => Ok(()),
        None => {
            Err(wrong(&format!("Could not read section '{section}' in config file '{}'", file.display())))
        }
    }
}

fn wrong(why: &str) -> Fault {
    fault(format!("\nERROR: {why}\n\nrabbitmqadmin --help for help\n"))
}

fn set(
    said: &mut BTreeMap<&'static str, String>,
    known: Known,
    file: &Path,
    key: &str,
    value: &str,
) -> Result<(), Fault> {
    let long = match key {
        "hostname" => "host".to_owned(),
        key => key.replace('_', "-"),
    };
    match (known(&long), value) {
        (Some((long, true)), value) => said.entry(long).or_insert_with(|| value.to_owned()),
        (_, "False") => return Ok(()),
        (Some((long, false)), "True") => said.entry(long).or_default(),
        (None, value) if key == "declare_vhost" => {
            said.entry("declare-vhost").or_insert_with(|| value.to_owned())
        }
        _ => return Err(wrong(&format!("{key} in config file '{}' is not supported", file.display()))),
    };
    Ok(())
}

/// The settings in a section; `None` if it does not exist.
fn settings<'a>(text: &'a str, section: &str) -> Option<Vec<(String, &'a str)>> {
    let (mut found, mut inside) = (None, false);
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            inside = name == section;
            if inside {
                found.get_or_insert_with(Vec::new);
            }
        } else if let Some((key, value)) = line.split_once(['=', ':']).filter(|_| inside) {
            found.get_or_insert_with(Vec::new).push((key.trim().to_lowercase(), value.trim()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_adds_what_was_not_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("rabbitmqadmin.conf");
        std::fs::write(
            &file,
            "# of Puppet\n[default]\nhostname = a\nport = 1\nssl = False\n\n[other]\nHostname: b\nssl = True\ndeclare_vhost = v\n[odd]\nssl_insecure = True\n",
        )
        .expect("it is written");
        let read = |said: &[(&'static str, &str)]| {
            let config = ("config", file.to_str().expect("UTF-8"));
            let mut all: BTreeMap<_, _> =
                said.iter().chain([&config]).map(|(name, value)| (*name, (*value).to_owned())).collect();
            add(&mut all, super::super::options::known)
                .map(|()| all.into_iter().map(|(name, value)| format!("{name}={value}")).collect())
        };
        let texts = |list: &[&str]| Ok(list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        assert_eq!(read(&[]), texts(&["host=a", "port=1"]));
        assert_eq!(read(&[("port", "2")]), texts(&["host=a", "port=2"]));
        assert_eq!(read(&[("node", "other")]), texts(&["declare-vhost=v", "host=b", "ssl="]));
        assert!(read(&[("node", "odd")]).is_err());
        assert!(read(&[("node", "none")]).is_err());
        std::fs::remove_file(&file).expect("it was there");
        assert!(read(&[]).is_err());
    }
}
