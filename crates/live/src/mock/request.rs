//! Bodies of generation requests.

use super::answer::Bounds;
use super::error::ApiError;
use super::fields::{Fields, token_ids};
use super::text;
use serde_json::Value;

/// Most choices of one request, over all its prompts.
const MAX_CHOICES: usize = 1_024;
/// Tokens of a completion that says nothing about its length.
const COMPLETION_TOKENS: u32 = 16;
/// Longest salt of a prefix cache, bytes.
const MAX_SALT: usize = 1_024;

/// Which form a request and its answer have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `/v1/completions`.
    Text,
    /// `/v1/chat/completions`.
    Chat,
}

/// What the server serves, as far as requests must know.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    /// Names of the model.
    pub(crate) names: Vec<String>,
    pub(crate) adapters: Vec<String>,
    /// Longest prompt plus answer, tokens.
    pub(crate) max_model_len: u32,
    /// Whether requests have priorities of their own.
    pub(crate) has_priorities: bool,
}

/// A generation request that makes sense.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) form: Form,
    /// The model as the answer names it.
    pub(crate) model: String,
    /// Number of its adapter.
    pub(crate) adapter: Option<usize>,
    /// Tokens of each prompt.
    pub(crate) prompts: Vec<Vec<u32>>,
    /// Choices per prompt.
    pub(crate) n: u32,
    /// Most tokens of an answer that the request states.
    pub(crate) max_tokens: Option<u32>,
    pub(crate) ignore_eos: bool,
    /// The rest of what bounds an answer; `max_tokens` and the natural length are to be filled in.
    pub(crate) bounds: Bounds,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
    pub(crate) continuous_usage: bool,
    pub(crate) return_token_ids: bool,
    pub(crate) cache_salt: Option<String>,
    pub(crate) request_id: Option<String>,
    pub(crate) priority: i64,
}

impl Ask {
    /// Reads a body.
    pub(crate) fn read(form: Form, body: &Value, served: &Served) -> Result<Self, ApiError> {
        let fields = Fields::of_body(body)?;
        refuse_what_is_not_offered(&fields)?;
        check_sampling(&fields)?;
        let (model, adapter) = model(&fields, served)?;
        let mut prompts = match form {
            Form::Text => prompts(&fields)?,
            Form::Chat => vec![conversation(&fields)?],
        };
        truncate(&fields, &mut prompts, served.max_model_len)?;
        for prompt in &prompts {
            check_length(prompt.len(), served.max_model_len)?;
        }
        let n = fields.integer("n")?.unwrap_or(1);
        let in_range = |n: &u32| (1..=MAX_CHOICES).contains(&(prompts.len() * *n as usize));
        let n = u32::try_from(n).ok().filter(in_range).ok_or_else(|| {
            let most = MAX_CHOICES / prompts.len().max(1);
            ApiError::bad_request(format!("n must be between 1 and {most}, got {n}.")).about("n")
        })?;
        let max_tokens = max_tokens(form, &fields, served.max_model_len)?;
        let bounds = bounds(&fields, max_tokens)?;
        let stream = fields.flag("stream")?;
        let options = fields.object("stream_options", "body.stream_options")?;
        if options.is_some() && !stream {
            let message = "Stream options can only be defined when `stream=True`.";
            return Err(ApiError::bad_request(message).about("stream_options"));
        }
        let include_usage = options.map_or(Ok(false), |options| options.flag("include_usage"))?;
        let continuous = options.map_or(Ok(false), |options| options.flag("continuous_usage_stats"))?;
        let priority = fields.integer("priority")?.unwrap_or(0);
        if priority != 0 && !served.has_priorities {
            let message = format!("Got priority {priority} but priority scheduling is not enabled.");
            return Err(ApiError::bad_request(message).about("priority"));
        }
        let cache_salt = fields.text("cache_salt")?.map(str::to_owned);
        if cache_salt.as_ref().is_some_and(|salt| salt.is_empty() || salt.len() > MAX_SALT) {
            let message = format!("cache_salt must have from 1 to {MAX_SALT} characters.");
            return Err(ApiError::bad_request(message).about("cache_salt"));
        }
        Ok(Self {
            form,
            model,
            adapter,
            prompts,
            n,
            max_tokens,
            ignore_eos: fields.flag("ignore_eos")?,
            bounds,
            stream,
            include_usage,
            continuous_usage: include_usage && continuous,
            return_token_ids: fields.flag("return_token_ids")?,
            cache_salt,
            request_id: fields.text("request_id")?.map(str::to_owned),
            priority,
        })
    }

    /// Most tokens of an answer to a prompt of this length: what the model has room for, and not more than was asked.
    pub(crate) fn longest_answer(&self, prompt_tokens: u32, max_model_len: u32) -> u32 {
        let room = max_model_len - prompt_tokens;
        let default = match self.form {
            Form::Text => COMPLETION_TOKENS,
            Form::Chat => room,
        };
        self.max_tokens.unwrap_or(default).min(room)
    }
}

/// The model that a body names, as answers name it, and its adapter.
pub(crate) fn model(fields: &Fields<'_>, served: &Served) -> Result<(String, Option<usize>), ApiError> {
    let Some(name) = fields.text("model")? else { return Ok((served.names[0].clone(), None)) };
    let adapter = served.adapters.iter().position(|adapter| adapter == name);
    if adapter.is_none() && !served.names.iter().any(|known| known == name) {
        return Err(ApiError::unknown_model(name));
    }
    Ok((name.to_owned(), adapter))
}

/// What a real server would do and this one cannot is refused, so that nobody waits for it.
fn refuse_what_is_not_offered(fields: &Fields<'_>) -> Result<(), ApiError> {
    const NOT_OFFERED: [&str; 7] = [
        "logprobs",
        "top_logprobs",
        "prompt_logprobs",
        "echo",
        "suffix",
        "prompt_embeds",
        "structured_outputs",
    ];
    let is_wanted = |name: &str| match fields.get(name) {
        None | Some(Value::Bool(false)) => false,
        Some(value) => name != "top_logprobs" || value != 0,
    };
    if let Some(name) = NOT_OFFERED.into_iter().find(|name| is_wanted(name)) {
        let message = format!("`{name}` is not offered by this server, which generates no real text.");
        return Err(ApiError::bad_request(message).about(name));
    }
    let format = fields.object("response_format", "body.response_format")?;
    let kind = format.map_or(Ok(None), |format| format.text("type"))?.unwrap_or("text");
    if kind != "text" {
        let message =
            format!("response_format `{kind}` is not offered by this server: answers are common words.");
        return Err(ApiError::bad_request(message).about("response_format"));
    }
    match fields.get("tool_choice") {
        None => Ok(()),
        Some(Value::String(choice)) if choice == "auto" || choice == "none" => Ok(()),
        Some(_) => {
            let message = "This server never calls tools: tool_choice must be `auto` or `none`.";
            Err(ApiError::bad_request(message).about("tool_choice"))
        }
    }
}

/// Parameters without effect here still have to make sense.
fn check_sampling(fields: &Fields<'_>) -> Result<(), ApiError> {
    let ranges: [(&str, f64, f64, &str); 6] = [
        ("temperature", 0.0, 2.0, "in [0, 2]"),
        ("top_p", f64::MIN_POSITIVE, 1.0, "in (0, 1]"),
        ("min_p", 0.0, 1.0, "in [0, 1]"),
        ("presence_penalty", -2.0, 2.0, "in [-2, 2]"),
        ("frequency_penalty", -2.0, 2.0, "in [-2, 2]"),
        ("repetition_penalty", f64::MIN_POSITIVE, f64::MAX, "greater than zero"),
    ];
    for (name, least, most, range) in ranges {
        if let Some(value) = fields.real(name)?
            && !(least..=most).contains(&value)
        {
            return Err(ApiError::bad_request(format!("{name} must be {range}, got {value:?}.")).about(name));
        }
    }
    if let Some(top_k) = fields.integer("top_k")?
        && top_k < -1
    {
        let message = format!("top_k must be 0 (disable), -1 or at least 1, got {top_k}.");
        return Err(ApiError::bad_request(message).about("top_k"));
    }
    fields.integer("seed").map(drop)
}

/// A completion's prompts: a text, texts, token numbers, or lists of those.
fn prompts(fields: &Fields<'_>) -> Result<Vec<Vec<u32>>, ApiError> {
    let Some(prompt) = fields.get("prompt") else { return Err(fields.missing("prompt")) };
    let wrong = || {
        fields.malformed(
            "prompt",
            "Input should be a string, a list of strings, of token ids, or of lists of them",
        )
    };
    let of_text = |text: &str| {
        let mut tokens = Vec::new();
        text::tokenize(text, &mut tokens);
        tokens
    };
    let prompts = match prompt {
        Value::String(text) => vec![of_text(text)],
        Value::Array(items) if items.first().is_some_and(Value::is_number) => {
            vec![token_ids(prompt).ok_or_else(wrong)?]
        }
        Value::Array(items) => {
            let one = |item: &Value| match item {
                Value::String(text) => Some(of_text(text)),
                _ => token_ids(item),
            };
            items.iter().map(|item| one(item).ok_or_else(wrong)).collect::<Result<_, _>>()?
        }
        _ => return Err(wrong()),
    };
    if prompts.is_empty() || prompts.iter().any(Vec::is_empty) {
        return Err(ApiError::bad_request("You must provide a non-empty prompt.").about("prompt"));
    }
    Ok(prompts)
}

/// The tokens of a conversation.
pub(crate) fn conversation(fields: &Fields<'_>) -> Result<Vec<u32>, ApiError> {
    let Some(messages) = fields.get("messages") else { return Err(fields.missing("messages")) };
    let wrong = |message: &str| fields.malformed("messages", message);
    let messages = messages.as_array().ok_or_else(|| wrong("Input should be a valid list"))?;
    if messages.is_empty() {
        return Err(ApiError::bad_request("You must provide at least one message.").about("messages"));
    }
    let mut tokens = Vec::new();
    for message in messages {
        let message = message.as_object().ok_or_else(|| wrong("Each message should be a dictionary"))?;
        let role = message.get("role").and_then(Value::as_str);
        let role = role.ok_or_else(|| wrong("Each message needs a `role`"))?;
        let content = match message.get("content") {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(parts)) => parts
                .iter()
                .map(text_of_part)
                .collect::<Option<_>>()
                .ok_or_else(|| wrong("This server takes parts of type `text` only"))?,
            Some(_) => return Err(wrong("`content` should be a string or a list of parts")),
        };
        text::tokenize_message(role, &content, &mut tokens);
    }
    if fields.boolean("add_generation_prompt")?.unwrap_or(true) {
        text::begin_message("assistant", &mut tokens);
    }
    Ok(tokens)
}

fn text_of_part(part: &Value) -> Option<&str> {
    match part {
        Value::String(text) => Some(text),
        _ => part.get("text").filter(|_| part.get("type").is_none_or(|kind| kind == "text"))?.as_str(),
    }
}

/// Keeps the first or last tokens of prompts that are to be cut.
fn truncate(fields: &Fields<'_>, prompts: &mut [Vec<u32>], max_model_len: u32) -> Result<(), ApiError> {
    let Some(keep) = fields.integer("truncate_prompt_tokens")? else { return Ok(()) };
    let keep = if keep == -1 { i64::from(max_model_len) } else { keep };
    if !(1..=i64::from(max_model_len)).contains(&keep) {
        let message = format!("truncate_prompt_tokens must be -1 or from 1 to {max_model_len}, got {keep}.");
        return Err(ApiError::bad_request(message).about("truncate_prompt_tokens"));
    }
    let keeps_first = match fields.text("truncation_side")? {
        None | Some("left") => false,
        Some("right") => true,
        Some(other) => {
            let message = format!("truncation_side must be `left` or `right`, got `{other}`.");
            return Err(ApiError::bad_request(message).about("truncation_side"));
        }
    };
    for prompt in prompts {
        let surplus = prompt.len().saturating_sub(keep as usize);
        if keeps_first {
            prompt.truncate(prompt.len() - surplus);
        } else {
            prompt.drain(..surplus);
        }
    }
    Ok(())
}

/// A prompt must leave room for an answer.
fn check_length(tokens: usize, max_model_len: u32) -> Result<(), ApiError> {
    if tokens < max_model_len as usize {
        return Ok(());
    }
    let message = format!(
        "This model's maximum context length is {max_model_len} tokens. However, your prompt contains {tokens} input \
         tokens, which exceeds this limit even without any output tokens. Please reduce the length of the input \
         prompt. (parameter=input_tokens, value={tokens})"
    );
    Err(ApiError::bad_request(message).about("input_tokens"))
}

fn max_tokens(form: Form, fields: &Fields<'_>, max_model_len: u32) -> Result<Option<u32>, ApiError> {
    let older = fields.integer("max_tokens")?;
    let (name, given) = match form {
        Form::Text => ("max_tokens", older),
        Form::Chat => match fields.integer("max_completion_tokens")? {
            None => ("max_tokens", older),
            newer => ("max_completion_tokens", newer),
        },
    };
    let Some(given) = given else { return Ok(None) };
    if given < 1 {
        let message = format!("{name} must be at least 1, got {given}.");
        return Err(ApiError::bad_request(message).about(name));
    }
    if given > i64::from(max_model_len) {
        let message = format!(
            "{name}={given} cannot be greater than the maximum context length of this model, {max_model_len} tokens."
        );
        return Err(ApiError::bad_request(message).about(name));
    }
    Ok(Some(given as u32))
}

fn bounds(fields: &Fields<'_>, max_tokens: Option<u32>) -> Result<Bounds, ApiError> {
    let min_tokens = fields.integer("min_tokens")?.unwrap_or(0);
    if min_tokens < 0 || max_tokens.is_some_and(|most| min_tokens > i64::from(most)) {
        let most = max_tokens.map_or("max_tokens".to_owned(), |most| format!("max_tokens={most}"));
        let message = format!("min_tokens must be from 0 to {most}, got {min_tokens}.");
        return Err(ApiError::bad_request(message).about("min_tokens"));
    }
    let stop = fields.texts("stop")?;
    if stop.iter().any(String::is_empty) {
        return Err(ApiError::bad_request("stop cannot contain an empty string.").about("stop"));
    }
    Ok(Bounds {
        max_tokens: 0,
        min_tokens: u32::try_from(min_tokens).unwrap_or(u32::MAX),
        natural_tokens: None,
        stop,
        stop_token_ids: fields.token_ids("stop_token_ids")?,
        include_stop: fields.flag("include_stop_str_in_output")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn served() -> Served {
        let names = vec!["m".to_owned()];
        Served { names, adapters: vec!["a".to_owned()], max_model_len: 100, has_priorities: false }
    }

    fn read(form: Form, body: &Value) -> Result<Ask, String> {
        Ask::read(form, body, &served()).map_err(|error| error.body().to_string())
    }

    fn refusal(form: Form, body: &Value) -> String {
        read(form, body).expect_err("a refusal")
    }

    #[test]
    fn prompts_come_in_four_forms() {
        let lengths = |prompt: &Value| -> Vec<usize> {
            let ask = read(Form::Text, &json!({"prompt": prompt})).expect("a request");
            ask.prompts.iter().map(Vec::len).collect()
        };
        assert_eq!(lengths(&json!("one two three")), [3]);
        assert_eq!(lengths(&json!(["one two", "three"])), [2, 1]);
        assert_eq!(lengths(&json!([5, 6, 7, 8])), [4]);
        assert_eq!(lengths(&json!([[5, 6], [7]])), [2, 1]);
        for wrong in [json!(5), json!([1, -2]), json!({"a": 1}), json!([["x"]])] {
            assert!(refusal(Form::Text, &json!({"prompt": wrong})).contains("body.prompt"));
        }
        assert!(refusal(Form::Text, &json!({"prompt": []})).contains("non-empty prompt"));
        assert!(refusal(Form::Text, &json!({})).contains("\"Bad Request\",\"param\":\"body.prompt\""));
    }

    #[test]
    fn an_answer_is_as_long_as_was_asked_and_fits() {
        let longest = |form, body: &Value| read(form, body).expect("a request").longest_answer(90, 100);
        assert_eq!(longest(Form::Text, &json!({"prompt": "x"})), 10, "sixteen, if there is room");
        assert_eq!(longest(Form::Text, &json!({"prompt": "x", "max_tokens": 3})), 3);
        let chat = |more: &Value| {
            let mut body = json!({"messages": [{"role": "user", "content": "x"}]});
            body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            body
        };
        assert_eq!(longest(Form::Chat, &chat(&json!({}))), 10);
        assert_eq!(longest(Form::Chat, &chat(&json!({"max_tokens": 9, "max_completion_tokens": 4}))), 4);
        assert_eq!(
            longest(Form::Chat, &chat(&json!({"max_tokens": 50}))),
            10,
            "no more than there is room for"
        );
        assert!(refusal(Form::Chat, &chat(&json!({"max_tokens": 101}))).contains("maximum context length"));
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        let with = |name: &str, value: &Value| refusal(Form::Text, &json!({"prompt": "x", name: value}));
        assert!(with("temperature", &json!(2.5)).contains("temperature must be in [0, 2], got 2.5"));
        assert!(with("n", &json!(0)).contains("\"param\":\"n\""));
        assert!(with("stream_options", &json!({})).contains("when `stream=True`"));
        assert!(
            with("max_tokens", &json!("many")).contains("body.max_tokens: Input should be a valid integer")
        );
        assert!(with("priority", &json!(1)).contains("priority scheduling is not enabled"));
        assert!(with("logprobs", &json!(1)).contains("not offered"));
        assert!(with("model", &json!("other")).contains("The model `other` does not exist."));
        assert!(
            refusal(Form::Text, &json!({"prompt": "x", "max_tokens": 2, "min_tokens": 3}))
                .contains("min_tokens")
        );
        let long = vec!["word"; 120].join(" ");
        assert!(
            refusal(Form::Text, &json!({"prompt": long})).contains("maximum context length is 100 tokens")
        );
        assert!(refusal(Form::Chat, &json!({"messages": [{"content": "x"}]})).contains("role"));
        assert!(refusal(Form::Text, &json!([])).contains("\"param\":\"body\""));
    }

    #[test]
    fn adapters_are_models_and_unknown_members_are_nobodys_business() {
        let ask = read(Form::Text, &json!({"model": "a", "prompt": "x", "nonsense": 1, "logprobs": null}));
        let ask = ask.expect("a request");
        assert_eq!((ask.model.as_str(), ask.adapter), ("a", Some(0)));
    }

    #[test]
    fn a_conversation_continues_the_tokens_of_the_one_before() {
        let tokens = |messages: &Value| {
            read(Form::Chat, &json!({"messages": messages})).expect("one").prompts.remove(0)
        };
        let first = tokens(&json!([{"role": "user", "content": "hello there"}]));
        let mut answer = first.clone();
        text::tokenize("to be", &mut answer);
        let next = tokens(&json!([
            {"role": "user", "content": [{"type": "text", "text": "hello there"}]},
            {"role": "assistant", "content": "to be"},
            {"role": "user", "content": "go on"},
        ]));
        assert_eq!(next[..answer.len()], answer);
    }
}
