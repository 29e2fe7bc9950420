//! Definitions on a real folder: durable, whole, restored.

#![expect(clippy::unwrap_used, reason = "a test may fail where it likes")]

use std::path::{Path, PathBuf};

use leveret_store::definitions::{Change, Definitions, DefinitionsError, VALUE_BYTES_MAX};

/// Notes how far the journal is synced.
const NOTE: &str = "definitions.synced";

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

/// The journal's files, newest last.
fn journals(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let named =
        |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("definitions.journal");
    let mut journals: Vec<_> = entries.filter(named).collect();
    journals.sort();
    journals
}

/// Copies the folder as it is, as if the power failed now.
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
    let noted = std::fs::read(dir.path().join(NOTE)).unwrap();
    definitions.commit(&[set("b", "2"), set("c", "3")]).unwrap();
    copy(dir.path(), killed.path());
    // It was never acknowledged.
    std::fs::write(killed.path().join(NOTE), noted).unwrap();
    let journal = journals(killed.path()).pop().unwrap();
    let bytes = std::fs::read(&journal).unwrap();
    std::fs::write(&journal, &bytes[..bytes.len() - 3]).unwrap();
    let reopened = open(killed.path());
    assert_eq!(all(&reopened), [pair("a", "1")]);
    reopened.commit(&[set("d", "4")]).unwrap();
    drop(reopened);
    assert_eq!(all(&open(killed.path())), [pair("a", "1"), pair("d", "4")]);
}

#[test]
fn an_answered_commit_that_is_cut_off_is_told_and_so_is_an_older_copy() {
    let dir = tempfile::tempdir().unwrap();
    let definitions = open(dir.path());
    definitions.commit(&[set("a", "1")]).unwrap();
    let journal = journals(dir.path()).pop().unwrap();
    let older = std::fs::read(&journal).unwrap();
    definitions.commit(&[set("b", "2")]).unwrap();
    let bytes = std::fs::read(&journal).unwrap();
    for kept in [&[][..], &bytes[..1], &bytes[..60], &older, &bytes[..bytes.len() - 1]] {
        let damaged = tempfile::tempdir().unwrap();
        copy(dir.path(), damaged.path());
        std::fs::write(damaged.path().join(journal.file_name().unwrap()), kept).unwrap();
        let (reopened, findings) = Definitions::open(damaged.path()).unwrap();
        let told: Vec<_> = findings.iter().map(|finding| finding.what.as_str()).collect();
        assert!(told.iter().any(|what| what.contains("are lost")), "{} bytes: {told:?}", kept.len());
        drop(reopened);
        open(damaged.path());
    }
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
    std::fs::remove_file(dir.path().join("definitions.snapshot.json")).unwrap();
    for journal in journals(dir.path()) {
        std::fs::remove_file(journal).unwrap();
    }
    let (definitions, findings) = Definitions::open(dir.path()).unwrap();
    assert_eq!(all(&definitions), expected);
    // Only the database remains to tell whether that is all.
    let named: Vec<_> = findings.iter().map(|finding| finding.file.as_str()).collect();
    assert_eq!(named, ["definitions.snapshot.json", "definitions.journal"]);
}

#[test]
fn a_value_that_is_too_long_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let definitions = open(dir.path());
    let error = definitions.commit(&[set("long", &"x".repeat(VALUE_BYTES_MAX + 1))]);
    assert!(matches!(error, Err(DefinitionsError::TooLong { key }) if key == "long"));
}

/// A folder after a kill: most of it in the database and the snapshot, the last changes in the journal only.
fn killed_folder(to: &Path) -> Vec<(String, String)> {
    let dir = tempfile::tempdir().unwrap();
    for run in 0..3 {
        let definitions = open(dir.path());
        for n in 0..12 {
            let name = format!("queue\0/\0run {run} number {n}");
            definitions.commit(&[set(&name, &format!("{{\"id\":{}}}", run * 100 + n))]).unwrap();
        }
        definitions.commit(&[("queue\0/\0run 0 number 3".into(), None)]).unwrap();
    }
    let definitions = open(dir.path());
    definitions.commit(&[set("queue\0/\0last", "of all")]).unwrap();
    copy(dir.path(), to);
    all(&definitions)
}

/// Additional damage in the folder.
#[derive(Clone, Copy, Debug)]
enum Beside {
    AllThere,
    NoSnapshot,
    DamagedSnapshot,
    NeitherSnapshotNorJournal,
}

impl Beside {
    fn make(self, dir: &Path) {
        let snapshot = dir.join("definitions.snapshot.json");
        match self {
            Self::AllThere => {}
            Self::NoSnapshot => std::fs::remove_file(snapshot).unwrap(),
            Self::DamagedSnapshot => {
                let mut bytes = std::fs::read(&snapshot).unwrap();
                let at = bytes.windows(5).position(|word| word == b"run 1").unwrap();
                bytes[at] ^= 1;
                std::fs::write(snapshot, bytes).unwrap();
            }
            Self::NeitherSnapshotNorJournal => {
                std::fs::remove_file(snapshot).unwrap();
                for journal in journals(dir) {
                    std::fs::remove_file(journal).unwrap();
                }
            }
        }
    }
}

/// `LEVERET_FLIP_STEP=1`: every byte.
#[test]
fn a_flipped_byte_of_the_database_loses_nothing_in_silence() {
    let step: usize = std::env::var("LEVERET_FLIP_STEP").map_or(997, |text| text.parse().unwrap());
    let original = tempfile::tempdir().unwrap();
    let expected = killed_folder(original.path());
    let database = std::fs::read(original.path().join("definitions/db")).unwrap();
    let written = database.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    for at in (0..written).step_by(step) {
        for beside in
            [Beside::AllThere, Beside::NoSnapshot, Beside::DamagedSnapshot, Beside::NeitherSnapshotNorJournal]
        {
            let what = format!("byte {at} of {written}, {beside:?}");
            let dir = tempfile::tempdir().unwrap();
            copy(original.path(), dir.path());
            beside.make(dir.path());
            let mut damaged = database.clone();
            damaged[at] ^= 0x41;
            std::fs::write(dir.path().join("definitions/db"), damaged).unwrap();
            let (definitions, findings) =
                Definitions::open(dir.path()).unwrap_or_else(|error| panic!("{what}: {error}"));
            let found = all(&definitions);
            if matches!(beside, Beside::AllThere) {
                assert_eq!(found, expected, "{what}");
            }
            let told = findings
                .iter()
                .any(|finding| finding.what.contains("lost") || finding.what.contains("newest"));
            assert!(told || found == expected, "{what}: {findings:?}");
            // Ids of what is lost are not issued again.
            let id = definitions.next_id().unwrap();
            assert!(!told || id > 1 << 32, "{what}: {id}");
            // The next start has the same, though damage to the database may only show now.
            drop(definitions);
            let (definitions, findings) = Definitions::open(dir.path()).unwrap();
            assert_eq!(all(&definitions), found, "{what}");
            assert!(!findings.iter().any(|finding| finding.what.contains("lost")), "{what}: {findings:?}");
        }
    }
}

#[test]
fn a_database_that_is_older_than_the_snapshot_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let old = tempfile::tempdir().unwrap();
    open(dir.path()).commit(&[set("a", "1"), set("gone", "x")]).unwrap();
    copy(&dir.path().join("definitions"), old.path());
    open(dir.path()).commit(&[set("b", "2"), ("gone".into(), None)]).unwrap();
    std::fs::remove_dir_all(dir.path().join("definitions")).unwrap();
    copy(old.path(), &dir.path().join("definitions"));
    let (definitions, findings) = Definitions::open(dir.path()).unwrap();
    assert_eq!(all(&definitions), [pair("a", "1"), pair("b", "2")]);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].what.contains("has fallen back to revision"), "{findings:?}");

    // Without the snapshot the journal shows how much is lost.
    drop(definitions);
    std::fs::remove_dir_all(dir.path().join("definitions")).unwrap();
    copy(old.path(), &dir.path().join("definitions"));
    std::fs::remove_file(dir.path().join("definitions.snapshot.json")).unwrap();
    let (definitions, findings) = Definitions::open(dir.path()).unwrap();
    assert_eq!(all(&definitions), [pair("a", "1"), pair("gone", "x")]);
    assert!(findings.iter().any(|finding| finding.what.contains("are lost")), "{findings:?}");
}

#[test]
fn what_earlier_versions_left_is_read() {
    fn frame(revision: u64, key: &str, value: &str) -> Vec<u8> {
        let mut payload = revision.to_le_bytes().to_vec();
        payload.extend(u32::try_from(key.len()).unwrap().to_le_bytes());
        payload.extend(key.as_bytes());
        payload.push(1);
        payload.extend(u32::try_from(value.len()).unwrap().to_le_bytes());
        payload.extend(value.as_bytes());
        let len = u32::try_from(payload.len()).unwrap().to_le_bytes();
        let crc = crc32c::crc32c_append(crc32c::crc32c(&len), &payload).to_le_bytes();
        [&len[..], &crc[..], &payload[..]].concat()
    }
    let dir = tempfile::tempdir().unwrap();
    let snapshot = r#"{"format": 1, "revision": 2, "definitions": {"a": "1", "raw": {"hex": "ff00"}}}"#;
    std::fs::write(dir.path().join("definitions.snapshot.json"), snapshot).unwrap();
    let old = [frame(2, "a", "1"), frame(3, "b", "2")].concat();
    std::fs::write(dir.path().join("definitions.journal.old"), old).unwrap();
    let journal = frame(4, "c", "3");
    std::fs::write(dir.path().join("definitions.journal"), [&journal[..], &journal[..10]].concat()).unwrap();
    let (definitions, findings) = Definitions::open(dir.path()).unwrap();
    let keys: Vec<_> = definitions.all().into_iter().map(|(key, _)| key.to_string()).collect();
    assert_eq!(keys, ["a", "b", "c", "raw"]);
    assert_eq!(findings.len(), 1, "the database is missing: {findings:?}");
    drop(definitions);
    // They are removed once the snapshot has everything.
    let left: Vec<_> = journals(dir.path()).iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(left, ["definitions.journal.1"]);
    assert_eq!(open(dir.path()).all().len(), 4);
}

/// All files of the definitions, including the database's own.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files = journals(dir);
    files.push(dir.join("definitions.snapshot.json"));
    for entry in std::fs::read_dir(dir.join("definitions")).unwrap() {
        files.extend(Some(entry.unwrap().path()).filter(|path| path.is_file()));
    }
    files.sort();
    files
}

/// Flips bytes, truncates files or removes them. Returns what it did.
fn mutate(dir: &Path, random: &mut impl FnMut(usize) -> usize) -> String {
    let files = files(dir);
    let mut done = Vec::new();
    for _ in 0..=random(3) {
        let path = &files[random(files.len())];
        let Ok(mut bytes) = std::fs::read(path) else { continue };
        let what = match random(5) {
            0 => {
                bytes.truncate(random(bytes.len() + 1));
                format!("cut to {}", bytes.len())
            }
            1 => {
                bytes.clear();
                "emptied".to_owned()
            }
            _ if bytes.is_empty() => continue,
            _ => {
                let at = random(bytes.len());
                bytes[at] ^= u8::try_from(1 + random(255)).unwrap();
                format!("changed at {at}")
            }
        };
        std::fs::write(path, bytes).unwrap();
        done.push(format!("{}: {what}", path.file_name().unwrap().to_string_lossy()));
    }
    done.join(", ")
}

/// `LEVERET_MUTATIONS`: how many folders.
#[test]
fn a_mutated_folder_opens_and_what_is_missing_is_told() {
    let folders: usize = std::env::var("LEVERET_MUTATIONS").map_or(40, |text| text.parse().unwrap());
    let original = tempfile::tempdir().unwrap();
    let expected = killed_folder(original.path());
    for folder in 0..folders {
        let mut state = folder as u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % below
        };
        let dir = tempfile::tempdir().unwrap();
        copy(original.path(), dir.path());
        let done = mutate(dir.path(), &mut random);
        let what = format!("folder {folder}: {done}");
        let (definitions, findings) =
            Definitions::open(dir.path()).unwrap_or_else(|error| panic!("{what}: {error}"));
        let found = all(&definitions);
        assert!(found == expected || !findings.is_empty(), "{what}");
        definitions.commit(&[set("new", "one")]).unwrap_or_else(|error| panic!("{what}: {error}"));
        drop(definitions);
        let (definitions, _) =
            Definitions::open(dir.path()).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(all(&definitions).len(), found.len() + 1, "{what}");
    }
}
