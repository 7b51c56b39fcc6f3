//! The frames of a write-ahead log, and which of them SQLite would accept (SQLite's file format, section 4.1,
//! <https://sqlite.org/fileformat2.html#the_write_ahead_log>).
//!
//! A frame's checksum continues the checksum of the frame before it. Behind a bad frame this reader therefore continues
//! from the checksum that the bad frame *names*: where the next frame fits it, only that one frame is bad. It also continues
//! from the checksum that the bad frame *should* name: where the next frame fits that one, the bad frame's page is intact.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

/// Bytes before the first frame.
const HEADER_BYTES: usize = 32;
/// Bytes before a frame's page.
const FRAME_HEADER_BYTES: usize = 24;
/// What a log starts with; the lowest bit names the byte order of its checksums.
const MAGIC: u32 = 0x377f_0682;
/// The sizes that a page can have.
const PAGE_BYTES: std::ops::RangeInclusive<usize> = 512..=65_536;
/// The size of pages where neither the log nor the database names one: SQLite's default.
const PAGE_BYTES_DEFAULT: usize = 4096;
/// Bytes that are read at once.
const READ_BYTES: usize = 1 << 20;

/// A frame: one version of one page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    /// The number of its page, from 1; of a bad frame it may be wrong.
    pub(super) page: u32,
    /// The database's size in pages after the transaction that this frame commits; zero for every other frame.
    pub(super) pages_after: u32,
    /// Whether the page and its number are what was written.
    pub(super) is_intact: bool,
    /// Whether it belongs to the generation of the header, and not to an older one that the log held before it was reused.
    pub(super) is_current: bool,
    /// Whether SQLite would accept it if it accepts the frame before.
    is_acceptable: bool,
}

impl Frame {
    pub(super) fn is_commit(&self) -> bool {
        self.pages_after != 0
    }
}

/// A log, without its pages.
#[derive(Debug, Default)]
pub(super) struct Frames {
    pub(super) page_bytes: usize,
    pub(super) is_header_intact: bool,
    pub(super) list: Vec<Frame>,
}

impl Frames {
    /// Reads the log at `log`, which belongs to the database at `database`. A missing log has no frames.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn read(log: &Path, database: &Path) -> io::Result<Self> {
        let mut file = match File::open(log) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            opened => opened?,
        };
        let mut header = [0; HEADER_BYTES];
        match file.read_exact(&mut header) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(Self::default()),
            read => read?,
        }
        let order = if number(&header, 0) & 1 == 0 { ByteOrder::Little } else { ByteOrder::Big };
        if let Some(page_bytes) = page_bytes_of(&header, order) {
            return Self::scan(&mut file, &header, order, page_bytes, true);
        }
        let page_bytes = page_bytes_of_database(database).unwrap_or(PAGE_BYTES_DEFAULT);
        let found = Self::scan(&mut file, &header, order, page_bytes, false)?;
        if found.list.iter().any(|frame| frame.is_intact) {
            return Ok(found);
        }
        // The damage may have hit the bit that names the byte order.
        Self::scan(&mut file, &header, order.other(), page_bytes, false)
    }

    fn scan(
        file: &mut File,
        header: &[u8; HEADER_BYTES],
        order: ByteOrder,
        page_bytes: usize,
        is_header_intact: bool,
    ) -> io::Result<Self> {
        file.seek(SeekFrom::Start(HEADER_BYTES as u64))?;
        let mut reader = BufReader::with_capacity(READ_BYTES, file);
        let mut bytes = vec![0; FRAME_HEADER_BYTES + page_bytes];
        let (mut list, mut salts) = (Vec::<Frame>::new(), Vec::new());
        // The checksum that the header or frame before names, and the one that it should name.
        let mut named = [number(header, 24), number(header, 28)];
        let mut expected = order.sum([0; 2], &header[..24]);
        loop {
            match reader.read_exact(&mut bytes) {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
                read => read?,
            }
            let continued = |from| order.sum(order.sum(from, &bytes[..8]), &bytes[FRAME_HEADER_BYTES..]);
            let own = [number(&bytes, 16), number(&bytes, 20)];
            let page = number(&bytes, 0);
            let by_named = continued(named);
            let fits_named = page != 0 && by_named == own;
            let fits_expected = page != 0 && expected != named && continued(expected) == own;
            if fits_expected && let Some(before) = list.last_mut() {
                before.is_intact = true;
            }
            list.push(Frame {
                page,
                pages_after: number(&bytes, 4),
                is_intact: fits_named || fits_expected,
                is_current: false,
                is_acceptable: fits_named,
            });
            salts.push([number(&bytes, 8), number(&bytes, 12)]);
            named = own;
            expected = if fits_expected { own } else { by_named };
        }
        let mut found = Self { page_bytes, is_header_intact, list };
        found.note_generation([number(header, 16), number(header, 20)], &salts);
        Ok(found)
    }

    /// Notes which frames are of the newest generation: those with its salts, and those whose salts are damaged though their
    /// checksum continues that of such a frame. Frames of an older generation do neither.
    fn note_generation(&mut self, of_header: [u32; 2], salts: &[[u32; 2]]) {
        let of_frames = || {
            salts.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0]).or(salts.first().copied())
        };
        let current = if self.is_header_intact { Some(of_header) } else { of_frames() };
        let mut is_current = true;
        for (frame, salts) in self.list.iter_mut().zip(salts) {
            let has_salts = Some(*salts) == current;
            is_current = has_salts || (is_current && frame.is_intact);
            frame.is_current = is_current;
            frame.is_acceptable &= has_salts && self.is_header_intact;
        }
    }

    /// How many frames SQLite accepts before the first that it does not.
    pub(super) fn accepted(&self) -> usize {
        self.list.iter().position(|frame| !frame.is_acceptable).unwrap_or(self.list.len())
    }
}

/// Reads pages out of a log.
pub(super) struct Pages {
    file: File,
    page: Vec<u8>,
}

impl Pages {
    /// # Errors
    /// When the log cannot be opened.
    pub(super) fn open(log: &Path, page_bytes: usize) -> io::Result<Self> {
        Ok(Self { file: File::open(log)?, page: vec![0; page_bytes] })
    }

    /// The page of a frame, counted from zero.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn get(&mut self, frame: usize) -> io::Result<&[u8]> {
        let before = HEADER_BYTES + frame * (FRAME_HEADER_BYTES + self.page.len()) + FRAME_HEADER_BYTES;
        self.file.seek(SeekFrom::Start(before as u64))?;
        self.file.read_exact(&mut self.page)?;
        Ok(&self.page)
    }
}

/// Where in a database a page begins.
fn place(page: u32, page_bytes: usize) -> SeekFrom {
    SeekFrom::Start((u64::from(page) - 1) * page_bytes as u64)
}

/// Whether a database has this page as it is here.
///
/// # Errors
/// When it cannot be read.
pub(super) fn has_page(database: &mut File, number: u32, page: &[u8]) -> io::Result<bool> {
    let mut there = vec![0; page.len()];
    database.seek(place(number, page.len()))?;
    match database.read_exact(&mut there) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        read => read.map(|()| there == page),
    }
}

/// Writes a page into a database.
///
/// # Errors
/// When it cannot be written.
pub(super) fn put_page(database: &mut File, number: u32, page: &[u8]) -> io::Result<()> {
    database.seek(place(number, page.len()))?;
    database.write_all(page)
}

/// The size of pages that an intact header names; none where the header is damaged.
fn page_bytes_of(header: &[u8; HEADER_BYTES], order: ByteOrder) -> Option<usize> {
    let page_bytes = usize::try_from(number(header, 8)).ok()?;
    let is_intact = number(header, 0) & !1 == MAGIC
        && page_bytes.is_power_of_two()
        && PAGE_BYTES.contains(&page_bytes)
        && order.sum([0; 2], &header[..24]) == [number(header, 24), number(header, 28)];
    is_intact.then_some(page_bytes)
}

/// The size of pages that a database names, which is its log's, too (SQLite's file format, section 1.3.2).
fn page_bytes_of_database(database: &Path) -> Option<usize> {
    let mut start = [0; 18];
    File::open(database).and_then(|mut file| file.read_exact(&mut start)).ok()?;
    let page_bytes = match usize::from(u16::from_be_bytes([start[16], start[17]])) {
        1 => 65_536,
        bytes => bytes,
    };
    (page_bytes.is_power_of_two() && PAGE_BYTES.contains(&page_bytes)).then_some(page_bytes)
}

/// The number in four bytes; checksums aside, a log's numbers are big-endian whatever its byte order.
fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// How a log's checksums read what they sum up.
#[derive(Debug, Clone, Copy)]
enum ByteOrder {
    Little,
    Big,
}

impl ByteOrder {
    fn other(self) -> Self {
        match self {
            Self::Little => Self::Big,
            Self::Big => Self::Little,
        }
    }

    /// Continues a checksum over bytes, whose count is a multiple of eight (SQLite's file format, section 4.2).
    fn sum(self, from: [u32; 2], bytes: &[u8]) -> [u32; 2] {
        let word = |bytes: &[u8]| match self {
            Self::Little => u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
            Self::Big => u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
        };
        bytes.chunks_exact(8).fold(from, |[first, second], words| {
            let first = first.wrapping_add(word(words)).wrapping_add(second);
            [first, second.wrapping_add(word(&words[4..])).wrapping_add(first)]
        })
    }
}
