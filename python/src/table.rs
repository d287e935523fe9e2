//! Columns that Arrow and NumPy read where they lie.

use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema};
use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::types::{Float64Type, Int64Type, UInt32Type};
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, BooleanArray, PrimitiveArray, RecordBatch, RecordBatchIterator,
    StringArray,
};
use arrow_buffer::{ArrowNativeType, NullBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use blis::Outcome;
use blis::metrics::{Labels, RequestRecord};
use blis_kernel::Tick;
use blis_store::{Column as Kept, Kind, Row, Value};
use pyo3::exceptions::{PyAttributeError, PyIndexError, PyKeyError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict, PyTuple};
use std::sync::Arc;

fn failed(error: ArrowError) -> PyErr {
    PyRuntimeError::new_err(error.to_string())
}

/// A table.
#[pyclass(frozen, module = "blis._blis")]
pub(crate) struct Table {
    batch: RecordBatch,
}

impl Table {
    fn new(columns: Vec<(String, ArrayRef)>) -> PyResult<Self> {
        let fields: Vec<Field> =
            columns.iter().map(|(name, array)| Field::new(name, array.data_type().clone(), true)).collect();
        let arrays = columns.into_iter().map(|(_, array)| array).collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(failed)?;
        Ok(Self { batch })
    }
}

#[pymethods]
impl Table {
    fn __len__(&self) -> usize {
        self.batch.num_rows()
    }

    fn __repr__(&self) -> String {
        format!("<blis.Table of {} rows: {}>", self.batch.num_rows(), self.columns().join(", "))
    }

    /// The names of the columns.
    #[getter]
    fn columns(&self) -> Vec<String> {
        self.batch.schema().fields().iter().map(|field| field.name().clone()).collect()
    }

    /// A column.
    fn __getitem__(&self, name: &str) -> PyResult<Column> {
        let array = self.batch.column_by_name(name).ok_or_else(|| {
            PyKeyError::new_err(format!(
                "there is no column {name:?}; there are {}",
                self.columns().join(", ")
            ))
        })?;
        Ok(Column { name: name.to_owned(), array: array.clone() })
    }

    /// A row.
    fn row<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyDict>> {
        if index >= self.batch.num_rows() {
            return Err(PyIndexError::new_err(format!("there are {} rows", self.batch.num_rows())));
        }
        let row = PyDict::new(py);
        for (name, array) in self.columns().into_iter().zip(self.batch.columns()) {
            row.set_item(name, item(py, array, index)?)?;
        }
        Ok(row)
    }

    /// The stream of the Arrow interface.
    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        // Another schema than the columns' own need not be given.
        drop(requested_schema);
        let batches = RecordBatchIterator::new([Ok(self.batch.clone())], self.batch.schema());
        PyCapsule::new_with_value(py, FFI_ArrowArrayStream::new(Box::new(batches)), c"arrow_array_stream")
    }

    /// The schema of the Arrow interface.
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        let schema = FFI_ArrowSchema::try_from(&*self.batch.schema()).map_err(failed)?;
        PyCapsule::new_with_value(py, schema, c"arrow_schema")
    }

    /// As a table of pyarrow.
    fn to_arrow(slf: Bound<'_, Self>) -> PyResult<Bound<'_, PyAny>> {
        slf.py().import("pyarrow")?.call_method1("table", (slf,))
    }

    /// As a data frame of pandas.
    fn to_pandas(slf: Bound<'_, Self>) -> PyResult<Bound<'_, PyAny>> {
        Self::to_arrow(slf)?.call_method0("to_pandas")
    }

    /// As a data frame of Polars.
    fn to_polars(slf: Bound<'_, Self>) -> PyResult<Bound<'_, PyAny>> {
        slf.py().import("polars")?.call_method1("DataFrame", (slf,))
    }
}

/// A column of a table.
#[pyclass(frozen, module = "blis._blis")]
pub(crate) struct Column {
    /// Its name.
    #[pyo3(get)]
    name: String,
    array: ArrayRef,
}

#[pymethods]
impl Column {
    fn __len__(&self) -> usize {
        self.array.len()
    }

    fn __repr__(&self) -> String {
        format!("<blis.Column {} of {} {}>", self.name, self.array.len(), self.array.data_type())
    }

    /// A field; `None` where there is nothing.
    fn __getitem__<'py>(&self, py: Python<'py>, index: isize) -> PyResult<Bound<'py, PyAny>> {
        let place = if index < 0 { index + self.array.len() as isize } else { index };
        match usize::try_from(place) {
            Ok(place) if place < self.array.len() => item(py, &self.array, place),
            _ => Err(PyIndexError::new_err(format!("there are {} fields", self.array.len()))),
        }
    }

    /// The array of the Arrow interface.
    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        drop(requested_schema);
        let data = self.array.to_data();
        let schema = FFI_ArrowSchema::try_from(data.data_type()).map_err(failed)?;
        let array = FFI_ArrowArray::new(&data);
        let schema = PyCapsule::new_with_value(py, schema, c"arrow_schema")?;
        let array = PyCapsule::new_with_value(py, array, c"arrow_array")?;
        PyTuple::new(py, [schema, array])
    }

    /// Where NumPy finds the numbers; a number that is not there is not-a-number.
    #[getter]
    fn __array_interface__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (kind, address) = match self.array.data_type() {
            DataType::Float64 => ("f8", address::<Float64Type>(&self.array)),
            DataType::Int64 if self.array.null_count() == 0 => ("i8", address::<Int64Type>(&self.array)),
            DataType::UInt32 if self.array.null_count() == 0 => ("u4", address::<UInt32Type>(&self.array)),
            _ => {
                let text = format!("{} is no column of numbers without gaps", self.name);
                return Err(PyAttributeError::new_err(text));
            }
        };
        let order = if cfg!(target_endian = "big") { '>' } else { '<' };
        let interface = PyDict::new(py);
        interface.set_item("version", 3)?;
        interface.set_item("shape", (self.array.len(),))?;
        interface.set_item("typestr", format!("{order}{kind}"))?;
        let is_read_only = true;
        interface.set_item("data", (address, is_read_only))?;
        Ok(interface)
    }
}

/// Where the numbers of an array of this type lie.
fn address<T: ArrowPrimitiveType>(array: &ArrayRef) -> usize {
    let array = array.as_any().downcast_ref::<PrimitiveArray<T>>().expect("its type was looked at");
    array.values().as_ptr() as usize
}

fn item<'py>(py: Python<'py>, array: &ArrayRef, index: usize) -> PyResult<Bound<'py, PyAny>> {
    if array.is_null(index) {
        return Ok(py.None().into_bound(py));
    }
    let any = array.as_any();
    if let Some(array) = any.downcast_ref::<StringArray>() {
        return Ok(array.value(index).into_pyobject(py)?.into_any());
    }
    if let Some(array) = any.downcast_ref::<BooleanArray>() {
        return Ok(array.value(index).into_pyobject(py)?.to_owned().into_any());
    }
    if let Some(array) = any.downcast_ref::<PrimitiveArray<Int64Type>>() {
        return Ok(array.value(index).into_pyobject(py)?.into_any());
    }
    if let Some(array) = any.downcast_ref::<PrimitiveArray<UInt32Type>>() {
        return Ok(array.value(index).into_pyobject(py)?.into_any());
    }
    let array = any.downcast_ref::<PrimitiveArray<Float64Type>>().expect("there are no other columns");
    Ok(array.value(index).into_pyobject(py)?.into_any())
}

fn numbers<T: ArrowPrimitiveType>(values: impl Iterator<Item = T::Native>) -> ArrayRef
where
    T::Native: ArrowNativeType,
{
    Arc::new(PrimitiveArray::<T>::new(ScalarBuffer::from(values.collect::<Vec<_>>()), None))
}

/// Real numbers of which some are not there: not-a-number for NumPy, null for Arrow.
fn reals(values: impl Iterator<Item = Option<f64>>) -> ArrayRef {
    let values: Vec<Option<f64>> = values.collect();
    let there: NullBuffer = values.iter().map(Option::is_some).collect::<Vec<_>>().into();
    let filled: Vec<f64> = values.into_iter().map(|value| value.unwrap_or(f64::NAN)).collect();
    let nulls = Some(there).filter(|there| there.null_count() > 0);
    Arc::new(PrimitiveArray::<Float64Type>::new(ScalarBuffer::from(filled), nulls))
}

fn texts<S: AsRef<str>>(values: impl Iterator<Item = Option<S>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn flags(values: impl Iterator<Item = Option<bool>>) -> ArrayRef {
    Arc::new(values.collect::<BooleanArray>())
}

/// A row for every request, in order of arrival.
pub(crate) fn requests(outcome: &Outcome) -> PyResult<Table> {
    let Some(all) = &outcome.requests else {
        return Err(PyRuntimeError::new_err("the run kept no requests"));
    };
    let records = &all.records;
    let real = |of: fn(&RequestRecord) -> Option<Tick>| {
        reals(records.iter().map(|record| of(record).map(|time| time.as_us() as f64 / 1e3)))
    };
    let tokens = |of: fn(&RequestRecord) -> u32| numbers::<UInt32Type>(records.iter().map(of));
    let label = |of: fn(&Labels) -> &str| {
        let of = |record: &RequestRecord| all.labels.get(record.labels as usize).map(of).unwrap_or_default();
        texts(records.iter().map(|record| Some(of(record)).filter(|text| !text.is_empty())))
    };
    let session = |record: &RequestRecord| {
        let place = record.session?;
        all.session_names.get(place.session as usize).cloned()
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("request", texts(records.iter().map(|record| Some(record.name.to_string())))),
        ("arrival_us", numbers::<Int64Type>(records.iter().map(|record| record.arrival.as_us()))),
        ("input_tokens", tokens(|record| record.input_tokens)),
        ("output_tokens", tokens(|record| record.output_tokens)),
        ("produced_tokens", tokens(|record| record.produced_tokens)),
        ("ttft_ms", real(|record| record.ttft)),
        ("itl_mean_ms", {
            let shown = |record: &RequestRecord| Some(record.itl_mean_us / 1e3).filter(|&ms| ms > 0.0);
            reals(records.iter().map(shown))
        }),
        ("e2e_ms", real(|record| record.e2e)),
        ("scheduling_delay_ms", real(|record| record.scheduling_delay)),
        ("gateway_queue_delay_ms", real(|record| record.gateway_queue_delay)),
        ("left_at_ms", real(|record| record.left_at)),
        ("ending", texts(records.iter().map(|record| Some(record.ending.name())))),
        ("length_capped", flags(records.iter().map(|record| Some(record.length_capped)))),
        (
            "instance",
            texts(records.iter().map(|record| record.instance.map(|place| outcome.instance_name(place)))),
        ),
        ("slo_class", label(|labels| &labels.slo_class)),
        ("tenant", label(|labels| &labels.tenant)),
        ("model", label(|labels| &labels.model)),
        ("adapter", label(|labels| &labels.adapter)),
        ("session", texts(records.iter().map(session))),
        ("round", reals(records.iter().map(|record| record.session.map(|place| f64::from(place.round))))),
    ];
    Table::new(columns.into_iter().map(|(name, array)| (name.to_owned(), array)).collect())
}

/// A row for every trial of a sweep.
pub(crate) fn trials(columns: &[Kept], rows: &[Row]) -> PyResult<Table> {
    let mut all = vec![("trial".to_owned(), numbers::<Int64Type>(rows.iter().map(|row| row.trial as i64)))];
    for (n, column) in columns.iter().enumerate() {
        let values = rows.iter().map(|row| &row.values[n]);
        let array: ArrayRef = match column.kind {
            Kind::Flag => flags(values.map(|value| match value {
                Value::Flag(flag) => Some(*flag),
                _ => None,
            })),
            Kind::Integer => {
                let integer = |value: &Value| match value {
                    Value::Integer(number) => Some(*number),
                    _ => None,
                };
                Arc::new(values.map(integer).collect::<PrimitiveArray<Int64Type>>())
            }
            Kind::Real => reals(values.map(|value| match value {
                Value::Real(number) => Some(*number),
                _ => None,
            })),
            Kind::Text => texts(values.map(|value| match value {
                Value::Text(text) => Some(text.as_str()),
                _ => None,
            })),
        };
        all.push((column.name.clone(), array));
    }
    Table::new(all)
}
