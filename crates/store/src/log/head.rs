//! The head of a segment file: its number, and how its records are recognised.
//!
//! Version 2, written here: a block of 4 KiB of its own, which no later write touches, with two copies of magic,
//! version, number, CRC32C of these, salt, CRC32C of all. Version 1, read only: 64 bytes, no salt; records are
//! recognised by the segment's number. Every version keeps magic, version, number and the first CRC, so that each
//! program can recognise files of other versions. Absent: which files exist.

use std::io;

use super::format::Seal;
use crate::bytes::{get_u32, u32_at};
use crate::disk::LogFile;
use crate::salt::Salt;

/// The version written. Files of version 1 are read as well.
pub(crate) const FORMAT_VERSION: u32 = 2;
/// Bytes before the first record of a segment.
pub(crate) const SEGMENT_HEAD: u32 = 4096;
/// The same in version 1.
const SEGMENT_HEAD_1: u32 = 64;
/// Offsets of the copies: far enough apart that one bad sector leaves the other.
const COPIES: [usize; 2] = [0, 2048];

const MAGIC: [u8; 8] = *b"LEVRTLOG";

/// The head of segment `number`.
pub(crate) fn segment_head(number: u32, salt: Salt) -> Vec<u8> {
    let mut head = vec![0; SEGMENT_HEAD as usize];
    for at in COPIES {
        let copy = &mut head[at..at + 32];
        copy[..8].copy_from_slice(&MAGIC);
        copy[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        copy[12..16].copy_from_slice(&number.to_le_bytes());
        let crc = crc32c::crc32c(&copy[..16]);
        copy[16..20].copy_from_slice(&crc.to_le_bytes());
        copy[20..28].copy_from_slice(&salt.to_bytes());
        let crc = crc32c::crc32c(&copy[..28]);
        copy[28..32].copy_from_slice(&crc.to_le_bytes());
    }
    head
}

/// Content of a segment's head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SegmentHead {
    /// This segment.
    Number(u32, Seal),
    /// A whole head of a version unknown to this program.
    OtherVersion(u32),
    /// Not a head.
    Invalid,
}

/// Reads the head of a segment's file.
pub(crate) fn read_head(file: &dyn LogFile) -> io::Result<SegmentHead> {
    let mut head = [0; SEGMENT_HEAD as usize];
    let read = file.read_at(&mut head, 0)?;
    Ok(parse_segment_head(&head[..read]))
}

pub(super) fn parse_segment_head(bytes: &[u8]) -> SegmentHead {
    let copies = COPIES.map(|at| parse_copy(bytes.get(at..).unwrap_or(&[])));
    let whole = copies.into_iter().find(|copy| *copy != SegmentHead::Invalid);
    whole.unwrap_or(SegmentHead::Invalid)
}

fn parse_copy(bytes: &[u8]) -> SegmentHead {
    let crc_holds = |len: usize| get_u32(bytes, len).is_some_and(|crc| crc == crc32c::crc32c(&bytes[..len]));
    if !bytes.starts_with(&MAGIC) || !crc_holds(16) {
        return SegmentHead::Invalid;
    }
    let number = u32_at(bytes, 12);
    match u32_at(bytes, 8) {
        1 => SegmentHead::Number(number, seal_1(number)),
        FORMAT_VERSION if crc_holds(28) => {
            let salt = bytes.get(20..20 + Salt::LEN).and_then(|salt| salt.try_into().ok());
            salt.map_or(SegmentHead::Invalid, |salt| {
                SegmentHead::Number(number, seal(Salt::from_bytes(salt)))
            })
        }
        FORMAT_VERSION => SegmentHead::Invalid,
        other => SegmentHead::OtherVersion(other),
    }
}

/// The seal of a segment with this salt.
pub(crate) fn seal(salt: Salt) -> Seal {
    Seal { mark: salt.mark(), start: salt.start(), records_at: SEGMENT_HEAD, salted: true }
}

/// The seal of a segment of version 1.
pub(crate) fn seal_1(number: u32) -> Seal {
    Seal { mark: number, start: 0, records_at: SEGMENT_HEAD_1, salted: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

    #[test]
    fn one_damaged_copy_leaves_the_other() {
        let head = segment_head(9, Salt::from_bytes(SALT));
        let wanted = parse_segment_head(&head);
        let SegmentHead::Number(9, seal) = wanted else { panic!("{wanted:?}") };
        assert_eq!((seal.mark, seal.start), (0x0403_0201, 0x0807_0605));
        for at in 0..head.len() {
            for bit in 0..8 {
                let mut flipped = head.clone();
                flipped[at] ^= 1 << bit;
                assert_eq!(parse_segment_head(&flipped), wanted, "byte {at}, bit {bit}");
            }
        }
        let mut both = head;
        both[30] ^= 1;
        both[2048] ^= 1;
        assert_eq!(parse_segment_head(&both), SegmentHead::Invalid);
        assert_eq!(parse_segment_head(&[]), SegmentHead::Invalid);
    }

    #[test]
    fn a_version_that_is_not_known_is_told() {
        let mut head = segment_head(9, Salt::from_bytes(SALT));
        head[8] = 3;
        let crc = crc32c::crc32c(&head[..16]).to_le_bytes();
        head[16..20].copy_from_slice(&crc);
        assert_eq!(parse_segment_head(&head), SegmentHead::OtherVersion(3));
    }
}
