//! SQL over the rows, from an index that is made from them whenever it has to be.

use crate::support::{experiment, fresh, row};
use blis_store::{Answer, Folder, Part, Value, list};
use std::fs;
use std::path::PathBuf;

fn written(name: &str, trials: u64) -> (PathBuf, Folder) {
    let path = fresh(name);
    let folder = Folder::create(&path, &experiment(Some(10))).expect("a new folder");
    add(&folder, 0..trials);
    (path, folder)
}

fn add(folder: &Folder, trials: std::ops::Range<u64>) {
    let mut writer = folder.writer(Part::WHOLE).expect("a writer");
    for trial in trials {
        writer.add(row(trial)).expect("a row that fits");
    }
    writer.flush().expect("room");
}

fn ask(folder: &Folder, sql: &str) -> Answer {
    let index = folder.index().expect("readable");
    assert_eq!(index.note(), None);
    index.query(sql).unwrap_or_else(|problem| panic!("{problem}"))
}

fn count(folder: &Folder) -> Vec<Vec<Value>> {
    ask(folder, "SELECT count(*) FROM trials").rows
}

#[test]
fn sql_sees_every_field_of_every_row() {
    let (_, folder) = written("sql", 5);
    let answer = ask(&folder, "SELECT * FROM trials ORDER BY trial");
    assert_eq!(answer.columns, ["trial", "tp", "chunked", "ttft_p99_ms", "note"]);
    for (trial, fields) in answer.rows.iter().enumerate() {
        let mut expected = row(trial as u64).values;
        if let Value::Flag(flag) = expected[1] {
            expected[1] = Value::Integer(flag.into());
        }
        expected.insert(0, Value::Integer(trial as i64));
        assert_eq!(*fields, expected);
    }
    let one = |sql| ask(&folder, sql).rows.concat();
    assert_eq!(
        one("SELECT command, planned_trials, definition ->> '$.rate' FROM experiment"),
        [Value::Text("sweep".to_owned()), Value::Integer(10), Value::Integer(10)]
    );
    assert_eq!(
        one("SELECT group_concat(name, ' ') FROM columns WHERE role = 'setting'"),
        [Value::Text("chunked tp".to_owned())]
    );
    assert_eq!(
        one("SELECT file, trials, damage FROM shards"),
        [Value::Text("part-1-of-1-000001.parquet".to_owned()), Value::Integer(5), Value::Empty]
    );
}

#[test]
fn the_index_follows_the_rows() {
    let (path, folder) = written("following", 3);
    assert_eq!(count(&folder), [[Value::Integer(3)]]);
    let file = path.join("index.sqlite");
    let kept = fs::read(&file).expect("it is kept");
    assert_eq!(count(&folder), [[Value::Integer(3)]]);
    assert_eq!(fs::read(&file).expect("it is kept"), kept);

    add(&folder, 3..10);
    assert_eq!(count(&folder), [[Value::Integer(10)]]);
    folder.finish().expect("complete");
    assert_eq!(ask(&folder, "SELECT count(*) FROM shards").rows, [[Value::Integer(1)]]);
    fs::remove_file(&file).expect("it is there");
    assert_eq!(count(&folder), [[Value::Integer(10)]]);
    assert!(file.exists());
}

#[test]
fn a_damaged_index_is_made_anew_with_a_note() {
    let (path, folder) = written("damaged-index", 2);
    count(&folder);
    let file = path.join("index.sqlite");
    let kept = fs::read(&file).expect("it is kept");
    for place in (0..kept.len()).step_by(97).chain(0..100) {
        let mut bytes = kept.clone();
        bytes[place] ^= 0x10;
        fs::write(&file, bytes).expect("room");
        let index = folder.index().expect("readable");
        let note = format!("{} is made anew: it is not as it was written", file.display());
        assert_eq!(index.note(), Some(note.as_str()), "byte {place}");
        assert_eq!(fs::read(&file).expect("it is kept"), kept);
    }
    fs::write(&file, b"SQLite").expect("room");
    assert!(folder.index().expect("readable").note().is_some());
    assert_eq!(count(&folder), [[Value::Integer(2)]]);
}

#[test]
fn an_index_that_cannot_be_kept_answers_all_the_same() {
    let (path, folder) = written("unkept-index", 2);
    fs::create_dir(path.join("index.sqlite")).expect("room");
    let index = folder.index().expect("readable");
    assert!(index.note().is_some_and(|note| note.contains("index.sqlite")), "{:?}", index.note());
    assert_eq!(index.query("SELECT max(trial) FROM trials").expect("SQL").rows, [[Value::Integer(1)]]);
}

#[test]
fn the_index_tells_of_damage_and_has_what_is_sound() {
    let (path, folder) = written("index-of-damage", 4);
    add(&folder, 4..6);
    fs::write(path.join("rows/part-1-of-1-000001.parquet"), b"PAR1").expect("room");
    assert_eq!(count(&folder), [[Value::Integer(2)]]);
    let reason = "its end with the checksum is missing or damaged".to_owned();
    let damaged = folder.index().expect("readable").damaged().expect("SQL");
    assert_eq!(damaged, [("part-1-of-1-000001.parquet".to_owned(), reason)]);
}

#[test]
fn what_is_wrong_with_sql_is_told_with_its_place_and_the_names_that_there_are() {
    let (_, folder) = written("bad-sql", 1);
    let index = folder.index().expect("readable");
    let trials = "; trials has trial, tp, chunked, ttft_p99_ms, note; columns has name, kind, role; ";
    for (sql, said) in [
        ("SELECT ttft FROM trials", "SQL: no such column: ttft (at character 8)"),
        ("SELECT tp AS \"☂\", ttft FROM trials", "SQL: no such column: ttft (at character 19)"),
        ("SELECT \"ttft\" FROM trials", "SQL: no such column: \"ttft\""),
        ("SELECT 1 FORM trials", "SQL: near \"trials\": syntax error (at character 15)"),
        ("SELECT 1; SELECT 2", "SQL: it is more than one statement"),
        ("", "SQL: it gives no columns; begin with SELECT"),
        ("DELETE FROM trials", "SQL: it gives no columns; begin with SELECT"),
        ("DELETE FROM trials RETURNING trial", "SQL: attempt to write a readonly database"),
    ] {
        let problem = index.query(sql).expect_err(sql).to_string();
        assert!(problem.starts_with(said) && problem.contains(trials), "{sql}: {problem}");
    }
    assert_eq!(index.query("SELECT x'00ff' AS a;").expect("SQL").rows, [[Value::Text("00ff".to_owned())]]);
}

#[test]
fn experiments_are_listed_by_name_the_damaged_ones_too() {
    let root = fresh("listed");
    fs::create_dir(&root).expect("room");
    for (name, trials) in [("b", 3), ("a", 1)] {
        let folder = Folder::create(&root.join(name), &experiment(Some(3))).expect("a new folder");
        add(&folder, 0..trials);
    }
    Folder::create(&root.join("c"), &experiment(None)).expect("a new folder");
    fs::write(root.join("c/experiment.json"), "{").expect("room");
    fs::create_dir(root.join("no experiment")).expect("room");
    let listed = list(&root).expect("a folder");
    let found: Vec<_> = listed
        .iter()
        .map(|one| {
            let name = one.path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, one.found.as_ref().ok().map(|(_, extent)| (extent.trials, extent.damaged.len())))
        })
        .collect();
    assert_eq!(
        found,
        [("a".to_owned(), Some((1, 0))), ("b".to_owned(), Some((3, 0))), ("c".to_owned(), None)]
    );
    assert!(list(&root.join("d")).expect_err("no folder").to_string().starts_with("there is no folder"));
}
