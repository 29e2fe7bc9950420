//! The store's system-specific calls. `linux.rs` is what is measured and tested; `portable.rs` needs only the
//! standard library, for other Unix systems. The feature `portable` selects it on Linux too, so that its tests run
//! there.
//!
//! Syncing is not among them: `File::sync_data` and `File::sync_all` are `fdatasync` and `fsync`, and on Apple's
//! systems both are `F_FULLFSYNC`, without which a drive there may keep data in its cache.

#[cfg(all(target_os = "linux", not(feature = "portable")))]
mod linux;
#[cfg(not(all(target_os = "linux", not(feature = "portable"))))]
mod portable;

#[cfg(all(target_os = "linux", not(feature = "portable")))]
pub(crate) use linux::{fill_random, forget_cached, reserve, write_some_at};
#[cfg(not(all(target_os = "linux", not(feature = "portable"))))]
pub(crate) use portable::{fill_random, forget_cached, reserve, write_some_at};

/// Identifies the current boot of the system; `None` where not available.
pub(crate) fn boot_id() -> Option<[u8; 16]> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let digits = text.trim().replace('-', "");
    u128::from_str_radix(&digits, 16).ok().map(u128::to_le_bytes)
}

#[cfg(test)]
mod tests {
    use std::io::{self, IoSlice};
    use std::os::unix::fs::FileExt;

    use super::{fill_random, reserve, write_some_at};

    #[test]
    fn a_reserved_file_is_that_long_and_reads_as_zeros() {
        let file = tempfile::tempfile().unwrap();
        reserve(&file, 10_000).unwrap();
        let mut bytes = vec![1; 10_001];
        assert_eq!((file.read_at(&mut bytes, 0).unwrap(), bytes[0], bytes[9_999]), (10_000, 0, 0));
        reserve(&file, 0).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 10_000);
    }

    #[test]
    fn parts_are_written_in_a_row_from_the_offset_on() {
        let file = tempfile::tempfile().unwrap();
        let mut parts = [IoSlice::new(b""), IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde")];
        let (mut rest, mut offset) = (&mut parts[..], 3);
        while rest.iter().any(|part| !part.is_empty()) {
            let written = write_some_at(&file, rest, offset).unwrap();
            assert!(written > 0);
            offset += written as u64;
            IoSlice::advance_slices(&mut rest, written);
        }
        let mut bytes = [9; 8];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"\0\0\0abcde");
    }

    #[test]
    fn random_bytes_are_not_the_same_twice() {
        let (mut one, mut other) = ([0; 32], [0; 32]);
        fill_random(&mut one).unwrap();
        fill_random(&mut other).unwrap();
        assert!(one != other && one[16..] != [0; 16] && other[16..] != [0; 16]);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_an_error() {
        let readable = tempfile::NamedTempFile::new().unwrap();
        let file = std::fs::File::open(readable.path()).unwrap();
        assert!(write_some_at(&file, &[IoSlice::new(b"x")], 0).is_err());
        assert_ne!(reserve(&file, 100).unwrap_err().kind(), io::ErrorKind::Interrupted);
    }
}
