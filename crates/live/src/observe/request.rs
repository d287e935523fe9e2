//! What is sent.

use super::prompt::Turn;
use super::server_url::ServerUrl;
use super::{Api, Settings};
use blis_workload::{Labels, RequestSpec};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::{Method, Request};
use serde_json::{Map, Value, json};
use std::hash::{BuildHasher, RandomState};

/// Answer tokens of a request that does not say how many it wants.
const DEFAULT_MAX_TOKENS: u32 = 2_048;
/// As many answer tokens as the server allows.
const NO_LIMIT: i64 = 2_147_483_647;

/// A request, ready to be sent.
pub(super) struct Call {
    path: String,
    body: Bytes,
    headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) stream: bool,
    pub(super) keep_times: bool,
    /// The priority it carries; 0 also when it carries none.
    pub(super) priority: u32,
    pub(super) x_request_id: String,
}

impl Call {
    /// As it goes over a connection.
    pub(super) fn request(&self, server: &ServerUrl) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = Method::POST;
        if let Ok(uri) = server.path(&self.path).parse() {
            *request.uri_mut() = uri;
        }
        let headers = request.headers_mut();
        if let Ok(host) = HeaderValue::from_str(&server.authority) {
            headers.insert(HOST, host);
        }
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
        request
    }
}

/// Makes calls.
pub(super) struct Calls<'a> {
    settings: &'a Settings,
    ids: RequestIds,
}

impl<'a> Calls<'a> {
    pub(super) fn new(settings: &'a Settings) -> Self {
        Self { settings, ids: RequestIds::default() }
    }

    /// The call of a planned request.
    pub(super) fn planned(&mut self, request: &RequestSpec, labels: &Labels, turns: &[Turn]) -> Call {
        let settings = self.settings;
        let stream = settings.streaming && (labels.streaming || settings.piece_times);
        let model = if labels.adapter.is_empty() { &settings.model } else { &labels.adapter };
        let mut body = body(settings.api, model, turns, stream);
        let planned = request.output_tokens;
        if !settings.unconstrained_output {
            let most = if planned == 0 { DEFAULT_MAX_TOKENS } else { planned };
            body.insert("max_tokens".to_owned(), most.into());
            if planned > 0 {
                body.insert("min_tokens".to_owned(), planned.into());
            }
        } else if settings.api == Api::Completions {
            // Without a limit, completions would have 16 tokens.
            body.insert("max_tokens".to_owned(), NO_LIMIT.into());
        }
        let priority = priority(&labels.slo_class);
        if let Some(priority) = priority {
            body.insert("priority".to_owned(), priority.into());
        }
        let x_request_id = self.ids.next();
        let mut headers = vec![("x-request-id", x_request_id.clone())];
        for (name, value) in [
            ("x-gateway-inference-fairness-id", &labels.tenant),
            ("x-gateway-inference-objective", &labels.slo_class),
        ] {
            if !value.is_empty() {
                headers.push((name, value.clone()));
            }
        }
        if let Some(target) = labels.slo_target.filter(|target| target.as_us() > 0) {
            headers.push(("x-slo-ttft-ms", ((target.as_us() + 999) / 1_000).to_string()));
        }
        Call {
            stream,
            keep_times: settings.piece_times,
            priority: priority.unwrap_or_default(),
            x_request_id,
            ..self.call(&Value::Object(body), &headers)
        }
    }

    /// A call that is not streamed and belongs to no plan.
    pub(super) fn plain(&self, prompt: &str, max_tokens: u32) -> Call {
        let turns = [Turn { is_answer: false, text: prompt.to_owned() }];
        let mut body = body(self.settings.api, &self.settings.model, &turns, false);
        body.insert("max_tokens".to_owned(), max_tokens.into());
        self.call(&Value::Object(body), &[])
    }

    fn call(&self, body: &Value, more: &[(&'static str, String)]) -> Call {
        let mut headers = vec![
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (ACCEPT_ENCODING, HeaderValue::from_static("identity")),
        ];
        headers.extend(authorization(self.settings));
        headers.extend(more.iter().filter_map(|(name, value)| {
            // A name of a tenant that no header can carry is left out.
            Some((HeaderName::from_static(name), HeaderValue::from_str(value).ok()?))
        }));
        let path = match self.settings.api {
            Api::Completions => "/v1/completions",
            Api::Chat => "/v1/chat/completions",
        };
        Call {
            path: path.to_owned(),
            body: Bytes::from(body.to_string()),
            headers,
            stream: false,
            keep_times: false,
            priority: 0,
            x_request_id: String::new(),
        }
    }
}

/// The header of the key, if there is one.
pub(super) fn authorization(settings: &Settings) -> Option<(HeaderName, HeaderValue)> {
    let key = settings.api_key.as_ref()?;
    let mut value = HeaderValue::from_str(&format!("Bearer {key}")).ok()?;
    value.set_sensitive(true);
    Some((AUTHORIZATION, value))
}

fn body(api: Api, model: &str, turns: &[Turn], stream: bool) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("model".to_owned(), model.into());
    match api {
        Api::Completions => {
            let prompt: String = turns.iter().map(|turn| turn.text.as_str()).collect();
            body.insert("prompt".to_owned(), prompt.into());
        }
        Api::Chat => {
            let messages = turns.iter().map(|turn| {
                let role = if turn.is_answer { "assistant" } else { "user" };
                json!({"role": role, "content": turn.text})
            });
            body.insert("messages".to_owned(), messages.collect());
        }
    }
    body.insert("stream".to_owned(), stream.into());
    if stream {
        body.insert("stream_options".to_owned(), json!({"include_usage": true}));
    }
    body
}

/// Priority as vLLM takes it, lower first; none without a class.
fn priority(slo_class: &str) -> Option<u32> {
    match slo_class {
        "" => None,
        "critical" => Some(0),
        "batch" => Some(5),
        "sheddable" => Some(6),
        "background" => Some(7),
        // `standard`, and every other name.
        _ => Some(1),
    }
}

/// Random names of requests, as UUIDs of version 4.
#[derive(Default)]
struct RequestIds {
    random: RandomState,
    next: u64,
}

impl RequestIds {
    fn next(&mut self) -> String {
        self.next += 1;
        let [high, low] = [0_u8, 1].map(|half| self.random.hash_one((self.next, half)));
        let (a, b, c) = (high >> 32, high >> 16 & 0xffff, high & 0xfff);
        let (d, e) = (low >> 48 & 0x3fff | 0x8000, low & 0xffff_ffff_ffff);
        format!("{a:08x}-{b:04x}-4{c:03x}-{d:04x}-{e:012x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blis_kernel::{RequestName, Tick};
    use blis_workload::{Content, LabelsId};
    use std::time::Duration;

    fn settings(api: Api) -> Settings {
        Settings {
            server: ServerUrl::parse("http://h:1/base").unwrap(),
            model: "m".into(),
            api_key: Some("k".into()),
            api,
            streaming: true,
            piece_times: false,
            unconstrained_output: false,
            max_concurrency: 1,
            warm_up_requests: 0,
            timeout: Duration::from_secs(1),
            prewarm: Duration::ZERO,
            seed: 1,
            kv_metrics: None,
            abort: || (),
        }
    }

    fn planned(output_tokens: u32) -> RequestSpec {
        RequestSpec {
            arrival: Tick::ZERO,
            name: RequestName::Indexed(0),
            input_tokens: 3,
            output_tokens,
            max_output_tokens: output_tokens,
            deadline: None,
            content: Content::Unique { uid: 0, head: [0; 4] },
            labels: LabelsId(0),
            session: None,
            composition: None,
        }
    }

    fn turns() -> Vec<Turn> {
        [(false, "one "), (true, "two"), (false, "three ")]
            .map(|(is_answer, text)| Turn { is_answer, text: text.to_owned() })
            .into()
    }

    fn sent(call: &Call) -> Value {
        serde_json::from_slice(&call.body).unwrap()
    }

    #[test]
    fn a_streamed_request_says_all_that_is_planned() {
        let settings = settings(Api::Completions);
        let labels = Labels {
            tenant: "acme".into(),
            slo_class: "batch".into(),
            streaming: true,
            slo_target: Some(Tick::from_us(1_001)),
            ..Labels::default()
        };
        let call = Calls::new(&settings).planned(&planned(9), &labels, &turns());
        let expected = json!({
            "model": "m", "prompt": "one twothree ", "stream": true, "stream_options": {"include_usage": true},
            "max_tokens": 9, "min_tokens": 9, "priority": 5,
        });
        assert_eq!(sent(&call), expected);
        let request = call.request(&settings.server);
        assert_eq!(request.uri(), "/base/v1/completions");
        let header = |name: &str| request.headers()[name].to_str().unwrap();
        assert_eq!(header("host"), "h:1");
        assert_eq!(header("authorization"), "Bearer k");
        assert_eq!(header("x-gateway-inference-fairness-id"), "acme");
        assert_eq!(header("x-gateway-inference-objective"), "batch");
        assert_eq!(header("x-slo-ttft-ms"), "2");
        assert_eq!(header("x-request-id").len(), 36);
    }

    #[test]
    fn a_conversation_is_a_list_of_messages() {
        let settings = Settings { unconstrained_output: true, ..settings(Api::Chat) };
        let labels = Labels { adapter: "ada".into(), ..Labels::default() };
        let call = Calls::new(&settings).planned(&planned(9), &labels, &turns());
        let expected = json!({
            "model": "ada", "stream": false,
            "messages": [
                {"role": "user", "content": "one "}, {"role": "assistant", "content": "two"},
                {"role": "user", "content": "three "},
            ],
        });
        assert_eq!(sent(&call), expected);
    }

    #[test]
    fn names_of_requests_are_uuids_and_differ() {
        let mut ids = RequestIds::default();
        let (a, b) = (ids.next(), ids.next());
        assert_ne!(a, b);
        for id in [a, b] {
            let lengths: Vec<usize> = id.split('-').map(str::len).collect();
            assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
            assert!(id[14..].starts_with('4') && "89ab".contains(&id[19..20]), "{id}");
        }
    }
}
