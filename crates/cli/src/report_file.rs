//! `--report`: the page of a command, and where it comes from.

use blis::report::html::{Origin, Setting};
use blis::{Diagnostic, Source};
use clap::Args;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
pub(crate) struct ReportFlag {
    /// File for a page with the results, the configuration and charts, HTML, which needs no other file and no network
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

impl ReportFlag {
    /// The file, if one is wanted.
    pub(crate) fn path(self) -> Option<PathBuf> {
        self.report.filter(|path| !path.as_os_str().is_empty())
    }
}

pub(crate) const FLAG: &str = "--report";

/// Writes the page, all of it or nothing.
///
/// # Errors
/// It cannot be written.
pub(crate) fn write(path: &Path, page: &str) -> Result<(), Diagnostic> {
    write_whole(path, page)
        .map_err(|error| Diagnostic::new(format!("{FLAG}: cannot write {}: {error}", path.display())))
}

/// Writes a file beside the one that is meant, and puts it in its place when it is complete.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    // What a link leads to is meant; a device takes what it is given.
    let place = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if place.exists() && !place.is_file() {
        return fs::write(&place, text);
    }
    let mut beside = place.file_name().map(OsStr::to_owned).unwrap_or_default();
    beside.push(format!(".{}.part", std::process::id()));
    let beside = place.with_file_name(beside);
    let done = fs::write(&beside, text).and_then(|()| fs::rename(&beside, &place));
    if done.is_err() {
        // There is nobody to tell that this failed too.
        let _ = fs::remove_file(&beside);
    }
    done
}

/// What a page tells about how it came about.
pub(crate) fn origin(words: &[OsString], settings: &[blis::Setting], warnings: &[Diagnostic]) -> Origin {
    let setting = |setting: &blis::Setting| Setting {
        name: setting.name.clone(),
        value: without_folders(&setting.value),
        source: source_name(setting.source).to_owned(),
        is_given: setting.source == Source::Given,
    };
    Origin {
        program: format!("blis {}", env!("CARGO_PKG_VERSION")),
        command_line: command_line(words),
        settings: settings.iter().map(setting).collect(),
        warnings: warnings.iter().map(ToString::to_string).collect(),
        is_measured: false,
    }
}

/// Where a setting comes from, in words.
pub(crate) const fn source_name(source: Source) -> &'static str {
    match source {
        Source::Given => "given",
        Source::Catalogue => "from the catalogue",
        Source::ModelConfig => "from the model's configuration",
        Source::Coefficients => "from the coefficients",
        Source::Engine => "the engine's default",
        Source::Computed => "computed",
        Source::Default => "default",
    }
}

/// Flags whose values are nobody's business.
const SECRET: [&str; 1] = ["--api-key"];

/// The command line as it could be typed elsewhere: without folders, and without secrets.
fn command_line(words: &[OsString]) -> String {
    let mut told = vec!["blis".to_owned()];
    let mut is_secret = false;
    for word in words.iter().skip(1).map(|word| word.to_string_lossy()) {
        let (flag, value) = match word.split_once('=') {
            Some((flag, value)) if flag.starts_with("--") => (Some(flag), value),
            _ => (None, &*word),
        };
        let hide = is_secret || flag.is_some_and(|flag| SECRET.contains(&flag));
        let value = if hide { "…".to_owned() } else { without_folders(value) };
        told.push(quoted(&flag.map_or_else(|| value.clone(), |flag| format!("{flag}={value}"))));
        is_secret = !is_secret && SECRET.contains(&&*word);
    }
    told.join(" ")
}

/// The name of a file that is told with where it lies on this machine; anything else as it is, but for who logs in.
fn without_folders(value: &str) -> String {
    if let Some((scheme, rest)) = value.split_once("://") {
        let host = rest.split_once('@').filter(|(who, _)| !who.contains('/')).map_or(rest, |(_, host)| host);
        return format!("{scheme}://{host}");
    }
    let lies_here =
        Path::new(value).is_absolute() || ["~/", "./", "../"].iter().any(|start| value.starts_with(start));
    match Path::new(value).file_name() {
        Some(name) if lies_here => name.to_string_lossy().into_owned(),
        _ => value.to_owned(),
    }
}

/// As a shell reads it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_=./:,@%+…".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(words: &str) -> String {
        command_line(&words.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    /// Law: a page says neither where files lie on a machine nor what is secret.
    #[test]
    fn command_lines_tell_no_folders_and_no_secrets() {
        let cases = [
            ("/usr/bin/blis run --model qwen/qwen3-14b", "blis run --model qwen/qwen3-14b"),
            ("blis run --workload-spec=/home/me/w.yaml", "blis run --workload-spec=w.yaml"),
            ("blis replay --trace-data ../t.csv --rate 3", "blis replay --trace-data t.csv --rate 3"),
            ("blis observe --api-key xyz --rate 1", "blis observe --api-key … --rate 1"),
            ("blis observe --api-key=xyz", "blis observe --api-key=…"),
            (
                "blis observe --server-url http://me:pw@host:8000/v1",
                "blis observe --server-url http://host:8000/v1",
            ),
            ("blis plan --slo ttft_p99<200ms", "blis plan --slo 'ttft_p99<200ms'"),
        ];
        for (words, expected) in cases {
            assert_eq!(told(words), expected);
        }
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
