//! Conversations as ShareGPT has them: a JSON list of `{"id", "conversations": [{"from", "value"}]}`.
//!
//! There are texts, but neither tokens nor times. Tokens are estimated from the number of characters, and conversations
//! begin at a rate. Each answer ends a round; what was said since the answer before is the prompt that the round adds.

use crate::json::{self, Characters};
use crate::problem::{Failure, Problem};
use crate::sink::{Facts, Sink};
use blis_workload::trace::OwnRow;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, SeqAccess, Visitor};
use std::fmt;
use std::io::Read;

/// What conversations do not say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShareGptOptions {
    /// Characters per token, above 0.
    pub characters_per_token: f64,
    /// Conversations that begin per second, above 0.
    pub rate_per_s: f64,
    /// Pause of a user between an answer and the next question, µs.
    pub think_time_us: i64,
}

#[derive(Deserialize)]
struct Conversation {
    id: Option<Id>,
    #[serde(alias = "messages")]
    conversations: Vec<Message>,
}

/// A name or a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Text(String),
    Number(i64),
    Other(IgnoredAny),
}

#[derive(Deserialize)]
struct Message {
    #[serde(alias = "role")]
    from: String,
    #[serde(alias = "content")]
    value: Characters,
}

impl Message {
    fn is_answer(&self) -> bool {
        ["gpt", "chatgpt", "assistant", "model", "bing", "bard"]
            .contains(&self.from.to_ascii_lowercase().as_str())
    }
}

/// Hands on the rounds of all conversations, conversation by conversation.
///
/// # Errors
/// What is wrong with the file, or what `sink` says.
pub fn sharegpt(input: impl Read, options: ShareGptOptions, sink: &mut dyn Sink) -> Result<Facts, Failure> {
    let mut rounds = Rounds { options, begun: 0, left_out: 0, failure: None, sink };
    let mut deserializer = serde_json::Deserializer::from_reader(input);
    let read = rounds.deserialize(&mut deserializer).and_then(|()| deserializer.end());
    if let Some(failure) = rounds.failure {
        return Err(failure);
    }
    read.map_err(|error| json::failure(error, None))?;
    if rounds.begun == 0 {
        return Err(Problem::of_file("no conversation has an answer").into());
    }
    Ok(Facts { left_out: rounds.left_out, ..Facts::default() })
}

/// Takes conversations one by one while the list is read.
struct Rounds<'a> {
    options: ShareGptOptions,
    begun: u64,
    /// Conversations without an answer.
    left_out: u64,
    failure: Option<Failure>,
    sink: &'a mut dyn Sink,
}

impl Rounds<'_> {
    fn take(&mut self, conversation: &Conversation) -> Result<(), Failure> {
        let ShareGptOptions { rate_per_s, think_time_us, .. } = self.options;
        // Ids repeat in some collections; a number tells them apart.
        let session = match &conversation.id {
            Some(Id::Text(id)) => format!("{id}#{}", self.begun),
            Some(Id::Number(id)) => format!("{id}#{}", self.begun),
            _ => format!("conversation_{}", self.begun),
        };
        let start_us = json::seconds_us(self.begun as f64 / rate_per_s).unwrap_or(i64::MAX);
        let (mut asked, mut round) = (0, 0);
        for message in &conversation.conversations {
            let tokens = self.tokens(message.value);
            if !message.is_answer() || asked == 0 {
                asked = tokens.saturating_add(asked);
                continue;
            }
            let row = OwnRow {
                client: "sharegpt",
                session: &session,
                round,
                input_tokens: asked,
                output_tokens: tokens,
                status: "ok",
                arrival_us: start_us.saturating_add(think_time_us.saturating_mul(i64::from(round))),
                think_time_us: if round > 0 { think_time_us } else { 0 },
                ..OwnRow::default()
            };
            self.sink.row(row, 0)?;
            (asked, round) = (0, round + 1);
        }
        if round > 0 {
            self.begun += 1;
        } else {
            self.left_out += 1;
        }
        Ok(())
    }

    fn tokens(&self, Characters(characters): Characters) -> u32 {
        (characters as f64 / self.options.characters_per_token).ceil() as u32
    }
}

impl<'de> DeserializeSeed<'de> for &mut Rounds<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for &mut Rounds<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of conversations")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(conversation) = list.next_element::<Conversation>()? {
            if let Err(failure) = self.take(&conversation) {
                self.failure = Some(failure);
                return Err(serde::de::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}
