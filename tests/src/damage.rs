//! Damages files as disks do. The same seed damages the same bits.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::Duration;

use lar_base::Instant;

/// A pseudorandom number generator (SplitMix64).
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    /// Returns the next number, from 0 to `limit`, exclusive.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// Flips `count` random bits of a file in place, after its first `spared` bytes.
///
/// # Panics
/// If the file cannot be read or written.
pub fn flip_bits(path: &Path, seed: u64, count: u64, spared: u64) {
    let mut file =
        std::fs::File::options().read(true).write(true).open(path).expect("the file can be opened");
    let length = file.metadata().expect("the file has a length").len();
    let mut random = Random(seed);
    for _ in 0..count {
        let at = SeekFrom::Start(spared + random.below(length - spared));
        let mut byte = [0];
        file.seek(at).and_then(|_| file.read_exact(&mut byte)).expect("the byte can be read");
        byte[0] ^= 1 << random.below(8);
        file.seek(at).and_then(|_| file.write_all(&byte)).expect("the byte can be written");
    }
}

/// Flips one bit of a file in place.
///
/// # Panics
/// If the file cannot be read or written, or ends before `at`.
pub fn flip_bit(path: &Path, at: u64, bit: u8) {
    let mut file =
        std::fs::File::options().read(true).write(true).open(path).expect("the file can be opened");
    let (at, mut byte) = (SeekFrom::Start(at), [0]);
    file.seek(at).and_then(|_| file.read_exact(&mut byte)).expect("the byte can be read");
    byte[0] ^= 1 << bit;
    file.seek(at).and_then(|_| file.write_all(&byte)).expect("the byte can be written");
}

/// Checkpoints the write-ahead log of a stopped server into the database and removes the log.
///
/// Without this, pages in the log hide damage to the database file.
///
/// # Panics
/// If the database cannot be opened, or the log still exists after 120 s.
pub fn fold_log(data: &Path) {
    let open_and_close =
        || drop(lar_store::Store::open(&data.join("lar.db")).expect("the database can be opened"));
    open_and_close();
    let (log, mut closed_at) = (data.join("lar.db-wal"), Instant::now());
    crate::until("the removal of the log", || {
        // If two connections close at the same moment, neither of them is the last one, which removes the log.
        if log.exists() && closed_at.elapsed() > Duration::from_secs(1) {
            open_and_close();
            closed_at = Instant::now();
        }
        (!log.exists()).then_some(())
    });
}
