//! Which queues have delivered since the store was opened, in a file of its own beside the segments.
//!
//! A queue is recorded before its first delivery, at once and without a sync, and only once. So the file is exact
//! after the end of the process, however that happened: messages in such a queue may have been delivered, messages in
//! others have not. After a power cut, detected by the system's boot id, nothing is known and everything may have
//! been. A clean shutdown is recorded in the file's head; then the log's own marks are exact. Absent: the
//! consequences (`recover`).

use std::io::{self, IoSlice};
use std::sync::Arc;

use leveret_message::ids::QueueId;
use parking_lot::Mutex;
use rustc_hash::FxHashSet;

use crate::bytes::{u32_at, u64_at};
use crate::disk::{Disk, LogFile};
use crate::salt::Salt;

/// Its name in the log's folder.
pub(crate) const SERVED_NAME: &str = "served";
const MAGIC: [u8; 8] = *b"LEVRTSRV";
/// Magic, boot id, salt, state, CRC32C of these.
const HEAD: usize = 40;
/// Offset of the queue entries in bytes: each is an id, the salt's mark, and a CRC32C started from the salt.
const QUEUES_AT: usize = 64;
const QUEUE: usize = 16;
/// The file's initial length in bytes: most brokers need no more room later.
const RESERVED: u64 = 64 << 10;
/// Beyond this many, queues are not recorded individually.
const QUEUES_MAX: usize = 64 << 10;

/// The state in the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
enum State {
    /// The store was closed: its own marks say what was delivered.
    Closed = 1,
    /// The recorded queues may have delivered.
    Named = 2,
    /// Any queue may have delivered.
    Any = 3,
}

/// What may have been delivered in the last run, beyond the log's marks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Seen {
    /// Nothing.
    Marked,
    /// Everything in these queues.
    Of(FxHashSet<u64>),
    /// Everything.
    All,
}

impl Seen {
    /// Reads the file in `disk`; a missing one dates from before it was kept.
    pub(crate) fn read(disk: &dyn Disk) -> io::Result<Self> {
        let file = match disk.open(SERVED_NAME) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::Marked),
            Err(error) => return Err(error),
        };
        let mut bytes = vec![0; usize::try_from(file.size()?).map_err(io::Error::other)?];
        let read = file.read_at(&mut bytes, 0)?;
        Ok(parse(&bytes[..read], disk.boot()))
    }
}

fn parse(bytes: &[u8], boot: Option<[u8; 16]>) -> Seen {
    let whole =
        bytes.len() >= HEAD && bytes.starts_with(&MAGIC) && u32_at(bytes, 36) == crc32c::crc32c(&bytes[..36]);
    if !whole {
        return Seen::All;
    }
    match u32_at(bytes, 32) {
        state if state == State::Closed as u32 => return Seen::Marked,
        state if state == State::Named as u32 && boot.is_some_and(|boot| bytes[8..24] == boot) => {}
        _ => return Seen::All,
    }
    let salt = Salt::from_bytes(u64_at(bytes, 24).to_le_bytes());
    let mut queues = FxHashSet::default();
    let mut over = false;
    for slot in bytes.get(QUEUES_AT..).unwrap_or(&[]).chunks_exact(QUEUE) {
        if slot[8..12] != salt.mark().to_le_bytes() {
            over = true;
            continue;
        }
        if over || u32_at(slot, 12) != crc32c::crc32c_append(salt.start(), &slot[..12]) {
            return Seen::All;
        }
        queues.insert(u64_at(slot, 0));
    }
    Seen::Of(queues)
}

fn head(boot: [u8; 16], salt: Salt, state: State) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(&MAGIC);
    head[8..24].copy_from_slice(&boot);
    head[24..32].copy_from_slice(&salt.to_bytes());
    head[32..36].copy_from_slice(&(state as u32).to_le_bytes());
    let crc = crc32c::crc32c(&head[..36]);
    head[36..].copy_from_slice(&crc.to_le_bytes());
    head
}

struct Open {
    file: Arc<dyn LogFile>,
    boot: [u8; 16],
    salt: Salt,
}

impl Open {
    fn say(&self, state: State) -> io::Result<()> {
        self.file.write_at(&mut [IoSlice::new(&head(self.boot, self.salt, state))], 0)
    }
}

/// What has been noted of a run.
enum Noted {
    Named(FxHashSet<u64>),
    /// That any queue may have delivered, since not all could be recorded.
    Any,
    /// Not even that: it is tried again.
    Nothing,
}

/// See the module.
pub(crate) struct Served {
    noted: Mutex<Noted>,
    open: Open,
}

impl Served {
    /// Begins a run: from now on only what is noted counts. Durable when it returns Ok.
    pub(crate) fn begin(disk: &dyn Disk) -> io::Result<Self> {
        let file = match disk.open(SERVED_NAME) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => disk.create(SERVED_NAME, RESERVED)?,
            other => other?,
        };
        // Without a boot id nothing is known after an unclean end.
        let (boot, state) = disk.boot().map_or(([0; 16], State::Any), |boot| (boot, State::Named));
        let open = Open { file, boot, salt: disk.salt()? };
        open.say(state)?;
        open.file.sync_data()?;
        disk.sync_dir()?;
        Ok(Self { noted: Mutex::new(Noted::Named(FxHashSet::default())), open })
    }

    /// Messages of `queue` are about to be delivered, for the first time or again.
    pub(crate) fn note(&self, queue: QueueId) {
        let mut noted = self.noted.lock();
        match &mut *noted {
            Noted::Named(queues) => {
                if queues.contains(&queue.0) {
                    return;
                }
                match self.write(queues.len(), queue) {
                    Ok(()) => {
                        queues.insert(queue.0);
                        return;
                    }
                    Err(error) => tracing::warn!(
                        %error,
                        "after an end that is not orderly all messages will count as delivered before"
                    ),
                }
            }
            Noted::Any => return,
            Noted::Nothing => {}
        }
        *noted = match self.open.say(State::Any) {
            Ok(()) => Noted::Any,
            Err(error) => {
                tracing::error!(%error, "what is delivered cannot be noted");
                Noted::Nothing
            }
        };
    }

    /// Whether the next start will know what was delivered, however this run ends.
    #[cfg(test)]
    pub(crate) fn is_noted(&self) -> bool {
        !matches!(&*self.noted.lock(), Noted::Nothing)
    }

    /// Whether it will know for each queue.
    #[cfg(test)]
    pub(crate) fn is_named(&self) -> bool {
        matches!(&*self.noted.lock(), Noted::Named(_))
    }

    fn write(&self, count: usize, queue: QueueId) -> io::Result<()> {
        if count == QUEUES_MAX {
            return Err(io::Error::other("more queues than are counted one by one"));
        }
        let mut slot = [0; QUEUE];
        slot[..8].copy_from_slice(&queue.0.to_le_bytes());
        slot[8..12].copy_from_slice(&self.open.salt.mark().to_le_bytes());
        let crc = crc32c::crc32c_append(self.open.salt.start(), &slot[..12]);
        slot[12..].copy_from_slice(&crc.to_le_bytes());
        self.open.file.write_at(&mut [IoSlice::new(&slot)], (QUEUES_AT + count * QUEUE) as u64)
    }

    /// Ends a run cleanly: the log and its index hold everything. Durable when it returns Ok.
    pub(crate) fn end(&self) -> io::Result<()> {
        self.open.say(State::Closed)?;
        self.open.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::SimDisk;

    fn noted(queues: &[u64]) -> SimDisk {
        let disk = SimDisk::new(5);
        let served = Served::begin(&disk).unwrap();
        for queue in queues.iter().chain(queues) {
            served.note(QueueId(*queue));
        }
        disk
    }

    #[test]
    fn a_killed_process_leaves_what_it_noted_and_a_power_cut_nothing_that_is_sure() {
        let disk = noted(&[3, 9]);
        assert_eq!(Seen::read(&disk).unwrap(), Seen::Of([3, 9].into_iter().collect()));
        // The next run starts anew.
        let served = Served::begin(&disk).unwrap();
        assert_eq!(Seen::read(&disk).unwrap(), Seen::Of(FxHashSet::default()));
        served.note(QueueId(4));
        assert_eq!(Seen::read(&disk).unwrap(), Seen::Of([4].into_iter().collect()));
        disk.crash();
        assert_eq!(Seen::read(&disk).unwrap(), Seen::All);
        Served::begin(&disk).unwrap().end().unwrap();
        disk.crash();
        assert_eq!(Seen::read(&disk).unwrap(), Seen::Marked);
    }

    #[test]
    fn damage_makes_everything_count_as_delivered() {
        let disk = noted(&[3, 9, 4]);
        let whole = disk.read(SERVED_NAME).unwrap();
        for at in (0..HEAD).chain(QUEUES_AT..QUEUES_AT + 3 * QUEUE) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            let seen = parse(&bytes, disk.boot());
            // The last mark is what shows that there is another queue.
            let last = (QUEUES_AT + 2 * QUEUE + 8..QUEUES_AT + 2 * QUEUE + 12).contains(&at);
            assert!(last || seen == Seen::All, "byte {at}: {seen:?}");
        }
        assert_eq!(parse(&whole, None), Seen::All);
        assert_eq!(parse(&[], disk.boot()), Seen::All);
    }

    #[test]
    fn more_queues_than_are_counted_are_all_queues() {
        let all: Vec<u64> = (1..=QUEUES_MAX as u64).collect();
        let disk = noted(&all);
        assert_eq!(Seen::read(&disk).unwrap(), Seen::Of(all.into_iter().collect()));
        let disk = noted(&(1..=QUEUES_MAX as u64 + 2).collect::<Vec<_>>());
        assert_eq!(Seen::read(&disk).unwrap(), Seen::All);
    }
}
