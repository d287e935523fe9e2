//! Measured times of operators on one GPU.
//!
//! A table has curves, each under a key that tells one from another (type, heads, width …), over the same axes (tokens, batch …).
//! Curves are unpacked when somebody asks for them. Between measured points logarithms of times are interpolated linearly over logarithms of the axes: products of sizes
//! come out exactly. `scripts/kernel_tables.py` writes the format and describes it.

use crate::architecture::MoeBackend;
use std::collections::BTreeMap;
use std::sync::OnceLock;
use thiserror::Error;

/// First bytes of the format.
const MAGIC: &[u8] = b"BLISKERN";
/// The release of the format.
const VERSION: u8 = 1;
/// Step between two neighbouring stored logarithms of microseconds.
const STEP: f64 = 1.0 / 128.0;
/// The stored number of 1 µs.
const ZERO: i32 = 2048;
/// Most axes of a table.
pub(super) const MAX_AXES: usize = 3;
/// Most values of a table; more is damage.
const MAX_VALUES: usize = 1 << 24;

/// All tables of one GPU.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KernelTables {
    source: String,
    tables: BTreeMap<String, Table>,
}

/// The bytes are no tables.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("not kernel tables: {0}")]
pub struct BadTables(String);

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Table {
    axes: Vec<Axis>,
    /// By key: the place in the stored numbers, and what they say once somebody asked.
    curves: BTreeMap<String, (usize, OnceLock<Curve>)>,
    /// Low and high bytes of the stored numbers.
    stored: [Vec<u8>; 2],
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Axis {
    logarithms: Vec<f64>,
}

/// Logarithms of microseconds, the last axis fastest; a line without any measurement is not a number.
#[derive(Clone, Debug, PartialEq)]
struct Curve {
    values: Vec<f64>,
    /// Of tables with one axis: the last measured point.
    last: usize,
}

/// A time, and the point at which it was taken: the one asked for, moved into the measured range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Measured {
    pub(super) us: f64,
    pub(super) at: [f64; MAX_AXES],
}

impl KernelTables {
    /// Reads the (unpacked) format.
    ///
    /// # Errors
    /// The bytes are something else, of another release, or damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadTables> {
        let mut reader = Reader { rest: bytes };
        if reader.take(MAGIC.len())? != MAGIC {
            return Err(BadTables("the first bytes are others".into()));
        }
        let version = reader.u8()?;
        if version != VERSION {
            return Err(BadTables(format!("format {version}, known is {VERSION}")));
        }
        let source = reader.text()?;
        let count = reader.u16()?;
        let mut tables = BTreeMap::new();
        for _ in 0..count {
            let (name, table) = reader.table()?;
            tables.insert(name, table);
        }
        if !reader.rest.is_empty() {
            return Err(BadTables(format!("{} bytes too many", reader.rest.len())));
        }
        Ok(Self { source, tables })
    }

    /// Where the measurements come from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether kernels for experts of MXFP4 weights are among the measured ones.
    pub fn has_experts_of(&self, backend: MoeBackend) -> bool {
        let has = |kernel| {
            let mut keys = self.table("moe").into_iter().flat_map(Table::keys);
            keys.any(|key| key.split('/').next() == Some(kernel))
        };
        backend.mxfp4_kernel().is_none_or(has)
    }

    pub(super) fn table(&self, name: &str) -> Option<&Table> {
        self.tables.get(name)
    }

    /// The same without some curves of a table.
    #[cfg(test)]
    pub(super) fn without(&self, table: &str, is_left_out: impl Fn(&str) -> bool) -> Self {
        let mut less = self.clone();
        if let Some(table) = less.tables.get_mut(table) {
            table.curves.retain(|key, _| !is_left_out(key));
        }
        less
    }
}

impl Table {
    pub(super) fn has(&self, key: &str) -> bool {
        self.curves.contains_key(key)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.curves.keys().map(String::as_str)
    }

    /// The time at a point (as many coordinates as axes), taken at the nearest measured one where it lies outside.
    pub(super) fn at(&self, key: &str, point: &[f64]) -> Option<Measured> {
        let (place, curve) = self.curves.get(key)?;
        let curve = curve.get_or_init(|| self.curve(*place));
        assert_eq!(point.len(), self.axes.len(), "a point has one coordinate per axis");
        let mut at = [0.0; MAX_AXES];
        let mut cells = [(0, 0.0); MAX_AXES];
        for (i, (axis, &wanted)) in self.axes.iter().zip(point).enumerate() {
            let end = if self.axes.len() == 1 { curve.last } else { axis.logarithms.len() - 1 };
            (cells[i], at[i]) = axis.cell(wanted, end);
        }
        let logarithm = self.interpolated(&curve.values, &cells[..point.len()], 0, 0);
        logarithm.is_finite().then(|| Measured { us: libm::exp(logarithm), at })
    }

    fn curve(&self, place: usize) -> Curve {
        let cells = self.axes.iter().map(|axis| axis.logarithms.len()).product::<usize>();
        let last_axis = self.axes.last().map_or(&[][..], |axis| &axis.logarithms);
        let range = place * cells..(place + 1) * cells;
        let [low, high] = &self.stored;
        let mut values = Vec::with_capacity(cells);
        let mut last = 0;
        let lines = low[range.clone()].chunks(last_axis.len());
        for (low, high) in lines.zip(high[range].chunks(last_axis.len())) {
            let line = line(low, high);
            last = line.iter().rposition(|value| value.is_finite()).unwrap_or(0);
            values.extend(filled(line, last_axis));
        }
        Curve { values, last }
    }

    /// Where one of two neighbours was not measured, the other one holds.
    fn interpolated(&self, values: &[f64], cells: &[(usize, f64)], axis: usize, row: usize) -> f64 {
        let Some(&(index, share)) = cells.get(axis) else { return values[row] };
        let width = self.axes[axis].logarithms.len();
        let low = self.interpolated(values, cells, axis + 1, row * width + index);
        if share == 0.0 {
            return low;
        }
        let high = self.interpolated(values, cells, axis + 1, row * width + index + 1);
        match (low.is_nan(), high.is_nan()) {
            (true, _) => high,
            (_, true) => low,
            _ => low + (high - low) * share,
        }
    }
}

impl Axis {
    /// The point in front of a coordinate with the share of the way to the next one, and the coordinate that this is.
    fn cell(&self, wanted: f64, end: usize) -> ((usize, f64), f64) {
        let (first, last) = (self.logarithms[0], self.logarithms[end]);
        let logarithm = if wanted > 0.0 { libm::log(wanted) } else { first };
        if logarithm <= first {
            return ((0, 0.0), libm::exp(first));
        }
        if logarithm >= last {
            return ((end, 0.0), libm::exp(last));
        }
        let next = self.logarithms.partition_point(|point| *point <= logarithm);
        let (low, high) = (self.logarithms[next - 1], self.logarithms[next]);
        ((next - 1, (logarithm - low) / (high - low)), wanted)
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], BadTables> {
        let (taken, rest) =
            self.rest.split_at_checked(count).ok_or_else(|| BadTables("they end too early".into()))?;
        self.rest = rest;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, BadTables> {
        Ok(self.take(1)?[0])
    }

    fn u16(&mut self) -> Result<usize, BadTables> {
        let bytes = self.take(2)?;
        Ok(usize::from(u16::from_le_bytes([bytes[0], bytes[1]])))
    }

    fn u32(&mut self) -> Result<u32, BadTables> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn text(&mut self) -> Result<String, BadTables> {
        let length = usize::from(self.u8()?);
        let bytes = self.take(length)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| BadTables("a name is not UTF-8".into()))
    }

    fn table(&mut self) -> Result<(String, Table), BadTables> {
        let name = self.text()?;
        let bad = |what: &str| BadTables(format!("table {name}: {what}"));
        let axes = usize::from(self.u8()?);
        if axes == 0 || axes > MAX_AXES {
            return Err(bad("it must have one to three axes"));
        }
        let mut table = Table::default();
        let mut cells: usize = 1;
        for _ in 0..axes {
            let points = self.u16()?;
            let mut coordinates = Vec::with_capacity(points);
            for _ in 0..points {
                coordinates.push(self.u32()?);
            }
            if points == 0 || coordinates[0] == 0 || coordinates.windows(2).any(|pair| pair[0] >= pair[1]) {
                return Err(bad("the points of an axis must rise"));
            }
            cells = cells.saturating_mul(points);
            let logarithms = coordinates.iter().map(|point| libm::log(f64::from(*point))).collect();
            table.axes.push(Axis { logarithms });
        }
        let curves = self.u32()? as usize;
        if cells.saturating_mul(curves) > MAX_VALUES {
            return Err(bad("it is too large"));
        }
        let keys: Vec<String> = (0..curves).map(|_| self.text()).collect::<Result<_, _>>()?;
        table.stored = [self.take(cells * curves)?.to_vec(), self.take(cells * curves)?.to_vec()];
        let places = keys.into_iter().enumerate();
        table.curves = places.map(|(place, key)| (key, (place, OnceLock::new()))).collect();
        Ok((name, table))
    }
}

/// The logarithms of one line along the last axis.
fn line(low: &[u8], high: &[u8]) -> Vec<f64> {
    let mut level = 0;
    low.iter()
        .zip(high)
        .map(|(&low, &high)| match i32::from(u16::from_le_bytes([low, high])) {
            0 => f64::NAN,
            stored => {
                let zigzag = stored - 1;
                level += (zigzag >> 1) ^ -(zigzag & 1);
                f64::from(level - ZERO) * STEP
            }
        })
        .collect()
}

/// Closes the gaps of a line: between two points linearly, in front of the first one with its value, behind the last one
/// in proportion to the axis.
fn filled(mut line: Vec<f64>, axis: &[f64]) -> Vec<f64> {
    let measured: Vec<usize> = (0..line.len()).filter(|&i| line[i].is_finite()).collect();
    let (Some(&first), Some(&last)) = (measured.first(), measured.last()) else { return line };
    for pair in measured.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        for i in from + 1..to {
            let share = (axis[i] - axis[from]) / (axis[to] - axis[from]);
            line[i] = line[from] + (line[to] - line[from]) * share;
        }
    }
    let (start, end) = (line[first], line[last]);
    line[..first].fill(start);
    for i in last + 1..line.len() {
        line[i] = end + axis[i] - axis[last];
    }
    line
}

#[cfg(test)]
pub(super) mod tests {
    use super::{BadTables, KernelTables, MAGIC, ZERO};

    /// Tables in the format, from (name, axes, curves with their microseconds; 0 = not measured).
    pub(in crate::profiled) type Plain<'a> = (&'a str, Vec<Vec<u32>>, Vec<(String, Vec<f64>)>);

    pub(in crate::profiled) fn bytes(tables: &[Plain<'_>]) -> Vec<u8> {
        let text = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
        let mut out = [MAGIC, &[1], &text("made up"), &(tables.len() as u16).to_le_bytes()].concat();
        for (name, axes, curves) in tables {
            out.extend(text(name));
            out.push(axes.len() as u8);
            for axis in axes {
                out.extend((axis.len() as u16).to_le_bytes());
                out.extend(axis.iter().flat_map(|point| point.to_le_bytes()));
            }
            out.extend((curves.len() as u32).to_le_bytes());
            let (mut low, mut high) = (Vec::new(), Vec::new());
            for (key, values) in curves {
                out.extend(text(key));
                for line in values.chunks(axes.last().map_or(1, Vec::len)) {
                    let mut level = 0;
                    for us in line {
                        let mut stored = 0;
                        if *us > 0.0 {
                            let exact = (libm::log(*us) * 128.0).round() as i32 + ZERO;
                            let delta = exact - level;
                            level = exact;
                            stored = ((delta << 1) ^ (delta >> 31)) as u16 + 1;
                        }
                        low.push(stored as u8);
                        high.push((stored >> 8) as u8);
                    }
                }
            }
            out.extend(low);
            out.extend(high);
        }
        out
    }

    fn tables() -> KernelTables {
        KernelTables::from_bytes(&bytes(&[
            ("line", vec![vec![1, 2, 4, 8]], vec![("a".into(), vec![0.0, 10.0, 20.0, 0.0])]),
            ("plane", vec![vec![1, 4], vec![1, 4]], vec![("b".into(), vec![1.0, 4.0, 4.0, 16.0])]),
        ]))
        .expect("sound tables")
    }

    fn us(table: &str, key: &str, point: &[f64]) -> f64 {
        let tables = tables();
        tables.table(table).and_then(|table| table.at(key, point)).expect("a measured curve").us
    }

    fn is_near(us: f64, expected: f64) {
        assert!((us / expected - 1.0).abs() < 0.01, "{us} is not {expected}");
    }

    #[test]
    fn a_product_of_sizes_is_interpolated_exactly() {
        is_near(us("plane", "b", &[2.0, 2.0]), 4.0);
        is_near(us("plane", "b", &[1.0, 3.0]), 3.0);
        is_near(us("line", "a", &[3.0]), 15.0);
    }

    #[test]
    fn outside_the_measured_range_the_nearest_point_answers_and_says_where_it_is() {
        let tables = tables();
        let line = tables.table("line").expect("it is there");
        let at = |point| line.at("a", &[point]).map(|measured| (measured.at[0] * 100.0).round());
        assert_eq!(at(16.0), Some(400.0));
        assert_eq!(at(3.0), Some(300.0));
        is_near(us("line", "a", &[0.5]), 10.0);
        assert_eq!(line.at("z", &[1.0]), None);
    }

    #[test]
    fn damaged_bytes_are_refused_wherever_they_are_cut() {
        let whole = bytes(&[("line", vec![vec![1, 2]], vec![("a".into(), vec![1.0, 2.0])])]);
        for length in 0..whole.len() {
            assert!(KernelTables::from_bytes(&whole[..length]).is_err(), "cut to {length} bytes");
        }
        let longer = [whole.clone(), vec![0]].concat();
        assert_eq!(KernelTables::from_bytes(&longer), Err(BadTables("1 bytes too many".into())));
        let falling = bytes(&[("line", vec![vec![2, 1]], vec![("a".into(), vec![1.0, 2.0])])]);
        let problem = KernelTables::from_bytes(&falling).map(|_| ()).map_err(|bad| bad.to_string());
        assert_eq!(problem, Err("not kernel tables: table line: the points of an axis must rise".to_owned()));
    }
}
