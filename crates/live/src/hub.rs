//! The model hub: configurations of published models, kept in a cache on this machine.

use blis_config::catalogue::search::{ModelHub, cached_config, is_repository};
use blis_config::diagnostic::Diagnostic;
use blis_config::model_config::looks_like_model_config;
use blis_config::model_json::QUANTIZATION_FILE;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use thiserror::Error;
use ureq::http::{StatusCode, Uri, header};
use ureq::{Agent, Body};

/// The public hub.
pub const HUGGING_FACE: &str = "https://huggingface.co";
/// Time for a whole fetch, redirects included.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// Most bytes of a configuration.
pub const MAX_BYTES: u64 = 10 << 20;
/// Most redirects that are followed.
pub const MAX_REDIRECTS: u32 = 3;

/// A model hub, an access token and a cache.
#[derive(Clone, Debug)]
pub struct Hub {
    base: String,
    token: Option<String>,
    cache: Option<PathBuf>,
}

/// Why a configuration is not to be had.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum HubError {
    /// The name has not the form of a repository.
    #[error("\"{0}\" is not a hub repository, must be owner/name of letters, digits, \".\", \"_\" and \"-\"")]
    Name(String),
    /// 401. The hub answers so for repositories that do not exist, too.
    #[error("{url} needs an access token, or does not exist (401)")]
    Unauthorized {
        /// What was asked for.
        url: String,
        /// Whether a token was sent.
        with_token: bool,
    },
    /// 403.
    #[error("{url} is not open to this account (403)")]
    Forbidden {
        /// What was asked for.
        url: String,
    },
    /// 404.
    #[error("{url} does not exist (404)")]
    NotFound {
        /// What was asked for.
        url: String,
    },
    /// Another answer that is not the file.
    #[error("{url} answered with status {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// The answer's status.
        status: u16,
    },
    /// The hub cannot be reached, or broke off.
    #[error("{url} cannot be reached: {reason}")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// Why.
        reason: String,
    },
    /// A redirect leads away from the hub, or to an unencrypted connection.
    #[error("{url} redirects to {target}, which is outside the hub")]
    ForeignRedirect {
        /// What was asked for.
        url: String,
        /// Where it leads.
        target: String,
    },
    /// A chain of redirects does not end.
    #[error("{url} redirects more than {MAX_REDIRECTS} times")]
    TooManyRedirects {
        /// What was asked for first.
        url: String,
    },
    /// The answer is far larger than any configuration.
    #[error("{url} is larger than {} MiB", MAX_BYTES >> 20)]
    TooLarge {
        /// What was asked for.
        url: String,
    },
    /// The answer is something else.
    #[error(
        "{url} is not the configuration of a language model: it has neither num_hidden_layers nor hidden_size"
    )]
    NotAModelConfig {
        /// What was asked for.
        url: String,
    },
}

impl HubError {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Unauthorized { with_token: false, .. } => {
                "check the name; for a gated or private model set HF_TOKEN to an access token"
            }
            Self::Unauthorized { with_token: true, .. } => {
                "check the name, and that the token in HF_TOKEN is valid and may read this model"
            }
            Self::Forbidden { .. } => {
                "ask for access on the model's page, and set HF_TOKEN to a token of that account"
            }
            Self::Name(_) | Self::NotFound { .. } => "check the name, or give --model-config-folder",
            Self::Unreachable { .. } | Self::Status { .. } => {
                "try again later, or give --model-config-folder with a copy of the model's config.json"
            }
            Self::ForeignRedirect { .. }
            | Self::TooManyRedirects { .. }
            | Self::TooLarge { .. }
            | Self::NotAModelConfig { .. } => "give --model-config-folder with the model's config.json",
        }
    }
}

impl Hub {
    /// A hub at `base` (scheme and host). Without a cache folder nothing is kept.
    pub fn new(base: impl Into<String>, token: Option<String>, cache: Option<PathBuf>) -> Self {
        Self { base: base.into(), token: token.filter(|token| !token.is_empty()), cache }
    }

    /// The public hub with the token in `HF_TOKEN` and the cache of [`cache_folder`].
    pub fn from_environment() -> Self {
        Self::new(HUGGING_FACE, std::env::var("HF_TOKEN").ok(), cache_folder())
    }

    /// The folder of the cache.
    pub fn cache(&self) -> Option<&Path> {
        self.cache.as_deref()
    }

    /// Downloads the `config.json` of a repository and puts it into the cache. The token goes to the hub itself only,
    /// and redirects are followed within the hub's domain only.
    ///
    /// # Errors
    /// Why it is not to be had.
    pub fn download(&self, repository: &str) -> Result<String, HubError> {
        let (url, text) = self.download_file(repository, "config.json")?;
        if !looks_like_model_config(&text) {
            return Err(HubError::NotAModelConfig { url });
        }
        self.keep(repository, "config.json", &text);
        Ok(text)
    }

    /// The same of the `hf_quant_config.json`, which few repositories have.
    ///
    /// # Errors
    /// Why it cannot be told whether there is one.
    pub fn download_quantization(&self, repository: &str) -> Result<Option<String>, HubError> {
        match self.download_file(repository, QUANTIZATION_FILE) {
            Ok((_, text)) => {
                self.keep(repository, QUANTIZATION_FILE, &text);
                Ok(Some(text))
            }
            Err(HubError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn keep(&self, repository: &str, file: &str, text: &str) {
        if let Some(cache) = &self.cache {
            // Without the copy the next run downloads again; that is no reason to fail this one.
            let _ = store(&cached_config(cache, repository).with_file_name(file), text);
        }
    }

    /// A file of a repository, and where it lay in the end.
    fn download_file(&self, repository: &str, file: &str) -> Result<(String, String), HubError> {
        if !is_repository(repository) {
            return Err(HubError::Name(repository.to_owned()));
        }
        let first = format!("{}/{repository}/resolve/main/{file}", self.base.trim_end_matches('/'));
        let deadline = Instant::now() + TIMEOUT;
        let mut url = first.clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut response = self.get(&url, deadline)?;
            let status = response.status();
            if status.is_redirection() {
                let target = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
                url = self.follow(&url, target.unwrap_or_default())?;
                continue;
            }
            return match status {
                StatusCode::OK => read(&url, response.body_mut()).map(|text| (url, text)),
                _ => Err(self.refusal(url, status)),
            };
        }
        Err(HubError::TooManyRedirects { url: first })
    }

    fn get(&self, url: &str, deadline: Instant) -> Result<ureq::http::Response<Body>, HubError> {
        let config = Agent::config_builder()
            .timeout_global(Some(deadline.saturating_duration_since(Instant::now())))
            .max_redirects(0)
            .http_status_as_error(false)
            .user_agent(concat!("blis/", env!("CARGO_PKG_VERSION")))
            .build();
        let mut request = Agent::new_with_config(config).get(url);
        if let Some(token) = self.token.as_ref().filter(|_| self.is_hub_itself(url)) {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        request.call().map_err(|error| unreachable(url, &error))
    }

    /// Where a redirect leads, if it stays within the hub's domain.
    fn follow(&self, url: &str, target: &str) -> Result<String, HubError> {
        let foreign = || HubError::ForeignRedirect { url: url.to_owned(), target: target.to_owned() };
        if let (true, Some((scheme, authority))) =
            (target.starts_with('/') && !target.starts_with("//"), origin(url))
        {
            return Ok(format!("{scheme}://{authority}{target}"));
        }
        let (hub_scheme, hub) = origin(&self.base).ok_or_else(foreign)?;
        let (scheme, authority) = origin(target).ok_or_else(foreign)?;
        let (hub_host, host) = (host(&hub), host(&authority));
        let same_domain = host == hub_host || host.ends_with(&format!(".{hub_host}"));
        let as_safe = scheme == hub_scheme || scheme == "https";
        if same_domain && as_safe { Ok(target.to_owned()) } else { Err(foreign()) }
    }

    fn is_hub_itself(&self, url: &str) -> bool {
        origin(url).is_some() && origin(url) == origin(&self.base)
    }

    fn refusal(&self, url: String, status: StatusCode) -> HubError {
        match status {
            StatusCode::UNAUTHORIZED => HubError::Unauthorized { url, with_token: self.token.is_some() },
            StatusCode::FORBIDDEN => HubError::Forbidden { url },
            StatusCode::NOT_FOUND => HubError::NotFound { url },
            _ => HubError::Status { url, status: status.as_u16() },
        }
    }
}

impl ModelHub for Hub {
    fn fetch(&self, repository: &str) -> Result<String, Diagnostic> {
        self.download(repository).map_err(|error| told(&error))
    }

    fn fetch_quantization(&self, repository: &str) -> Result<Option<String>, Diagnostic> {
        self.download_quantization(repository).map_err(|error| told(&error))
    }
}

fn told(error: &HubError) -> Diagnostic {
    Diagnostic::new(error.to_string()).with_help(error.help())
}

/// Where this program keeps what it downloads: `$BLIS_CACHE_DIR`, else `blis` below `$XDG_CACHE_HOME`, else
/// `~/.cache/blis`; `None` without a home.
pub fn cache_folder() -> Option<PathBuf> {
    cache_folder_from(|name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))
}

fn cache_folder_from(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    variable("BLIS_CACHE_DIR")
        .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("blis")))
        .or_else(|| Some(variable("HOME").or_else(|| variable("USERPROFILE"))?.join(".cache").join("blis")))
}

/// Scheme and authority of a URL, in lower case.
fn origin(url: &str) -> Option<(String, String)> {
    let url: Uri = url.parse().ok()?;
    Some((url.scheme_str()?.to_lowercase(), url.authority()?.as_str().to_lowercase()))
}

/// The host of an authority. One with a user part keeps it and so equals no host of ours.
fn host(authority: &str) -> &str {
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

fn read(url: &str, body: &mut Body) -> Result<String, HubError> {
    body.with_config().limit(MAX_BYTES).read_to_string().map_err(|error| match error {
        ureq::Error::BodyExceedsLimit(_) => HubError::TooLarge { url: url.to_owned() },
        other => unreachable(url, &other),
    })
}

fn unreachable(url: &str, error: &ureq::Error) -> HubError {
    HubError::Unreachable { url: url.to_owned(), reason: error.to_string() }
}

/// Writes a file in one step, so that no other run reads half of it.
fn store(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let unfinished = path.with_extension(format!("{}.tmp", std::process::id()));
    fs::write(&unfinished, text)?;
    fs::rename(&unfinished, path)
}

#[cfg(test)]
mod tests {
    use super::{Hub, HubError, MAX_BYTES, cache_folder_from};
    use blis_config::catalogue::search::{ModelHub, cached_config};
    use std::fs;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::path::PathBuf;
    use std::thread::{self, JoinHandle};

    const CONFIG: &str = r#"{"num_hidden_layers": 2, "hidden_size": 8}"#;

    fn answer(status: &str, headers: &str, body: &str) -> String {
        format!(
            "HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
    }

    fn redirect(location: &str) -> String {
        answer("307 Temporary Redirect", &format!("location: {location}\r\n"), "")
    }

    /// A server on this machine that gives the answers in turn, and what it was asked.
    struct Server {
        base: String,
        asked: JoinHandle<Vec<String>>,
    }

    impl Server {
        fn start(answers: Vec<String>) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let base = format!("http://{}", listener.local_addr().expect("a bound port"));
            let asked = thread::spawn(move || {
                let serve = |answer: String| {
                    let (mut connection, _) = listener.accept().expect("a connection");
                    let lines = BufReader::new(connection.try_clone().expect("a second handle")).lines();
                    let request: Vec<String> =
                        lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
                    // A client that has read enough hangs up.
                    let _ = connection.write_all(answer.as_bytes());
                    request.join("\n").to_lowercase()
                };
                answers.into_iter().map(serve).collect()
            });
            Self { base, asked }
        }

        fn asked(self) -> Vec<String> {
            self.asked.join().expect("a server that got all its requests")
        }
    }

    fn download(answer: String) -> Result<String, HubError> {
        let server = Server::start(vec![answer]);
        let result = Hub::new(&server.base, None, None).download("lab/small");
        server.asked();
        result
    }

    #[test]
    fn a_configuration_is_fetched_with_the_token_and_kept() {
        let cache = std::env::temp_dir().join(format!("blis-hub-{}", std::process::id()));
        let server = Server::start(vec![answer("200 OK", "", CONFIG)]);
        let hub = Hub::new(&server.base, Some("secret".into()), Some(cache.clone()));
        assert_eq!(hub.fetch("lab/small"), Ok(CONFIG.into()));
        let asked = server.asked();
        assert!(asked[0].starts_with("get /lab/small/resolve/main/config.json http/1.1"), "{asked:?}");
        assert!(asked[0].contains("authorization: bearer secret"), "{asked:?}");
        assert_eq!(fs::read_to_string(cached_config(&cache, "lab/small")).expect("a copy"), CONFIG);
        fs::remove_dir_all(cache).expect("our own folder");
    }

    #[test]
    fn few_repositories_have_a_second_file_about_quantisation() {
        let server = Server::start(vec![
            answer("404 Not Found", "", ""),
            answer("200 OK", "", "{}"),
            answer("403 Forbidden", "", ""),
        ]);
        let hub = Hub::new(&server.base, None, None);
        let second = || hub.download_quantization("Lab/Small");
        assert_eq!(second().expect("an answer"), None);
        assert_eq!(second().expect("an answer").as_deref(), Some("{}"));
        assert!(matches!(second(), Err(HubError::Forbidden { .. })));
        let asked = server.asked();
        assert!(
            asked[0].starts_with("get /lab/small/resolve/main/hf_quant_config.json http/1.1"),
            "{asked:?}"
        );
    }

    #[test]
    fn refusals_say_what_to_do() {
        let refusal = |status| download(answer(status, "", "{}")).expect_err("a refusal");
        let unauthorized = refusal("401 Unauthorized");
        assert!(matches!(unauthorized, HubError::Unauthorized { with_token: false, .. }), "{unauthorized}");
        assert!(unauthorized.help().contains("set HF_TOKEN"));
        assert!(matches!(refusal("403 Forbidden"), HubError::Forbidden { .. }));
        let absent = refusal("404 Not Found");
        assert!(matches!(absent, HubError::NotFound { .. }), "{absent}");
        assert!(absent.help().contains("--model-config-folder"));
        assert!(matches!(refusal("503 Service Unavailable"), HubError::Status { status: 503, .. }));
    }

    #[test]
    fn nobody_there_is_an_answer_too() {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("a bound port");
        let error =
            Hub::new(format!("http://{free}"), None, None).download("lab/small").expect_err("a refusal");
        assert!(matches!(error, HubError::Unreachable { .. }), "{error}");
        assert!(error.help().contains("--model-config-folder"));
    }

    #[test]
    fn what_is_too_large_or_no_model_configuration_is_refused() {
        let large = "x".repeat(MAX_BYTES as usize + 1);
        assert!(matches!(download(answer("200 OK", "", &large)), Err(HubError::TooLarge { .. })));
        let page = download(answer("200 OK", "", "<html>sign in</html>"));
        assert!(matches!(page, Err(HubError::NotAModelConfig { .. })), "{page:?}");
    }

    #[test]
    fn redirects_stay_within_the_hub_and_end() {
        let server = Server::start(vec![
            redirect("/Lab/Small/resolve/main/config.json"),
            answer("200 OK", "", CONFIG),
        ]);
        let hub = Hub::new(&server.base, Some("secret".into()), None);
        assert_eq!(hub.download("lab/small"), Ok(CONFIG.into()));
        let asked = server.asked();
        assert!(asked[1].contains("bearer secret"), "the same server may see the token");

        let circle = Server::start(vec![redirect("/again"); 4]);
        let error = Hub::new(&circle.base, None, None).download("lab/small").expect_err("no end");
        assert!(matches!(error, HubError::TooManyRedirects { .. }), "{error}");
        circle.asked();

        for target in ["http://elsewhere.invalid/x", "//elsewhere.invalid/x", "", "ftp://127.0.0.1/x"] {
            let error = download(redirect(target)).expect_err("a foreign place");
            assert!(matches!(error, HubError::ForeignRedirect { .. }), "{target}: {error}");
        }
    }

    #[test]
    fn another_server_of_the_hub_does_not_see_the_token() {
        let second = Server::start(vec![answer("200 OK", "", CONFIG)]);
        let first = Server::start(vec![redirect(&format!("{}/file", second.base))]);
        let hub = Hub::new(&first.base, Some("secret".into()), None);
        assert_eq!(hub.download("lab/small"), Ok(CONFIG.into()));
        first.asked();
        let asked = second.asked();
        assert!(asked[0].starts_with("get /file") && !asked[0].contains("secret"), "{asked:?}");
    }

    #[test]
    fn the_domain_of_the_hub_includes_what_lies_below_it_and_nothing_that_looks_like_it() {
        let hub = Hub::new("https://hub.invalid", None, None);
        let leads = |target: &str| hub.follow("https://hub.invalid/a", target).is_ok();
        assert!(leads("https://hub.invalid/b") && leads("https://files.hub.invalid/b"));
        assert!(!leads("http://hub.invalid/b"), "no way back to plain text");
        assert!(!leads("https://nothub.invalid/b") && !leads("https://hub.invalid.example/b"));
        assert!(!leads("https://hub.invalid@elsewhere.invalid/b"));
        assert!(!hub.is_hub_itself("https://files.hub.invalid/b"));
    }

    #[test]
    fn names_that_are_no_repository_are_not_sent() {
        let hub = Hub::new("http://127.0.0.1:1", None, None);
        for name in ["small", "lab/small/x", "../small", "lab/sm all", "lab/"] {
            assert_eq!(hub.download(name), Err(HubError::Name(name.into())));
        }
    }

    #[test]
    fn the_cache_lies_where_the_environment_says() {
        let with = |known: &[(&str, &str)]| {
            cache_folder_from(|name| {
                known.iter().find(|(key, _)| *key == name).map(|(_, path)| PathBuf::from(path))
            })
        };
        let all = [("BLIS_CACHE_DIR", "/b"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(with(&all), Some("/b".into()));
        assert_eq!(with(&all[1..]), Some("/x/blis".into()));
        assert_eq!(with(&all[2..]), Some("/h/.cache/blis".into()));
        assert_eq!(with(&[]), None);
    }
}
