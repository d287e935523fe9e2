//! Messages on standard error.

use crate::printer;
use std::fmt::Display;

/// How serious a message is; the order is that of seriousness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// What may interest a user.
    Info,
    /// What a user should know.
    #[default]
    Warning,
    /// Why there is no result.
    Error,
}

impl Level {
    /// What a user may call the levels. This program has nothing finer than information and nothing worse than an
    /// error.
    pub(crate) const NAMES: [(&str, Self); 8] = [
        ("trace", Self::Info),
        ("debug", Self::Info),
        ("info", Self::Info),
        ("warn", Self::Warning),
        ("warning", Self::Warning),
        ("error", Self::Error),
        ("fatal", Self::Error),
        ("panic", Self::Error),
    ];
}

/// Shows what is serious enough.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Logger {
    /// The least serious level that is shown.
    pub(crate) least: Level,
}

impl Logger {
    pub(crate) fn info(self, message: impl Display) {
        self.show(Level::Info, "info", message);
    }

    pub(crate) fn warning(self, message: impl Display) {
        self.show(Level::Warning, "warning", message);
    }

    fn show(self, level: Level, word: &str, message: impl Display) {
        if level >= self.least {
            printer::message(word, message);
        }
    }
}
