//! A secret for each use of a file, which distinguishes its records from all other bytes.
//!
//! A file may still hold the content of an earlier use, and records hold client data. Neither can be taken for a
//! record of this use: a record's head carries the salt's mark, and its CRC starts from the salt's secret, 64 random
//! bits that never leave the disk.
//! Invariants: a new salt for each use of a file; never shown. Absent: files, the meaning of records.

use std::fmt;
use std::io;

use super::platform;
use crate::bytes::u32_at;

/// See the module.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Salt {
    mark: u32,
    start: u32,
}

impl Salt {
    /// Its bytes in a file's head.
    pub(crate) const LEN: usize = 8;

    /// A new one, from the system's random numbers.
    pub(crate) fn new() -> io::Result<Self> {
        let mut bytes = [0; Self::LEN];
        platform::fill_random(&mut bytes)?;
        Ok(Self::from_bytes(bytes))
    }

    /// Decodes the salt from a file's head.
    pub(crate) fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self { mark: u32_at(&bytes, 0), start: u32_at(&bytes, 4) }
    }

    /// Encodes the salt for a file's head.
    pub(crate) fn to_bytes(self) -> [u8; Self::LEN] {
        (u64::from(self.start) << 32 | u64::from(self.mark)).to_le_bytes()
    }

    /// The mark in each record's head.
    pub(crate) fn mark(self) -> u32 {
        self.mark
    }

    /// The initial value of each record's CRC32C.
    pub(crate) fn start(self) -> u32 {
        self.start
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_another_and_is_read_back_as_it_was() {
        let (a, b) = (Salt::new().unwrap(), Salt::new().unwrap());
        assert_ne!(a, b);
        assert_eq!(Salt::from_bytes(a.to_bytes()), a);
        assert_eq!(format!("{a:?}"), "Salt(..)");
    }
}
