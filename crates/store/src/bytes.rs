//! Little-endian numbers in byte slices.

/// The number at `at`, if within bounds.
pub(crate) fn get_u32(bytes: &[u8], at: usize) -> Option<u32> {
    (bytes.len() >= at + 4).then(|| u32_at(bytes, at))
}

/// The number at `at`, if within bounds.
pub(crate) fn get_u64(bytes: &[u8], at: usize) -> Option<u64> {
    (bytes.len() >= at + 8).then(|| u64_at(bytes, at))
}

/// The number at `at`; the caller has checked the length.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// The number at `at`; the caller has checked the length.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

/// The number at `at`; the caller has checked the length.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
