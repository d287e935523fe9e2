//! Reports as pages for a browser: one file each, which fetches nothing.
//!
//! A [`Page`] is put together from blocks: [`key_figures`], [`table()`], [`line_chart`], [`percentile_chart`],
//! [`histogram`], [`scatter()`] with a front, [`bars()`]. Each is a pure function of its data to [`Html`], and the same data
//! give the same bytes. Texts are escaped on their way in. Charts are drawn for narrow, wide and very wide
//! places, and the style sheet shows one of the drawings; the script adds a cursor and sorts tables, and all there is to see is there
//! without it.
//!
//! The pages of the commands lie in `pages`.

mod axis;
mod bars;
mod chart;
mod distribution;
mod lines;
mod markup;
mod number;
mod page;
mod pages;
mod scatter;
mod table;

pub use axis::Scale;
pub use bars::{BarRow, Bars, bars};
pub use distribution::{Histogram, Percentiles, histogram, percentile_chart};
pub use lines::{LineChart, Series, line_chart};
pub use markup::{Html, grid};
pub use number::{count, counted, duration_ms, number, percent};
pub use page::{KeyFigure, Page, Section, key_figures, page};
pub use pages::calibration::{adapter_comparison_page, calibration_page};
pub use pages::comparison::comparison_page;
pub use pages::origin::{Origin, Setting};
pub use pages::plan::{PlanReport, plan_page};
pub use pages::run::{Kind, RunReport, run_page};
pub use pages::sweep::sweep_page;
pub use scatter::{Point, Scatter, scatter};
pub use table::{Cell, Look, Row, Table, table};
