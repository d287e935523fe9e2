//! Server-sent events, as far as completion servers use them: the data of each event, whole.
//!
//! Lines end with LF or CRLF. The `data` lines of an event are joined by LF, with or without a blank behind the colon; an
//! empty line ends it. Comments and other fields are passed over.

use thiserror::Error;

/// Longest event, bytes.
pub const MAX_EVENT_BYTES: usize = 64 << 20;

/// An event that is longer than [`MAX_EVENT_BYTES`].
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("an event of more than {MAX_EVENT_BYTES} bytes")]
pub struct TooLong;

/// Takes a stream apart, however it is cut into pieces.
#[derive(Clone, Debug, Default)]
pub struct Events {
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
}

impl Events {
    /// Takes the next piece of the stream and hands the data of every event that it completes to `each`.
    ///
    /// # Errors
    /// An event is too long.
    pub fn push(&mut self, mut piece: &[u8], mut each: impl FnMut(&[u8])) -> Result<(), TooLong> {
        while let Some(end) = piece.iter().position(|&byte| byte == b'\n') {
            if self.line.is_empty() {
                self.line(&piece[..end], &mut each);
            } else {
                self.line.extend_from_slice(&piece[..end]);
                let line = std::mem::take(&mut self.line);
                self.line(&line, &mut each);
            }
            piece = &piece[end + 1..];
        }
        self.line.extend_from_slice(piece);
        if self.line.len() + self.data.len() > MAX_EVENT_BYTES { Err(TooLong) } else { Ok(()) }
    }

    /// The stream is over: an event that lacks its empty line counts too.
    pub fn finish(mut self, mut each: impl FnMut(&[u8])) {
        let line = std::mem::take(&mut self.line);
        self.line(&line, &mut each);
        self.line(b"", &mut each);
    }

    fn line(&mut self, line: &[u8], each: &mut impl FnMut(&[u8])) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            if self.has_data {
                each(&self.data);
            }
            self.data.clear();
            self.has_data = false;
        } else if let Some(value) = data(line) {
            if self.has_data {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(value);
            self.has_data = true;
        }
    }
}

/// The value of a `data` line.
fn data(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"data")?;
    if rest.is_empty() {
        return Some(rest);
    }
    let value = rest.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn events(pieces: &[&[u8]]) -> Vec<String> {
        let (mut parser, mut found) = (Events::default(), Vec::new());
        let mut note = |data: &[u8]| found.push(String::from_utf8_lossy(data).into_owned());
        for piece in pieces {
            parser.push(piece, &mut note).unwrap();
        }
        parser.finish(&mut note);
        found
    }

    #[test]
    fn events_are_the_data_between_empty_lines() {
        let check = |stream: &str, expected: &[&str]| assert_eq!(events(&[stream.as_bytes()]), expected);
        check("data: {\"a\":1}\n\ndata: [DONE]\n\n", &["{\"a\":1}", "[DONE]"]);
        check("data:{}\r\n\r\ndata:[DONE]\r\n\r\n", &["{}", "[DONE]"]);
        check(": keep-alive\n\nevent: x\nid: 7\ndata: a\ndata: b\n\n", &["a\nb"]);
        check("\n\n\ndata\n\ndatum: 1\n\n", &[""]);
        check("data: cut off", &["cut off"]);
        check("", &[]);
    }

    #[test]
    fn a_long_line_is_one_event() {
        let long = format!("data: {}\n\n", "x".repeat(300_000));
        let pieces: Vec<&[u8]> = long.as_bytes().chunks(1_460).collect();
        assert_eq!(events(&pieces), ["x".repeat(300_000)]);
    }

    proptest! {
        /// Law: events do not depend on how the stream is cut into pieces.
        #[test]
        fn any_cutting_gives_the_same_events(
            stream in r"(data: ?[a-zä{}]{0,6}|: note|event: x|[a-z]{0,4}|\r?\n|\r\n\r\n|\n\n){0,40}",
            cuts in proptest::collection::vec(0_usize..200, 0..12),
        ) {
            let bytes = stream.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(events(&pieces), events(&[bytes]));
        }
    }
}
