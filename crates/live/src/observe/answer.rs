//! The JSON of answers, whole or in events, of every server that speaks OpenAI's dialect.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::borrow::Cow;

/// Tokens as the server counted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Of the prompt.
    pub prompt_tokens: u32,
    /// Of the answer.
    pub completion_tokens: u32,
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow, default)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(default)]
    usage: Option<Usage>,
    #[serde(default)]
    error: Option<Value>,
    /// `error` in the answers of servers that put an error's members at the top.
    #[serde(borrow, default)]
    object: Option<Cow<'a, str>>,
    #[serde(default)]
    message: Option<Value>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    delta: Option<Message<'a>>,
    #[serde(borrow, default)]
    message: Option<Message<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    role: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    content: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    reasoning: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    reasoning_content: Option<Cow<'a, str>>,
    #[serde(default)]
    tool_calls: Option<Vec<IgnoredAny>>,
}

/// What a document says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Said {
    /// Text for the user.
    pub(super) text: String,
    /// Whether it carries generated tokens that can be seen: text, reasoning or a tool call.
    pub(super) has_output: bool,
    /// Whether it carries choices beyond the announcement of a role, and so may stand for tokens without text.
    pub(super) has_choices: bool,
    pub(super) finish_reason: String,
    pub(super) usage: Option<Usage>,
    pub(super) error: Option<String>,
}

/// Reads a whole answer or one event; the error says what is wrong with it.
pub(super) fn read(bytes: &[u8]) -> Result<Said, String> {
    let document: Document<'_> = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let mut said = Said { usage: document.usage, ..Said::default() };
    said.error = match (document.error, document.object.as_deref(), document.message) {
        (Some(error), ..) if is_error(&error) => Some(error_text(&error)),
        (_, Some("error"), message) => {
            Some(message.map_or_else(|| "an error".to_owned(), |m| error_text(&m)))
        }
        _ => None,
    };
    for choice in document.choices.unwrap_or_default() {
        let mut is_announcement = false;
        if let Some(text) = choice.text {
            said.text += &text;
        }
        for message in [choice.delta, choice.message].into_iter().flatten() {
            let content = message.content.as_deref().unwrap_or_default();
            is_announcement = message.role.is_some() && content.is_empty();
            said.text += content;
            said.has_output |= [message.reasoning, message.reasoning_content]
                .iter()
                .flatten()
                .any(|reasoning| !reasoning.is_empty())
                || message.tool_calls.is_some_and(|calls| !calls.is_empty());
        }
        said.has_choices |= !is_announcement;
        if let Some(reason) = choice.finish_reason.filter(|reason| !reason.is_empty()) {
            said.finish_reason = reason.into_owned();
        }
    }
    said.has_output |= !said.text.is_empty();
    Ok(said)
}

fn is_error(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false)) && value != ""
}

/// An error's message, wherever it stands.
fn error_text(error: &Value) -> String {
    let message = error.get("message").unwrap_or(error);
    message.as_str().map_or_else(|| message.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Said {
        read(text.as_bytes()).unwrap()
    }

    #[test]
    fn output_is_text_reasoning_or_a_tool_call() {
        let check = |event: &str, has_output, has_choices, text: &str| {
            let said = said(event);
            assert_eq!(
                (said.has_output, said.has_choices, said.text.as_str()),
                (has_output, has_choices, text),
                "{event}"
            );
        };
        check(r#"{"choices":[{"index":0,"text":"tok","finish_reason":null}]}"#, true, true, "tok");
        check(r#"{"choices":[{"text":"","finish_reason":"length"}]}"#, false, true, "");
        check(r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#, false, false, "");
        check(r#"{"choices":[{"delta":{"role":"assistant","content":"hi"}}]}"#, true, true, "hi");
        check(r#"{"choices":[{"delta":{"reasoning_content":"hm","content":null}}]}"#, true, true, "");
        check(r#"{"choices":[{"delta":{"reasoning":"hm"}}]}"#, true, true, "");
        check(r#"{"choices":[{"delta":{"tool_calls":[{"id":"x"}]}}]}"#, true, true, "");
        check(
            r#"{"choices":[],"usage":{"prompt_tokens":7,"total_tokens":9,"completion_tokens":2}}"#,
            false,
            false,
            "",
        );
        check(r#"{"choices":[{"message":{"role":"assistant","content":"whole"}}]}"#, true, true, "whole");
    }

    #[test]
    fn usage_and_reasons_are_found() {
        let said = said(
            r#"{"choices":[{"text":"a","finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":2}}"#,
        );
        assert_eq!(said.usage, Some(Usage { prompt_tokens: 7, completion_tokens: 2 }));
        assert_eq!((said.finish_reason.as_str(), said.error), ("stop", None));
    }

    #[test]
    fn errors_are_found_in_every_dialect() {
        for (event, message) in [
            (r#"{"error":{"message":"engine dead","type":"InternalServerError","code":500}}"#, "engine dead"),
            (r#"{"error":"overloaded","error_type":"overloaded"}"#, "overloaded"),
            (r#"{"object":"error","message":"too long","code":400}"#, "too long"),
        ] {
            assert_eq!(said(event).error.as_deref(), Some(message), "{event}");
        }
        assert_eq!(said(r#"{"error":null,"choices":[]}"#).error, None);
        assert!(read(b"{\"choices\":").is_err() && read(b"\xff").is_err());
    }
}
