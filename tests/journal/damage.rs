//! Files that a disk, or somebody, has changed.

use rover_rtc::journal::{JournalError, Saved};

use crate::crash::{empty, open};
use crate::disk::{Disk, Survives};
use crate::rig::{LINK, acked, append, received};

#[test]
fn a_flipped_bit_is_found_or_without_effect() {
    for closed in [true, false] {
        let (image, right, before) = written(closed);
        let (mut tried, mut found, mut panics, mut old) = (0, 0, 0, Vec::new());
        for bit in bits(&image) {
            let mut flipped = image.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            match read(flipped) {
                Err(JournalError::Corrupt(text)) => {
                    found += 1;
                    panics += usize::from(text.contains("gave up"));
                }
                Ok(saved) if saved == right => {}
                // The bit that says which transaction is the newer.
                Ok(saved) if !closed && saved == before => old.push(bit),
                other => panic!("bit {bit}, closed: {closed}: {other:?}"),
            }
            tried += 1;
        }
        eprintln!(
            "closed: {closed}: {tried} bits of {}, {found} found, {panics} of them by a panic",
            image.len() * 8
        );
        let expected = if closed { vec![] } else { vec![NEWER] };
        assert_eq!(old, expected, "bits that take a transaction back, closed: {closed}");
    }
}

#[test]
fn a_shortened_file_is_found() {
    let (image, right, _) = written(true);
    for len in (1..image.len()).step_by(97) {
        match read(image[..len].to_vec()) {
            Err(JournalError::Corrupt(_)) => {}
            Ok(saved) if saved == right => {}
            other => panic!("{len} bytes: {other:?}"),
        }
    }
}

/// A small journal as it is on disk, what it holds, and what it held before the last transaction.
fn written(closed: bool) -> (Vec<u8>, Vec<Saved>, Vec<Saved>) {
    let disk = empty();
    let mut rig = open(&disk).unwrap();
    for seq in 1..=9 {
        rig.do_one(append(seq)).unwrap();
    }
    rig.do_one(acked(3)).unwrap();
    rig.do_one(received(4)).unwrap();
    let before = rig.journal.saved(LINK).unwrap();
    rig.do_one(append(10)).unwrap();
    let right = rig.journal.saved(LINK).unwrap();
    let crashed = disk.after_cut(Survives::Nothing);
    drop(rig);
    (if closed { disk.content() } else { crashed }, right, before)
}

fn read(image: Vec<u8>) -> Result<Vec<Saved>, JournalError> {
    open(&Disk::of(image))?.journal.saved(LINK)
}

/// All bits of the header, every 41st of sectors that hold something (so that all places in a byte
/// have their turn), and a few of the rest: the file has more than a test can try in time.
fn bits(image: &[u8]) -> Vec<usize> {
    let all = image.chunks(SECTOR).enumerate().flat_map(|(at, sector)| {
        let used = sector.iter().any(|byte| *byte != 0);
        let every = match at {
            0 => 1,
            _ if used => 41,
            _ => 1021,
        };
        (0..sector.len() * 8).step_by(every).map(move |bit| at * SECTOR * 8 + bit)
    });
    all.collect()
}

const SECTOR: usize = 512;
/// Behind the nine bytes of the database's magic number.
const NEWER: usize = 9 * 8;
