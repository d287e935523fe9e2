//! An answer as a stream of server-sent events.

use super::answer::Reader;
use super::engine::{Happened, News};
use super::error::ApiError;
use super::request::Form;
use bytes::BytesMut;
use serde_json::Value;
use std::fmt::Write;

/// One choice of an answer.
#[derive(Clone, Debug)]
pub(crate) struct ChoiceReply {
    pub(crate) reader: Reader,
    pub(crate) prompt_tokens: u32,
    pub(crate) is_over: bool,
}

/// What an answer says about itself, and how far it is.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) form: Form,
    pub(crate) id: String,
    pub(crate) model: String,
    /// Seconds since 1970.
    pub(crate) created: u64,
    pub(crate) choices: Vec<ChoiceReply>,
    /// Choices per prompt.
    pub(crate) n: u32,
    /// Tokens of all prompts.
    pub(crate) prompt_tokens: u32,
    pub(crate) include_usage: bool,
    pub(crate) continuous_usage: bool,
    /// Tokens of the prompts, if they are to be returned.
    pub(crate) prompt_ids: Option<Vec<Vec<u32>>>,
}

impl Reply {
    /// Tokens of all choices so far.
    pub(crate) fn completion_tokens(&self) -> u32 {
        self.choices.iter().map(|choice| choice.reader.read).sum()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.choices.iter().all(|choice| choice.is_over)
    }

    /// The tokens of a choice's prompt, if they are to be returned.
    pub(crate) fn prompt_ids(&self, choice: usize) -> Option<&[u32]> {
        let prompt = choice / self.n.max(1) as usize;
        self.prompt_ids.as_ref().and_then(|prompts| prompts.get(prompt)).map(Vec::as_slice)
    }
}

/// Writes the events of a streamed answer.
#[derive(Debug)]
pub(crate) struct Chunks {
    reply: Reply,
    /// What every event begins with.
    head: String,
    has_begun: bool,
    /// The last event was written.
    pub(crate) is_done: bool,
}

impl Chunks {
    pub(crate) fn new(reply: Reply) -> Self {
        let object = match reply.form {
            Form::Text => "text_completion",
            Form::Chat => "chat.completion.chunk",
        };
        let (id, model) = (Value::from(reply.id.as_str()), Value::from(reply.model.as_str()));
        let created = reply.created;
        let head = format!(
            "data: {{\"id\":{id},\"object\":\"{object}\",\"created\":{created},\"model\":{model},\"choices\":["
        );
        Self { reply, head, has_begun: false, is_done: false }
    }

    /// Writes what is to be said about something that happened.
    pub(crate) fn write(&mut self, news: News, out: &mut BytesMut) {
        match news.what {
            Happened::Routed { .. } => {}
            Happened::Token => {
                if self.reply.form == Form::Chat && !self.has_begun {
                    (0..self.reply.choices.len()).for_each(|choice| self.role(choice, out));
                }
                self.token(news.choice as usize, out);
                self.has_begun = true;
            }
            Happened::Ended(ending) => {
                if let Some(error) = refusal(ending) {
                    let _ = write!(out, "data: {}\n\ndata: [DONE]\n\n", error.body());
                    self.is_done = true;
                    return;
                }
                self.reply.choices[news.choice as usize].is_over = true;
                if self.reply.is_over() {
                    self.end(out);
                }
            }
        }
    }

    fn role(&self, choice: usize, out: &mut BytesMut) {
        let _ = write!(
            out,
            "{}{{\"index\":{choice},\"delta\":{{\"role\":\"assistant\",\"content\":\"\"}},\"logprobs\":null,\
             \"finish_reason\":null}}],\"prompt_token_ids\":{}",
            self.head,
            list(self.reply.prompt_ids(choice)),
        );
        self.close(choice, 0, out);
    }

    fn token(&mut self, number: usize, out: &mut BytesMut) {
        let reply = &mut self.reply;
        let reader = &mut reply.choices[number].reader;
        if reader.is_done() {
            return;
        }
        let (text, id) = reader.next();
        let read = reader.read;
        let finish =
            reader.is_done().then(|| (reader.planned.finish.reason(), reader.planned.finish.stop_reason()));
        let ids = if reply.prompt_ids.is_some() { format!("[{id}]") } else { "null".to_owned() };
        let _ = out.write_str(&self.head);
        let _ = match (self.reply.form, finish) {
            (Form::Chat, None) => write!(
                out,
                "{{\"index\":{number},\"delta\":{{\"content\":\"{text}\"}},\"logprobs\":null,\
                 \"finish_reason\":null,\"token_ids\":{ids}}}]"
            ),
            (Form::Chat, Some((reason, stop))) => write!(
                out,
                "{{\"index\":{number},\"delta\":{{\"content\":\"{text}\"}},\"logprobs\":null,\
                 \"finish_reason\":\"{reason}\",\"stop_reason\":{stop},\"token_ids\":{ids}}}]"
            ),
            (Form::Text, finish) => {
                let (reason, stop) = finish
                    .map_or(("null".to_owned(), "null".to_owned()), |(reason, stop)| {
                        (format!("\"{reason}\""), stop)
                    });
                let prompt = list(self.reply.prompt_ids(number).filter(|_| read == 1));
                write!(
                    out,
                    "{{\"index\":{number},\"text\":\"{text}\",\"logprobs\":null,\"finish_reason\":{reason},\
                     \"stop_reason\":{stop},\"prompt_token_ids\":{prompt},\"token_ids\":{ids}}}]"
                )
            }
        };
        self.close(number, read, out);
    }

    /// Ends an event, with the usage of its choice if every event has one.
    fn close(&self, choice: usize, tokens: u32, out: &mut BytesMut) {
        if self.reply.continuous_usage {
            let prompt = self.reply.choices[choice].prompt_tokens;
            let _ = write!(out, ",\"usage\":{}", usage(prompt, tokens));
        }
        let _ = out.write_str("}\n\n");
    }

    fn end(&mut self, out: &mut BytesMut) {
        if self.reply.include_usage {
            let usage = usage(self.reply.prompt_tokens, self.reply.completion_tokens());
            let _ = write!(out, "{}],\"usage\":{usage}}}\n\n", self.head);
        }
        let _ = out.write_str("data: [DONE]\n\n");
        self.is_done = true;
    }
}

fn usage(prompt: u32, completion: u32) -> String {
    let total = prompt + completion;
    format!("{{\"prompt_tokens\":{prompt},\"total_tokens\":{total},\"completion_tokens\":{completion}}}")
}

fn list(tokens: Option<&[u32]>) -> String {
    tokens.map_or_else(|| "null".to_owned(), |tokens| Value::from(tokens).to_string())
}

/// Why a request that ended this way has no whole answer; nothing when it has.
pub(crate) fn refusal(ending: blis_metrics::RequestEnding) -> Option<ApiError> {
    use blis_metrics::RequestEnding as End;
    Some(match ending {
        End::Completed => return None,
        End::RejectedByAdmission => ApiError::too_many_requests("The request was not admitted."),
        End::RejectedByGateway => ApiError::too_many_requests("The gateway's queue is full."),
        End::ShedFromGateway => ApiError::too_many_requests(
            "A more important request took this one's place in the gateway's queue.",
        ),
        End::ExpiredAtGateway => {
            ApiError::unavailable("The request waited for too long in the gateway's queue.")
        }
        End::Evicted => ApiError::too_many_requests("The request was taken away for more important ones."),
        End::DroppedUnservable | End::DroppedAtDecode => {
            ApiError::bad_request("The request needs more KV cache than an instance has.")
        }
        _ => ApiError::unavailable(
            "The engine is currently busy and cannot accept new requests. Please try again later or on a different \
             instance.",
        ),
    })
}
