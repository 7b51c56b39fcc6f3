//! The frames of a write-ahead log, and which of them SQLite would accept (SQLite's file format, section 4.1,
//! <https://sqlite.org/fileformat2.html#the_write_ahead_log>).
//!
//! A frame's checksum continues the checksum of the frame before it. After a bad frame, this reader therefore
//! continues from the checksum that the bad frame *has*: if the next frame matches, only the one frame is
//! bad. It also continues from the checksum that the bad frame *should* have: if the next frame matches, the
//! bad frame's page is intact.
//!
//! Frames are visited one by one and not kept, so that a log of any size needs the memory of one read buffer
//! ([`READ_BYTES`]) and one frame. The whole file is read: if the disk lost a write, committed frames may
//! follow anything. Holes are skipped, because zeros are not a frame.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::ControlFlow;
use std::path::Path;

use lar_base::files::open_regular;

use crate::sparse_file::next_data_range;

/// The size of the header before the first frame.
const HEADER_BYTES: usize = 32;
/// The size of the header before a frame's page.
const FRAME_HEADER_BYTES: usize = 24;
/// The magic number at the start of a log; its lowest bit is the byte order of the checksums.
const MAGIC: u32 = 0x377f_0682;
/// The valid page sizes.
const PAGE_BYTES: std::ops::RangeInclusive<usize> = 512..=65_536;
/// The page size if neither the log nor the database gives one: SQLite's default.
const PAGE_BYTES_DEFAULT: usize = 4096;
/// The size of the read buffer.
const READ_BYTES: usize = 1 << 20;

/// A frame: one version of one page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    /// The number of its page, from 1; it may be wrong in a bad frame.
    pub(super) page: u32,
    /// The size of the database in pages after the transaction that this frame commits; 0 in every other
    /// frame.
    pub(super) pages_after: u32,
    /// Whether the page and its number are as they were written.
    pub(super) is_intact: bool,
    /// Whether it belongs to the header's generation, and not to an older one from before the log was reused.
    pub(super) is_current: bool,
    /// Whether it has that generation's salts.
    has_salts: bool,
    /// Whether SQLite would accept it, given that it accepts the frame before.
    is_acceptable: bool,
}

impl Frame {
    pub(super) fn is_commit(&self) -> bool {
        self.pages_after != 0
    }
}

/// A log. A missing log, or one without a complete header, has no frames.
#[derive(Debug)]
pub(super) struct Frames {
    pub(super) page_bytes: usize,
    pub(super) is_header_intact: bool,
    file: Option<File>,
    header: [u8; HEADER_BYTES],
    order: ByteOrder,
    /// The salts of the newest generation; `None` if no frame has any.
    salts: Option<[u32; 2]>,
    /// The number of complete frames in the file when it was opened.
    count: usize,
}

impl Frames {
    /// Opens the log at `log`, which belongs to the database at `database`.
    ///
    /// # Errors
    /// When it cannot be read or is not a regular file.
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
            // The damage may have hit the bit that gives the byte order.
            found.order = found.order.other();
        }
        Ok(found)
    }

    /// Calls `visit` for every frame in order, with its index from 0, and returns the number of frames.
    /// Frames in a hole are counted but not visited. If `visit` breaks, the remaining frames are neither.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub(super) fn each(&self, mut visit: impl FnMut(usize, &Frame) -> ControlFlow<()>) -> io::Result<usize> {
        // The checksum that the previous header or frame has, and the one that it should have.
        let mut named = [number(&self.header, 24), number(&self.header, 28)];
        let mut expected = self.order.sum([0; 2], &self.header[..24]);
        // A frame is of the newest generation if it has that generation's salts, or if its salts are damaged
        // and its checksum continues that of such a frame. Frames of an older generation do neither.
        let mut is_current = true;
        let mut finish = |index: usize, mut frame: Frame| {
            is_current = frame.has_salts || (is_current && frame.is_intact);
            frame.is_current = is_current;
            visit(index, &frame)
        };
        // The next frame may prove that this frame's page is intact.
        let mut waiting: Option<(usize, Frame)> = None;
        let count = self.walk(|index, bytes| {
            let continued =
                |from| self.order.sum(self.order.sum(from, &bytes[..8]), &bytes[FRAME_HEADER_BYTES..]);
            let own = [number(bytes, 16), number(bytes, 20)];
            let page = number(bytes, 0);
            // There is no page 0, so the checksum of such a frame proves nothing.
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
            let Some((index, mut before)) = waiting.replace((index, frame)) else {
                return ControlFlow::Continue(());
            };
            before.is_intact |= fits_expected;
            let flow = finish(index, before);
            if flow.is_break() {
                waiting = None;
            }
            flow
        })?;
        if let Some((index, frame)) = waiting {
            let _ = finish(index, frame);
        }
        Ok(count)
    }

    /// Calls `visit` with the bytes of every frame. After a frame of zeros, it skips the frames in a hole:
    /// they are zeros.
    fn walk(&self, mut visit: impl FnMut(usize, &[u8]) -> ControlFlow<()>) -> io::Result<usize> {
        let Some(file) = &self.file else { return Ok(0) };
        let mut reader = BufReader::with_capacity(READ_BYTES, file);
        reader.seek(SeekFrom::Start(self.begin_of(0)))?;
        let mut bytes = vec![0; self.frame_bytes()];
        let (mut index, mut stored_until) = (0, 0);
        while index < self.count {
            match reader.read_exact(&mut bytes) {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
                read => read?,
            }
            if visit(index, &bytes).is_break() {
                break;
            }
            index += 1;
            let next = self.begin_of(index);
            if next < stored_until || bytes.iter().any(|byte| *byte != 0) {
                continue;
            }
            let stored = next_data_range(file, next, self.begin_of(self.count))?;
            stored_until = stored.end;
            let skipped = stored.start.saturating_sub(next) / bytes.len() as u64;
            if skipped > 0 {
                index += usize::try_from(skipped).unwrap_or(usize::MAX);
                reader.seek(SeekFrom::Start(self.begin_of(index)))?;
            }
        }
        Ok(index)
    }

    /// Returns the salts of two consecutive frames, or else the first frame's: the header does not tell which
    /// are newest.
    fn salts_of_frames(&self) -> io::Result<Option<[u32; 2]>> {
        let (mut first, mut twice) = (None, None);
        let mut before: Option<(usize, [u32; 2])> = None;
        self.walk(|index, bytes| {
            if number(bytes, 0) == 0 {
                return ControlFlow::Continue(());
            }
            let salts = [number(bytes, 8), number(bytes, 12)];
            first = first.or(Some(salts));
            if before.is_some_and(|before| before == (index.wrapping_sub(1), salts)) {
                twice = Some(salts);
                return ControlFlow::Break(());
            }
            before = Some((index, salts));
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

    /// Returns the offset of a frame, counted from 0.
    fn begin_of(&self, index: usize) -> u64 {
        HEADER_BYTES as u64 + index as u64 * self.frame_bytes() as u64
    }

    /// Summarizes which frames SQLite would accept and which follow them.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub(super) fn summary(&self) -> io::Result<Summary> {
        let mut found = Summary::default();
        let (mut is_after_accepted, mut is_continued) = (false, false);
        found.frames = self.each(|index, frame| {
            is_after_accepted |= !frame.is_acceptable;
            if !is_after_accepted {
                found.accepted += 1;
                if frame.is_commit() {
                    found.last_accepted_commit = Some(index);
                }
            } else if frame.is_current {
                is_continued &= frame.is_intact;
                if frame.is_commit() {
                    found.later_commits += 1;
                    found.continues_a_commit |= is_continued;
                    is_continued = true;
                }
            }
            if frame.is_current && frame.is_intact && frame.is_commit() {
                found.last_commit = Some(index);
            }
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }
}

/// A summary of a log's frames. Frames are counted from 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Summary {
    /// The number of frames in the file.
    pub(super) frames: usize,
    /// The number of frames before the first one that SQLite does not accept.
    pub(super) accepted: usize,
    /// The last accepted frame that commits.
    pub(super) last_accepted_commit: Option<usize>,
    /// The number of current frames after the accepted ones that commit.
    pub(super) later_commits: usize,
    /// Whether a transaction continues one of those commits: each of its frames matches the checksum of the
    /// frame before. SQLite starts a transaction only after the one before was committed and synced.
    pub(super) continues_a_commit: bool,
    /// The last intact frame that commits.
    pub(super) last_commit: Option<usize>,
}

/// Reads pages from a log.
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

    /// Returns the page of a frame, counted from 0.
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

/// Returns the position of a page in a database.
fn page_start(page: u32, page_bytes: usize) -> SeekFrom {
    SeekFrom::Start((u64::from(page) - 1) * page_bytes as u64)
}

/// Returns whether a database has exactly this version of a page.
///
/// # Errors
/// When it cannot be read.
pub(super) fn has_page(database: &mut File, number: u32, page: &[u8]) -> io::Result<bool> {
    let mut there = vec![0; page.len()];
    database.seek(page_start(number, page.len()))?;
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
    database.seek(page_start(number, page.len()))?;
    database.write_all(page)
}

/// Returns the page size in an intact header; `None` if the header is damaged.
fn page_bytes_of(header: &[u8; HEADER_BYTES], order: ByteOrder) -> Option<usize> {
    let page_bytes = usize::try_from(number(header, 8)).ok()?;
    let is_intact = number(header, 0) & !1 == MAGIC
        && page_bytes.is_power_of_two()
        && PAGE_BYTES.contains(&page_bytes)
        && order.sum([0; 2], &header[..24]) == [number(header, 24), number(header, 28)];
    is_intact.then_some(page_bytes)
}

/// Returns the page size in a database's header; its log has the same (SQLite's file format, section 1.3.2).
fn page_bytes_of_database(database: &Path) -> Option<usize> {
    let mut start = [0; 18];
    File::open(database).and_then(|mut file| file.read_exact(&mut start)).ok()?;
    let page_bytes = match usize::from(u16::from_be_bytes([start[16], start[17]])) {
        1 => 65_536,
        bytes => bytes,
    };
    (page_bytes.is_power_of_two() && PAGE_BYTES.contains(&page_bytes)).then_some(page_bytes)
}

/// Decodes a big-endian number. A log's byte order only affects the input of its checksums.
fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The byte order in which a log's checksums read their input.
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

    /// Continues a checksum over bytes, whose number is a multiple of eight (SQLite's file format, section
    /// 4.2).
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
