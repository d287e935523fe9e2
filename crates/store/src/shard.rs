//! Rows as the bytes of a Parquet file, and back.
//!
//! The column `trial` comes first, then those of the experiment; empty fields are nulls. The metadata of the file name the
//! experiment, the format, the trials inside, and carry the [checksum](crate::digest) of all its bytes.

use crate::value::{Column, Kind, Row, Value};
use crate::{digest, trials};
use bytes::Bytes;
use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::column::reader::get_typed_column_reader;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::Result as ParquetResult;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::{FileReader, RowGroupReader};
use parquet::file::serialized_reader::SerializedFileReader;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;
use std::sync::Arc;

/// Name of the column with the trial's number.
pub(crate) const TRIAL: &str = "trial";
/// Version of what this file writes. A change that an older program would misread gets the next number.
pub(crate) const FORMAT: u32 = 1;

const FORMAT_KEY: &str = "blis.format";
const EXPERIMENT_KEY: &str = "blis.experiment";
const TRIALS_KEY: &str = "blis.trials";
const DIGEST_KEY: &str = "blis.digest";

/// The bytes of a shard.
pub(crate) struct Encoded {
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: String,
}

/// What a sound shard holds.
pub(crate) struct Decoded {
    pub(crate) rows: Vec<Row>,
    pub(crate) digest: String,
}

/// The shard with these rows, which fit the columns. The same rows in the same order give the same bytes.
pub(crate) fn encode(columns: &[Column], fingerprint: &str, rows: &[Row]) -> Encoded {
    let mut bytes =
        write(columns, fingerprint, rows).expect("a buffer takes every row that fits the columns");
    let digest = digest::stamp(&mut bytes).expect("the metadata have a blank for it");
    Encoded { bytes, digest }
}

fn write(columns: &[Column], fingerprint: &str, rows: &[Row]) -> ParquetResult<Vec<u8>> {
    let trials: Vec<u64> = rows.iter().map(|row| row.trial).collect();
    let pair = |key: &str, value: String| KeyValue { key: key.to_owned(), value: Some(value) };
    let mut metadata =
        vec![pair(FORMAT_KEY, FORMAT.to_string()), pair(EXPERIMENT_KEY, fingerprint.to_owned())];
    metadata.extend(trials::told(&trials).map(|told| pair(TRIALS_KEY, told)));
    // The checksum's mark is looked for from the end.
    metadata.push(pair(DIGEST_KEY, digest::blank()));
    // A page per column needs no index of pages; files of a few rows are a quarter smaller without.
    let properties = WriterProperties::builder()
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_compression(Compression::SNAPPY)
        .set_created_by(format!("blis format {FORMAT}"))
        .set_key_value_metadata(Some(metadata))
        .build();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema(columns)?, Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    let numbers: Vec<i64> = trials.iter().map(|&trial| trial as i64).collect();
    column::<Int64Type>(&mut group, &numbers, None)?;
    for (place, Column { kind, .. }) in columns.iter().enumerate() {
        let fields = || rows.iter().map(move |row| &row.values[place]);
        let levels: Vec<i16> = fields().map(|value| i16::from(*value != Value::Empty)).collect();
        let levels = Some(&levels[..]);
        match kind {
            Kind::Flag => column::<BoolType>(
                &mut group,
                &fields()
                    .filter_map(|value| if let Value::Flag(flag) = value { Some(*flag) } else { None })
                    .collect::<Vec<_>>(),
                levels,
            ),
            Kind::Integer => column::<Int64Type>(
                &mut group,
                &fields()
                    .filter_map(|value| if let Value::Integer(number) = value { Some(*number) } else { None })
                    .collect::<Vec<_>>(),
                levels,
            ),
            Kind::Real => column::<DoubleType>(
                &mut group,
                &fields()
                    .filter_map(|value| if let Value::Real(number) = value { Some(*number) } else { None })
                    .collect::<Vec<_>>(),
                levels,
            ),
            Kind::Text => column::<ByteArrayType>(
                &mut group,
                &fields()
                    .filter_map(|value| match value {
                        Value::Text(text) => Some(ByteArray::from(text.as_str())),
                        _ => None,
                    })
                    .collect::<Vec<_>>(),
                levels,
            ),
        }?;
    }
    group.close()?;
    writer.into_inner()
}

fn column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    values: &[T::T],
    levels: Option<&[i16]>,
) -> ParquetResult<()> {
    let mut column = group.next_column()?.expect("the schema has a column for each of the experiment's");
    column.typed::<T>().write_batch(values, levels, None)?;
    column.close()
}

fn schema(columns: &[Column]) -> ParquetResult<Arc<Type>> {
    let field = |name: &str, physical, repetition| -> ParquetResult<_> {
        let text = (physical == Physical::BYTE_ARRAY).then_some(LogicalType::String);
        let field = Type::primitive_type_builder(name, physical)
            .with_repetition(repetition)
            .with_logical_type(text)
            .build()?;
        Ok(Arc::new(field))
    };
    let mut fields = vec![field(TRIAL, Physical::INT64, Repetition::REQUIRED)?];
    for column in columns {
        fields.push(field(&column.name, physical(column.kind), Repetition::OPTIONAL)?);
    }
    Ok(Arc::new(Type::group_type_builder("trials").with_fields(fields).build()?))
}

fn physical(kind: Kind) -> Physical {
    match kind {
        Kind::Flag => Physical::BOOLEAN,
        Kind::Integer => Physical::INT64,
        Kind::Real => Physical::DOUBLE,
        Kind::Text => Physical::BYTE_ARRAY,
    }
}

/// The rows of a shard, in its order; without their fields where `columns` is `None`. Not a byte is believed before the
/// checksum of all of them holds.
///
/// # Errors
/// Why it is none of this experiment's sound shards.
pub(crate) fn decode(
    columns: Option<&[Column]>,
    fingerprint: &str,
    mut bytes: Vec<u8>,
) -> Result<Decoded, String> {
    let digest = digest::check(&mut bytes)?;
    let unreadable = |error| format!("it is no Parquet file of this program: {error}");
    let reader = SerializedFileReader::new(Bytes::from(bytes)).map_err(unreadable)?;
    let file = reader.metadata().file_metadata();
    let pairs = file.key_value_metadata().map_or(&[][..], Vec::as_slice);
    let pair = |key: &str| {
        pairs.iter().find(|pair| pair.key == key).and_then(|pair| pair.value.as_deref()).unwrap_or_default()
    };
    let format = pair(FORMAT_KEY);
    if format != FORMAT.to_string() {
        return Err(format!("its format is \"{format}\"; this program reads format {FORMAT}"));
    }
    if pair(EXPERIMENT_KEY) != fingerprint {
        return Err("its rows are of another experiment".to_owned());
    }
    let mut rows = Vec::with_capacity(file.num_rows() as usize);
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(unreadable)?;
        rows.extend(read(&*group, columns.unwrap_or_default()).map_err(unreadable)?);
    }
    Ok(Decoded { rows, digest })
}

fn read(group: &dyn RowGroupReader, columns: &[Column]) -> ParquetResult<Vec<Row>> {
    let count = group.metadata().num_rows() as usize;
    let trials = fields::<Int64Type>(group, 0, count, |number| Value::Integer(*number))?;
    let mut rows: Vec<Row> = trials
        .into_iter()
        .map(|value| match value {
            Value::Integer(number) => Row { trial: number as u64, values: Vec::with_capacity(columns.len()) },
            _ => unreachable!("the column has no nulls and only whole numbers"),
        })
        .collect();
    for (place, column) in columns.iter().enumerate() {
        let place = place + 1;
        let values = match column.kind {
            Kind::Flag => fields::<BoolType>(group, place, count, |flag| Value::Flag(*flag)),
            Kind::Integer => fields::<Int64Type>(group, place, count, |number| Value::Integer(*number)),
            Kind::Real => fields::<DoubleType>(group, place, count, |number| Value::Real(*number)),
            Kind::Text => fields::<ByteArrayType>(group, place, count, |text| {
                Value::Text(String::from_utf8_lossy(text.data()).into_owned())
            }),
        }?;
        for (row, value) in rows.iter_mut().zip(values) {
            row.values.push(value);
        }
    }
    Ok(rows)
}

/// The fields of a column, empty ones included.
fn fields<T: DataType>(
    group: &dyn RowGroupReader,
    place: usize,
    count: usize,
    value: impl Fn(&T::T) -> Value,
) -> ParquetResult<Vec<Value>> {
    let mut reader = get_typed_column_reader::<T>(group.get_column_reader(place)?);
    let (mut values, mut levels) = (Vec::with_capacity(count), Vec::new());
    let (read, ..) = reader.read_records(count, Some(&mut levels), None, &mut values)?;
    // A column without nulls has no levels.
    levels.resize(read, 1);
    let mut values = values.iter();
    let field = |level| if level == 0 { Value::Empty } else { values.next().map(&value).unwrap_or_default() };
    Ok(levels.into_iter().map(field).collect())
}
