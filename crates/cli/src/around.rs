//! What a command finds around it, besides its words.

use crate::logger::{Level, Logger};
use blis::Control;
use blis_policy::Registry;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Files that are given as texts, by the names that flags call them.
pub(crate) type Texts = BTreeMap<PathBuf, String>;

/// What a command finds around it.
#[derive(Clone, Copy)]
pub(crate) struct Around<'a> {
    pub(crate) policies: &'a Registry,
    pub(crate) texts: &'a Texts,
    /// Ends its runs.
    pub(crate) control: &'a Control,
    pub(crate) audience: Audience<'a>,
}

/// Told how many of how many are done.
pub(crate) type Counter<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// Who gets to know what there is to say.
#[derive(Clone, Copy)]
pub(crate) enum Audience<'a> {
    /// People in front of a terminal.
    Terminal,
    /// The program that called: warnings are kept for it.
    Program { told: &'a Mutex<Vec<String>>, counter: Option<Counter<'a>> },
}

/// No files, and nobody who ends anything.
static NO_TEXTS: Texts = Texts::new();
static GO_ON: Control = Control::new();

impl<'a> Around<'a> {
    /// Of the program `blis`.
    pub(crate) fn terminal(policies: &'a Registry) -> Self {
        Self { policies, texts: &NO_TEXTS, control: &GO_ON, audience: Audience::Terminal }
    }

    /// Takes messages of this level and above.
    pub(crate) fn messages(&self, least: Level) -> Messages<'a> {
        Messages { logger: Logger { least }, audience: self.audience }
    }

    pub(crate) fn is_terminal(&self) -> bool {
        matches!(self.audience, Audience::Terminal)
    }

    /// Who counts along, if anybody does.
    pub(crate) fn counter(&self) -> Option<Counter<'a>> {
        match self.audience {
            Audience::Terminal => None,
            Audience::Program { counter, .. } => counter,
        }
    }
}

/// Takes messages.
#[derive(Clone, Copy)]
pub(crate) struct Messages<'a> {
    logger: Logger,
    audience: Audience<'a>,
}

impl Messages<'_> {
    pub(crate) fn info(&self, message: impl Display) {
        if matches!(self.audience, Audience::Terminal) {
            self.logger.info(message);
        }
    }

    pub(crate) fn warning(&self, message: impl Display) {
        match self.audience {
            Audience::Terminal => self.logger.warning(message),
            Audience::Program { told, .. } => {
                told.lock().unwrap_or_else(PoisonError::into_inner).push(message.to_string());
            }
        }
    }
}
