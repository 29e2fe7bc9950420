//! Definitions on a real folder: durable, whole, restored.

#![expect(clippy::unwrap_used, reason = "a test may fail where it likes")]

use std::path::Path;

use leveret_queues::store::definitions::{Change, Definitions, DefinitionsError, VALUE_BYTES_MAX};

fn set(key: &str, value: &str) -> Change {
    (key.into(), Some(value.into()))
}

fn open(dir: &Path) -> Definitions {
    let (definitions, findings) = Definitions::open(dir).unwrap();
    assert!(findings.is_empty(), "{findings:?}");
    definitions
}

fn all(definitions: &Definitions) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    definitions.all().iter().map(|(key, value)| (key.to_string(), text(value))).collect()
}

fn pair(key: &str, value: &str) -> (String, String) {
    (key.into(), value.into())
}

/// Copies the folder as it is, as if the power went now.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_commit_is_there_after_a_restart_and_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let killed = tempfile::tempdir().unwrap();
    {
        let definitions = open(dir.path());
        definitions.commit(&[set("a", "1"), set("b", "2")]).unwrap();
        definitions.commit(&[set("a", "3"), ("b".into(), None), set("c", "4")]).unwrap();
        copy(dir.path(), killed.path());
    }
    let expected = [pair("a", "3"), pair("c", "4")];
    assert_eq!(all(&open(dir.path())), expected);
    assert_eq!(all(&open(killed.path())), expected);
}

#[test]
fn ids_never_repeat() {
    let dir = tempfile::tempdir().unwrap();
    let mut last = 0;
    for _ in 0..3 {
        let definitions = open(dir.path());
        for _ in 0..1500 {
            let id = definitions.next_id().unwrap();
            assert!(id > last);
            last = id;
        }
        assert!(definitions.all().is_empty());
    }
}

#[test]
fn a_damaged_database_is_restored_from_snapshot_and_journal() {
    for damage in ["remove", "flip", "truncate"] {
        let dir = tempfile::tempdir().unwrap();
        let killed = tempfile::tempdir().unwrap();
        {
            let definitions = open(dir.path());
            for n in 0..500 {
                definitions.commit(&[set(&format!("key {n}"), &"x".repeat(n))]).unwrap();
            }
            drop(definitions);
            let definitions = open(dir.path());
            // In the journal only: sled and the snapshot follow later.
            definitions.commit(&[set("last", "of all"), ("key 7".into(), None)]).unwrap();
            copy(dir.path(), killed.path());
        }
        let db = killed.path().join("definitions/db");
        match damage {
            "remove" => std::fs::remove_dir_all(killed.path().join("definitions")).unwrap(),
            "flip" => {
                let mut bytes = std::fs::read(&db).unwrap();
                for byte in bytes.iter_mut().filter(|byte| **byte != 0).step_by(97) {
                    *byte ^= 0x5a;
                }
                std::fs::write(&db, bytes).unwrap();
            }
            _ => {
                let file = std::fs::File::options().write(true).open(&db).unwrap();
                file.set_len(5000).unwrap();
            }
        }
        let (definitions, findings) = Definitions::open(killed.path()).unwrap();
        assert_eq!(findings.len(), 1, "{damage}: {findings:?}");
        let found = all(&definitions);
        assert_eq!(found.len(), 500, "{damage}");
        assert!(found.contains(&pair("last", "of all")));
        assert!(found.contains(&pair("key 499", &"x".repeat(499))));
        drop(definitions);
        assert_eq!(all(&open(killed.path())).len(), 500, "{damage}");
    }
}

#[test]
fn a_torn_last_commit_is_left_out_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let killed = tempfile::tempdir().unwrap();
    let definitions = open(dir.path());
    definitions.commit(&[set("a", "1")]).unwrap();
    definitions.commit(&[set("b", "2"), set("c", "3")]).unwrap();
    copy(dir.path(), killed.path());
    let journal = killed.path().join("definitions.journal");
    let bytes = std::fs::read(&journal).unwrap();
    std::fs::write(&journal, &bytes[..bytes.len() - 3]).unwrap();
    let reopened = open(killed.path());
    assert_eq!(all(&reopened), [pair("a", "1")]);
    reopened.commit(&[set("d", "4")]).unwrap();
    drop(reopened);
    assert_eq!(all(&open(killed.path())), [pair("a", "1"), pair("d", "4")]);
}

#[test]
fn commits_of_many_threads_are_all_there() {
    let dir = tempfile::tempdir().unwrap();
    let definitions = open(dir.path());
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let definitions = &definitions;
            scope.spawn(move || {
                for n in 0..50 {
                    definitions.commit(&[set(&format!("{thread}/{n}"), "v")]).unwrap();
                }
            });
        }
    });
    assert_eq!(definitions.all().len(), 400);
    drop(definitions);
    assert_eq!(open(dir.path()).all().len(), 400);
}

#[test]
fn the_database_alone_holds_what_it_took_in_many_batches() {
    let dir = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    {
        let definitions = open(dir.path());
        for n in 0..600 {
            definitions.commit(&[set(&format!("{n:04}"), "one by one")]).unwrap();
            expected.push(pair(&format!("{n:04}"), "one by one"));
        }
        let together: Vec<_> = (600..1200).map(|n| set(&format!("{n:04}"), "together")).collect();
        definitions.commit(&together).unwrap();
        expected.extend((600..1200).map(|n| pair(&format!("{n:04}"), "together")));
        definitions.commit(&[("0000".into(), None)]).unwrap();
        expected.remove(0);
    }
    for file in ["definitions.journal", "definitions.snapshot.json"] {
        std::fs::remove_file(dir.path().join(file)).unwrap();
    }
    assert_eq!(all(&open(dir.path())), expected);
}

#[test]
fn a_value_that_is_too_long_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let definitions = open(dir.path());
    let error = definitions.commit(&[set("long", &"x".repeat(VALUE_BYTES_MAX + 1))]);
    assert!(matches!(error, Err(DefinitionsError::TooLong { key }) if key == "long"));
}
