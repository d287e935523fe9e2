//! A server in this process, and a plain HTTP client for it.

use blis_config::RunOptions;
use blis_config::options::LengthOptions;
use blis_config::resolve::{Surroundings, resolve};
use blis_live::mock::{Handle, Settings, Summary, answer_lengths, start};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A server whose answers end by themselves after 20 tokens.
pub(crate) struct Server {
    pub(crate) handle: Option<Handle>,
    pub(crate) address: SocketAddr,
}

/// What a cluster of small instances is like.
pub(crate) fn options() -> RunOptions {
    RunOptions { model: Some("qwen/qwen3-14b".to_owned()), ..RunOptions::default() }
}

impl Server {
    pub(crate) fn start(options: RunOptions, speedup: f64) -> Self {
        Self::with(options, |settings| settings.speedup = speedup)
    }

    pub(crate) fn with(mut options: RunOptions, change: impl FnOnce(&mut Settings)) -> Self {
        let length = Some(20);
        options.traffic =
            answer_lengths(LengthOptions { mean: length, stdev: Some(0), min: length, max: length });
        let resolved = resolve(&options, &Surroundings::default()).expect("options in range");
        let mut settings = Settings {
            plan: resolved.plan,
            address: "127.0.0.1:0".parse().expect("an address"),
            served_names: vec!["m".to_owned()],
            speedup: 1.0,
            api_key: None,
            tenants: Vec::new(),
            shutdown_timeout: Duration::from_secs(20),
        };
        change(&mut settings);
        let handle = start(settings).expect("a free port");
        Self { address: handle.address(), handle: Some(handle) }
    }

    pub(crate) fn stop(&mut self) -> Summary {
        self.handle.take().expect("a server that was not stopped").stop(std::future::pending())
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        self.send("GET", path, &[], "")
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Response {
        self.send("POST", path, &[("content-type", "application/json")], &body.to_string())
    }

    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        Response::read(&mut BufReader::new(self.ask(method, path, headers, body)))
    }

    /// Sends a request, and leaves it to the caller to read the answer.
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> TcpStream {
        let mut connection = TcpStream::connect(self.address).expect("a connection");
        connection.set_nodelay(true).expect("an option");
        connection.set_read_timeout(Some(Duration::from_mins(1))).expect("an option");
        let headers: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let headers = headers.concat();
        let length = body.len();
        let head =
            format!("{method} {path} HTTP/1.1\r\nhost: mock\r\n{headers}content-length: {length}\r\n\r\n");
        connection.write_all(format!("{head}{body}").as_bytes()).expect("a request");
        connection
    }

    /// Sends a request for a stream.
    pub(crate) fn stream(&self, path: &str, body: &Value) -> Events {
        let mut body = body.clone();
        body["stream"] = true.into();
        let asked = Instant::now();
        let connection = self.ask("POST", path, &[("content-type", "application/json")], &body.to_string());
        Events { asked, ..Events::of(connection) }
    }

    /// The sum of a family over all series whose line contains `label`.
    pub(crate) fn metric(&self, name: &str, label: &str) -> f64 {
        let text = self.get("/metrics").text;
        let lines =
            text.lines().filter(|line| line.starts_with(&format!("{name}{{")) && line.contains(label));
        lines.map(|line| line.rsplit_once(' ').expect("a value").1.parse::<f64>().expect("a number")).sum()
    }

    /// Waits until a family has a value.
    pub(crate) fn wait_for(&self, name: &str, wanted: f64) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.metric(name, "") != wanted {
            assert!(Instant::now() < deadline, "{name} is {}, not {wanted}", self.metric(name, ""));
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// A response that was read to its end.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// In lower case.
    pub(crate) headers: String,
    pub(crate) text: String,
}

impl Response {
    fn read(reader: &mut BufReader<TcpStream>) -> Self {
        let (status, headers) = read_head(reader);
        let length = headers.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().expect("a length"))];
        reader.read_exact(&mut body).expect("a body");
        Self { status, headers, text: String::from_utf8(body).expect("text") }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

fn read_head(reader: &mut BufReader<TcpStream>) -> (u16, String) {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a header");
        let line = line.trim_end().to_lowercase();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let status = lines.first().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no status in {lines:?}")), lines.join("\n"))
}

/// The events of a streamed answer, with when each came.
pub(crate) struct Events {
    reader: BufReader<TcpStream>,
    pub(crate) asked: Instant,
    left_of_chunk: usize,
}

impl Events {
    /// The events that answer a request.
    pub(crate) fn of(connection: TcpStream) -> Self {
        let mut reader = BufReader::new(connection);
        let (status, headers) = read_head(&mut reader);
        assert_eq!(status, 200);
        assert!(headers.contains("content-type: text/event-stream; charset=utf-8"), "{headers}");
        assert!(headers.contains("transfer-encoding: chunked"), "{headers}");
        Self { reader, asked: Instant::now(), left_of_chunk: 0 }
    }

    /// One byte of the chunked body; `None` at its end.
    fn byte(&mut self) -> Option<u8> {
        if self.left_of_chunk == 0 {
            let mut size = String::new();
            self.reader.read_line(&mut size).expect("a chunk");
            self.left_of_chunk = usize::from_str_radix(size.trim(), 16).expect("a chunk's size");
            if self.left_of_chunk == 0 {
                return None;
            }
        }
        let mut byte = [0];
        self.reader.read_exact(&mut byte).expect("a chunk's bytes");
        self.left_of_chunk -= 1;
        if self.left_of_chunk == 0 {
            self.reader.read_exact(&mut [0; 2]).expect("the end of a chunk");
        }
        Some(byte[0])
    }

    /// Goes away without reading the rest.
    pub(crate) fn hang_up(self) {
        self.reader.into_inner().shutdown(Shutdown::Both).expect("an open connection");
    }

    /// All events to the end, which `[DONE]` must be.
    pub(crate) fn read_all(self) -> Vec<(Instant, Value)> {
        let mut events: Vec<_> = self.collect();
        assert_eq!(events.pop().map(|(_, last)| last), Some(Value::from("[DONE]")), "the stream ends so");
        events
    }
}

impl Iterator for Events {
    type Item = (Instant, Value);

    /// The next event; `[DONE]` as a text.
    fn next(&mut self) -> Option<(Instant, Value)> {
        let mut frame = Vec::new();
        while !frame.ends_with(b"\n\n") {
            frame.push(self.byte()?);
        }
        let frame = String::from_utf8(frame).expect("text");
        let data = frame.strip_prefix("data: ").expect("a data line").trim_end_matches('\n');
        let value = if data == "[DONE]" { data.into() } else { serde_json::from_str(data).expect("JSON") };
        Some((Instant::now(), value))
    }
}
