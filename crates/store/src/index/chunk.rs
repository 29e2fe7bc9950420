//! About a thousand messages of one priority level of one queue: a summary in memory, positions in sled.
//!
//! Invariants: entries ascend by sequence number; the summary counts exactly the entries that are not dead; a chunk's
//! key (its first sequence number) never changes. The positions are written when the chunk is made or its entries
//! move; settles go into the small summary record.
//! Absent: sled.

use leveret_message::ids::Millis;

use crate::place::Place;

/// Most entries of a chunk.
pub(crate) const CHUNK_MESSAGES: usize = 1000;
/// Bytes in the log of a reference to another record's message.
const SHARED_WEIGHT: u32 = 48;

/// One message: its sequence number and its location in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub(crate) seq: u64,
    pub(crate) place: Place,
    /// Length of the record that holds the message.
    pub(crate) len: u32,
    pub(crate) body_len: u32,
    pub(crate) expires: Option<Millis>,
    pub(crate) delivery_count: u32,
    /// The record was written for another queue.
    pub(crate) shared: bool,
    pub(crate) dead: bool,
}

impl Entry {
    /// Bytes of the segment that it keeps alive.
    pub(crate) fn weight(&self) -> u64 {
        u64::from(if self.shared { SHARED_WEIGHT } else { self.len })
    }
}

/// A chunk's share of one segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Share {
    pub(crate) segment: u32,
    pub(crate) count: u32,
    pub(crate) bytes: u64,
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    /// Highest sequence number in it, dead or not.
    pub(crate) last: u64,
    /// Entries in it, dead or not.
    pub(crate) total: u32,
    pub(crate) live: u32,
    /// Sum of the body lengths of the live ones.
    pub(crate) bytes: u64,
    pub(crate) first_live: u64,
    pub(crate) last_live: u64,
    pub(crate) shares: Vec<Share>,
    /// The entries, if they are in memory.
    pub(crate) entries: Option<Vec<Entry>>,
    pub(crate) dirty_summary: bool,
    pub(crate) dirty_entries: bool,
    /// When it was last used, in checkpoints.
    pub(crate) used: u32,
}

impl Chunk {
    /// A new chunk of `entries` (not empty, ascending).
    pub(crate) fn new(entries: Vec<Entry>, used: u32) -> Self {
        let mut chunk = Self {
            last: entries.last().map_or(0, |e| e.seq),
            total: u32::try_from(entries.len()).unwrap_or(u32::MAX),
            live: 0,
            bytes: 0,
            first_live: 0,
            last_live: 0,
            shares: Vec::new(),
            entries: None,
            dirty_summary: true,
            dirty_entries: true,
            used,
        };
        for entry in entries.iter().filter(|e| !e.dead) {
            chunk.live += 1;
            chunk.bytes += u64::from(entry.body_len);
            chunk.add_share(entry);
        }
        chunk.entries = Some(entries);
        chunk.refresh_ends();
        chunk
    }

    pub(crate) fn add_share(&mut self, entry: &Entry) {
        let segment = entry.place.segment;
        match self.shares.iter_mut().find(|s| s.segment == segment) {
            Some(share) => {
                share.count += 1;
                share.bytes += entry.weight();
            }
            None => self.shares.push(Share { segment, count: 1, bytes: entry.weight() }),
        }
    }

    pub(crate) fn drop_share(&mut self, entry: &Entry) {
        let segment = entry.place.segment;
        if let Some(at) = self.shares.iter().position(|s| s.segment == segment) {
            let share = &mut self.shares[at];
            share.count = share.count.saturating_sub(1);
            share.bytes = share.bytes.saturating_sub(entry.weight());
            if share.count == 0 {
                self.shares.swap_remove(at);
            }
        }
    }

    /// Notes the death of `entry`, until now one of its live ones.
    pub(crate) fn note_dead(&mut self, entry: &Entry) {
        self.live -= 1;
        self.bytes -= u64::from(entry.body_len);
        self.drop_share(entry);
        self.dirty_summary = true;
    }

    /// Recomputes the bounds of the live entries; needs the entries.
    pub(crate) fn refresh_ends(&mut self) {
        if let Some(entries) = &self.entries {
            let live = |e: &&Entry| !e.dead;
            self.first_live = entries.iter().find(live).map_or(0, |e| e.seq);
            self.last_live = entries.iter().rev().find(live).map_or(0, |e| e.seq);
        }
    }

    /// The summary record: counts, shares, and which entries are dead or were returned.
    pub(crate) fn encode_summary(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        put(&mut out, self.last);
        put(&mut out, u64::from(self.total));
        put(&mut out, u64::from(self.live));
        put(&mut out, self.bytes);
        put(&mut out, self.first_live);
        put(&mut out, self.last_live);
        put(&mut out, self.shares.len() as u64);
        for share in &self.shares {
            put(&mut out, u64::from(share.segment));
            put(&mut out, u64::from(share.count));
            put(&mut out, share.bytes);
        }
        let entries = self.entries.as_deref().unwrap_or(&[]);
        let returned: Vec<_> =
            (0u64..).zip(entries).filter(|(_, e)| e.delivery_count > 0 && !e.dead).collect();
        put(&mut out, returned.len() as u64);
        for (index, entry) in returned {
            put(&mut out, index);
            put(&mut out, u64::from(entry.delivery_count));
        }
        if self.live < self.total {
            let mut bitmap = vec![0u8; entries.len().div_ceil(8)];
            for (index, entry) in entries.iter().enumerate() {
                bitmap[index / 8] |= u8::from(entry.dead) << (index % 8);
            }
            out.extend_from_slice(&bitmap);
        }
        out
    }

    /// Reads a summary record; the entries stay in sled.
    pub(crate) fn decode_summary(bytes: &[u8]) -> Option<Self> {
        let (chunk, _) = decode_summary(bytes)?;
        Some(chunk)
    }

    /// The positions record.
    pub(crate) fn encode_entries(&self, first: u64) -> Vec<u8> {
        let entries = self.entries.as_deref().unwrap_or(&[]);
        let mut out = Vec::with_capacity(8 * entries.len() + 8);
        put(&mut out, entries.len() as u64);
        let (mut seq, mut segment, mut end) = (first, 0u32, 0u32);
        for entry in entries {
            let flags = u8::from(entry.expires.is_some())
                | u8::from(entry.shared) << 1
                | u8::from(entry.place.segment != segment) << 2
                | u8::from(entry.place.offset != end) << 3;
            out.push(flags);
            put(&mut out, entry.seq - seq);
            if flags & 4 != 0 {
                put(&mut out, u64::from(entry.place.segment));
            }
            if flags & 8 != 0 {
                put(&mut out, u64::from(entry.place.offset / 8));
            }
            put(&mut out, u64::from(entry.len / 8));
            put(&mut out, u64::from(entry.len.saturating_sub(entry.body_len)));
            if let Some(expires) = entry.expires {
                put(&mut out, expires.0);
            }
            seq = entry.seq;
            segment = entry.place.segment;
            end = entry.place.offset.saturating_add(entry.len);
        }
        out
    }

    /// Reads both records of the chunk that starts at `first`.
    pub(crate) fn decode_entries(first: u64, entries: &[u8], summary: &[u8]) -> Option<Vec<Entry>> {
        let mut input = entries;
        let count = usize::try_from(get(&mut input)?).ok()?;
        let mut out = Vec::with_capacity(count.min(entries.len()));
        let (mut seq, mut segment, mut end) = (first, 0u32, 0u32);
        for _ in 0..count {
            let (&flags, rest) = input.split_first()?;
            input = rest;
            seq = seq.checked_add(get(&mut input)?)?;
            if flags & 4 != 0 {
                segment = get_u32(&mut input)?;
            }
            let offset = if flags & 8 != 0 { get_u32(&mut input)?.checked_mul(8)? } else { end };
            let len = get_u32(&mut input)?.checked_mul(8)?;
            let body_len = len.checked_sub(get_u32(&mut input)?)?;
            let expires = if flags & 1 != 0 { Some(Millis(get(&mut input)?)) } else { None };
            end = offset.checked_add(len)?;
            out.push(Entry {
                seq,
                place: Place { segment, offset },
                len,
                body_len,
                expires,
                delivery_count: 0,
                shared: flags & 2 != 0,
                dead: false,
            });
        }
        let (_, rest) = decode_summary(summary)?;
        let mut input = rest;
        for _ in 0..get(&mut input)? {
            let index = usize::try_from(get(&mut input)?).ok()?;
            out.get_mut(index)?.delivery_count = get_u32(&mut input)?;
        }
        if !input.is_empty() {
            for (index, entry) in out.iter_mut().enumerate() {
                entry.dead = input.get(index / 8)? >> (index % 8) & 1 == 1;
            }
        }
        Some(out)
    }
}

/// The summary, and the bytes after its fixed part.
fn decode_summary(bytes: &[u8]) -> Option<(Chunk, &[u8])> {
    let mut input = bytes;
    let mut chunk = Chunk {
        last: get(&mut input)?,
        total: get_u32(&mut input)?,
        live: get_u32(&mut input)?,
        bytes: get(&mut input)?,
        first_live: get(&mut input)?,
        last_live: get(&mut input)?,
        shares: Vec::new(),
        entries: None,
        dirty_summary: false,
        dirty_entries: false,
        used: 0,
    };
    for _ in 0..get(&mut input)? {
        chunk.shares.push(Share {
            segment: get_u32(&mut input)?,
            count: get_u32(&mut input)?,
            bytes: get(&mut input)?,
        });
    }
    Some((chunk, input))
}

/// Appends a number, seven bits per byte.
pub(crate) fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// Takes a number from the front.
pub(crate) fn get(input: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = input.split_first()?;
        *input = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn get_u32(input: &mut &[u8]) -> Option<u32> {
    u32::try_from(get(input)?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry() -> impl Strategy<Value = Entry> {
        (
            (1u64..50, 1u32..9, 8u32..1 << 20, 2u32..1000),
            (proptest::option::of(any::<u64>()), 0u32..3, any::<bool>(), any::<bool>()),
        )
            .prop_map(|((gap, segment, offset, len), (expires, count, shared, dead))| Entry {
                seq: gap,
                place: Place { segment, offset: offset * 8 },
                len: len * 8,
                body_len: len * 8 - 16,
                expires: expires.map(Millis),
                delivery_count: if dead { 0 } else { count },
                shared,
                dead,
            })
    }

    proptest! {
        #[test]
        fn a_chunk_comes_back_as_it_was_written(mut entries in proptest::collection::vec(entry(), 1..50)) {
            let mut seq = 0;
            for entry in &mut entries {
                seq += entry.seq;
                entry.seq = seq;
            }
            let first = entries[0].seq;
            let chunk = Chunk::new(entries.clone(), 0);
            let summary = chunk.encode_summary();
            let read = Chunk::decode_entries(first, &chunk.encode_entries(first), &summary);
            prop_assert_eq!(read, Some(entries));
            let read = Chunk::decode_summary(&summary).unwrap();
            prop_assert_eq!((read.live, read.bytes, read.shares), (chunk.live, chunk.bytes, chunk.shares));
            prop_assert_eq!((read.first_live, read.last_live, read.last), (chunk.first_live, chunk.last_live, chunk.last));
        }

        #[test]
        fn damaged_records_are_refused_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Chunk::decode_summary(&bytes);
            let _ = Chunk::decode_entries(1, &bytes, &bytes);
        }
    }
}
