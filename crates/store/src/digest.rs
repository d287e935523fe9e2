//! Checksums: XXH3 with 128 bits.
//!
//! A shard carries the checksum of itself, computed while the place of the checksum holds zeros. It is found and checked
//! before anything else in the file is believed.

use twox_hash::XxHash3_128;

/// Length of a checksum in hexadecimal digits.
pub(crate) const LENGTH: usize = 32;

/// What precedes the checksum of a file inside it.
pub(crate) const MARK: &str = "digest:xxh3-128:";

/// The checksum of some bytes.
pub(crate) fn of(bytes: &[u8]) -> String {
    format!("{:032x}", XxHash3_128::oneshot(bytes))
}

/// What stands in a file until [`stamp`] puts the checksum there.
pub(crate) fn blank() -> String {
    format!("{MARK}{}", "0".repeat(LENGTH))
}

/// Puts the checksum of a file into its blank, and returns it.
pub(crate) fn stamp(file: &mut [u8]) -> Option<String> {
    let place = place(file)?;
    let digest = of(file);
    file[place..place + LENGTH].copy_from_slice(digest.as_bytes());
    Some(digest)
}

/// The checksum of a stamped file.
///
/// # Errors
/// There is none, or the bytes are not those that it was computed for.
pub(crate) fn check(file: &mut [u8]) -> Result<String, &'static str> {
    let place = place(file).ok_or("its end with the checksum is missing or damaged")?;
    let stamped = file[place..place + LENGTH].to_vec();
    file[place..place + LENGTH].fill(b'0');
    let digest = of(file);
    file[place..place + LENGTH].copy_from_slice(&stamped);
    if digest.as_bytes() == stamped { Ok(digest) } else { Err("its bytes do not match its checksum") }
}

/// Where the checksum stands: after the last mark.
fn place(file: &[u8]) -> Option<usize> {
    let place = after_last(file, MARK)?;
    (place + LENGTH <= file.len()).then_some(place)
}

/// Where the last occurrence of `mark` ends.
pub(crate) fn after_last(file: &[u8], mark: &str) -> Option<usize> {
    let start = file.windows(mark.len()).rposition(|window| window == mark.as_bytes())?;
    Some(start + mark.len())
}
