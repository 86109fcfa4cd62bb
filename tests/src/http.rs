//! What the web servers of the tests share: each connection is answered in a thread of its own, and a request is read.

use std::io::{self, BufRead as _, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::thread;

/// A request, as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// What is asked for. It begins with `/`.
    pub path: String,
    /// Empty where no length was said.
    pub body: Vec<u8>,
    /// Bytes of what stands before the body.
    pub head_len: usize,
    /// Names are in small letters.
    fields: Vec<(String, String)>,
}

impl Request {
    /// Reads to the end of the body.
    ///
    /// # Errors
    /// The connection ended before, or what came is no HTTP.
    pub fn read(stream: impl Read) -> io::Result<Self> {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        let mut head_len = reader.read_line(&mut line)?;
        let path = line.split(' ').nth(1).ok_or(io::ErrorKind::InvalidData)?.to_owned();
        let mut fields = Vec::new();
        loop {
            line.clear();
            head_len += reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            fields.push((name.to_lowercase(), value.to_owned()));
        }
        let mut request = Self { path, body: Vec::new(), head_len, fields };
        request.body = vec![0; request.field("content-length").and_then(|text| text.parse().ok()).unwrap_or(0)];
        reader.read_exact(&mut request.body)?;
        Ok(request)
    }

    /// The value of the header field of this name, which is in small letters.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The range that is asked for, without its unit: `5-9`, `5-` or `-5`.
    pub fn range(&self) -> Option<&str> {
        self.field("range")?.strip_prefix("bytes=")
    }
}

/// Answers whoever connects until the test ends.
pub fn answer_all(listener: TcpListener, answer: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static) {
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            // A client may go away in the middle.
            thread::spawn(move || answer(stream).ok());
        }
    });
}
