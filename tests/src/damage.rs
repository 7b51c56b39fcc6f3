//! Files that are damaged as disks damage them, the same for the same seed.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

/// Numbers that look random (SplitMix64).
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    /// The next number, below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// Flips `count` random bits of a file behind its first `spared` bytes, in place.
///
/// # Panics
/// When the file cannot be read or written.
pub fn flip_bits(path: &Path, seed: u64, count: u64, spared: u64) {
    let mut file = std::fs::File::options().read(true).write(true).open(path).expect("it can be opened");
    let length = file.metadata().expect("it has a length").len();
    let mut random = Random(seed);
    for _ in 0..count {
        let at = SeekFrom::Start(spared + random.below(length - spared));
        let mut byte = [0];
        file.seek(at).and_then(|_| file.read_exact(&mut byte)).expect("it can be read");
        byte[0] ^= 1 << random.below(8);
        file.seek(at).and_then(|_| file.write_all(&byte)).expect("it can be written");
    }
}

/// Flips one bit of a file, in place.
///
/// # Panics
/// When the file cannot be read or written, or does not reach to `at`.
pub fn flip_bit(path: &Path, at: u64, bit: u8) {
    let mut file = std::fs::File::options().read(true).write(true).open(path).expect("it can be opened");
    let (at, mut byte) = (SeekFrom::Start(at), [0]);
    file.seek(at).and_then(|_| file.read_exact(&mut byte)).expect("it can be read");
    byte[0] ^= 1 << bit;
    file.seek(at).and_then(|_| file.write_all(&byte)).expect("it can be written");
}

/// Moves the write-ahead log of a data directory that nobody serves into the database, as closing it does: pages that the log holds
/// hide damage to the file.
///
/// # Panics
/// When the database cannot be opened, or the log stays for 30 s.
pub fn fold_log(data: &Path) {
    drop(lar_store::Store::open(&data.join("lar.db")).expect("the database is there"));
    let log = data.join("lar.db-wal");
    crate::until("the removal of the log", || (!log.exists()).then_some(()));
}
