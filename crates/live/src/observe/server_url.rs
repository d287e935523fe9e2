//! Where a server is.

use hyper::http::Uri;
use thiserror::Error;

/// A server's address, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    /// Whether the connection is encrypted.
    pub https: bool,
    /// Name or address, IPv6 without brackets.
    pub host: String,
    /// Port, the scheme's own unless stated.
    pub port: u16,
    /// What stands before every path; empty, or begins with `/` and does not end with one.
    pub base: String,
    /// Host and port as the `Host` header has them.
    pub authority: String,
}

/// An address that cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("\"{url}\" {problem}; must be http:// or https:// and a host, with an optional port and path")]
pub struct UrlError {
    /// The address.
    pub url: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl ServerUrl {
    /// Reads `http://host:8000/base` or its `https` sibling.
    ///
    /// # Errors
    /// Another scheme, no host, a user name, or a query.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let fail = |problem| UrlError { url: url.to_owned(), problem };
        let uri: Uri = url.parse().map_err(|_| fail("is not an address"))?;
        let https = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(_) => return Err(fail("has a scheme that is not spoken here")),
            None => return Err(fail("has no scheme")),
        };
        let authority = uri.authority().ok_or_else(|| fail("has no host"))?;
        if authority.as_str().contains('@') {
            return Err(fail("holds a user name"));
        }
        if uri.query().is_some() {
            return Err(fail("holds a query"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(fail("has no host"));
        }
        let port = authority.port_u16().unwrap_or(if https { 443 } else { 80 });
        let base = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { https, host, port, base, authority: authority.to_string() })
    }

    /// The path of a request, with what stands before every path.
    pub fn path(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        let check = |url: &str, https, host: &str, port, base: &str, authority: &str| {
            let expected = ServerUrl {
                https,
                host: host.to_owned(),
                port,
                base: base.to_owned(),
                authority: authority.to_owned(),
            };
            assert_eq!(ServerUrl::parse(url), Ok(expected), "{url}");
        };
        check("http://localhost:8000", false, "localhost", 8000, "", "localhost:8000");
        check("http://localhost:8000/", false, "localhost", 8000, "", "localhost:8000");
        check("https://gate.example.com", true, "gate.example.com", 443, "", "gate.example.com");
        check("http://gate/llm/", false, "gate", 80, "/llm", "gate");
        check("http://[::1]:9", false, "::1", 9, "", "[::1]:9");
        assert_eq!(ServerUrl::parse("http://gate/llm/").expect("fine").path("/v1/models"), "/llm/v1/models");
    }

    #[test]
    fn an_address_that_cannot_be_used_is_told() {
        for (url, problem) in [
            ("localhost:8000", "has no scheme"),
            ("ftp://a", "has a scheme that is not spoken here"),
            ("http://", "is not an address"),
            ("", "is not an address"),
            ("http://me:secret@a", "holds a user name"),
            ("http://a/?b", "holds a query"),
            ("http:// a", "is not an address"),
        ] {
            assert_eq!(ServerUrl::parse(url).expect_err(url).problem, problem, "{url}");
        }
    }
}
