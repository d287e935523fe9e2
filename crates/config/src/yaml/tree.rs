//! A YAML document as a tree with positions, for files whose keys are known only when the program runs, and a reader
//! that finds everything that is wrong with it at once.

use super::{Location, Spanned};
use crate::diagnostic::{Diagnostic, unknown_name};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Spanned<Node>>),
    Map(BTreeMap<String, Spanned<Node>>),
}

impl Node {
    fn kind(&self) -> String {
        match self {
            Self::Null => "nothing".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Number(value) => value.to_string(),
            Self::Text(text) => format!("\"{text}\""),
            Self::List(_) => "a list".to_owned(),
            Self::Map(_) => "a mapping".to_owned(),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NodeVisitor;
        impl<'de> Visitor<'de> for NodeVisitor {
            type Value = Node;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_unit<E>(self) -> Result<Node, E> {
                Ok(Node::Null)
            }

            fn visit_none<E>(self) -> Result<Node, E> {
                Ok(Node::Null)
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
                Node::deserialize(deserializer)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
                Ok(Node::Bool(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
                Ok(Node::Number(value as f64))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
                Ok(Node::Number(value as f64))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
                Ok(Node::Number(value))
            }

            fn visit_str<E>(self, value: &str) -> Result<Node, E> {
                Ok(Node::Text(value.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(Node::List(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some((key, value)) = map.next_entry()? {
                    entries.insert(key, value);
                }
                Ok(Node::Map(entries))
            }
        }
        deserializer.deserialize_any(NodeVisitor)
    }
}

/// What was found in one file so far.
#[derive(Debug)]
pub(crate) struct Findings<'a> {
    file_name: &'a str,
    pub(crate) problems: Vec<Diagnostic>,
    pub(crate) warnings: Vec<Diagnostic>,
}

impl<'a> Findings<'a> {
    pub(crate) fn new(file_name: &'a str) -> Self {
        Self { file_name, problems: Vec::new(), warnings: Vec::new() }
    }

    /// The diagnostic with its place.
    pub(crate) fn placed(&self, at: Option<Location>, diagnostic: Diagnostic) -> Diagnostic {
        super::at(diagnostic, at).in_file(self.file_name)
    }

    pub(crate) fn problem(&mut self, at: Option<Location>, problem: Diagnostic) {
        let problem = self.placed(at, problem);
        self.problems.push(problem);
    }

    pub(crate) fn warn(&mut self, at: Option<Location>, warning: Diagnostic) {
        let warning = self.placed(at, warning);
        self.warnings.push(warning);
    }
}

/// A mapping whose keys are taken one after the other; what is left in the end is unknown.
#[derive(Debug)]
pub(crate) struct Section {
    path: String,
    at: Option<Location>,
    entries: BTreeMap<String, Spanned<Node>>,
    known: Vec<String>,
}

/// A value with its path of keys and its place.
#[derive(Clone, Debug)]
pub(crate) struct Item<T> {
    pub(crate) value: T,
    pub(crate) path: String,
    pub(crate) at: Option<Location>,
}

impl<T> Item<T> {
    /// A problem with this value.
    pub(crate) fn report(&self, findings: &mut Findings<'_>, what: impl fmt::Display) {
        findings.problem(self.at, Diagnostic::new(format!("{} {what}", self.path)));
    }
}

/// Reads a file whose one key holds everything; `None` when it is not there, which is a problem of its own.
///
/// # Errors
/// Text that is no YAML.
pub(crate) fn file_with_one_key<T>(
    text: &str,
    findings: &mut Findings<'_>,
    key: &str,
    read: impl FnOnce(Section, &mut Findings<'_>) -> T,
) -> Result<Option<T>, Vec<Diagnostic>> {
    if text.trim().is_empty() {
        findings.problem(None, Diagnostic::new("the file is empty"));
        return Ok(None);
    }
    let Spanned { value: node, .. } = super::from_str::<Spanned<Node>>(text, findings.file_name)?;
    let mut top = Section::document(node, findings);
    let content = top.section(findings, key).map(|section| read(section, findings));
    if content.is_none() && findings.problems.is_empty() {
        findings.problem(None, Diagnostic::new(format!("key \"{key}\" is missing")));
    }
    top.finish(findings);
    Ok(content)
}

impl Section {
    /// The whole file.
    pub(crate) fn document(node: Node, findings: &mut Findings<'_>) -> Self {
        let entries = match node {
            Node::Map(entries) => entries,
            other => {
                let problem = format!("the file holds {}; it must be a mapping", other.kind());
                findings.problem(None, Diagnostic::new(problem));
                BTreeMap::new()
            }
        };
        Self { path: String::new(), at: None, entries, known: Vec::new() }
    }

    /// A mapping inside a file that is read in another way.
    pub(crate) fn of(path: &str, node: &Spanned<Node>, findings: &mut Findings<'_>) -> Self {
        let (path, at) = (path.to_owned(), Some(node.referenced));
        let entries = match &node.value {
            Node::Map(entries) => entries.clone(),
            other => {
                let problem = format!("{path} is {}; it must be a mapping", other.kind());
                findings.problem(at, Diagnostic::new(problem));
                BTreeMap::new()
            }
        };
        Self { path, at, entries, known: Vec::new() }
    }

    pub(crate) fn at(&self) -> Option<Location> {
        self.at
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Keys that are one of `names` but for upper and lower case are spelled as there.
    pub(crate) fn ignore_case(&mut self, names: &[&str]) {
        for key in self.keys() {
            let spelled = names.iter().find(|name| name.eq_ignore_ascii_case(&key));
            if let Some(name) = spelled.filter(|name| **name != key)
                && let Some(value) = self.entries.remove(&key)
            {
                self.entries.insert((*name).to_owned(), value);
            }
        }
    }

    /// The names of all keys that are left.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.entries.keys().cloned().collect()
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The value of a key, if it has one.
    pub(crate) fn take(&mut self, key: &str) -> Option<Item<Node>> {
        self.known.push(key.to_owned());
        let value = self.entries.remove(key)?;
        let at = Some(value.referenced);
        let item = Item { path: self.path_of(key), at, value: value.value };
        (item.value != Node::Null).then_some(item)
    }

    fn expect<T>(
        &mut self,
        findings: &mut Findings<'_>,
        key: &str,
        expected: &str,
        read: impl FnOnce(&Node) -> Option<T>,
    ) -> Option<Item<T>> {
        let item = self.take(key)?;
        let Some(value) = read(&item.value) else {
            item.report(findings, format_args!("is {}; it must be {expected}", item.value.kind()));
            return None;
        };
        Some(Item { value, path: item.path, at: item.at })
    }

    pub(crate) fn text(&mut self, findings: &mut Findings<'_>, key: &str) -> Option<Item<String>> {
        self.expect(findings, key, "a text", |node| match node {
            Node::Text(text) => Some(text.clone()),
            Node::Number(number) => Some(number.to_string()),
            _ => None,
        })
    }

    /// A list of texts.
    pub(crate) fn texts(&mut self, findings: &mut Findings<'_>, key: &str) -> Option<Vec<Item<String>>> {
        let list = self.expect(findings, key, "a list", |node| match node {
            Node::List(items) => Some(items.clone()),
            _ => None,
        })?;
        let mut texts = Vec::new();
        for (n, item) in list.value.into_iter().enumerate() {
            let item =
                Item { path: format!("{}[{n}]", list.path), at: Some(item.referenced), value: item.value };
            match item.value {
                Node::Text(text) => texts.push(Item { value: text, path: item.path, at: item.at }),
                ref other => item.report(findings, format_args!("is {}; it must be a text", other.kind())),
            }
        }
        Some(texts)
    }

    pub(crate) fn flag(&mut self, findings: &mut Findings<'_>, key: &str) -> Option<Item<bool>> {
        self.expect(findings, key, "true or false", |node| match node {
            Node::Bool(value) => Some(*value),
            _ => None,
        })
    }

    /// A number that `is_allowed`.
    pub(crate) fn number(
        &mut self,
        findings: &mut Findings<'_>,
        key: &str,
        is_allowed: impl Fn(f64) -> bool,
        allowed: &str,
    ) -> Option<Item<f64>> {
        self.expect(findings, key, allowed, |node| match node {
            Node::Number(value) if is_allowed(*value) => Some(*value),
            _ => None,
        })
    }

    /// A whole number within the range, at most 2⁵³.
    pub(crate) fn whole(
        &mut self,
        findings: &mut Findings<'_>,
        key: &str,
        range: std::ops::RangeInclusive<i64>,
    ) -> Option<Item<i64>> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        let allowed = match *range.end() {
            i64::MAX => format!("a whole number of at least {}", range.start()),
            end => format!("a whole number from {} to {end}", range.start()),
        };
        let fits =
            |value: f64| value.trunc() == value && value.abs() <= EXACT && range.contains(&(value as i64));
        let item = self.number(findings, key, fits, &allowed)?;
        Some(Item { value: item.value as i64, path: item.path, at: item.at })
    }

    pub(crate) fn section(&mut self, findings: &mut Findings<'_>, key: &str) -> Option<Self> {
        let item = self.expect(findings, key, "a mapping", |node| match node {
            Node::Map(entries) => Some(entries.clone()),
            _ => None,
        })?;
        Some(Self { path: item.path, at: item.at, entries: item.value, known: Vec::new() })
    }

    /// A list of mappings.
    pub(crate) fn sections(&mut self, findings: &mut Findings<'_>, key: &str) -> Option<Vec<Self>> {
        let list = self.expect(findings, key, "a list", |node| match node {
            Node::List(items) => Some(items.clone()),
            _ => None,
        })?;
        let mut sections = Vec::new();
        for (n, item) in list.value.into_iter().enumerate() {
            let (path, at) = (format!("{}[{n}]", list.path), Some(item.referenced));
            match item.value {
                Node::Map(entries) => sections.push(Self { path, at, entries, known: Vec::new() }),
                other => {
                    let problem = format!("{path} is {}; it must be a mapping", other.kind());
                    findings.problem(at, Diagnostic::new(problem));
                }
            }
        }
        Some(sections)
    }

    /// Every key that nobody took is unknown.
    pub(crate) fn finish(self, findings: &mut Findings<'_>) {
        for (key, value) in &self.entries {
            let path = if self.path.is_empty() { "key".to_owned() } else { format!("key of {}", self.path) };
            let problem = unknown_name(&path, key, self.known.iter().map(String::as_str));
            findings.problem(Some(value.referenced), problem);
        }
    }
}
