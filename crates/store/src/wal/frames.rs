//! The frames of a write-ahead log, and which of them SQLite would accept (SQLite's file format, section 4.1,
//! <https://sqlite.org/fileformat2.html#the_write_ahead_log>).
//!
//! A frame's checksum continues the checksum of the frame before it. Behind a bad frame this reader therefore continues
//! from the checksum that the bad frame *names*: where the next frame fits it, only that one frame is bad. It also continues
//! from the checksum that the bad frame *should* name: where the next frame fits that one, the bad frame's page is intact.
//!
//! Frames are handed over one by one and none is kept, so that a log of any size takes the memory of one read
//! ([`READ_BYTES`]) and one frame. All that the file stores is read: where a disk lost a write, what was committed can lie
//! behind anything. Holes are passed over, because frames of zeros are none.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::ControlFlow;
use std::path::Path;

use lar_base::files::open_regular;

use crate::sparse_file::next_data_range;

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
    /// Whether it has the salts of that generation.
    has_salts: bool,
    /// Whether SQLite would accept it if it accepts the frame before.
    is_acceptable: bool,
}

impl Frame {
    pub(super) fn is_commit(&self) -> bool {
        self.pages_after != 0
    }
}

/// A log. A missing one, and one without a whole header, has no frames.
#[derive(Debug)]
pub(super) struct Frames {
    pub(super) page_bytes: usize,
    pub(super) is_header_intact: bool,
    file: Option<File>,
    header: [u8; HEADER_BYTES],
    order: ByteOrder,
    /// The salts of the newest generation; none where no frame names any.
    salts: Option<[u32; 2]>,
    /// How many whole frames the file had when it was opened.
    count: usize,
}

impl Frames {
    /// Opens the log at `log`, which belongs to the database at `database`.
    ///
    /// # Errors
    /// When it cannot be read, or is no regular file.
    pub(super) fn open(log: &Path, database: &Path) -> io::Result<Self> {
        let mut found = Self {
            page_bytes: PAGE_BYTES_DEFAULT,
            is_header_intact: false,
            file: None,
            header: [0; HEADER_BYTES],
            order: ByteOrder::Little,
            salts: None,
            count: 0,
        };
        let mut file = match open_regular(log) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(found),
            opened => opened?,
        };
        match file.read_exact(&mut found.header) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(found),
            read => read?,
        }
        if number(&found.header, 0) & 1 == 1 {
            found.order = ByteOrder::Big;
        }
        let named = page_bytes_of(&found.header, found.order);
        found.is_header_intact = named.is_some();
        let page_bytes = named.or_else(|| page_bytes_of_database(database));
        found.page_bytes = page_bytes.unwrap_or(PAGE_BYTES_DEFAULT);
        let bytes = file.metadata()?.len().saturating_sub(HEADER_BYTES as u64);
        found.count = usize::try_from(bytes / found.frame_bytes() as u64).unwrap_or(usize::MAX);
        found.file = Some(file);
        if found.is_header_intact {
            found.salts = Some([number(&found.header, 16), number(&found.header, 20)]);
            return Ok(found);
        }
        found.salts = found.salts_of_frames()?;
        if !found.has_intact_frame()? {
            // The damage may have hit the bit that names the byte order.
            found.order = found.order.other();
        }
        Ok(found)
    }

    /// Hands over every frame in order, with its number from zero, and returns how many there are. Frames in a hole are
    /// counted and not handed over. When `visit` breaks, the rest is neither.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub(super) fn each(&self, mut visit: impl FnMut(usize, &Frame) -> ControlFlow<()>) -> io::Result<usize> {
        // The checksum that the header or frame before names, and the one that it should name.
        let mut named = [number(&self.header, 24), number(&self.header, 28)];
        let mut expected = self.order.sum([0; 2], &self.header[..24]);
        // A frame is of the newest generation that has its salts, or has damaged ones and a checksum that continues that of
        // such a frame. Frames of an older generation do neither.
        let mut is_current = true;
        let mut finish = |place: usize, mut frame: Frame| {
            is_current = frame.has_salts || (is_current && frame.is_intact);
            frame.is_current = is_current;
            visit(place, &frame)
        };
        // The next frame may prove that its page is intact.
        let mut waiting: Option<(usize, Frame)> = None;
        let count = self.walk(|place, bytes| {
            let continued =
                |from| self.order.sum(self.order.sum(from, &bytes[..8]), &bytes[FRAME_HEADER_BYTES..]);
            let own = [number(bytes, 16), number(bytes, 20)];
            let page = number(bytes, 0);
            // There is no page zero, so that such a frame's checksum says nothing.
            let by_named = if page == 0 { own } else { continued(named) };
            let fits_named = page != 0 && by_named == own;
            let fits_expected = page != 0 && expected != named && continued(expected) == own;
            let has_salts = self.salts == Some([number(bytes, 8), number(bytes, 12)]);
            let frame = Frame {
                page,
                pages_after: number(bytes, 4),
                is_intact: fits_named || fits_expected,
                is_current: false,
                has_salts,
                is_acceptable: fits_named && has_salts && self.is_header_intact,
            };
            named = own;
            expected = if fits_expected { own } else { by_named };
            let Some((place, mut before)) = waiting.replace((place, frame)) else {
                return ControlFlow::Continue(());
            };
            before.is_intact |= fits_expected;
            let flow = finish(place, before);
            if flow.is_break() {
                waiting = None;
            }
            flow
        })?;
        if let Some((place, frame)) = waiting {
            let _ = finish(place, frame);
        }
        Ok(count)
    }

    /// Hands over the bytes of every frame. Behind a frame of zeros it passes over those that lie in a hole: they are like it.
    fn walk(&self, mut visit: impl FnMut(usize, &[u8]) -> ControlFlow<()>) -> io::Result<usize> {
        let Some(file) = &self.file else { return Ok(0) };
        let mut reader = BufReader::with_capacity(READ_BYTES, file);
        reader.seek(SeekFrom::Start(self.begin_of(0)))?;
        let mut bytes = vec![0; self.frame_bytes()];
        let (mut place, mut stored_until) = (0, 0);
        while place < self.count {
            match reader.read_exact(&mut bytes) {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
                read => read?,
            }
            if visit(place, &bytes).is_break() {
                break;
            }
            place += 1;
            let next = self.begin_of(place);
            if next < stored_until || bytes.iter().any(|byte| *byte != 0) {
                continue;
            }
            let stored = next_data_range(file, next, self.begin_of(self.count))?;
            stored_until = stored.end;
            let skipped = stored.start.saturating_sub(next) / bytes.len() as u64;
            if skipped > 0 {
                place += usize::try_from(skipped).unwrap_or(usize::MAX);
                reader.seek(SeekFrom::Start(self.begin_of(place)))?;
            }
        }
        Ok(place)
    }

    /// The salts that two frames in a row have, else the first frame's: the header does not say which are the newest.
    fn salts_of_frames(&self) -> io::Result<Option<[u32; 2]>> {
        let (mut first, mut twice) = (None, None);
        let mut before: Option<(usize, [u32; 2])> = None;
        self.walk(|place, bytes| {
            if number(bytes, 0) == 0 {
                return ControlFlow::Continue(());
            }
            let salts = [number(bytes, 8), number(bytes, 12)];
            first = first.or(Some(salts));
            if before.is_some_and(|before| before == (place.wrapping_sub(1), salts)) {
                twice = Some(salts);
                return ControlFlow::Break(());
            }
            before = Some((place, salts));
            ControlFlow::Continue(())
        })?;
        Ok(twice.or(first))
    }

    fn has_intact_frame(&self) -> io::Result<bool> {
        let mut is_found = false;
        self.each(|_, frame| {
            is_found |= frame.is_intact;
            if is_found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(is_found)
    }

    fn frame_bytes(&self) -> usize {
        FRAME_HEADER_BYTES + self.page_bytes
    }

    /// The byte at which a frame, counted from zero, begins.
    fn begin_of(&self, place: usize) -> u64 {
        HEADER_BYTES as u64 + place as u64 * self.frame_bytes() as u64
    }

    /// What SQLite would accept of the log, and what lies behind that.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub(super) fn summary(&self) -> io::Result<Summary> {
        let mut found = Summary::default();
        let (mut is_behind, mut is_continued) = (false, false);
        found.frames = self.each(|place, frame| {
            is_behind |= !frame.is_acceptable;
            if !is_behind {
                found.accepted += 1;
                if frame.is_commit() {
                    found.last_accepted_commit = Some(place);
                }
            } else if frame.is_current {
                is_continued &= frame.is_intact;
                if frame.is_commit() {
                    found.commits_behind += 1;
                    found.continues_a_commit |= is_continued;
                    is_continued = true;
                }
            }
            if frame.is_current && frame.is_intact && frame.is_commit() {
                found.last_commit = Some(place);
            }
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }
}

/// What is to be known of a log's frames. Numbers count from zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Summary {
    /// All frames of the file.
    pub(super) frames: usize,
    /// How many frames SQLite accepts before the first that it does not.
    pub(super) accepted: usize,
    /// The last of them that commits.
    pub(super) last_accepted_commit: Option<usize>,
    /// Current frames behind them that commit.
    pub(super) commits_behind: usize,
    /// Whether one of those is continued by the next: every frame between fits the checksum of the one before. SQLite continues
    /// a transaction only when it was committed and synced.
    pub(super) continues_a_commit: bool,
    /// The last frame that commits and is intact.
    pub(super) last_commit: Option<usize>,
}

/// Reads pages out of a log.
pub(super) struct PageReader {
    file: File,
    page: Vec<u8>,
}

impl PageReader {
    /// # Errors
    /// When the log cannot be opened.
    pub(super) fn open(log: &Path, page_bytes: usize) -> io::Result<Self> {
        Ok(Self { file: open_regular(log)?, page: vec![0; page_bytes] })
    }

    /// The page of a frame, counted from zero.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn get(&mut self, frame: usize) -> io::Result<&[u8]> {
        let frame_bytes = (FRAME_HEADER_BYTES + self.page.len()) as u64;
        let before = (HEADER_BYTES + FRAME_HEADER_BYTES) as u64 + frame as u64 * frame_bytes;
        self.file.seek(SeekFrom::Start(before))?;
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
