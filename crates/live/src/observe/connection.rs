//! One connection to a server, plain or encrypted, speaking HTTP/1.1.

use super::server_url::ServerUrl;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::io;
use std::sync::Arc;
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Opens connections to one server.
#[derive(Clone)]
pub struct Connector {
    server: Arc<ServerUrl>,
    tls: Option<TlsConnector>,
}

/// One open connection. It carries one request at a time.
#[derive(Debug)]
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// When it was opened, or its last answer was complete.
    pub idle_since: Instant,
}

impl Connector {
    /// A connector to this server. Encrypted connections trust the certificate authorities that browsers trust.
    pub fn new(server: Arc<ServerUrl>) -> Self {
        let tls = server.https.then(|| {
            let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
            let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
            TlsConnector::from(Arc::new(config))
        });
        Self { server, tls }
    }

    /// The server.
    pub fn server(&self) -> &ServerUrl {
        &self.server
    }

    /// Opens a connection; within a runtime of `tokio`.
    ///
    /// # Errors
    /// The name is unknown, the server refuses, or the encryption cannot be agreed.
    pub async fn open(&self) -> io::Result<Connection> {
        let tcp = TcpStream::connect((self.server.host.as_str(), self.server.port)).await?;
        tcp.set_nodelay(true)?;
        let Some(tls) = &self.tls else { return speak(tcp).await };
        let name = ServerName::try_from(self.server.host.clone()).map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidInput, "a host name that no certificate can have")
        })?;
        speak(tls.connect(name, tcp).await?).await
    }
}

async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) -> io::Result<Connection> {
    let (sender, driver) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    // Whatever ends the connection reaches the exchange that uses it, so there is nothing to do with it here.
    tokio::spawn(async move { driver.await.unwrap_or(()) });
    Ok(Connection { sender, idle_since: Instant::now() })
}

impl Connection {
    /// Whether the connection can take a request.
    pub fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Waits until the last answer is off the line.
    ///
    /// # Errors
    /// The server has closed the connection.
    pub async fn ready(&mut self) -> hyper::Result<()> {
        self.sender.ready().await
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// # Errors
    /// The connection broke, or what came is not HTTP.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        self.sender.send_request(request).await
    }

    /// The same; a request of which nothing was sent comes back with the error.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn try_send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, (hyper::Error, Option<Request<Full<Bytes>>>)> {
        self.sender.try_send_request(request).await.map_err(|mut error| {
            let request = error.take_message();
            (error.into_error(), request)
        })
    }
}
