//! A server that does what a script says, byte by byte, and sources of requests with known plans.

use blis_kernel::{RequestName, Tick};
use blis_live::observe::server_url::ServerUrl;
use blis_live::observe::{Api, Settings};
use blis_workload::{
    Content, Labels, LabelsId, RequestEnd, RequestSource, RequestSpec, SessionId, SessionRound,
};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// One thing that the server does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Sends these bytes.
    Send(String),
    /// Waits.
    Pause(Duration),
    /// Resets the connection.
    Reset,
    /// Closes the connection.
    Close,
}

/// What is done with a request of this body, which asks for so many tokens.
type Script = Arc<dyn Fn(&Value) -> Vec<Step> + Send + Sync>;

/// What a server saw.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) connections: AtomicUsize,
    pub(crate) at_once: AtomicUsize,
    pub(crate) most_at_once: AtomicUsize,
    pub(crate) bodies: Mutex<Vec<Value>>,
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Seen>,
}

impl Server {
    /// Starts a server; it runs until the process ends.
    pub(crate) fn start(script: impl Fn(&Value) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let script: Script = Arc::new(script);
        let seen = Arc::new(Seen::default());
        let (tell, told) = std::sync::mpsc::channel();
        let shared = Arc::clone(&seen);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    stream.set_nodelay(true).unwrap();
                    shared.connections.fetch_add(1, Ordering::SeqCst);
                    tokio::spawn(serve(stream, Arc::clone(&script), Arc::clone(&shared)));
                }
            });
        });
        Self { address: told.recv().unwrap(), seen }
    }

    pub(crate) fn settings(&self) -> Settings {
        settings(self.address)
    }
}

pub(crate) fn settings(address: SocketAddr) -> Settings {
    Settings {
        server: ServerUrl::parse(&format!("http://{address}")).unwrap(),
        model: "m".into(),
        api_key: None,
        api: Api::Completions,
        streaming: true,
        piece_times: false,
        unconstrained_output: false,
        max_concurrency: 256,
        warm_up_requests: 0,
        timeout: Duration::from_secs(20),
        prewarm: Duration::ZERO,
        seed: 42,
        kv_metrics: None,
        abort: || (),
    }
}

/// Serves one connection until somebody closes it.
async fn serve(mut stream: TcpStream, script: Script, seen: Arc<Seen>) {
    let mut buffer = Vec::new();
    while let Some(body) = read_request(&mut stream, &mut buffer).await {
        let at_once = seen.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        seen.most_at_once.fetch_max(at_once, Ordering::SeqCst);
        let is_calibration = body["max_tokens"] == 1 && body["stream"] == false;
        let steps = if is_calibration { vec![Step::Send(json_answer(CALIBRATION))] } else { script(&body) };
        if !is_calibration {
            seen.bodies.lock().unwrap().push(body);
        }
        let mut is_open = true;
        for step in steps {
            match step {
                Step::Send(bytes) => is_open = is_open && stream.write_all(bytes.as_bytes()).await.is_ok(),
                Step::Pause(duration) => tokio::time::sleep(duration).await,
                Step::Reset => {
                    stream.set_zero_linger().unwrap();
                    is_open = false;
                }
                Step::Close => is_open = false,
            }
        }
        seen.at_once.fetch_sub(1, Ordering::SeqCst);
        if !is_open {
            return;
        }
    }
}

/// The body of the next request; nothing when the connection is over.
async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Value> {
    loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
            if buffer.len() >= end + 4 + length {
                let body = serde_json::from_slice(&buffer[end + 4..][..length]).unwrap_or(Value::Null);
                buffer.drain(..end + 4 + length);
                return Some(body);
            }
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

/// One token per word.
const CALIBRATION: &str = r#"{"choices":[{"text":"x","finish_reason":"length"}],"usage":{"prompt_tokens":100,"completion_tokens":1}}"#;

/// A whole answer that is not streamed.
pub(crate) fn json_answer(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// An answer of another status.
pub(crate) fn refusal(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// The head of a stream.
pub(crate) const STREAM: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
/// The end of a stream.
pub(crate) const END: &str = "0\r\n\r\n";

/// A chunk of a stream.
pub(crate) fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// The event of a token.
pub(crate) fn token(text: &str) -> String {
    chunk(&format!("data: {{\"choices\":[{{\"index\":0,\"text\":\"{text}\",\"finish_reason\":null}}]}}\n\n"))
}

/// The last events of a stream of so many tokens.
pub(crate) fn usage_and_done(tokens: u64) -> String {
    let last = r#"data: {"choices":[{"text":"","finish_reason":"length"}]}"#;
    let usage = format!(
        r#"data: {{"choices":[],"usage":{{"prompt_tokens":8,"total_tokens":0,"completion_tokens":{tokens}}}}}"#
    );
    chunk(&format!("{last}\n\n{usage}\n\n")) + &chunk("data: [DONE]\n\n") + END
}

/// A good stream of so many tokens with a pause before each but the first.
pub(crate) fn stream(tokens: u64, pause: Duration) -> Vec<Step> {
    let mut steps = vec![Step::Send(STREAM.to_owned())];
    for place in 0..tokens {
        if place > 0 && !pause.is_zero() {
            steps.push(Step::Pause(pause));
        }
        steps.push(Step::Send(token("tok ")));
    }
    steps.push(Step::Send(usage_and_done(tokens)));
    steps
}

/// Requests at these times, each asking for so many tokens, and answers streamed.
pub(crate) struct Planned {
    labels: Vec<Labels>,
    requests: std::vec::IntoIter<(i64, u32)>,
    count: u64,
}

impl Planned {
    pub(crate) fn new(requests: Vec<(i64, u32)>) -> Self {
        let labels = Labels { client: "c".into(), streaming: true, ..Labels::default() };
        Self { labels: vec![labels], requests: requests.into_iter(), count: 0 }
    }

    pub(crate) fn not_streamed(mut self) -> Self {
        self.labels[0].streaming = false;
        self
    }
}

impl RequestSource for Planned {
    fn next_arrival(&mut self) -> Option<RequestSpec> {
        let (arrival_us, tokens) = self.requests.next()?;
        self.count += 1;
        Some(RequestSpec {
            arrival: Tick::from_us(arrival_us),
            name: RequestName::Indexed(self.count - 1),
            input_tokens: 8,
            output_tokens: tokens,
            max_output_tokens: tokens,
            deadline: None,
            content: Content::Unique { uid: self.count, head: [1, 2, 3, 4] },
            labels: LabelsId(0),
            session: None,
            composition: None,
        })
    }

    fn is_reactive(&self) -> bool {
        false
    }

    fn on_end(&mut self, _: SessionRound, _: Tick, _: RequestEnd) -> Option<RequestSpec> {
        None
    }

    fn labels(&self) -> &[Labels] {
        &self.labels
    }

    fn session_name(&self, _: SessionId) -> &'static str {
        ""
    }

    fn groups(&self) -> &[Vec<u32>] {
        &[]
    }
}
