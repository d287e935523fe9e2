//! A server with a known timing: its first token takes 100 ms, every other one 15 ms, so that a busy machine changes
//! little.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const FIRST_TOKEN: Duration = Duration::from_millis(100);
const TOKEN: Duration = Duration::from_millis(15);

/// Starts it; it runs until the process ends.
pub(crate) fn start() -> SocketAddr {
    start_counting().0
}

/// The same, with how many answers it has begun.
pub(crate) fn start_counting() -> (SocketAddr, Arc<AtomicU64>) {
    let begun = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&begun);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let begun = Arc::clone(&counted);
            thread::spawn(move || serve(&stream, &begun));
        }
    });
    (address, begun)
}

/// Serves one connection until the client closes it.
fn serve(stream: &TcpStream, begun: &AtomicU64) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream);
    let mut stream = stream;
    loop {
        let (mut length, mut target) = (0, String::new());
        reader.read_line(&mut target).ok().filter(|&read| read > 0)?;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let line = line.trim().to_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(given) = line.strip_prefix("content-length:") {
                length = given.trim().parse().ok()?;
            }
        }
        begun.fetch_add(1, Ordering::SeqCst);
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        if target.starts_with("GET /metrics") {
            respond(
                stream,
                "vllm:prefix_cache_queries_total{engine=\"0\"} 10\nvllm:prefix_cache_hits_total 4\n",
            )?;
            continue;
        }
        let body: serde_json::Value = serde_json::from_slice(&body).ok()?;
        let tokens = body["max_tokens"].as_u64()?;
        let prompt = body["prompt"].as_str().unwrap_or_default().split_whitespace().count();
        let usage = format!(r#""usage":{{"prompt_tokens":{prompt},"completion_tokens":{tokens}}}"#);
        if body["stream"] == false {
            thread::sleep(FIRST_TOKEN);
            respond(stream, &format!(r#"{{"choices":[{{"text":"x","finish_reason":"length"}}],{usage}}}"#))?;
            continue;
        }
        write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        .ok()?;
        for token in 0..tokens {
            thread::sleep(if token == 0 { FIRST_TOKEN } else { TOKEN });
            event(stream, r#"{"choices":[{"text":"tok ","finish_reason":null}]}"#)?;
        }
        event(stream, &format!(r#"{{"choices":[],{usage}}}"#))?;
        event(stream, "[DONE]")?;
        write!(stream, "0\r\n\r\n").ok()?;
    }
}

fn respond(mut stream: &TcpStream, body: &str) -> Option<()> {
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).ok()
}

fn event(mut stream: &TcpStream, data: &str) -> Option<()> {
    let event = format!("data: {data}\n\n");
    write!(stream, "{:x}\r\n{event}\r\n", event.len()).ok()
}
