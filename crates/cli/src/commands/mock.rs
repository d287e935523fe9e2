//! `blis mock`: a server that behaves as the simulated cluster.

use crate::flags::model::ModelFlags;
use crate::flags::output::one_of;
use crate::flags::{Findings, Micros, SystemFlags, Typed, text};
use crate::logger::{Level, Logger};
use crate::{Exit, deprecated, printer};
use blis::resolve;
use blis::{Diagnostic, RunOptions, Surroundings};
use blis_config::options::LengthOptions;
use blis_live::{Hub, mock};
use blis_policy::Registry;
use clap::Args;
use std::ffi::OsString;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// Most simulated seconds per second, and as many real ones.
const MAX_SPEEDUP: f64 = 1e6;
const DEFAULT_HOST: &str = "127.0.0.1";
const DEFAULT_PORT: i64 = 8000;
const DEFAULT_SHUTDOWN_US: i64 = 30_000_000;
/// Files that a server needs beside its connections.
const OTHER_FILES: u64 = 64;
/// Connections that anybody would expect a server to take.
const EXPECTED_CONNECTIONS: u64 = 10_000;

#[derive(Args, Debug)]
pub(crate) struct MockArgs {
    #[command(flatten)]
    model: ModelFlags,
    #[command(flatten)]
    server: ServerFlags,
    #[command(flatten)]
    answers: AnswerFlags,
    #[command(flatten)]
    system: SystemFlags,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Server")]
struct ServerFlags {
    /// Address to listen at; 0.0.0.0 = every one of this machine [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    host: Option<String>,
    /// Port to listen at; 0 = any free one, which standard output tells [default: 8000]
    #[arg(long, value_name = "INT")]
    port: Option<Typed<i64>>,
    /// Names of the model for requests, separated by commas; answers carry the first [default: the value of --model]
    #[arg(long, value_name = "NAMES")]
    served_model_name: Option<String>,
    /// Simulated seconds per second: 10 answers ten times as fast as the cluster would [default: 1]
    #[arg(long, value_name = "NUM")]
    speedup: Option<Typed<f64>>,
    /// Key that requests under /v1 must carry as a bearer token [default: none]
    #[arg(long, value_name = "KEY")]
    api_key: Option<String>,
    /// Tenants that requests may name in the header x-gateway-inference-fairness-id, separated by commas, beside those
    /// with budgets [default: none]
    #[arg(long, value_name = "NAMES")]
    tenants: Option<String>,
    /// How long requests in flight may go on after SIGINT or SIGTERM, µs or a duration; a second signal ends them at
    /// once [default: 30s]
    #[arg(long, value_name = "TIME")]
    shutdown_timeout: Option<Typed<Micros>>,
    /// Seed of every random stream [default: 42]
    #[arg(long, value_name = "INT")]
    seed: Option<Typed<i64>>,
    /// Least serious message to show on standard error: trace, debug, info, warn, error, fatal or panic
    /// [default: warn]
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
}

/// Answers that end by themselves; a request with ignore_eos is answered to its max_tokens.
#[derive(Args, Debug)]
#[command(next_help_heading = "Answers of requests without ignore_eos")]
struct AnswerFlags {
    /// Mean length at which an answer ends by itself, tokens [default: 512]
    #[arg(long, value_name = "INT")]
    output_tokens: Option<Typed<i64>>,
    /// Standard deviation of that length, tokens [default: 256]
    #[arg(long, value_name = "INT")]
    output_tokens_stdev: Option<Typed<i64>>,
    /// Shortest such answer, tokens [default: 2]
    #[arg(long, value_name = "INT")]
    output_tokens_min: Option<Typed<i64>>,
    /// Longest such answer, tokens [default: 7000]
    #[arg(long, value_name = "INT")]
    output_tokens_max: Option<Typed<i64>>,
}

impl AnswerFlags {
    fn lengths(self, findings: &mut Findings) -> LengthOptions {
        LengthOptions {
            mean: findings.value("--output-tokens", self.output_tokens),
            stdev: findings.value("--output-tokens-stdev", self.output_tokens_stdev),
            min: findings.value("--output-tokens-min", self.output_tokens_min),
            max: findings.value("--output-tokens-max", self.output_tokens_max),
        }
    }
}

/// The server's own settings, checked.
#[derive(Debug)]
struct ServerOptions {
    address: Option<SocketAddr>,
    names: Vec<String>,
    speedup: f64,
    api_key: Option<String>,
    tenants: Vec<String>,
    shutdown_timeout: Duration,
    log: Level,
}

impl ServerFlags {
    fn read(self, model: Option<&str>, options: &mut RunOptions, findings: &mut Findings) -> ServerOptions {
        options.seed = findings.value("--seed", self.seed);
        let port = findings.value("--port", self.port).unwrap_or(DEFAULT_PORT);
        let port = u16::try_from(port);
        if port.is_err() {
            findings.add(Diagnostic::new("--port must be from 0 to 65535"));
        }
        let host = text(self.host).unwrap_or_else(|| DEFAULT_HOST.to_owned());
        let address = port.ok().and_then(|port| match (host.as_str(), port).to_socket_addrs() {
            Ok(mut addresses) => addresses.next(),
            Err(error) => {
                findings.add(Diagnostic::new(format!("--host {host} is no address of a machine: {error}")));
                None
            }
        });
        let speedup = findings.value("--speedup", self.speedup).unwrap_or(1.0);
        if !(1.0 / MAX_SPEEDUP..=MAX_SPEEDUP).contains(&speedup) {
            let range = format!("from {:?} to {MAX_SPEEDUP:?}", 1.0 / MAX_SPEEDUP);
            findings.add(Diagnostic::new(format!("--speedup is {speedup:?}; it must be {range}")));
        }
        let timeout_us = findings.micros("--shutdown-timeout", self.shutdown_timeout);
        let timeout_us = u64::try_from(timeout_us.unwrap_or(DEFAULT_SHUTDOWN_US));
        if timeout_us.is_err() {
            findings.add(Diagnostic::new("--shutdown-timeout must not be negative"));
        }
        let mut names = list(self.served_model_name);
        if names.is_empty() {
            names.extend(model.map(str::to_owned));
        }
        ServerOptions {
            address,
            names,
            speedup,
            api_key: text(self.api_key),
            tenants: list(self.tenants),
            shutdown_timeout: Duration::from_micros(timeout_us.unwrap_or_default()),
            log: one_of(
                "value of --log",
                text(self.log).map(|level| level.to_lowercase()),
                &Level::NAMES,
                findings,
            ),
        }
    }
}

/// Names separated by commas.
fn list(given: Option<String>) -> Vec<String> {
    let given = given.unwrap_or_default();
    given.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Serves until a signal.
///
/// # Errors
/// Whatever is wrong with the settings, or why it cannot listen.
pub(crate) fn run(
    args: MockArgs,
    mut findings: Findings,
    words: &[OsString],
    policies: &Registry,
) -> Result<(), Exit> {
    let mut options = RunOptions::default();
    args.model.fill(&mut options, &mut findings);
    args.system.fill(&mut options, &mut findings);
    options.traffic = mock::answer_lengths(args.answers.lengths(&mut findings));
    let model = options.model.clone();
    let server = args.server.read(model.as_deref(), &mut options, &mut findings);
    let logger = Logger { least: server.log };
    for notice in deprecated::notices(words) {
        logger.warning(notice);
    }
    let hub = Hub::from_environment();
    let surroundings = Surroundings { hub: Some(&hub), cache: hub.cache(), policies: Some(policies) };
    let surroundings =
        if findings.is_empty() { surroundings } else { Surroundings { hub: None, ..surroundings } };
    let resolved = match resolve::resolve(&options, &surroundings) {
        Ok(resolved) => Some(resolved),
        Err(problems) => {
            findings.extend(problems);
            None
        }
    };
    let (Some(resolved), Some(address), true) = (resolved, server.address, findings.is_empty()) else {
        return findings.check();
    };
    resolved.notices.iter().for_each(|notice| logger.info(notice));
    resolved.warnings.iter().for_each(|warning| logger.warning(warning));
    allow_connections(logger);
    let settings = mock::Settings {
        plan: resolved.plan,
        address,
        served_names: server.names,
        speedup: server.speedup,
        api_key: server.api_key,
        tenants: server.tenants,
        shutdown_timeout: server.shutdown_timeout,
    };
    let server = mock::start(settings)
        .map_err(|error| Diagnostic::new(format!("cannot listen at {address}: {error}")))?;
    printer::result(&format!("listening on http://{}\n", server.address()))?;
    server.block_on(mock::signal())?;
    printer::line("shutting down; a second signal ends requests in flight");
    let summary = server.stop(async {
        // Without signals only the time ends it.
        if mock::signal().await.is_err() {
            std::future::pending::<()>().await;
        }
    });
    printer::line(format_args!(
        "served {} requests and {} tokens, which were late by {:.3} ms on average and {:.1} ms at most",
        summary.requests,
        summary.punctuality.tokens,
        summary.punctuality.mean_late_s * 1e3,
        summary.punctuality.max_late_s * 1e3,
    ));
    Ok(())
}

/// As many connections as the system lets this process have.
fn allow_connections(logger: Logger) {
    match mock::raise_open_files() {
        Ok(files) if files < EXPECTED_CONNECTIONS + OTHER_FILES => logger.warning(format_args!(
            "this process may have {files} files open, and so about {} connections; raise the hard limit \
             (ulimit -Hn) for more",
            files.saturating_sub(OTHER_FILES)
        )),
        Ok(_) => {}
        Err(error) => logger.warning(format_args!("the limit of open files cannot be raised: {error}")),
    }
}
