//! A database in memory that stands in for one on disk while the disk has no room for it.
//!
//! Invariants: its content can be rebuilt without it; the database on disk is not opened before there is room, and
//! counts only once it has everything: its seal is written last.
//! Absent: how much room is enough (asked of the caller).

use std::collections::BTreeMap;

use parking_lot::RwLock;

use super::db::{Change, Db, DbError};

/// Changes per batch when the database on disk is filled: it frees nothing of what it replaces before a batch ends.
const BATCH: usize = 256;

/// The parameters of a [`StandIn`].
pub(crate) struct Terms<D> {
    /// Whether there is room on the disk.
    pub(crate) room: Box<dyn Fn() -> bool + Send + Sync>,
    /// Opens the database on disk.
    pub(crate) open: Box<dyn Fn() -> Result<D, DbError> + Send + Sync>,
    /// Whether a sync in memory counts as done: what others may then forget, they must be able to recover.
    pub(crate) syncs_in_memory: bool,
    /// The key without which the content on disk is not considered complete.
    pub(crate) seal: &'static [u8],
}

/// See the module.
pub(crate) struct StandIn<D> {
    terms: Terms<D>,
    state: RwLock<State<D>>,
}

enum State<D> {
    Memory(BTreeMap<Vec<u8>, Vec<u8>>),
    Disk(D),
}

impl<D: Db> StandIn<D> {
    /// An empty one.
    pub(crate) fn new(terms: Terms<D>) -> Self {
        Self { terms, state: RwLock::new(State::Memory(BTreeMap::new())) }
    }

    /// Writes everything to disk.
    fn fill(&self, entries: &BTreeMap<Vec<u8>, Vec<u8>>) -> Result<D, DbError> {
        let disk = (self.terms.open)()?;
        disk.clear()?;
        let change = |(key, value): (&Vec<u8>, &Vec<u8>)| (key.clone(), Some(value.clone()));
        let mut rest = entries.iter().filter(|(key, _)| *key != self.terms.seal).map(change).peekable();
        while rest.peek().is_some() {
            disk.apply(&rest.by_ref().take(BATCH).collect::<Vec<_>>())?;
        }
        disk.sync()?;
        if let Some(seal) = entries.get_key_value(self.terms.seal) {
            disk.apply(&[change(seal)])?;
            disk.sync()?;
        }
        Ok(disk)
    }
}

impl<D: Db> Db for StandIn<D> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DbError> {
        match &*self.state.read() {
            State::Memory(entries) => Ok(entries.get(key).cloned()),
            State::Disk(disk) => disk.get(key),
        }
    }

    fn scan(&self, prefix: &[u8], each: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), DbError> {
        match &*self.state.read() {
            State::Memory(entries) => {
                let found = entries.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
                found.for_each(|(key, value)| each(key, value));
                Ok(())
            }
            State::Disk(disk) => disk.scan(prefix, each),
        }
    }

    fn apply(&self, changes: &[Change]) -> Result<(), DbError> {
        match &mut *self.state.write() {
            State::Memory(entries) => {
                for (key, value) in changes {
                    match value {
                        Some(value) => entries.insert(key.clone(), value.clone()),
                        None => entries.remove(key),
                    };
                }
                Ok(())
            }
            State::Disk(disk) => disk.apply(changes),
        }
    }

    fn sync(&self) -> Result<(), DbError> {
        if let State::Disk(disk) = &*self.state.read() {
            return disk.sync();
        }
        let mut state = self.state.write();
        if let State::Memory(entries) = &*state
            && (self.terms.room)()
        {
            match self.fill(entries) {
                Ok(disk) => {
                    tracing::info!("data folder: there is room for a database again: it is on disk");
                    *state = State::Disk(disk);
                    return Ok(());
                }
                Err(error) => tracing::warn!(%error, "data folder: a database stays in memory"),
            }
        }
        if self.terms.syncs_in_memory {
            return Ok(());
        }
        Err(DbError::io("it is in memory, as there is no room for it on the disk"))
    }

    fn reopen(&self) -> Result<(), DbError> {
        match &*self.state.read() {
            State::Memory(_) => Ok(()),
            State::Disk(disk) => disk.reopen(),
        }
    }

    fn distrust(&self) -> Result<(), DbError> {
        match &*self.state.read() {
            State::Memory(_) => Ok(()),
            State::Disk(disk) => disk.distrust(),
        }
    }

    fn clear(&self) -> Result<(), DbError> {
        match &mut *self.state.write() {
            State::Memory(entries) => {
                entries.clear();
                Ok(())
            }
            State::Disk(disk) => disk.clear(),
        }
    }

    fn size(&self) -> u64 {
        match &*self.state.read() {
            State::Memory(_) => 0,
            State::Disk(disk) => disk.size(),
        }
    }

    fn lacks_room(&self) -> bool {
        !self.terms.syncs_in_memory && matches!(&*self.state.read(), State::Memory(_)) && !(self.terms.room)()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::sim::SimDb;

    fn stand_in(disk: &SimDb, syncs_in_memory: bool) -> (StandIn<SimDb>, Arc<AtomicBool>) {
        let room = Arc::new(AtomicBool::new(false));
        let (asked, disk) = (Arc::clone(&room), disk.clone());
        let terms = Terms {
            room: Box::new(move || asked.load(Ordering::Relaxed)),
            open: Box::new(move || Ok(disk.clone())),
            syncs_in_memory,
            seal: b"M",
        };
        (StandIn::new(terms), room)
    }

    fn all(db: &dyn Db) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut found = Vec::new();
        db.scan(b"", &mut |key, value| found.push((key.to_vec(), value.to_vec()))).unwrap();
        found
    }

    fn change(key: &str, value: Option<&str>) -> Change {
        (key.into(), value.map(|value| value.as_bytes().to_vec()))
    }

    #[test]
    fn without_room_all_is_in_memory_and_the_disk_is_not_touched() {
        let disk = SimDb::new(1);
        disk.apply(&[change("old", Some("x"))]).unwrap();
        let (db, _) = stand_in(&disk, true);
        assert_eq!(all(&db), []);
        db.apply(&[change("M", Some("7")), change("a", Some("1")), change("ab", Some("2"))]).unwrap();
        db.apply(&[change("a", None)]).unwrap();
        db.sync().unwrap();
        assert_eq!(db.get(b"ab").unwrap().unwrap(), b"2");
        assert_eq!(all(&disk).len(), 1);
        let (strict, _) = stand_in(&disk, false);
        assert!(strict.sync().unwrap_err().io, "what is not on disk is not synced");
    }

    #[test]
    fn with_room_everything_goes_to_the_disk_in_place_of_what_was_there() {
        let disk = SimDb::new(1);
        disk.apply(&[change("old", Some("x"))]).unwrap();
        let (db, room) = stand_in(&disk, false);
        let many = (0..1000).map(|n| change(&format!("a{n:04}"), Some("1"))).collect::<Vec<_>>();
        db.apply(&many).unwrap();
        db.apply(&[change("M", Some("7"))]).unwrap();
        room.store(true, Ordering::Relaxed);
        db.sync().unwrap();
        assert_eq!(all(&disk).len(), 1001);
        db.apply(&[change("later", Some("1"))]).unwrap();
        assert_eq!(all(&disk), all(&db));
    }

    #[test]
    fn what_fails_while_it_is_filled_is_not_taken_for_whole_and_is_tried_again() {
        for seed in 0..200 {
            let disk = SimDb::new(seed);
            let (db, room) = stand_in(&disk, true);
            let many = (0..1000).map(|n| change(&format!("a{n:04}"), Some("1"))).collect::<Vec<_>>();
            db.apply(&many).unwrap();
            db.apply(&[change("M", Some("7"))]).unwrap();
            disk.set_faults(crate::sim::Faults { index: 3, ..Default::default() });
            room.store(true, Ordering::Relaxed);
            db.sync().unwrap();
            assert_eq!(all(&db).len(), 1001);
            disk.crash();
            let found = all(&disk);
            assert!(found.len() == 1001 || !found.iter().any(|(key, _)| key == b"M"), "seed {seed}");
        }
    }
}
