//! A file line by line, in bounded memory.

use crate::problem::{Failure, Problem};
use std::io::{BufRead, Read};

/// Longest line, bytes: more than any request of a recording needs.
const LONGEST_LINE: u64 = 256 << 20;

/// The lines of a file with their numbers.
pub(crate) struct Lines<R> {
    input: R,
    line: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { input, line: Vec::new(), number: 0 }
    }

    /// The next line that is not blank, from 1; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, &[u8])>, Failure> {
        loop {
            self.line.clear();
            let read = (&mut self.input)
                .take(LONGEST_LINE)
                .read_until(b'\n', &mut self.line)
                .map_err(Failure::Read)?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            if read as u64 == LONGEST_LINE && self.line.last() != Some(&b'\n') {
                let message = format!("longer than {LONGEST_LINE} bytes; expected one request per line");
                return Err(Problem::at(self.number, message).into());
            }
            if !self.line.iter().all(u8::is_ascii_whitespace) {
                break;
            }
        }
        // Without its end, so that columns count within the line.
        Ok(Some((self.number, self.line.trim_ascii_end())))
    }
}
