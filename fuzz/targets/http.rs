//! A web server that answers with anything. Of an answer that is taken, the range is the one that was asked for; a health check
//! holds only by a status line that says so.
//!
//! The first byte says what is asked for; an even one puts a status line of success before the rest.

#![no_main]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use slipway_images::checks::{Check, CheckKind, CheckSet};
use slipway_updater::checks::{Phase, run};
use slipway_updater::net::{Client, ClientOptions, Range};

const START: u64 = 100;

fuzz_target!(|input: &[u8]| {
    let Some((kind, rest)) = input.split_first() else { return };
    let answer: Vec<u8> = match kind % 4 {
        0 => [b"HTTP/1.1 200 OK\r\n", rest].concat(),
        2 => [b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 100-1", rest].concat(),
        _ => rest.to_vec(),
    };
    let server = Server::the();
    *server.answer.lock().expect("nobody panics with it") = answer.clone();
    let url = format!("http://{}/parts/00/00", server.address);
    if kind & 128 == 0 {
        let options = ClientOptions { stall: Duration::from_secs(2), ..ClientOptions::default() };
        let range = (kind & 64 == 0).then_some(Range { start: START, end: Some(200) });
        let Ok(Some(mut answer)) = Client::new(options).get(&url, range) else { return };
        assert!(answer.range.is_none_or(|(start, _)| range.is_some() && start == START));
        let mut body = Vec::new();
        let whole = answer.body.read_to_end(&mut body).is_ok();
        assert!(!whole || answer.len.is_none_or(|len| body.len() as u64 == len));
    } else {
        let check = Check { name: "web".to_owned(), what: CheckKind::Http(url), within: Duration::ZERO };
        let report = run(&CheckSet { soak: Duration::ZERO, checks: vec![check] }, Phase::Running, &|_| ());
        assert!(!report.ok || (answer.starts_with(b"HTTP/1.") && answer.contains(&b'2')));
    }
});

/// Reads a request up to its empty line, sends the answer, and closes.
struct Server {
    address: SocketAddr,
    answer: Arc<Mutex<Vec<u8>>>,
}

impl Server {
    fn the() -> &'static Self {
        static SERVER: OnceLock<Server> = OnceLock::new();
        SERVER.get_or_init(|| {
            let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port");
            let address = listener.local_addr().expect("it has an address");
            let answer = Arc::<Mutex<Vec<u8>>>::default();
            let served = Arc::clone(&answer);
            thread::spawn(move || {
                for mut stream in listener.incoming().flatten() {
                    let (mut request, mut buffer) = (Vec::new(), [0; 1024]);
                    while !request.ends_with(b"\r\n\r\n") {
                        match stream.read(&mut buffer) {
                            Ok(count) if count > 0 => request.extend_from_slice(&buffer[..count]),
                            _ => break,
                        }
                    }
                    let answer = served.lock().expect("nobody panics with it").clone();
                    let _ = stream.write_all(&answer);
                }
            });
            Self { address, answer }
        })
    }
}
