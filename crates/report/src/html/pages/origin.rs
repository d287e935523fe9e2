//! Where a page comes from: what was asked for, with what, by which program.

use crate::html::chart::put;
use crate::html::markup::{Escaped, Html};
use crate::html::page::Section;
use crate::html::table::{Cell, Look, Row, Table, table};

/// What a page tells about how it came about.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// What the program is called and which version it is.
    pub program: String,
    /// The command line, without where files lie.
    pub command_line: String,
    /// Every setting, sorted by name; empty where there are none.
    pub settings: Vec<Setting>,
    /// What the user was warned of.
    pub warnings: Vec<String>,
    /// Whether a real server had a part in it, so that the same again gives other figures.
    pub is_measured: bool,
}

/// A setting as it came out.
#[derive(Clone, Debug, Default)]
pub struct Setting {
    /// Name, as on the command line.
    pub name: String,
    /// Value.
    pub value: String,
    /// Where it comes from, in words.
    pub source: String,
    /// Whether somebody asked for it.
    pub is_given: bool,
}

impl Origin {
    /// The value of a setting.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.iter().find(|setting| setting.name == name).map(|setting| setting.value.as_str())
    }

    /// What is simulated, such as `qwen/qwen3-14b on 4 × H100`.
    pub fn subject(&self) -> String {
        let Some(model) = self.setting("model") else { return String::new() };
        let Some(gpu) = self.setting("hardware") else { return model.to_owned() };
        let instances = self.setting("num-instances").unwrap_or("1");
        match self.setting("tp") {
            Some(tp) if tp != "1" => format!("{model} on {instances} × {gpu}, TP {tp}"),
            _ => format!("{model} on {instances} × {gpu}"),
        }
    }

    /// The parts of a page that tell all this.
    pub fn sections(&self) -> Vec<Section> {
        let row = |setting: &Setting| {
            let cells = [&setting.name, &setting.value, &setting.source].map(|text| Cell::text(text.clone()));
            let look = if setting.is_given { Look::Strong } else { Look::Plain };
            Row { cells: cells.into(), look }
        };
        let given = self.settings.iter().filter(|setting| setting.is_given);
        let others = self.settings.iter().filter(|setting| !setting.is_given);
        let settings = Table {
            title: "Settings".to_owned(),
            columns: ["setting", "value", "source"].map(str::to_owned).into(),
            rows: given.chain(others).map(row).collect(),
        };
        let pre = "<pre tabindex=\"0\" role=\"region\" aria-label=\"Command line\">";
        let seed = self.setting("seed").map(|seed| format!("Seed {seed}. ")).unwrap_or_default();
        let same = if self.is_measured {
            "A real server was measured: another time its figures will be others."
        } else {
            "The same version with the same settings and files gives the same figures, byte for byte."
        };
        let mut command = format!("<p>{}. {}{same}</p>\n", Escaped(&self.program), Escaped(&seed));
        put(&mut command, format_args!("{pre}{}</pre>\n", Escaped(&self.command_line)));
        vec![
            Section::new(
                "Configuration",
                "Every setting with its source; what was asked for comes first.",
                vec![table(&settings)],
            ),
            Section::new("How this came about", "", vec![Html::raw(command)]),
        ]
    }
}
