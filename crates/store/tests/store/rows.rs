//! What is written is read back, whoever wrote it when, and the final form does not tell.

use crate::support::{experiment, fresh, row, shards};
use blis_store::{Column, Error, Experiment, Folder, Kind, Part, Role, Row, Value};
use proptest::prelude::*;
use serde_json::Value as Json;
use std::collections::BTreeMap;

#[test]
fn rows_of_many_parts_are_read_back_by_trial() {
    let path = fresh("rows-of-many-parts");
    let folder = Folder::create(&path, &experiment(Some(20))).expect("a new folder");
    for index in 1..=3 {
        let part = Part::new(index, 3).expect("a part");
        let mut writer = folder.writer(part).expect("a writer");
        for trial in (0..20).rev().filter(|&trial| part.has(trial)) {
            writer.add(row(trial)).expect("a row that fits");
            if trial % 4 == 0 {
                writer.flush().expect("room");
            }
        }
        assert_eq!(folder.read().expect("readable").missing(part, 20).is_empty(), writer.pending() == 0);
        writer.flush().expect("room");
    }
    let contents = folder.read().expect("readable");
    assert_eq!(contents.rows, (0..20).map(row).collect::<Vec<_>>());
    assert_eq!(contents.damaged, []);
    assert!(contents.missing(Part::WHOLE, 20).is_empty());
    assert_eq!(contents.missing(Part::new(2, 3).expect("a part"), 26), [22, 25]);
}

#[test]
fn a_folder_is_taken_up_for_the_same_experiment_and_refused_for_another() {
    let path = fresh("same-experiment");
    let folder = Folder::create(&path, &experiment(Some(2))).expect("a new folder");
    let mut writer = folder.writer(Part::WHOLE).expect("a writer");
    writer.add(row(0)).expect("a row that fits");
    writer.flush().expect("room");
    drop(writer);

    let again = Folder::create(&path, &experiment(Some(2))).expect("the same experiment");
    assert_eq!(again.read().expect("readable").rows, [row(0)]);
    assert_eq!(Folder::open(&path).expect("a folder").experiment(), &experiment(Some(2)));

    let mut other = experiment(Some(2));
    other.definition["rate"] = Json::from(20);
    let refused = Folder::create(&path, &other).expect_err("another experiment");
    assert_eq!(
        refused.to_string(),
        format!("{} holds another experiment: definition.rate is 10 there and 20 here", path.display())
    );
    assert!(refused.help().is_some_and(|help| help.contains("another folder")));
}

#[test]
fn folders_that_are_not_there_or_hold_no_experiment_are_told_apart() {
    let path = fresh("no-experiment");
    let missing = Folder::open(&path).expect_err("no folder");
    assert_eq!(missing.to_string(), format!("there is no folder {}", path.display()));
    std::fs::create_dir(&path).expect("room");
    let empty = Folder::open(&path).expect_err("no experiment");
    assert_eq!(
        empty.to_string(),
        format!("{} holds no experiment: it has no experiment.json", path.display())
    );
}

#[test]
fn rows_that_do_not_fit_are_refused_with_what_does_not() {
    let folder = Folder::create(&fresh("bad-rows"), &experiment(None)).expect("a new folder");
    let mut writer = folder.writer(Part::WHOLE).expect("a writer");
    let mut text = row(7);
    text.values[2] = Value::Text("fast".to_owned());
    let short = Row { trial: 8, values: vec![Value::Empty] };
    let high = Row { trial: u64::MAX, ..row(1) };
    for (bad, said) in [
        (text, "trial 7: ttft_p99_ms is \"fast\"; it must be real or empty"),
        (short, "trial 8: it has 1 fields; there are 4 columns"),
        (high, "trial 18446744073709551615: trials have numbers up to 9223372036854775807"),
    ] {
        assert_eq!(writer.add(bad).expect_err(said).to_string(), said);
    }
    writer.add(row(1)).expect("a row that fits");
    writer.add(row(1)).expect("the same once more");
    let other = Row { trial: 1, ..row(2) };
    let refused = writer.add(other).expect_err("another row of the trial");
    assert_eq!(refused.to_string(), "trial 1: it was added before, with other fields");
    assert_eq!(writer.pending(), 1);
}

#[test]
fn a_second_writer_of_a_part_is_refused_while_the_first_lives() {
    let folder = Folder::create(&fresh("two-writers"), &experiment(None)).expect("a new folder");
    let part = Part::new(1, 2).expect("a part");
    let first = folder.writer(part).expect("a writer");
    let refused = folder.writer(part).expect_err("a second writer");
    assert!(matches!(refused, Error::InUse { .. }), "{refused}");
    assert!(refused.to_string().starts_with("another process writes part 1/2 of "), "{refused}");
    folder.writer(Part::new(2, 2).expect("a part")).expect("the other part is free");
    drop(first);
    folder.writer(part).expect("the part is free again");
}

#[test]
fn a_folder_is_finished_only_when_every_planned_trial_is_there() {
    let path = fresh("finish");
    let folder = Folder::create(&path, &experiment(Some(4))).expect("a new folder");
    let mut writer = folder.writer(Part::WHOLE).expect("a writer");
    for trial in [3, 0] {
        writer.add(row(trial)).expect("a row that fits");
        writer.flush().expect("room");
    }
    let refused = folder.finish().expect_err("two are missing");
    assert_eq!(
        refused.to_string(),
        format!("{} is not complete: 2 of 4 trials are missing, the first is 1", path.display())
    );
    assert_eq!(shards(&path).len(), 2);
    for trial in [1, 2] {
        writer.add(row(trial)).expect("a row that fits");
    }
    writer.flush().expect("room");
    folder.finish().expect("complete");
    let finished = shards(&path);
    assert_eq!(finished.len(), 1);
    assert!(finished[0].0.starts_with("000000-"), "{}", finished[0].0);
    folder.finish().expect("done again it changes nothing");
    assert_eq!(shards(&path), finished);
    assert_eq!(folder.read().expect("readable").rows, (0..4).map(row).collect::<Vec<_>>());
}

/// What many machines do that share no disk.
#[test]
fn folders_of_several_machines_are_copied_together() {
    let paths = [fresh("machine-1"), fresh("machine-2")];
    for (index, path) in (1..).zip(&paths) {
        let folder = Folder::create(path, &experiment(Some(9))).expect("a new folder");
        let part = Part::new(index, 2).expect("a part");
        let mut writer = folder.writer(part).expect("a writer");
        for trial in folder.read().expect("readable").missing(part, 9) {
            writer.add(row(trial)).expect("a row that fits");
            writer.flush().expect("room");
        }
        assert!(matches!(folder.finish(), Err(Error::Incomplete { .. })));
    }
    for (name, bytes) in shards(&paths[1]) {
        let copy = paths[0].join("rows").join(name);
        assert!(!copy.exists(), "files of two parts have different names");
        std::fs::write(copy, bytes).expect("room");
    }
    let folder = Folder::open(&paths[0]).expect("a folder");
    folder.finish().expect("complete");

    let whole = fresh("one-machine");
    let alone = Folder::create(&whole, &experiment(Some(9))).expect("a new folder");
    let mut writer = alone.writer(Part::WHOLE).expect("a writer");
    for trial in 0..9 {
        writer.add(row(trial)).expect("a row that fits");
    }
    writer.flush().expect("room");
    alone.finish().expect("complete");
    assert_eq!(shards(&paths[0]), shards(&whole));
}

#[test]
fn many_rows_go_into_several_files_in_order() {
    let path = fresh("many-rows");
    let columns = vec![Column::new("tp", Kind::Integer, Role::Setting)];
    let folder = Folder::create(&path, &Experiment { columns, ..experiment(None) }).expect("a new folder");
    let mut writer = folder.writer(Part::WHOLE).expect("a writer");
    let row = |trial: u64| Row { trial, values: vec![Value::Integer(trial as i64 * 3)] };
    for trial in (0..70_000).rev() {
        writer.add(row(trial)).expect("a row that fits");
    }
    // So many are not kept waiting.
    assert_eq!(writer.pending(), 70_000 - 65_536);
    writer.flush().expect("room");
    folder.finish().expect("nothing is planned");
    let names: Vec<_> = shards(&path).into_iter().map(|(name, _)| name[..6].to_owned()).collect();
    assert_eq!(names, ["000000", "000001"]);
    let contents = folder.read().expect("readable");
    assert!(contents.rows.iter().enumerate().all(|(i, read)| *read == row(i as u64)));
    assert_eq!(contents.rows.len(), 70_000);
}

fn value(kind: Kind) -> BoxedStrategy<Value> {
    let some = match kind {
        Kind::Flag => any::<bool>().prop_map(Value::Flag).boxed(),
        Kind::Integer => any::<i64>().prop_map(Value::Integer).boxed(),
        Kind::Real => any::<f64>().prop_map(Value::Real).boxed(),
        Kind::Text => ".{0,12}".prop_map(Value::Text).boxed(),
    };
    prop_oneof![1 => Just(Value::Empty), 3 => some].boxed()
}

/// A trial with its fields, the part that adds it, and whether that flushes then.
type Added = (u64, Vec<Value>, u32, bool);

/// Some columns, and rows for them.
fn history() -> impl Strategy<Value = (Vec<Kind>, Vec<Added>)> {
    let kind = prop_oneof![Just(Kind::Flag), Just(Kind::Integer), Just(Kind::Real), Just(Kind::Text)];
    prop::collection::vec(kind, 0..6).prop_flat_map(|kinds| {
        let values: Vec<_> = kinds.iter().map(|&kind| value(kind)).collect();
        let trial = prop_oneof![4 => 0..50_u64, 1 => 0..=Row::LAST_TRIAL];
        let row = (trial, values, 1..=3_u32, any::<bool>());
        (Just(kinds), prop::collection::vec(row, 0..40))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_rows_in_any_order_over_any_parts_are_read_back_and_finish_the_same((kinds, rows) in history()) {
        let columns = kinds.iter().enumerate();
        let columns = columns.map(|(i, &kind)| Column::new(format!("c{i}"), kind, Role::Figure)).collect();
        let experiment = Experiment { columns, ..experiment(None) };
        // What is not a number is kept as empty.
        let kept = |value: &Value| match value {
            Value::Real(number) if number.is_nan() => Value::Empty,
            other => other.clone(),
        };
        let mut expected: BTreeMap<u64, Row> = BTreeMap::new();
        let mut history = Vec::new();
        for (trial, values, part, flush) in rows {
            let known = expected.entry(trial).or_insert_with(|| Row { trial, values });
            history.push((known.clone(), part, flush));
        }
        let expected: Vec<Row> = expected
            .into_values()
            .map(|row| Row { values: row.values.iter().map(kept).collect(), ..row })
            .collect();

        let write = |name: &str, history: &[(Row, u32, bool)]| {
            let path = fresh(name);
            let folder = Folder::create(&path, &experiment).expect("a new folder");
            let mut writers: Vec<_> = (1..=3)
                .map(|index| folder.writer(Part::new(index, 3).expect("a part")).expect("a writer"))
                .collect();
            for (row, part, flush) in history {
                let writer = &mut writers[*part as usize - 1];
                writer.add(row.clone()).expect("a row that fits");
                if *flush {
                    writer.flush().expect("room");
                }
            }
            for writer in &mut writers {
                writer.flush().expect("room");
            }
            (path, folder)
        };
        let (path, folder) = write("any-rows", &history);
        let contents = folder.read().expect("readable");
        prop_assert_eq!(&contents.rows, &expected);
        prop_assert_eq!(contents.damaged, vec![]);
        folder.finish().expect("room");
        prop_assert_eq!(&folder.read().expect("readable").rows, &expected);
        let finished = shards(&path);

        history.reverse();
        for (_, part, flush) in &mut history {
            *part = 1 + *part % 3;
            *flush = !*flush;
        }
        let (path, folder) = write("any-rows-otherwise", &history);
        folder.finish().expect("room");
        prop_assert_eq!(shards(&path), finished);
    }
}
