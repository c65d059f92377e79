//! The examples of `PROTOCOL.md`, read and written.

use bytes::Bytes;

use super::super::frame::{Frame, Reader};
use super::pair::Pair;
use crate::link::{LinkEvent, Mode};

const PAGE: &str = include_str!("../../../../PROTOCOL.md");

/// What stands between these marks of the page, line by line: a name, and hexadecimal digits.
fn section(name: &str) -> Vec<(String, Vec<u8>)> {
    let (begin, end) = (format!("<!-- {name} -->"), format!("<!-- end of {name} -->"));
    let (_, rest) = PAGE.split_once(&begin).expect("the section begins");
    let (body, _) = rest.split_once(&end).expect("the section ends");
    let lines = body.lines().filter(|l| !l.is_empty() && !l.starts_with("```"));
    let mut vectors: Vec<(String, Vec<u8>)> = Vec::new();
    for line in lines {
        let (name, digits) = line.split_once(':').expect("a name and a value");
        let digits: String = digits.split_whitespace().collect();
        let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal");
        let bytes = (0..digits.len()).step_by(2).map(byte);
        if name.trim().is_empty() {
            vectors.last_mut().expect("a line to go on").1.extend(bytes);
        } else {
            vectors.push((name.trim().to_owned(), bytes.collect()));
        }
    }
    vectors
}

fn hex(name: &str, bytes: &[u8]) -> String {
    let rows = bytes.chunks(24).map(|row| {
        let words: Vec<String> =
            row.chunks(4).map(|w| w.iter().map(|b| format!("{b:02x}")).collect()).collect();
        words.join(" ")
    });
    let rows: Vec<String> = rows.collect();
    format!("{name:<9}: {}", rows.join("\n         : "))
}

fn read(bytes: &[u8]) -> Vec<Frame> {
    let mut reader = Reader::new(Bytes::copy_from_slice(bytes));
    std::iter::from_fn(|| reader.next()).map(|f| f.expect("a frame")).collect()
}

/// A frame in words.
fn words(frame: &Frame) -> String {
    match frame {
        Frame::Data(data) => {
            let pieces: Vec<_> = data.pieces().collect();
            format!("Data {{ channel: {} }} {pieces:?}", data.channel)
        }
        frame => format!("{frame:?}"),
    }
}

#[test]
fn each_frame_reads_and_writes_as_the_page_says() {
    let expected = [
        (
            "hello",
            "Hello { link: 72623859790382856, max_message: 16777216, entries: [Entry { channel: 0, \
             mode: 1, priority: 1, keeps: false, epoch: 10, base: 4, theirs: 11, received: 7, \
             acked: 6, window: 65536, label: \"log\" }] }",
        ),
        (
            "open",
            "Open(Entry { channel: 1, mode: 2, priority: 0, keeps: true, epoch: 12, base: 1, \
             theirs: 0, received: 0, acked: 0, window: 16777216, label: \"map\" })",
        ),
        (
            "data",
            "Data { channel: 3 } [(5, Piece { text: true, begin: true, end: true, key: b\"\", \
             origin: None, total: 0, asks: false, data: b\"hi\" }), (6, Piece { text: false, begin: true, end: \
             true, key: b\"arm\", origin: Some(Origin { epoch: 13, number: 9 }), total: 0, asks: false, data: \
             b\"\\x01\" }), (7, Piece { text: false, begin: true, end: false, key: b\"\", origin: \
             None, total: 4098, asks: false, data: b\"\\x02\" })]",
        ),
        ("ack", "Ack { channel: 3, serial: 2, received: 7, acked: 6, window: 65536 }"),
        ("skip", "Skip { channel: 1, from: 4, through: 5, lost: true }"),
    ];
    let vectors = section("frames");
    assert_eq!(vectors.len(), expected.len());
    for ((name, bytes), (known, value)) in vectors.iter().zip(expected) {
        let frames = read(bytes);
        let [frame] = &frames[..] else { panic!("{name} is {} frames", frames.len()) };
        assert_eq!((name.as_str(), words(frame)), (known, value.to_owned()));
        let mut written = Vec::new();
        frame.write(&mut written);
        assert_eq!(written, *bytes, "{name} is written as\n{}", hex(name, &written));
    }
}

/// What two links say to each other, with the random names of the page.
fn exchange() -> Vec<(String, Vec<u8>)> {
    let mut pair = Pair::new(Mode::Reliable);
    let mut names = Vec::new();
    for (mux, name) in pair.muxes.iter_mut().zip([0xa0, 0xb0]) {
        let framed = mux.channels[0].framed.as_ref().expect("a framed channel");
        names.push((mux.id.to_be_bytes(), [name; 8]));
        names.push((framed.sender.epoch().to_be_bytes(), [name + 1; 8]));
    }
    let mut said = Vec::new();
    let mut say = |pair: &mut Pair, side: usize, arrives: bool| {
        for container in pair.writes(side) {
            let mut bytes = container.to_vec();
            for (drawn, name) in &names {
                for at in 0..bytes.len().saturating_sub(7) {
                    if bytes[at..at + 8] == drawn[..] {
                        bytes[at..at + 8].copy_from_slice(name);
                    }
                }
            }
            said.push((["A", "B"][side].to_owned() + if arrives { "" } else { " lost" }, bytes));
            if arrives {
                pair.hand(1 - side, [container]);
            }
        }
    };
    say(&mut pair, 0, true);
    say(&mut pair, 1, true);
    pair.push(0, "one");
    say(&mut pair, 0, true);
    pair.now += std::time::Duration::from_millis(100);
    say(&mut pair, 1, true);
    pair.push(0, "two");
    say(&mut pair, 0, false);
    pair.attach();
    say(&mut pair, 0, true);
    say(&mut pair, 1, true);
    say(&mut pair, 0, true);
    pair.now += std::time::Duration::from_millis(100);
    say(&mut pair, 1, true);
    said
}

#[test]
fn two_links_say_what_the_page_says() {
    let said = exchange();
    let lines: Vec<String> = said.iter().map(|(name, bytes)| hex(name, bytes)).collect();
    assert_eq!(section("exchange"), said, "it is now\n{}", lines.join("\n"));
}

#[test]
fn a_link_understands_what_the_page_says() {
    let mut pair = Pair::new(Mode::Reliable);
    let mut attached = 0;
    for (name, bytes) in section("exchange") {
        // B, as it was told of by A; each hello of A begins a transport.
        if name == "A" {
            if bytes[0] == 1 {
                attached += 1;
                pair.muxes[1].attach();
            }
            pair.hand(1, [bytes.into()]);
        }
    }
    let resumed = pair.muxes[1].events.iter().any(|e| matches!(e, LinkEvent::Resumed { .. }));
    let got = pair.got(1);
    let texts: Vec<_> = got.iter().map(|(number, text)| (*number, text.as_str())).collect();
    assert_eq!((attached, resumed, &texts[..]), (2, true, &[(1, "one"), (2, "two")][..]));
    assert_eq!(pair.muxes[1].stats.frames_refused, 0);
}
