//! How late requests are sent: 500 per second for ten seconds, to a server on a thread of this process that answers each
//! with four tokens.
//!
//!     cargo bench -p blis-live --bench pacing

use blis_kernel::{RequestName, Tick};
use blis_live::observe::server_url::ServerUrl;
use blis_live::observe::{Api, Settings, observe, summary};
use blis_workload::{
    Content, Labels, LabelsId, RequestEnd, RequestSource, RequestSpec, SessionId, SessionRound,
};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const PER_S: i64 = 500;
const SECONDS: i64 = 10;

/// Evenly spaced requests.
struct Even {
    labels: [Labels; 1],
    sent: i64,
}

impl RequestSource for Even {
    fn next_arrival(&mut self) -> Option<RequestSpec> {
        let number = self.sent;
        self.sent += 1;
        (number < PER_S * SECONDS).then(|| RequestSpec {
            arrival: Tick::from_us(number * 1_000_000 / PER_S),
            name: RequestName::Indexed(number as u64),
            input_tokens: 100,
            output_tokens: 4,
            max_output_tokens: 4,
            deadline: None,
            content: Content::Unique { uid: number as u64, head: [0; 4] },
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

/// Serves one connection. A request fits into one read; the question how many tokens a word is gets no useful answer.
async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 64 << 10];
    while stream.read(&mut buffer).await? > 0 {
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_millis(2)).await;
            stream.write_all(b"22\r\ndata: {\"choices\":[{\"text\":\"a\"}]}\n\n\r\n").await?;
        }
        stream.write_all(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n").await?;
    }
    Ok(())
}

#[allow(clippy::print_stdout, reason = "a bench tells its figures")]
fn main() {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            tell.send(listener.local_addr().expect("an address")).expect("somebody waits");
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
    });
    let address = told.recv().expect("a server");
    let settings = Settings {
        server: ServerUrl::parse(&format!("http://{address}")).expect("an address"),
        model: "m".into(),
        api_key: None,
        api: Api::Completions,
        streaming: true,
        piece_times: true,
        unconstrained_output: false,
        max_concurrency: 1_000,
        warm_up_requests: 0,
        timeout: Duration::from_secs(20),
        prewarm: Duration::ZERO,
        seed: 1,
        kv_metrics: None,
        abort: || std::process::exit(130),
    };
    let labels = [Labels { streaming: true, ..Labels::default() }];
    let mut source = Even { labels, sent: 0 };
    let observation = observe(&mut source, &settings, &mut |_| ()).expect("threads");
    println!("{PER_S} requests/s for {SECONDS} s\n{}", summary::summary(&observation));
}
