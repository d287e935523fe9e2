//! Bodies of responses: known at once, or written as tokens become due.

use super::chunks::Chunks;
use super::engine::{Command, News};
use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::mpsc::Sender;
use std::task::{Context, Poll};
use tokio::sync::mpsc::UnboundedReceiver;

/// A client that falls behind gets its events in pieces of at least this size, bytes.
const PIECE: usize = 32 << 10;

/// Takes a request back when it is dropped before it is over: its client went away.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) ticket: u64,
    pub(crate) commands: Sender<Command>,
    pub(crate) is_over: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.is_over {
            // Without an engine there is nothing to take back.
            let _ = self.commands.send(Command::Cancel { ticket: self.ticket });
        }
    }
}

/// A streamed answer.
#[derive(Debug)]
pub(crate) struct Streamed {
    pub(crate) chunks: Chunks,
    pub(crate) news: UnboundedReceiver<News>,
    pub(crate) guard: Guard,
}

/// The body of a response.
#[derive(Debug)]
pub(crate) enum Content {
    /// All of it; taken once it was sent.
    Whole(Option<Bytes>),
    /// Event by event.
    Streamed(Box<Streamed>),
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Streamed { chunks, news, guard } = match self.get_mut() {
            Self::Whole(bytes) => return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Streamed(streamed) => &mut **streamed,
        };
        let mut out = BytesMut::new();
        while !chunks.is_done && out.len() < PIECE {
            match news.poll_recv(context) {
                Poll::Ready(Some(news)) => chunks.write(news, &mut out),
                // The engine is gone, and the rest of the answer with it.
                Poll::Ready(None) => chunks.is_done = true,
                Poll::Pending if out.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        guard.is_over = chunks.is_done;
        Poll::Ready((!out.is_empty()).then(|| Ok(Frame::data(out.freeze()))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Streamed(_) => SizeHint::default(),
        }
    }
}
