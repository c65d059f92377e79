//! The wire format of framed channels (`PROTOCOL.md`). All numbers are big-endian.

use bytes::{Buf, Bytes};

use crate::link::channel::PIECE_HEAD;
use crate::link::channel::message::Origin;

/// The SCTP stream that carries frames: its label, and the DCEP protocol that says so.
pub(in crate::link) const STREAM: &str = "rover-rtc/link";
pub(in crate::link) const PROTOCOL: &str = "rover-rtc.link.1";
/// The stream of datagrams, which are sent once.
pub(in crate::link) const DATAGRAMS: &str = "rover-rtc/datagrams";

pub(super) const VERSION: u8 = 1;

/// Bytes of a piece: what a larger message is cut into, all but the last of just this size, so that
/// a replay cuts it the same way.
pub(super) const PIECE: usize = 4096;

/// Bytes of an SCTP message of frames at most: four pieces and their headers.
pub(super) const CONTAINER: usize = 4 * PIECE + 128;

/// Bytes of a data frame before its pieces.
pub(super) const DATA_HEAD: usize = 13;

const HELLO: u8 = 1;
const OPEN: u8 = 2;
const DATA: u8 = 3;
const ACK: u8 = 4;
const SKIP: u8 = 5;

pub(super) const TEXT: u8 = 1;
pub(super) const BEGIN: u8 = 2;
pub(super) const END: u8 = 4;
const KEYED: u8 = 8;
const FORWARDED: u8 = 16;
const ASKS: u8 = 32;
const FLAGS: u8 = 63;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame {
    /// The first on each transport, both ways: who speaks, and its channels.
    Hello { link: u64, max_message: u32, entries: Vec<Entry> },
    /// A channel that came up later, or the answer to one.
    Open(Entry),
    /// Pieces of consecutive numbers.
    Data(Data),
    /// How far one has got with a channel of the other side.
    ///
    /// The `serial` rises, for frames may arrive in any order.
    Ack { channel: u16, serial: u32, received: u64, acked: u64, window: u32 },
    /// Numbers that no piece will have: lost, or never used.
    Skip { channel: u16, from: u64, through: u64, lost: bool },
}

/// A channel as one side knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its number in the frames of who writes this.
    pub(super) channel: u16,
    pub(super) mode: u8,
    pub(super) priority: u8,
    /// Whether what is taken is remembered across a restart of the process.
    pub(super) keeps: bool,
    /// Names the sequence of the writer's pieces.
    pub(super) epoch: u64,
    /// The first piece that the writer still has, or will send.
    pub(super) base: u64,
    /// The reader's sequence, as far as the writer knows it; 0 for none.
    pub(super) theirs: u64,
    /// Up to where the writer has it.
    pub(super) received: u64,
    /// Up to where the reader may forget it.
    pub(super) acked: u64,
    /// Bytes that may be sent beyond `received`.
    pub(super) window: u32,
    pub(super) label: String,
}

/// The pieces of a data frame, not yet read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Data {
    pub(super) channel: u16,
    pub(super) first: u64,
    pub(super) count: u16,
    body: Bytes,
}

/// A piece of a message, or a whole one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) text: bool,
    pub(super) begin: bool,
    pub(super) end: bool,
    pub(super) key: Bytes,
    pub(super) origin: Option<Origin>,
    /// Bytes of the whole message, in the first of several pieces.
    pub(super) total: u32,
    /// The writer can do nothing until this is acknowledged.
    pub(super) asks: bool,
    pub(super) data: Bytes,
}

/// What is not a frame of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    #[error("a frame ends too early")]
    Short,
    #[error("a frame of unknown type {0}")]
    Type(u8),
    #[error("a frame of version {0}, not {VERSION}")]
    Version(u8),
    #[error("a frame holds what it may not")]
    Content,
}

impl Frame {
    /// Appends it to a container. Data frames are written by [`DataWriter`].
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Hello { link, max_message, entries } => {
                out.extend_from_slice(&[HELLO, VERSION]);
                out.extend_from_slice(&link.to_be_bytes());
                out.extend_from_slice(&max_message.to_be_bytes());
                out.extend_from_slice(&(entries.len() as u16).to_be_bytes());
                entries.iter().for_each(|e| e.write(out));
            }
            Self::Open(entry) => {
                out.push(OPEN);
                entry.write(out);
            }
            Self::Data(Data { channel, first, count, body }) => {
                out.push(DATA);
                out.extend_from_slice(&channel.to_be_bytes());
                out.extend_from_slice(&first.to_be_bytes());
                out.extend_from_slice(&count.to_be_bytes());
                out.extend_from_slice(body);
            }
            Self::Ack { channel, serial, received, acked, window } => {
                out.push(ACK);
                out.extend_from_slice(&channel.to_be_bytes());
                out.extend_from_slice(&serial.to_be_bytes());
                out.extend_from_slice(&received.to_be_bytes());
                out.extend_from_slice(&acked.to_be_bytes());
                out.extend_from_slice(&window.to_be_bytes());
            }
            Self::Skip { channel, from, through, lost } => {
                out.push(SKIP);
                out.extend_from_slice(&channel.to_be_bytes());
                out.extend_from_slice(&from.to_be_bytes());
                out.extend_from_slice(&through.to_be_bytes());
                out.push(u8::from(*lost));
            }
        }
    }
}

impl Frame {
    /// Bytes of the pieces that it holds.
    pub(super) fn body_size(&self) -> usize {
        if let Self::Data(data) = self { data.body.len() } else { 0 }
    }
}

impl Entry {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.channel.to_be_bytes());
        out.extend_from_slice(&[self.mode, self.priority, u8::from(self.keeps)]);
        for number in [self.epoch, self.base, self.theirs, self.received, self.acked] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(&self.window.to_be_bytes());
        out.push(self.label.len() as u8);
        out.extend_from_slice(self.label.as_bytes());
    }

    fn read(reader: &mut Reader) -> Result<Self, FrameError> {
        let channel = reader.u16()?;
        let (mode, priority, keeps) = (reader.u8()?, reader.u8()?, reader.u8()? & 1 == 1);
        let [epoch, base, theirs, received, acked] =
            [reader.u64()?, reader.u64()?, reader.u64()?, reader.u64()?, reader.u64()?];
        let window = reader.u32()?;
        let length = usize::from(reader.u8()?);
        let label = String::from_utf8(reader.bytes(length)?.to_vec());
        let label = label.map_err(|_| FrameError::Content)?;
        if label.is_empty() || epoch == 0 || base == 0 || acked > received {
            return Err(FrameError::Content);
        }
        Ok(Self {
            channel,
            mode,
            priority,
            keeps,
            epoch,
            base,
            theirs,
            received,
            acked,
            window,
            label,
        })
    }
}

/// Reads the frames of a container, one after another.
#[derive(Debug)]
pub(super) struct Reader {
    rest: Bytes,
}

impl Reader {
    pub(super) fn new(container: Bytes) -> Self {
        Self { rest: container }
    }

    /// The next frame; after an error nothing more can be read.
    pub(super) fn next(&mut self) -> Option<Result<Frame, FrameError>> {
        if self.rest.is_empty() {
            return None;
        }
        let read = self.frame();
        if read.is_err() {
            self.rest.clear();
        }
        Some(read)
    }

    fn frame(&mut self) -> Result<Frame, FrameError> {
        match self.u8()? {
            HELLO => {
                let version = self.u8()?;
                if version != VERSION {
                    return Err(FrameError::Version(version));
                }
                let (link, max_message, count) = (self.u64()?, self.u32()?, self.u16()?);
                let entries: Result<_, _> = (0..count).map(|_| Entry::read(self)).collect();
                Ok(Frame::Hello { link, max_message, entries: entries? })
            }
            OPEN => Ok(Frame::Open(Entry::read(self)?)),
            DATA => {
                let (channel, first, count) = (self.u16()?, self.u64()?, self.u16()?);
                if first == 0 || count == 0 || first.checked_add(u64::from(count)).is_none() {
                    return Err(FrameError::Content);
                }
                let mut pieces = Self::new(self.rest.clone());
                for _ in 0..count {
                    pieces.piece()?;
                }
                let body = self.bytes(self.rest.len() - pieces.rest.len())?;
                Ok(Frame::Data(Data { channel, first, count, body }))
            }
            ACK => {
                let (channel, serial) = (self.u16()?, self.u32()?);
                let (received, acked, window) = (self.u64()?, self.u64()?, self.u32()?);
                if acked > received {
                    return Err(FrameError::Content);
                }
                Ok(Frame::Ack { channel, serial, received, acked, window })
            }
            SKIP => {
                let (channel, from, through) = (self.u16()?, self.u64()?, self.u64()?);
                let lost = self.u8()? & 1 == 1;
                if from == 0 || through < from || through == u64::MAX {
                    return Err(FrameError::Content);
                }
                Ok(Frame::Skip { channel, from, through, lost })
            }
            other => Err(FrameError::Type(other)),
        }
    }

    /// Reads this byte if it comes next.
    pub(super) fn skip_byte(&mut self, byte: u8) -> bool {
        let is = self.rest.first() == Some(&byte);
        self.rest.advance(usize::from(is));
        is
    }

    /// The next piece, where nothing else can be.
    pub(super) fn piece(&mut self) -> Result<Piece, FrameError> {
        let (flags, length) = (self.u8()?, usize::from(self.u16()?));
        if flags & !FLAGS != 0 {
            return Err(FrameError::Content);
        }
        let (begin, end) = (flags & BEGIN != 0, flags & END != 0);
        let key = if flags & KEYED == 0 {
            Bytes::new()
        } else {
            let length = usize::from(self.u8()?);
            self.bytes(length)?
        };
        let origin = if flags & FORWARDED == 0 {
            None
        } else {
            Some(Origin { epoch: self.u64()?, number: self.u64()? })
        };
        let total = if begin && !end { self.u32()? } else { 0 };
        let data = self.bytes(length)?;
        let (text, asks) = (flags & TEXT != 0, flags & ASKS != 0);
        Ok(Piece { text, begin, end, key, origin, total, asks, data })
    }

    fn bytes(&mut self, length: usize) -> Result<Bytes, FrameError> {
        if length > self.rest.len() {
            return Err(FrameError::Short);
        }
        Ok(self.rest.split_to(length))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let array = self.rest.first_chunk().copied().ok_or(FrameError::Short)?;
        self.rest.advance(N);
        Ok(array)
    }

    fn u8(&mut self) -> Result<u8, FrameError> {
        self.array().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Result<u16, FrameError> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, FrameError> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, FrameError> {
        self.array().map(u64::from_be_bytes)
    }
}

impl Data {
    /// The same, without what else was in its container.
    pub(super) fn own(self) -> Self {
        Self { body: Bytes::copy_from_slice(&self.body), ..self }
    }

    /// Numbers and pieces. They were checked when the frame was read.
    pub(super) fn pieces(&self) -> impl Iterator<Item = (u64, Piece)> {
        let mut reader = Reader::new(self.body.clone());
        (self.first..self.first + u64::from(self.count))
            .map_while(move |number| Some((number, reader.piece().ok()?)))
    }
}

/// Writes the pieces of one data frame, and how many there are when it is done.
#[derive(Debug)]
pub(super) struct DataWriter<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    count: u16,
}

impl<'a> DataWriter<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>, channel: u16, first: u64) -> Self {
        let start = out.len();
        out.push(DATA);
        out.extend_from_slice(&channel.to_be_bytes());
        out.extend_from_slice(&first.to_be_bytes());
        out.extend_from_slice(&[0; 2]);
        Self { out, start, count: 0 }
    }

    /// What a piece with these extras takes.
    pub(super) fn size(key: &[u8], origin: bool, parts: bool, data: usize) -> usize {
        let key = if key.is_empty() { 0 } else { 1 + key.len() };
        PIECE_HEAD + key + if origin { 16 } else { 0 } + if parts { 4 } else { 0 } + data
    }

    /// Bytes of the container so far.
    pub(super) fn len(&self) -> usize {
        self.out.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.count == u16::MAX
    }

    pub(super) fn push(&mut self, piece: &PieceRef<'_>) {
        piece.write(self.out);
        self.count += 1;
    }

    /// Writes the count; without a piece nothing stays.
    pub(super) fn finish(self) -> u16 {
        if self.count == 0 {
            self.out.truncate(self.start);
        } else {
            let at = self.start + DATA_HEAD - 2;
            self.out[at..at + 2].copy_from_slice(&self.count.to_be_bytes());
        }
        self.count
    }
}

impl Piece {
    /// What [`Piece::write`] appends, in bytes.
    pub(super) fn size(&self) -> usize {
        let parts = self.begin && !self.end;
        DataWriter::size(&self.key, self.origin.is_some(), parts, self.data.len())
    }

    /// Appends it as it is on the wire.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let Self { text, begin, end, ref key, origin, total, asks, ref data } = *self;
        PieceRef { text, begin, end, key, origin, total, asks, data }.write(out);
    }
}

impl PieceRef<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        let PieceRef { text, begin, end, key, origin, total, asks, data } = self;
        let mut flags = if *text { TEXT } else { 0 };
        flags |= if *begin { BEGIN } else { 0 } | if *end { END } else { 0 };
        flags |= if key.is_empty() { 0 } else { KEYED };
        flags |= if origin.is_some() { FORWARDED } else { 0 } | if *asks { ASKS } else { 0 };
        out.push(flags);
        out.extend_from_slice(&(data.len() as u16).to_be_bytes());
        if !key.is_empty() {
            out.push(key.len() as u8);
            out.extend_from_slice(key);
        }
        if let Some(Origin { epoch, number }) = origin {
            out.extend_from_slice(&epoch.to_be_bytes());
            out.extend_from_slice(&number.to_be_bytes());
        }
        if *begin && !*end {
            out.extend_from_slice(&total.to_be_bytes());
        }
        out.extend_from_slice(data);
    }
}

/// A piece to be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct PieceRef<'a> {
    pub(super) text: bool,
    pub(super) begin: bool,
    pub(super) end: bool,
    pub(super) key: &'a [u8],
    pub(super) origin: Option<Origin>,
    pub(super) total: u32,
    pub(super) asks: bool,
    pub(super) data: &'a [u8],
}
