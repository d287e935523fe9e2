//! Processes that are killed, and disks that are full.
//!
//! The processes are this very program, started again for one of its tests.

use crate::support::{experiment, fresh, row, shards};
use blis_store::{Error, Folder, Part};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Names the folder to a process that is started for a test.
const FOLDER: &str = "BLIS_STORE_TEST_FOLDER";
const TRIALS: u64 = 1500;

fn given() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

/// Runs what is missing, and flushes now and then.
#[test]
fn process_that_writes() {
    let Some(path) = given() else { return };
    let folder = Folder::create(&path, &experiment(Some(TRIALS))).expect("a folder");
    let mut writer = folder.writer(Part::WHOLE).expect("a writer");
    for trial in folder.read().expect("readable").missing(Part::WHOLE, TRIALS) {
        writer.add(row(trial)).expect("a row that fits");
        if trial % 10 == 7 {
            writer.flush().expect("room");
            tell(&format!("safe: {}", trial + 1));
        }
    }
    writer.flush().expect("room");
    folder.finish().expect("complete");
}

#[test]
fn a_run_killed_again_and_again_ends_with_the_same_bytes() {
    let path = fresh("killed");
    let program = std::env::current_exe().expect("this program");
    let start = || {
        let mut command = Command::new(&program);
        command.args(["--exact", "crash::process_that_writes", "--nocapture"]).env(FOLDER, &path);
        command.stdout(Stdio::piped()).spawn().expect("it starts")
    };
    let mut kills = 0;
    for after in [1, 40, 7, 23, 60] {
        let mut child = start();
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let told = lines.filter_map(|line| line.strip_prefix("safe: ")?.parse().ok());
        let safe: usize = told.take(after).last().expect("it tells before it ends");
        child.kill().expect("it can be killed");
        let ended = child.wait().expect("it ends");
        kills += usize::from(!ended.success());
        let contents = Folder::open(&path).expect("a folder").read().expect("readable");
        assert_eq!(contents.damaged, []);
        assert!(contents.rows.iter().all(|read| *read == row(read.trial)));
        assert!(contents.rows.len() >= safe, "{} of {safe} rows", contents.rows.len());
    }
    assert!(kills > 0);
    assert!(start().wait().expect("it ends").success());

    let whole = fresh("not-killed");
    let folder = Folder::create(&whole, &experiment(Some(TRIALS))).expect("a folder");
    let mut writer = folder.writer(Part::WHOLE).expect("a writer");
    for trial in 0..TRIALS {
        writer.add(row(trial)).expect("a row that fits");
    }
    writer.flush().expect("room");
    folder.finish().expect("complete");
    assert_eq!(shards(&path), shards(&whole));
    let leftovers = fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    let leftovers: Vec<_> = leftovers.filter(|name| name.to_string_lossy().ends_with(".tmp")).collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
}

/// A crash between the new files and the removal of the old ones leaves both.
#[test]
fn a_finish_that_was_interrupted_loses_nothing_and_is_done_again() {
    let path = fresh("interrupted-finish");
    let folder = Folder::create(&path, &experiment(Some(6))).expect("a folder");
    let mut writer = folder.writer(Part::WHOLE).expect("a writer");
    for trial in 0..6 {
        writer.add(row(trial)).expect("a row that fits");
        writer.flush().expect("room");
    }
    let parts = shards(&path);
    folder.finish().expect("complete");
    let finished = shards(&path);
    for (name, bytes) in &parts[2..] {
        fs::write(path.join("rows").join(name), bytes).expect("room");
    }
    fs::write(path.join(".finish-1-0.tmp"), b"PAR1").expect("room");
    assert_eq!(folder.read().expect("readable").rows, (0..6).map(row).collect::<Vec<_>>());
    folder.finish().expect("complete");
    assert_eq!(shards(&path), finished);
    assert!(!path.join(".finish-1-0.tmp").exists());
}

/// Fills a small disk with rows.
#[test]
fn process_on_a_full_disk() {
    let Some(path) = given() else { return };
    let folder = Folder::create(&path, &experiment(None)).expect("a folder");
    let mut writer = folder.writer(Part::WHOLE).expect("a writer");
    let (mut trial, mut safe) = (0, 0);
    let full = loop {
        for _ in 0..500 {
            writer.add(row(trial)).expect("a row that fits");
            trial += 1;
        }
        match writer.flush() {
            Ok(()) => safe = trial,
            Err(problem) => break problem,
        }
    };
    assert!(safe > 0);
    assert!(matches!(&full, Error::Full { safe: Some(told), .. } if *told == safe), "{full:?}");
    assert!(full.to_string().ends_with(&format!("; {safe} trials are safely in the folder")), "{full}");
    assert!(full.help().is_some_and(|help| help.starts_with("free some space")));
    assert_eq!(writer.pending() as u64, trial - safe);
    let contents = folder.read().expect("readable");
    assert_eq!((contents.rows.len() as u64, contents.damaged.len()), (safe, 0));
    assert!(matches!(folder.finish(), Err(Error::Full { .. })));
    assert_eq!(folder.read().expect("readable"), contents);

    // Once there is room, the same writer goes on.
    fs::remove_file(path.join("../ballast")).expect("the ballast");
    writer.flush().expect("room");
    assert_eq!(folder.read().expect("readable").rows.len() as u64, trial);
    folder.finish().expect("room");
    assert_eq!(folder.read().expect("readable").rows, (0..trial).map(row).collect::<Vec<_>>());
    tell(&format!("full with {safe} trials"));
}

#[test]
fn a_full_disk_is_told_with_what_is_safe_and_loses_nothing() {
    let ballast = "head -c 700000 /dev/zero > $DISK/ballast";
    on_a_small_disk("small-disk", ballast, "crash::process_on_a_full_disk", "full with");
}

/// Writes until the disk becomes read-only.
#[test]
fn process_on_a_read_only_disk() {
    let Some(path) = given() else { return };
    let folder = Folder::create(&path, &experiment(None)).expect("a folder");
    let mut writer = folder.writer(Part::WHOLE).expect("a writer");
    writer.add(row(0)).expect("a row that fits");
    writer.flush().expect("room");
    writer.add(row(1)).expect("a row that fits");
    let disk = path.parent().expect("the disk");
    let mounted = Command::new("mount").args(["-o", "bind,ro"]).args([disk, disk]).status();
    assert!(mounted.expect("mount runs").success());
    for refused in [writer.flush(), folder.finish(), folder.writer(Part::WHOLE).map(drop)] {
        let refused = refused.expect_err("read-only");
        assert!(matches!(refused, Error::NotWritable { safe: Some(1), .. }), "{refused}");
    }
    assert_eq!(folder.read().expect("readable").rows, [row(0)]);
    assert!(Command::new("umount").arg(disk).status().expect("umount runs").success());
    writer.flush().expect("allowed again");
    assert_eq!(folder.read().expect("readable").rows, [row(0), row(1)]);
    tell("read-only for a while");
}

#[test]
fn a_read_only_disk_is_told_and_still_read() {
    on_a_small_disk("read-only-disk", "true", "crash::process_on_a_read_only_disk", "read-only for a while");
}

/// Runs a test of this program in a folder on a disk of 1 MiB that nobody else sees, after a command.
fn on_a_small_disk(name: &str, first: &str, test: &str, said: &str) {
    if !cfg!(target_os = "linux") {
        return skip("small disks are mounted on Linux only");
    }
    let disk = fresh(name);
    fs::create_dir_all(&disk).expect("room");
    let script = format!(
        "mount -t tmpfs -o size=1m tmpfs $DISK && echo mounted && {first} && exec \"$0\" --exact {test} --nocapture"
    );
    let run = |options: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(options).args(["sh", "-c", &script]).arg(std::env::current_exe().expect("this program"));
        command.env("DISK", &disk).env(FOLDER, disk.join("results")).output()
    };
    for options in [&["--mount"][..], &["--map-root-user", "--mount"]] {
        let Ok(ran) = run(options) else { continue };
        let output = String::from_utf8_lossy(&ran.stdout);
        if output.starts_with("mounted") {
            let why = String::from_utf8_lossy(&ran.stderr);
            assert!(ran.status.success() && output.contains(said), "{output}{why}");
            return;
        }
    }
    skip("no small disk can be mounted here");
}

/// To the process that started this one.
fn tell(what: &str) {
    writeln!(std::io::stdout(), "{what}").expect("somebody listens");
}

fn skip(why: &str) {
    writeln!(std::io::stderr(), "skipped: {why}").expect("somebody listens");
}
