//! Percentiles and means over sorted values.
