//! The table of measured configurations, as a file.

use crate::configuration::Configuration;
use blis_config::Diagnostic;
use std::fmt::Write;

/// What a residual is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quantity {
    /// The step times: the logarithm of the factor that makes the mean inter-token latency right.
    Step,
    /// Mean time to the first token, once steps are right; as all that follow ln(measured / simulated).
    TtftMean,
    /// Its 99th percentile.
    TtftP99,
    /// Mean inter-token latency.
    ItlMean,
    /// Mean end-to-end latency.
    E2eMean,
    /// Its 99th percentile.
    E2eP99,
}

impl Quantity {
    /// All of them, in the order of the file's columns.
    pub const ALL: [Self; 6] =
        [Self::Step, Self::TtftMean, Self::TtftP99, Self::ItlMean, Self::E2eMean, Self::E2eP99];

    /// What is left over of a figure, by the figure's name: tails go by the 99th percentile, the rest by the mean. `None` for
    /// figures that are no latency, and for the time before the first step, which servers do not show.
    pub fn of_figure(name: &str) -> Option<Self> {
        let (latency, statistic) = name.trim_end_matches("_ms").split_once('_')?;
        let is_tail = matches!(statistic, "p90" | "p95" | "p99");
        let is_statistic = is_tail || matches!(statistic, "mean" | "p50");
        match latency {
            "ttft" if is_tail => Some(Self::TtftP99),
            "ttft" if is_statistic => Some(Self::TtftMean),
            "itl" if is_statistic => Some(Self::ItlMean),
            "e2e" if is_tail => Some(Self::E2eP99),
            "e2e" if is_statistic => Some(Self::E2eMean),
            _ => None,
        }
    }
}

/// A measured configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Validated {
    /// Which set of measurements it belongs to.
    pub set: String,
    /// What was measured.
    pub configuration: Configuration,
    /// By [`Quantity::ALL`]; the first is always there.
    pub residuals: [Option<f64>; 6],
}

impl Validated {
    /// A residual, if the figure was measured.
    pub fn residual(&self, quantity: Quantity) -> Option<f64> {
        self.residuals[quantity as usize]
    }
}

const HEAD: &str = "set,model,moe,weight_bits,active_b,gpu,tp,gpus,latency_model,engine,cpu,requests,prompt_tokens,\
                    output_tokens,waiting,step,ttft_mean,ttft_p99,itl_mean,e2e_mean,e2e_p99";
/// Columns before the residuals.
const FEATURES: usize = 15;

/// The table as a file.
pub fn write(rows: &[Validated]) -> String {
    let mut out = format!("{HEAD}\n");
    for Validated { set, configuration: c, residuals } in rows {
        let features = [
            set.clone(),
            c.model.clone(),
            u8::from(c.is_moe).to_string(),
            c.weight_bits.to_string(),
            format!("{:.2}", c.active_b),
            c.gpu.clone(),
            c.tp.to_string(),
            c.gpus.to_string(),
            c.latency_model.clone(),
            c.engine.clone(),
            u8::from(c.has_cpu).to_string(),
            format!("{:.2}", c.requests),
            format!("{:.0}", c.prompt_tokens),
            format!("{:.0}", c.output_tokens),
            format!("{:.3}", c.waiting),
        ];
        let shown = |residual: &Option<f64>| residual.map(|value| format!("{value:.4}")).unwrap_or_default();
        let residuals: Vec<String> = residuals.iter().map(shown).collect();
        writeln!(out, "{},{}", features.join(","), residuals.join(",")).expect("a string takes everything");
    }
    out
}

/// Reads the table.
///
/// # Errors
/// Everything in it that cannot be read, with its line.
pub fn parse(text: &str, file: &str) -> Result<Vec<Validated>, Vec<Diagnostic>> {
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    let mut lines = text.lines();
    if lines.next() != Some(HEAD) {
        let problem = format!("{file}: the first line must be {HEAD}");
        return Err(vec![Diagnostic::new(problem)]);
    }
    for (number, line) in lines.enumerate().filter(|(_, line)| !line.is_empty()) {
        match row(line) {
            Ok(row) => rows.push(row),
            Err(problem) => problems.push(Diagnostic::new(format!("{file}:{}: {problem}", number + 2))),
        }
    }
    if problems.is_empty() { Ok(rows) } else { Err(problems) }
}

fn row(line: &str) -> Result<Validated, String> {
    let cells: Vec<&str> = line.split(',').collect();
    let names: Vec<&str> = HEAD.split(',').collect();
    if cells.len() != names.len() {
        return Err(format!("there are {} cells; there must be {}", cells.len(), names.len()));
    }
    let real = |n: usize| {
        let value = cells[n].parse::<f64>().ok().filter(|value| value.is_finite());
        value.ok_or_else(|| format!("{} is \"{}\"; it must be a number", names[n], cells[n]))
    };
    let whole = |n: usize| {
        let value = cells[n].parse::<u32>().ok();
        value.ok_or_else(|| {
            format!("{} is \"{}\"; it must be a whole number of at least 0", names[n], cells[n])
        })
    };
    let mut residuals = [None; Quantity::ALL.len()];
    for (n, residual) in residuals.iter_mut().enumerate() {
        if n == 0 || !cells[FEATURES + n].is_empty() {
            *residual = Some(real(FEATURES + n)?);
        }
    }
    Ok(Validated {
        set: cells[0].to_owned(),
        configuration: Configuration {
            model: cells[1].to_owned(),
            is_moe: whole(2)? > 0,
            weight_bits: real(3)?,
            active_b: real(4)?,
            gpu: cells[5].to_owned(),
            tp: whole(6)?,
            gpus: whole(7)?,
            latency_model: cells[8].to_owned(),
            engine: cells[9].to_owned(),
            has_cpu: whole(10)? > 0,
            requests: real(11)?,
            prompt_tokens: real(12)?,
            output_tokens: real(13)?,
            waiting: real(14)?,
        },
        residuals,
    })
}

#[cfg(test)]
mod tests {
    use super::{Quantity, Validated, parse, write};
    use crate::Configuration;

    #[test]
    fn what_is_written_is_read() {
        let configuration = Configuration { model: "m".into(), tp: 2, gpus: 4, ..Configuration::default() };
        let rows = [Validated {
            set: "dev".into(),
            configuration,
            residuals: [Some(0.05), None, Some(-0.125), None, None, None],
        }];
        assert_eq!(parse(&write(&rows), "f").unwrap(), rows);
    }

    #[test]
    fn every_bad_cell_is_told_with_its_line() {
        let good = write(&[Validated { residuals: [Some(0.0); 6], ..Validated::default() }]);
        let bad = good.replace(",0.0000,0.0000,0.0000,0.0000,0.0000,0.0000", ",nan,0,0,0,0,0") + "1,2\n";
        let problems: Vec<String> = parse(&bad, "f").unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(
            problems,
            ["f:2: step is \"nan\"; it must be a number", "f:3: there are 2 cells; there must be 21",]
        );
    }

    #[test]
    fn figures_go_by_what_was_measured() {
        let of = Quantity::of_figure;
        assert_eq!(of("ttft_p95_ms"), Some(Quantity::TtftP99));
        assert_eq!(of("e2e_p50_ms"), Some(Quantity::E2eMean));
        assert_eq!(of("itl_p99_ms"), Some(Quantity::ItlMean));
        assert_eq!(of("requests_per_s"), None);
        assert_eq!(of("scheduling_delay_mean_ms"), None);
    }
}
