//! The rows of a folder as tables of SQLite.
//!
//! The shards are the truth; the index is made from them when it is absent, damaged or out of date. Whoever reads it has
//! it in memory, and it is written to the disk as a whole, so that no process ever waits for another one.
//!
//! | table | holds |
//! |---|---|
//! | `trials` | a row per trial: its number and a column per setting, figure and note |
//! | `columns` | name, kind and role of these columns |
//! | `experiment` | one row: what was asked, with the definition as JSON |
//! | `shards` | the files with their sizes, rows, checksums, and what is wrong with them |

use crate::error::Error;
use crate::experiment::Experiment;
use crate::files;
use crate::folder::{Damage, Folder, Scan};
use crate::shard::{FORMAT, TRIAL};
use crate::value::{Kind, Row, Value};
use rusqlite::types::ValueRef;
use rusqlite::{
    Connection, MAIN_DB, Result as SqlResult, ToSql, config::DbConfig, params, types::ToSqlOutput,
};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use twox_hash::XxHash3_128;

/// Name of the file.
const FILE: &str = "index.sqlite";
/// How the names of its files begin that are not in place yet.
pub(crate) const STEM: &str = "index";

/// Tables to be asked in SQL.
#[derive(Debug)]
pub struct Index {
    connection: Connection,
    note: Option<String>,
}

/// What SQL gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// One value per column. Flags are the numbers 0 and 1, as SQLite has no others; bytes are hexadecimal digits.
    pub rows: Vec<Vec<Value>>,
}

/// What the index says of a shard: its name, and its checksum or what is wrong with it.
type Mark = (String, Result<String, String>);

impl Folder {
    /// The index, as it is or made anew.
    ///
    /// # Errors
    /// The folder cannot be listed. That the index cannot be kept is no failure but a [note](Index::note).
    pub fn index(&self) -> Result<Index, Error> {
        let file = self.path.join(FILE);
        let (kept, damage) = match kept(&file) {
            Ok(connection) => (connection, None),
            Err(reason) => (None, Some(format!("{} is made anew: {reason}", file.display()))),
        };
        if let Some(connection) = kept
            && self.is_current(&connection, &marks(&self.scan(None)?)).unwrap_or_default()
        {
            restrict(&connection).map_err(|error| unexpected(&file, &error))?;
            return Ok(Index { connection, note: None });
        }
        let mut connection = self.build().map_err(|error| match error {
            Failure::Store(error) => error,
            Failure::Sql(error) => unexpected(&file, &error),
        })?;
        let bytes = connection.serialize(MAIN_DB).map(|bytes| stamped(bytes.to_vec()));
        let bytes = bytes.map_err(|error| unexpected(&file, &error))?;
        let written = files::write(&self.path, STEM, &file, &bytes);
        let note = damage.or_else(|| Some(format!("the index is not kept: {}", written.err()?)));
        restrict(&connection).map_err(|error| unexpected(&file, &error))?;
        Ok(Index { connection, note })
    }

    /// Whether the index was made for this experiment from these shards.
    fn is_current(&self, connection: &Connection, marks: &[Mark]) -> SqlResult<bool> {
        let made_for: (u32, String) =
            connection.query_row("SELECT format, fingerprint FROM experiment", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        let mut shards = connection.prepare("SELECT file, checksum, damage FROM shards ORDER BY file")?;
        let kept = shards.query_map([], |row| {
            let (checksum, damage): (Option<String>, Option<String>) = (row.get(1)?, row.get(2)?);
            Ok((row.get(0)?, checksum.ok_or(damage.unwrap_or_default())))
        })?;
        let kept: Vec<Mark> = kept.collect::<SqlResult<_>>()?;
        Ok(made_for == (FORMAT, self.fingerprint.clone()) && kept == marks)
    }

    fn build(&self) -> Result<Connection, Failure> {
        let connection = Connection::open_in_memory()?;
        let scan = self.scan(Some(&self.experiment.columns))?;
        connection.execute_batch(
            "BEGIN;
             CREATE TABLE experiment (name TEXT, command TEXT, version TEXT, planned_trials INTEGER, definition TEXT,
                                      format INTEGER, fingerprint TEXT);
             CREATE TABLE columns (name TEXT PRIMARY KEY, kind TEXT, role TEXT) WITHOUT ROWID;
             CREATE TABLE shards (file TEXT PRIMARY KEY, size_bytes INTEGER, trials INTEGER, checksum TEXT, damage TEXT)
                          WITHOUT ROWID;",
        )?;
        let Experiment { name, command, version, trials, columns, definition } = &self.experiment;
        connection.execute(
            "INSERT INTO experiment VALUES (?, ?, ?, ?, ?, ?, ?)",
            params![
                name,
                command,
                version,
                trials.map(|trials| trials as i64),
                definition.to_string(),
                FORMAT,
                self.fingerprint
            ],
        )?;
        for column in columns {
            let values = [&column.name, column.kind.name(), column.role.name()];
            connection.execute("INSERT INTO columns VALUES (?, ?, ?)", values)?;
        }
        Self::fill_shards(&connection, &scan)?;
        self.fill_trials(&connection, scan)?;
        connection.execute_batch("COMMIT")?;
        Ok(connection)
    }

    fn fill_shards(connection: &Connection, scan: &Scan) -> SqlResult<()> {
        for shard in &scan.shards {
            connection.execute(
                "INSERT INTO shards VALUES (?, ?, ?, ?, NULL)",
                params![shard.name, shard.bytes as i64, shard.rows.len() as i64, shard.digest],
            )?;
        }
        for Damage { file, reason, .. } in &scan.damaged {
            let size = fs::metadata(file).map_or(0, |metadata| metadata.len());
            connection.execute(
                "INSERT INTO shards VALUES (?, ?, NULL, NULL, ?)",
                params![file_name(file), size as i64, reason],
            )?;
        }
        Ok(())
    }

    fn fill_trials(&self, connection: &Connection, scan: Scan) -> SqlResult<()> {
        let columns = &self.experiment.columns;
        let mut fields = vec![format!("{TRIAL} INTEGER PRIMARY KEY")];
        fields.extend(columns.iter().map(|column| {
            let affinity = match column.kind {
                Kind::Flag | Kind::Integer => "INTEGER",
                Kind::Real => "REAL",
                Kind::Text => "TEXT",
            };
            format!("{} {affinity}", quoted(&column.name))
        }));
        connection.execute_batch(&format!("CREATE TABLE trials ({})", fields.join(", ")))?;

        let mut contradicting = Vec::new();
        let rows = self.merge(scan.shards, &mut contradicting);
        for Damage { file, reason, .. } in contradicting {
            connection.execute("UPDATE shards SET damage = ? WHERE file = ?", [reason, file_name(&file)])?;
        }
        let places = vec!["?"; columns.len() + 1].join(", ");
        let mut insert = connection.prepare(&format!("INSERT INTO trials VALUES ({places})"))?;
        for Row { trial, values } in rows {
            insert.raw_bind_parameter(1, trial as i64)?;
            for (place, value) in values.iter().enumerate() {
                insert.raw_bind_parameter(place + 2, value)?;
            }
            insert.raw_execute()?;
        }
        Ok(())
    }
}

impl Index {
    /// What the user should know about it: that it was damaged, or cannot be kept.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// The files whose rows are left out, with what is wrong with them.
    ///
    /// # Errors
    /// As SQLite fails.
    pub fn damaged(&self) -> Result<Vec<(String, String)>, Error> {
        const SQL: &str = "SELECT file, damage FROM shards WHERE damage IS NOT NULL ORDER BY file";
        let ask = || -> SqlResult<_> {
            let mut statement = self.connection.prepare(SQL)?;
            let damaged = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            damaged.collect()
        };
        ask().map_err(|error| self.explained(SQL, &error))
    }

    /// What a statement gives. Nothing on disk can be changed by one.
    ///
    /// # Errors
    /// It is no single statement that gives columns, or fails: where and why, and the columns that there are.
    pub fn query(&self, sql: &str) -> Result<Answer, Error> {
        self.ask(sql).map_err(|error| self.explained(sql, &error))
    }

    fn ask(&self, sql: &str) -> SqlResult<Answer> {
        let mut statement = self.connection.prepare(sql)?;
        let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
        if columns.is_empty() {
            return Err(rusqlite::Error::InvalidQuery);
        }
        let mut rows = Vec::new();
        let mut given = statement.query([])?;
        while let Some(row) = given.next()? {
            rows.push((0..columns.len()).map(|i| row.get_ref(i).map(value)).collect::<SqlResult<_>>()?);
        }
        Ok(Answer { columns, rows })
    }

    fn explained(&self, sql: &str, error: &rusqlite::Error) -> Error {
        let (reason, place) = match error {
            rusqlite::Error::SqlInputError { msg, offset, .. } => {
                let before = usize::try_from(*offset).ok().and_then(|offset| sql.get(..offset));
                (msg.clone(), before.map(|before| before.chars().count() + 1))
            }
            rusqlite::Error::MultipleStatement => ("it is more than one statement".to_owned(), None),
            rusqlite::Error::InvalidQuery => ("it gives no columns; begin with SELECT".to_owned(), None),
            rusqlite::Error::SqliteFailure(_, Some(reason)) => (reason.clone(), None),
            other => (other.to_string(), None),
        };
        Error::Sql { reason, place, tables: self.tables().unwrap_or_default() }
    }

    /// The tables with their columns.
    fn tables(&self) -> SqlResult<Vec<(String, Vec<String>)>> {
        ["trials", "columns", "experiment", "shards"]
            .into_iter()
            .map(|table| {
                let statement = self.connection.prepare(&format!("SELECT * FROM {table}"))?;
                Ok((table.to_owned(), statement.column_names().map(str::to_owned).collect()))
            })
            .collect()
    }
}

/// What can go wrong while the index is made.
enum Failure {
    Store(Error),
    Sql(rusqlite::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

fn unexpected(file: &Path, error: &rusqlite::Error) -> Error {
    Error::Index { file: file.to_owned(), reason: error.to_string() }
}

/// The index on disk, in memory; `None` when there is none.
fn kept(file: &Path) -> Result<Option<Connection>, String> {
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    if checksum(&bytes).is_none_or(|checksum| bytes[CHECKSUM] != checksum) {
        return Err("it is not as it was written".to_owned());
    }
    let open = || -> SqlResult<_> {
        let mut connection = Connection::open_in_memory()?;
        connection.deserialize_read_exact(MAIN_DB, &bytes[..], bytes.len(), true)?;
        Ok(connection)
    };
    open().map(Some).map_err(|error| error.to_string())
}

/// Where a file of SQLite leaves four bytes to its users ("user version"): here lies a checksum of all others.
const CHECKSUM: std::ops::Range<usize> = 60..64;

fn checksum(bytes: &[u8]) -> Option<[u8; 4]> {
    let (before, after) = (bytes.get(..CHECKSUM.start)?, bytes.get(CHECKSUM.end..)?);
    let mut hasher = XxHash3_128::new();
    hasher.write(before);
    hasher.write(after);
    Some((hasher.finish_128() as u32).to_be_bytes())
}

fn stamped(mut bytes: Vec<u8>) -> Vec<u8> {
    let checksum = checksum(&bytes).expect("a file of SQLite has a head");
    bytes[CHECKSUM].copy_from_slice(&checksum);
    bytes
}

/// Nothing can be changed, and a misspelt name in double quotes is an error, not a text.
fn restrict(connection: &Connection) -> SqlResult<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    connection.pragma_update(None, "query_only", true)
}

fn marks(scan: &Scan) -> Vec<Mark> {
    let sound = scan.shards.iter().map(|shard| (shard.name.clone(), Ok(shard.digest.clone())));
    let damaged = scan.damaged.iter().map(|damage| (file_name(&damage.file), Err(damage.reason.clone())));
    let mut marks: Vec<Mark> = sound.chain(damaged).collect();
    marks.sort();
    marks
}

fn file_name(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl ToSql for Value {
    fn to_sql(&self) -> SqlResult<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Empty => ValueRef::Null,
            Value::Flag(flag) => ValueRef::Integer(i64::from(*flag)),
            Value::Integer(number) => ValueRef::Integer(*number),
            Value::Real(number) => ValueRef::Real(*number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

fn value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Empty,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => {
            let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            Value::Text(digits.concat())
        }
    }
}
