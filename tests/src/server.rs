//! A mirror on this machine, whose files a test can spoil.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use slipway_builder::fetch::Cache;
use slipway_builder::lock::Lock;

use crate::http::{Request, answer_all};

/// What a path is answered with.
#[derive(Clone, Debug)]
pub enum Served {
    /// These bytes.
    Bytes(Vec<u8>),
    /// The file that lies there when it is asked for.
    File(PathBuf),
}

impl Served {
    fn bytes(&self) -> io::Result<Vec<u8>> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.clone()),
            Self::File(path) => fs::read(path),
        }
    }
}

/// Serves files over HTTP on the loopback interface until the test ends.
#[derive(Clone)]
pub struct Server {
    address: SocketAddr,
    files: Arc<Mutex<BTreeMap<String, Served>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// A server that has nothing.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self { address: listener.local_addr().unwrap(), files: Arc::default(), asked: Arc::default() };
        let serving = server.clone();
        answer_all(listener, move |stream| serving.answer(stream));
        server
    }

    /// A mirror of the packages of `lock`, from the files of `cache`.
    pub fn of_packages(lock: &Lock, cache: &Cache) -> Self {
        let server = Self::start();
        for package in &lock.packages {
            let path = format!("/{}/{}", package.repository, package.path);
            server.put(&path, Served::File(cache.path_of(&package.sha256)));
        }
        server
    }

    /// The address of `path`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Serves this at `path` from now on.
    pub fn put(&self, path: &str, served: Served) {
        self.files.lock().unwrap().insert(path.to_owned(), served);
    }

    /// What is served at `path`.
    pub fn served(&self, path: &str) -> Vec<u8> {
        let files = self.files.lock().unwrap();
        files.get(path).unwrap_or_else(|| panic!("nothing is served at {path}")).bytes().unwrap()
    }

    /// Turns one bit in the middle of what is at `path`.
    pub fn flip_bit(&self, path: &str) {
        let mut bytes = self.served(path);
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        self.put(path, Served::Bytes(bytes));
    }

    /// The paths that were asked for so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn answer(&self, mut stream: TcpStream) -> io::Result<()> {
        // Of the request only the path counts: ranges needn't be honoured.
        let path = Request::read(&stream)?.path;
        let served = self.files.lock().unwrap().get(&path).cloned();
        self.asked.lock().unwrap().push(path);
        let (status, body) = match served {
            Some(served) => ("200 OK", served.bytes()?),
            None => ("404 Not Found", Vec::new()),
        };
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
        stream.write_all(&body)?;
        stream.flush()
    }
}
