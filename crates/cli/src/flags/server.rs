//! A real server: where it is, what it is asked, and how it is measured.

use super::traffic::LengthFlags;
use super::{Findings, Typed, text};
use crate::flags::output::one_of;
use crate::flags::value::Span;
use blis::Diagnostic;
use blis_config::options::{TraceOptions, Traffic, WorkloadOptions};
use blis_config::think_time::parse_think_time;
use blis_live::observe::server_url::ServerUrl;
use blis_live::observe::{Api, Settings};
use blis_workload::trace::{RecordedServer, TraceHeader};
use clap::Args;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

const DEFAULT_MAX_CONCURRENCY: i64 = 256;
const DEFAULT_TIMEOUT_S: i64 = 300;
const TIMEOUT_S: RangeInclusive<i64> = 1..=86_400;

#[derive(Args, Debug)]
#[command(next_help_heading = "Server")]
pub(crate) struct ServerFlags {
    /// Address of the server, such as http://localhost:8000; https too [required]
    #[arg(long, value_name = "URL")]
    server_url: Option<String>,
    /// Key that the server wants, sent as a bearer token
    #[arg(long, value_name = "KEY")]
    api_key: Option<String>,
    /// What kind of server it is; only recorded [default: vllm]
    #[arg(long, value_name = "NAME")]
    server_type: Option<String>,
    /// Interface that requests go to: completions (/v1/completions) or chat (/v1/chat/completions)
    /// [default: completions]
    #[arg(long, value_name = "NAME")]
    api_format: Option<String>,
    /// Seconds that a request may take; with the traffic of flags also when its client gives up [default: 300]
    #[arg(long, value_name = "INT")]
    timeout: Option<Typed<i64>>,
    /// Leading requests that are sent but neither recorded nor compared [default: 0]
    #[arg(long, value_name = "INT")]
    warmup_requests: Option<Typed<i64>>,
    /// Keep the server busy for so long before the first request, such as 30s [default: 0]
    #[arg(long, value_name = "TIME")]
    prewarm_duration: Option<Typed<Span>>,
    /// Ask for whole answers instead of streams; the time to the first token is then that of the answer
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    no_streaming: Option<Typed<bool>>,
    /// Let the server decide how long answers are
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    unconstrained_output: Option<Typed<bool>>,
    /// Round trip to the server, ms; recorded, and taken into account by calibrations [default: 0]
    #[arg(long, value_name = "NUM")]
    rtt_ms: Option<Typed<f64>>,
    /// Stream every answer and keep the time of each of its pieces
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    record_itl: Option<Typed<bool>>,
    /// Read the counters of the prefix cache before and after, from the server's Prometheus metrics
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    scrape_kv_metrics: Option<Typed<bool>>,
    /// Where those metrics are [default: /metrics of the server]
    #[arg(long, value_name = "URL")]
    kv_metrics_url: Option<String>,
    /// Source revision of the server; recorded with the counters
    #[arg(long, value_name = "NAME")]
    vllm_commit: Option<String>,
}

/// What is measured, as the flags say.
pub(crate) struct Measuring {
    pub(crate) settings: Settings,
    /// The timeout, if one was given, seconds.
    pub(crate) timeout_s: Option<i64>,
    pub(crate) vllm_commit: String,
    server_type: String,
    rtt_ms: f64,
}

impl Measuring {
    /// What a trace says about the measurement, over what is said about the workload.
    pub(crate) fn header(&self, workload: TraceHeader) -> TraceHeader {
        let settings = &self.settings;
        TraceHeader {
            warm_up_requests: settings.warm_up_requests,
            server: Some(RecordedServer {
                kind: Some(self.server_type.clone()),
                model: Some(settings.model.clone()),
                ..RecordedServer::default()
            }),
            network_rtt_ms: Some((self.rtt_ms > 0.0).then_some(self.rtt_ms)),
            ..workload
        }
    }
}

/// A whole number in its range; any other is noted.
fn integer(
    flag: &str,
    given: Option<Typed<i64>>,
    default: i64,
    allowed: &RangeInclusive<i64>,
    findings: &mut Findings,
) -> i64 {
    let value = findings.value(flag, given).unwrap_or(default);
    if !allowed.contains(&value) {
        let most = match allowed.end() {
            &i64::MAX => format!("at least {}", allowed.start()),
            most => format!("from {} to {most}", allowed.start()),
        };
        findings.add(Diagnostic::new(format!("{flag} is {value}; it must be {most}")));
    }
    value
}

impl ServerFlags {
    /// `model` is the name that the server knows; `most` is the flag of how many requests may be in flight, and its text.
    pub(crate) fn read(
        self,
        model: Option<String>,
        most: (&str, Option<Typed<i64>>),
        (users, seed): (Option<i64>, i64),
        findings: &mut Findings,
    ) -> Option<Measuring> {
        let mut url = |flag: &str, given: Option<String>| {
            let parsed = ServerUrl::parse(&given?);
            parsed.map_err(|error| findings.add(Diagnostic::new(format!("{flag}: {error}")))).ok()
        };
        let server_url = text(self.server_url);
        let is_missing = server_url.is_none();
        let server = url("--server-url", server_url);
        let kv_metrics_url = url("--kv-metrics-url", text(self.kv_metrics_url));
        if is_missing {
            findings.add(Diagnostic::new("--server-url is missing"));
        }
        const APIS: [(&str, Api); 2] = [("completions", Api::Completions), ("chat", Api::Chat)];
        let api = one_of("value of --api-format", text(self.api_format), &APIS, findings);
        let given_timeout = self.timeout.is_some();
        let timeout = integer("--timeout", self.timeout, DEFAULT_TIMEOUT_S, &TIMEOUT_S, findings);
        let warm_up = integer("--warmup-requests", self.warmup_requests, 0, &(0..=i64::MAX), findings);
        let default = users.filter(|&users| users > 0).unwrap_or(DEFAULT_MAX_CONCURRENCY);
        let max_concurrency = integer(most.0, most.1, default, &(1..=1_000_000), findings);
        let prewarm = findings.value("--prewarm-duration", self.prewarm_duration);
        let rtt_ms = findings.value("--rtt-ms", self.rtt_ms).unwrap_or_default();
        if !(rtt_ms.is_finite() && rtt_ms >= 0.0) {
            findings.add(Diagnostic::new(format!(
                "--rtt-ms is {rtt_ms}; it must be a finite number, at least 0"
            )));
        }
        let mut is_set = |flag: &str, given| findings.value(flag, given).unwrap_or_default();
        let no_streaming = is_set("--no-streaming", self.no_streaming);
        let piece_times = is_set("--record-itl", self.record_itl);
        let unconstrained_output = is_set("--unconstrained-output", self.unconstrained_output);
        let scrapes = is_set("--scrape-kv-metrics", self.scrape_kv_metrics);
        if no_streaming && piece_times {
            findings.add(Diagnostic::new(
                "--no-streaming and --record-itl are both given: an answer that is not streamed has no pieces",
            ));
        }
        let vllm_commit = text(self.vllm_commit);
        if !scrapes && (vllm_commit.is_some() || kv_metrics_url.is_some()) {
            findings.add(Diagnostic::new("--vllm-commit and --kv-metrics-url need --scrape-kv-metrics"));
        }
        let model = model.or_else(|| {
            findings.add(Diagnostic::new("--model is missing: servers want to know which"));
            None
        })?;
        let server = server?;
        let metrics = || ServerUrl { base: server.path("/metrics"), ..server.clone() };
        let kv_metrics = scrapes.then(|| kv_metrics_url.unwrap_or_else(metrics));
        Some(Measuring {
            settings: Settings {
                kv_metrics,
                server,
                model,
                api_key: text(self.api_key),
                api,
                streaming: !no_streaming,
                piece_times,
                unconstrained_output,
                max_concurrency: usize::try_from(max_concurrency).unwrap_or(1),
                warm_up_requests: u64::try_from(warm_up).unwrap_or_default(),
                timeout: Duration::from_secs(u64::try_from(timeout).unwrap_or_default()),
                prewarm: prewarm.map_or(Duration::ZERO, |Span(us)| Duration::from_micros(us.unsigned_abs())),
                seed,
                abort: || std::process::exit(130),
            },
            timeout_s: given_timeout.then_some(timeout),
            vllm_commit: vllm_commit.unwrap_or_default(),
            server_type: text(self.server_type).unwrap_or_else(|| "vllm".to_owned()),
            rtt_ms,
        })
    }
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Workload")]
pub(crate) struct SentFlags {
    /// YAML file that describes the traffic; of the flags below only --num-requests, --horizon and --timeout then count
    #[arg(long, value_name = "FILE")]
    workload_spec: Option<PathBuf>,
    /// Preset that brings its own lengths (see `blis presets`); needs --rate
    #[arg(long, value_name = "NAME")]
    workload: Option<String>,
    /// Requests per second
    #[arg(long, value_name = "NUM")]
    rate: Option<Typed<f64>>,
    /// Number of requests; 0 = until the horizon, or as the file says [default: 0]
    #[arg(long, value_name = "INT")]
    num_requests: Option<Typed<i64>>,
    /// Closed-loop users, each waiting for its answer, instead of --rate; 0 = none [default: 0]
    #[arg(long, value_name = "INT")]
    concurrency: Option<Typed<i64>>,
    /// Pause of a user between an answer and its next request, ms [default: 0]
    #[arg(long, value_name = "INT")]
    think_time_ms: Option<Typed<i64>>,
    /// The same with a unit, as constant:value=T with T in ms, or with a unit
    #[arg(long, value_name = "DIST")]
    think_time_dist: Option<String>,
    #[command(flatten)]
    lengths: LengthFlags,
    /// Accepted from older scripts: requests are always made as they are needed
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    lazy_generation: Option<Typed<bool>>,
}

impl SentFlags {
    pub(crate) fn read(self, findings: &mut Findings) -> WorkloadOptions {
        findings.value("--lazy-generation", self.lazy_generation);
        let concurrency = findings.value("--concurrency", self.concurrency);
        let mut think_time_ms = findings.value("--think-time-ms", self.think_time_ms);
        if let Some(dist) = text(self.think_time_dist) {
            if think_time_ms.is_some() {
                findings
                    .add(Diagnostic::new("--think-time-ms and --think-time-dist are both given; give one"));
            }
            if concurrency.is_none_or(|users| users == 0) {
                findings.add(Diagnostic::new("--think-time-dist needs --concurrency"));
            }
            think_time_ms = constant_ms(&dist, findings);
        }
        let mut options = WorkloadOptions {
            spec: self.workload_spec.filter(|path| !path.as_os_str().is_empty()),
            workload: text(self.workload),
            rate: findings.value("--rate", self.rate),
            num_requests: findings.value("--num-requests", self.num_requests),
            concurrency,
            think_time_ms,
            ..WorkloadOptions::default()
        };
        self.lengths.fill(&mut options, findings);
        options
    }
}

/// A pause that is always the same, ms; any other is noted.
fn constant_ms(dist: &str, findings: &mut Findings) -> Option<i64> {
    use blis_config::think_time::constant_us;
    match parse_think_time(dist) {
        Ok(sampler) => match constant_us(&sampler) {
            Some(us) if us % 1_000 == 0 => return Some(us / 1_000),
            Some(us) => findings.add(Diagnostic::new(format!(
                "--think-time-dist is {us} us; the pause of users must be whole milliseconds"
            ))),
            None => findings.add(
                Diagnostic::new(format!(
                    "--think-time-dist {dist} is not available: the users' pause must be constant"
                ))
                .with_help("a client of a workload file may pause as you like"),
            ),
        },
        Err(problems) => findings
            .extend(problems.iter().map(|problem| Diagnostic::new(format!("--think-time-dist: {problem}")))),
    }
    None
}

/// The trace of a measurement, as traffic of a replay.
pub(crate) fn replayed(header: PathBuf, data: PathBuf) -> Traffic {
    Traffic::Trace(TraceOptions { header: Some(header), data: Some(data), ..TraceOptions::default() })
}
