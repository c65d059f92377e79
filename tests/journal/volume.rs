//! Real disks that are full or read-only: small file systems on loop devices.

use std::path::Path;
use std::process::Command;

use rover_rtc::journal::{JournalConfig, JournalError};

use crate::rig::{LINK, Rig, acked, append};
use crate::scratch::Scratch;

#[test]
fn a_full_disk_is_told_and_heals() {
    let volume = Volume::new(12);
    let mut rig = Rig::open(&volume.state());
    let filler = volume.path("filler");
    std::fs::write(&filler, vec![1; 3 << 20]).unwrap();
    let mut kept = Vec::new();
    let mut seq = 0;
    let mut try_next = |rig: &mut Rig, kept: &mut Vec<u64>| {
        seq += 7;
        let result = rig.do_one(append(seq));
        if result.is_ok() {
            kept.push(seq);
        }
        result
    };
    let error = (0..5000).find_map(|_| try_next(&mut rig, &mut kept).err());
    let error = error.expect("the disk is full at last");
    assert!(matches!(&error, JournalError::Storage(text) if text.contains("space")), "{error}");
    // As long as it is full, each record is told.
    for _ in 0..3 {
        assert!(matches!(try_next(&mut rig, &mut kept), Err(JournalError::Storage(_))));
    }
    std::fs::remove_file(&filler).unwrap();
    for _ in 0..3 {
        try_next(&mut rig, &mut kept).unwrap();
    }
    assert_eq!(rig.numbers(), kept);
    rig.do_one(acked(kept[kept.len() - 4])).unwrap();
    drop(rig);
    let mut rig = Rig::open(&volume.state());
    assert_eq!(rig.numbers(), kept[kept.len() - 3..]);
    try_next(&mut rig, &mut Vec::new()).unwrap();
    eprintln!("full after {} messages of 9000 bytes", kept.len() - 3);
}

/// What cannot be opened on a full disk can be when there is room again.
#[test]
fn a_disk_that_is_full_from_the_start_leaves_nothing_half_made() {
    let volume = Volume::new(12);
    let filler = volume.path("filler");
    fill(&filler);
    let error = Rig::try_open(&volume.state(), JournalConfig::default()).err().unwrap();
    assert!(matches!(error, JournalError::Storage(_)), "{error}");
    std::fs::remove_file(&filler).unwrap();
    Rig::open(&volume.state()).do_one(append(1)).unwrap();
}

#[test]
fn a_disk_that_turns_read_only_is_told_and_heals() {
    let volume = Volume::new(24);
    let mut rig = Rig::open(&volume.state());
    rig.do_one(append(1)).unwrap();
    // As ext4 does by itself when it finds an error, also under an open file.
    volume.mount(&["-o", "remount,abort"]);
    let told = |result: Result<(), JournalError>| {
        let error = result.unwrap_err();
        assert!(matches!(error, JournalError::Storage(_)), "{error}");
        eprintln!("{error}");
    };
    told(rig.do_one(append(2)));
    told(rig.do_one(append(3)));
    // The journal holds nothing open any more that would keep the volume.
    volume.unmount();
    told(rig.do_one(append(4)));
    run("e2fsck", &["-p", &volume.image()], &[0, 1]);
    volume.mount_image();
    volume.mount(&["-o", "remount,ro"]);
    told(rig.do_one(append(5)));
    volume.mount(&["-o", "remount,rw"]);
    rig.do_one(append(6)).unwrap();
    assert_eq!(rig.numbers(), [1, 6]);
    drop(rig);
    let rig = Rig::open(&volume.state());
    assert_eq!(rig.numbers(), [1, 6]);
    assert_eq!(rig.journal.saved(LINK).unwrap().len(), 1);
}

/// A file system of its own; unmounted when dropped.
struct Volume(Scratch);

impl Volume {
    /// A new one of so many MiB, mounted.
    fn new(size: u64) -> Self {
        let volume = Self(Scratch::new());
        std::fs::create_dir(volume.0.path("mnt")).unwrap();
        std::fs::File::create(volume.image()).unwrap().set_len(size << 20).unwrap();
        run("mkfs.ext4", &["-q", "-F", "-m", "0", &volume.image()], &[0]);
        volume.mount_image();
        volume
    }

    fn image(&self) -> String {
        self.0.path("image")
    }

    fn path(&self, name: &str) -> String {
        self.0.path(&format!("mnt/{name}"))
    }

    fn state(&self) -> String {
        self.path("state")
    }

    fn mount_image(&self) {
        run("mount", &["-t", "ext4", "-o", "loop", &self.image(), &self.0.path("mnt")], &[0]);
    }

    fn mount(&self, options: &[&str]) {
        run("mount", &[options, &[&self.0.path("mnt")]].concat(), &[0]);
    }

    fn unmount(&self) {
        run("umount", &[&self.0.path("mnt")], &[0]);
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Lazily: a test that failed may have files open.
        let _ = Command::new("umount").args(["-l", &self.0.path("mnt")]).output();
    }
}

/// Writes until there is no room.
fn fill(path: &str) {
    use std::io::Write as _;

    let mut file = std::fs::File::create(Path::new(path)).unwrap();
    for size in [1 << 20, 4096, 512] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
    let _ = file.sync_all();
}

fn run(program: &str, args: &[&str], good: &[i32]) {
    let wants = "this test needs Linux, root, loop devices, e2fsprogs and util-linux";
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|e| panic!("{program}: {e}; {wants}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code().is_some_and(|code| good.contains(&code)),
        "{program} {}: {}; {wants}",
        args.join(" "),
        text.trim()
    );
}
