//! What is answered to each request.

use super::VLLM_VERSION;
use super::account::Reason;
use super::answer::{Answer, Finish, Planned, Reader};
use super::body::{Content, Guard, Streamed};
use super::chunks::{ChoiceReply, Chunks, Reply, refusal};
use super::engine::{Choice, Command, Happened, News};
use super::error::ApiError;
use super::exposition::{self, Identity};
use super::fields::Fields;
use super::request::{Ask, Form, Served, conversation, model};
use super::{text, whole};
use blis_workload::content::known_keys;
use blis_workload::{LabelsId, RequestSource};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Instant, SystemTime};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::oneshot;

/// Largest body of a request, bytes.
const MAX_BODY: usize = 256 << 20;
/// Names the SLO class of a request.
const CLASS_HEADER: &str = "x-gateway-inference-objective";
/// Names the tenant of a request.
const TENANT_HEADER: &str = "x-gateway-inference-fairness-id";
const REQUEST_ID_HEADER: &str = "x-request-id";
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Which labels a request gets.
#[derive(Clone, Debug)]
pub(crate) struct LabelTable {
    /// SLO classes; the first is that of requests without one.
    pub(crate) classes: Vec<String>,
    /// vLLM priority of each class.
    pub(crate) priorities: Vec<i64>,
    /// The first is that of requests without one.
    pub(crate) tenants: Vec<String>,
    /// Adapters; the first label is that of requests without one.
    pub(crate) adapters: usize,
}

impl LabelTable {
    /// The labels of class, tenant and adapter, in the order of [`Self::id`].
    pub(crate) fn combinations(&self) -> impl Iterator<Item = (&str, &str, Option<usize>)> {
        self.classes.iter().flat_map(move |class| {
            self.tenants.iter().flat_map(move |tenant| {
                let adapters = std::iter::once(None).chain((0..self.adapters).map(Some));
                adapters.map(move |adapter| (class.as_str(), tenant.as_str(), adapter))
            })
        })
    }

    fn id(&self, class: usize, tenant: usize, adapter: Option<usize>) -> LabelsId {
        let adapter = adapter.map_or(0, |adapter| adapter + 1);
        LabelsId(((class * self.tenants.len() + tenant) * (self.adapters + 1) + adapter) as u32)
    }

    fn of(&self, headers: &HeaderMap, ask: &Ask) -> LabelsId {
        let position = |known: &[String], header: &str| {
            let name = headers.get(header).and_then(|value| value.to_str().ok());
            name.and_then(|name| known.iter().position(|known| known == name)).unwrap_or(0)
        };
        let class = match ask.priority {
            0 => position(&self.classes, CLASS_HEADER),
            wanted => {
                let distance = |&(_, &priority): &(usize, &i64)| priority.abs_diff(wanted);
                self.priorities.iter().enumerate().min_by_key(distance).map_or(0, |(class, _)| class)
            }
        };
        self.id(class, position(&self.tenants, TENANT_HEADER), ask.adapter)
    }
}

/// Everything that requests are answered with.
pub(crate) struct Service {
    pub(crate) served: Served,
    pub(crate) identity: Identity,
    pub(crate) labels: LabelTable,
    pub(crate) block_tokens: u32,
    pub(crate) api_key: Option<String>,
    pub(crate) commands: Sender<Command>,
    /// Draws the lengths of answers that end by themselves.
    pub(crate) lengths: Mutex<Box<dyn RequestSource>>,
    pub(crate) created: u64,
    pub(crate) tickets: AtomicU64,
    /// Tells the identifiers of this server from those of others.
    pub(crate) nonce: u64,
}

/// The answer of a path.
type Answered = Result<Response<Content>, ApiError>;

impl Service {
    /// Answers a request.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Response<Content> {
        let arrived = Instant::now();
        if request.uri().path().starts_with("/v1") && !self.may_enter(request.headers()) {
            return json_response(StatusCode::UNAUTHORIZED, &json!({"error": "Unauthorized"}));
        }
        self.route(request, arrived).await.unwrap_or_else(|error| json_response(error.status, &error.body()))
    }

    fn may_enter(&self, headers: &HeaderMap) -> bool {
        let Some(key) = &self.api_key else { return true };
        let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        given.and_then(|given| given.strip_prefix("Bearer ")) == Some(key)
    }

    async fn route(&self, request: Request<Incoming>, arrived: Instant) -> Answered {
        let path = request.uri().path().to_owned();
        let method = request.method().clone();
        let allowed: &[Method] = match path.as_str() {
            "/health" | "/version" | "/load" | "/v1/models" | "/metrics" | "/metrics/" => &[Method::GET],
            "/ping" => &[Method::GET, Method::POST],
            "/v1/completions" | "/v1/chat/completions" | "/tokenize" => &[Method::POST],
            _ => return Err(ApiError::no_such_path()),
        };
        if !allowed.contains(&method) {
            return Err(ApiError::wrong_method());
        }
        match path.as_str() {
            "/health" | "/ping" => {
                self.snapshot().await?;
                Ok(Response::new(Content::Whole(None)))
            }
            "/version" => Ok(json_response(StatusCode::OK, &json!({"version": VLLM_VERSION}))),
            "/load" => {
                let snapshot = self.snapshot().await?;
                let load: u32 = snapshot.instances.iter().map(|gauges| gauges.running + gauges.waiting).sum();
                Ok(json_response(StatusCode::OK, &json!({"server_load": load})))
            }
            "/v1/models" => Ok(json_response(StatusCode::OK, &self.models())),
            "/metrics" | "/metrics/" => {
                let text = exposition::write(&self.identity, &self.snapshot().await?);
                let mut response = Response::new(Content::Whole(Some(text.into())));
                let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
                response.headers_mut().insert(CONTENT_TYPE, kind);
                Ok(response)
            }
            "/tokenize" => self.tokenize(&json_body(request).await?),
            "/v1/completions" => self.generate(Form::Text, request, arrived).await,
            _ => self.generate(Form::Chat, request, arrived).await,
        }
    }

    /// The state of the engine; an error when it has gone.
    async fn snapshot(&self) -> Result<exposition::Snapshot, ApiError> {
        let (ask, answer) = oneshot::channel();
        // A dead engine answers nothing, which shows next.
        let _ = self.commands.send(Command::Scrape(ask));
        answer.await.map_err(|_| ApiError::unavailable("The engine is dead."))
    }

    fn models(&self) -> Value {
        let card = |id: &str, root: &str, parent: Option<&str>, longest: Option<u32>| {
            json!({
                "id": id, "object": "model", "created": self.created, "owned_by": "vllm", "root": root,
                "parent": parent, "max_model_len": longest,
                "permission": [{
                    "id": format!("modelperm-{:032x}", blis_kernel::rng::fnv1a_64(id)), "object": "model_permission",
                    "created": self.created, "allow_create_engine": false, "allow_sampling": true,
                    "allow_logprobs": true, "allow_search_indices": false, "allow_view": true,
                    "allow_fine_tuning": false, "organization": "*", "group": null, "is_blocking": false,
                }],
            })
        };
        let Served { names, adapters, max_model_len, .. } = &self.served;
        let base = names[0].as_str();
        let models = names.iter().map(|name| card(name, base, None, Some(*max_model_len)));
        let adapters = adapters.iter().map(|adapter| card(adapter, adapter, Some(base), None));
        json!({"object": "list", "data": models.chain(adapters).collect::<Vec<_>>()})
    }

    fn tokenize(&self, body: &Value) -> Answered {
        let fields = Fields::of_body(body)?;
        model(&fields, &self.served)?;
        let (tokens, texts) = match fields.text("prompt")? {
            Some(prompt) => {
                let texts: Vec<_> = text::pieces(prompt).collect();
                (texts.iter().map(|piece| text::token_id(piece)).collect(), Some(texts))
            }
            None if fields.get("messages").is_some() => (conversation(&fields)?, None),
            None => return Err(fields.missing("prompt")),
        };
        let texts = texts.filter(|_| fields.flag("return_token_strs").unwrap_or(false));
        let tokens: Vec<u32> = tokens;
        Ok(json_response(
            StatusCode::OK,
            &json!({
                "count": tokens.len(), "max_model_len": self.served.max_model_len, "tokens": tokens,
                "token_strs": texts,
            }),
        ))
    }

    async fn generate(&self, form: Form, request: Request<Incoming>, arrived: Instant) -> Answered {
        let headers = request.headers().clone();
        let body = json_body(request).await?;
        let ask = Ask::read(form, &body, &self.served)?;
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        let (reply, choices) = self.plan(&ask, ticket, &headers);
        let (sender, mut news) = unbounded_channel();
        let guard = Guard { ticket, commands: self.commands.clone(), is_over: false };
        let submit = Command::Submit { ticket, at: arrived, choices, news: sender };
        self.commands.send(submit).map_err(|_| ApiError::unavailable("The engine is dead."))?;
        if ask.stream { stream(reply, news, guard).await } else { whole(reply, &mut news, guard).await }
    }

    /// Plays the answers through: what will be said, and what the engine must know.
    fn plan(&self, ask: &Ask, ticket: u64, headers: &HeaderMap) -> (Reply, Vec<Choice>) {
        let labels = self.labels.of(headers, ask);
        let mut choices = Vec::new();
        let mut replies = Vec::new();
        // Prompts of different adapters and salts have nothing in common in the cache.
        let salt = known_salt(ask);
        for prompt in &ask.prompts {
            let prompt_tokens = prompt.len() as u32;
            let seed = known_keys(prompt, salt, prompt_tokens).first().copied().unwrap_or(salt);
            for choice in 0..ask.n {
                let mut bounds = ask.bounds.clone();
                bounds.max_tokens = ask.longest_answer(prompt_tokens, self.served.max_model_len);
                bounds.natural_tokens = if ask.ignore_eos { None } else { self.natural_length() };
                let answer = Answer::new(seed ^ u64::from(choice), ask.form == Form::Chat);
                let mut tokens = prompt.clone();
                let planned = Planned::new(answer, &bounds, &mut tokens);
                choices.push(Choice {
                    prompt_tokens,
                    output_tokens: planned.tokens,
                    max_tokens: bounds.max_tokens,
                    keys: known_keys(&tokens, salt, self.block_tokens).into(),
                    labels,
                    adapter: ask.adapter,
                    reason: if planned.finish == Finish::Length { Reason::Length } else { Reason::Stop },
                });
                replies.push(ChoiceReply { reader: Reader::new(planned), prompt_tokens, is_over: false });
            }
        }
        let given_id =
            headers.get(REQUEST_ID_HEADER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let id = given_id.or_else(|| ask.request_id.clone()).unwrap_or_else(|| {
            format!("{:016x}{:016x}", self.nonce, ticket.wrapping_mul(0x9e37_79b9_7f4a_7c15))
        });
        let prefix = if ask.form == Form::Chat { "chatcmpl" } else { "cmpl" };
        let reply = Reply {
            form: ask.form,
            id: format!("{prefix}-{id}"),
            model: ask.model.clone(),
            created: seconds_since_1970(),
            choices: replies,
            n: ask.n,
            prompt_tokens: ask.prompts.iter().map(|prompt| prompt.len() as u32).sum(),
            include_usage: ask.include_usage,
            continuous_usage: ask.continuous_usage,
            prompt_ids: ask.return_token_ids.then(|| ask.prompts.clone()),
        };
        (reply, choices)
    }

    /// The length of the next answer that ends by itself.
    fn natural_length(&self) -> Option<u32> {
        let mut lengths = self.lengths.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        lengths.next_arrival().map(|request| request.output_tokens)
    }
}

fn known_salt(ask: &Ask) -> u64 {
    let salt = ask.cache_salt.as_deref().unwrap_or_default();
    match ask.adapter {
        None if salt.is_empty() => 0,
        adapter => blis_kernel::rng::fnv1a_64(&format!("{adapter:?} {salt}")),
    }
}

/// Waits until an instance has the request, and answers with the stream of its tokens.
async fn stream(reply: Reply, mut news: UnboundedReceiver<News>, guard: Guard) -> Answered {
    match news.recv().await.map(|news| news.what) {
        Some(Happened::Ended(ending)) => Err(refused(ending, guard)),
        None => Err(ApiError::unavailable("The server shuts down.")),
        Some(_) => {
            let streamed = Streamed { chunks: Chunks::new(reply), news, guard };
            let mut response = Response::new(Content::Streamed(Box::new(streamed)));
            let kind = HeaderValue::from_static("text/event-stream; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, kind);
            Ok(response)
        }
    }
}

/// Waits for the whole answer.
async fn whole(mut reply: Reply, news: &mut UnboundedReceiver<News>, mut guard: Guard) -> Answered {
    while !reply.is_over() {
        let News { choice, what } =
            news.recv().await.ok_or_else(|| ApiError::unavailable("The server shuts down."))?;
        match what {
            Happened::Ended(ending) if refusal(ending).is_some() => return Err(refused(ending, guard)),
            Happened::Ended(_) => reply.choices[choice as usize].is_over = true,
            Happened::Routed { .. } | Happened::Token => {}
        }
    }
    guard.is_over = true;
    Ok(json_response(StatusCode::OK, &whole::body(reply)))
}

/// Why a choice has no answer; the others are taken back.
fn refused(ending: blis_metrics::RequestEnding, guard: Guard) -> ApiError {
    drop(guard);
    refusal(ending).unwrap_or_else(|| ApiError::unavailable("The answer ended before it began."))
}

async fn json_body(request: Request<Incoming>) -> Result<Value, ApiError> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if kind != "application/json" && !kind.ends_with("+json") {
        let message = "Unsupported Media Type: Only 'application/json' is allowed";
        return Err(ApiError::malformed("body", message));
    }
    let body = Limited::new(request.into_body(), MAX_BODY).collect().await;
    let bytes =
        body.map_err(|error| ApiError::bad_request(format!("The body cannot be read: {error}")))?.to_bytes();
    serde_json::from_slice(&bytes)
        .map_err(|error| ApiError::malformed("body", &format!("JSON decode error: {error}")))
}

fn json_response(status: StatusCode, body: &Value) -> Response<Content> {
    let mut response = Response::new(Content::Whole(Some(Bytes::from(body.to_string()))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

pub(crate) fn seconds_since_1970() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}
