//! Damaged files are noticed, hide nothing else, and are put aside.

use crate::support::{experiment, fresh, row, shards};
use blis_store::{Damage, Error, Folder, Part, Row};
use std::fs;
use std::path::{Path, PathBuf};

/// A folder with two files of three trials each.
fn two_files(name: &str) -> (PathBuf, Folder) {
    let path = fresh(name);
    let folder = Folder::create(&path, &experiment(Some(6))).expect("a new folder");
    let mut writer = folder.writer(Part::WHOLE).expect("a writer");
    for trial in 0..6 {
        writer.add(row(trial)).expect("a row that fits");
        if trial % 3 == 2 {
            writer.flush().expect("room");
        }
    }
    (path, folder)
}

fn rows(trials: impl IntoIterator<Item = u64>) -> Vec<Row> {
    trials.into_iter().map(row).collect()
}

/// What is read when the first of [`two_files`] has these bytes.
fn read_with(folder: &Folder, file: &Path, bytes: &[u8]) -> Damage {
    fs::write(file, bytes).expect("room");
    let mut contents = folder.read().expect("readable");
    assert_eq!(contents.rows, rows(3..6), "the other file is whole");
    assert_eq!(contents.damaged.len(), 1, "{:?}", contents.damaged);
    let damage = contents.damaged.remove(0);
    assert_eq!(damage.file, file);
    damage
}

#[test]
fn every_flipped_byte_is_noticed_and_hides_no_other_file() {
    let (path, folder) = two_files("flipped");
    let (name, whole) = shards(&path).swap_remove(0);
    let file = path.join("rows").join(name);
    let mut told = 0;
    for place in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[place] ^= if place % 2 == 0 { 0xff } else { 1 << (place % 8) };
        let damage = read_with(&folder, &file, &bytes);
        assert!(damage.lost.as_ref().is_none_or(|lost| *lost == [0, 1, 2]), "byte {place}: {damage:?}");
        told += usize::from(damage.lost.is_some());
    }
    // The list of trials takes some bytes itself; damage anywhere else leaves it.
    assert!(told + 80 > whole.len(), "{told} of {} damaged files say what they had", whole.len());
    fs::write(&file, &whole).expect("room");
    assert_eq!(folder.read().expect("readable").rows, rows(0..6));
}

#[test]
fn a_file_cut_off_anywhere_is_noticed() {
    let (path, folder) = two_files("cut-off");
    let (name, whole) = shards(&path).swap_remove(0);
    let file = path.join("rows").join(name);
    for length in 0..whole.len() {
        read_with(&folder, &file, &whole[..length]);
    }
    // Nor does a longer one pass.
    read_with(&folder, &file, &[&whole[..], b"\0"].concat());
    read_with(&folder, &file, &[b"PAR1", &whole[..]].concat());
}

#[test]
fn a_damaged_file_is_put_aside_its_trials_run_again_and_the_end_is_the_same() {
    let (path, folder) = two_files("aside");
    let (whole_path, whole) = two_files("aside-whole");
    whole.finish().expect("complete");
    let name = shards(&path)[0].0.clone();
    let file = path.join("rows").join(&name);
    fs::write(&file, b"PAR1 rubbish PAR1").expect("room");

    let refused = folder.finish().expect_err("a damaged file");
    assert!(matches!(&refused, Error::Damaged { file: named, .. } if *named == file), "{refused}");
    let contents = folder.read().expect("readable");
    let aside = folder.set_aside(&contents.damaged[0]).expect("room");
    assert_eq!(aside, path.join(format!("{name}.damaged")));
    assert_eq!(fs::read(&aside).expect("still there"), b"PAR1 rubbish PAR1");

    let contents = folder.read().expect("readable");
    assert_eq!(contents.damaged, []);
    assert_eq!(contents.missing(Part::WHOLE, 6), [0, 1, 2]);
    let mut writer = folder.writer(Part::WHOLE).expect("a writer");
    for trial in contents.missing(Part::WHOLE, 6) {
        writer.add(row(trial)).expect("a row that fits");
    }
    writer.flush().expect("room");
    assert!(!file.exists(), "the name of the damaged file is not used again");
    folder.finish().expect("complete");
    assert_eq!(shards(&path), shards(&whole_path));
}

#[test]
fn files_of_another_experiment_or_with_other_results_are_not_taken() {
    let (path, folder) = two_files("foreign");
    let other = fresh("foreign-other");
    let mut experiment = experiment(Some(6));
    experiment.definition["seed"] = 43.into();
    let foreign = Folder::create(&other, &experiment).expect("a new folder");
    let mut writer = foreign.writer(Part::new(2, 2).expect("a part")).expect("a writer");
    writer.add(row(5)).expect("a row that fits");
    writer.flush().expect("room");
    let (name, bytes) = shards(&other).remove(0);
    fs::write(path.join("rows").join(&name), bytes).expect("room");

    let mut writer = folder.writer(Part::new(3, 3).expect("a part")).expect("a writer");
    writer.add(Row { trial: 4, ..row(5) }).expect("a row that fits");
    writer.add(row(100)).expect("a row that fits");
    writer.flush().expect("room");

    let contents = folder.read().expect("readable");
    assert_eq!(contents.rows, rows(0..6));
    let told: Vec<_> =
        contents.damaged.iter().map(|damage| (damage.reason.as_str(), damage.lost.clone())).collect();
    assert_eq!(
        told,
        [
            ("its rows are of another experiment", Some(vec![])),
            ("its trial 4 has other fields than the same trial elsewhere", Some(vec![100])),
        ]
    );
}

#[test]
fn a_damaged_description_is_told_and_written_anew_when_it_was_moved_away() {
    let (path, _) = two_files("description");
    let file = path.join("experiment.json");
    let text = fs::read_to_string(&file).expect("readable");
    fs::write(&file, text.replace("\"rate\": 10", "\"rate\": 11")).expect("room");
    let refused = Folder::create(&path, &experiment(Some(6))).expect_err("damaged");
    assert_eq!(
        refused.to_string(),
        format!("{}: its content does not match its fingerprint", file.display())
    );
    fs::rename(&file, path.join("experiment.json.damaged")).expect("room");
    let folder = Folder::create(&path, &experiment(Some(6))).expect("written anew");
    assert_eq!(folder.read().expect("readable").rows, rows(0..6));
    assert_eq!(fs::read_to_string(&file).expect("readable"), text);
}
