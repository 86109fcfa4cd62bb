#![allow(clippy::unwrap_used)]
use std::thread;

use super::*;

const TEXT: &str = "slipway_problems 0\n";
/// For clients that do as they should.
const LONG: Patience = Patience {
    silence: Duration::from_mins(2),
    request: Duration::from_mins(2),
    answer: Duration::from_mins(2),
    farewell: Duration::from_mins(2),
};
const SHORT: Duration = Duration::from_millis(50);

/// What a client gets that does this with its end of the connection.
fn answer(patience: Patience, client: impl FnOnce(&mut UnixStream)) -> String {
    let (mut here, there) = UnixStream::pair().unwrap();
    let server = thread::spawn(move || serve(&there, &patience, || Ok::<_, io::Error>(TEXT.to_owned())));
    client(&mut here);
    let mut answer = String::new();
    here.read_to_string(&mut answer).unwrap();
    drop(here);
    server.join().unwrap().unwrap();
    answer
}

fn request(text: &str) -> String {
    answer(LONG, |client| client.write_all(text.as_bytes()).unwrap())
}

#[test]
fn a_request_is_answered_as_scrapers_and_curl_want_it() {
    let whole = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: 19\r\n\
                 Connection: close\r\n\r\nslipway_problems 0\n";
    let curl = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl/8.14.1\r\nAccept: */*\r\n\r\n";
    assert_eq!(request(curl), whole);
    assert_eq!(request("GET /metrics?name=x HTTP/1.0\r\n\r\n"), whole);
    assert_eq!(request("GET http://localhost/metrics HTTP/1.1\r\nhost: localhost\r\n\r\n"), whole);
    assert_eq!(request(&curl.replace("GET", "HEAD")), whole.replace(TEXT, ""));
}

#[test]
fn what_is_no_request_for_metrics_is_told_so() {
    let host = "\r\nHost: localhost\r\n\r\n";
    for (asked, status) in [
        (format!("GET / HTTP/1.1{host}"), "404 Not Found"),
        (format!("GET /metrics/ HTTP/1.1{host}"), "404 Not Found"),
        (format!("GET http://localhost HTTP/1.1{host}"), "404 Not Found"),
        (format!("POST /metrics HTTP/1.1{host}a=b"), "405 Method Not Allowed"),
        (format!("PRI * HTTP/2.0{host}"), "505 HTTP Version Not Supported"),
        (format!("GET /metrics HTTP/1.2{host}"), "505 HTTP Version Not Supported"),
        ("GET /metrics HTTP/1.1\r\n\r\n".to_owned(), "400 Bad Request"),
        (format!("GET /metrics HTTP/1.1\r\nHost: a{host}"), "400 Bad Request"),
        (format!("GET /metrics HTTP/1.1\r\n folded: a{host}"), "400 Bad Request"),
        (format!("GET /metrics HTTP/1.1\r\nno header{host}"), "400 Bad Request"),
        (format!("GET  /metrics HTTP/1.1{host}"), "400 Bad Request"),
        (format!("GET /metrics{host}"), "400 Bad Request"),
        (format!("GET /metrics SSH/1.1{host}"), "400 Bad Request"),
        ("\r\n\r\n".to_owned(), "400 Bad Request"),
    ] {
        let answer = request(&asked);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{asked}{answer}");
        assert!(!answer.contains(TEXT), "{answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{answer}");
    }
    assert!(request(&format!("PUT /metrics HTTP/1.1{host}")).contains("\r\nAllow: GET, HEAD\r\n"));
    let cut_off = answer(LONG, |client| {
        client.write_all(b"GET /met").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
    });
    assert!(cut_off.starts_with("HTTP/1.1 400 "), "{cut_off}");
    let no_text = answer(LONG, |client| client.write_all(b"GET /\xff HTTP/1.1\r\n\r\n").unwrap());
    assert!(no_text.starts_with("HTTP/1.1 400 "), "{no_text}");
}

#[test]
fn who_only_listens_gets_the_bare_text() {
    assert_eq!(answer(LONG, |client| client.shutdown(Shutdown::Write).unwrap()), TEXT);
    assert_eq!(answer(Patience { silence: SHORT, ..LONG }, |_| {}), TEXT);
}

#[test]
fn a_request_that_is_too_long_is_cut_off_and_its_sender_still_reads_why() {
    let endless = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: ".to_owned() + &"x".repeat(MAX_HEAD + 20_000);
    let answer = request(&endless);
    assert!(answer.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"), "{answer}");
    let longest = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: ";
    let longest = format!("{longest}{}\r\n\r\n", "x".repeat(MAX_HEAD - longest.len() - 4));
    assert!(request(&longest).starts_with("HTTP/1.1 200 OK\r\n"));
}

#[test]
fn a_request_that_takes_too_long_is_cut_off_however_steadily_it_comes() {
    let patience = Patience { request: Duration::from_millis(200), ..LONG };
    let (here, there) = UnixStream::pair().unwrap();
    let mut writer = here.try_clone().unwrap();
    // A byte every 20 ms, until the other end has had enough; each comes well within the time.
    let client = thread::spawn(move || {
        while writer.write_all(b"G").is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    let server = thread::spawn(move || serve(&there, &patience, || Ok::<_, io::Error>(TEXT.to_owned())));
    let mut answer = String::new();
    (&here).read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{answer}");
    here.shutdown(Shutdown::Both).unwrap();
    server.join().unwrap().unwrap();
    client.join().unwrap();
}

#[test]
fn who_does_not_read_or_goes_away_is_left() {
    let patience = Patience { answer: Duration::from_millis(200), farewell: SHORT, ..LONG };
    let large = || Ok::<_, io::Error>("x".repeat(16 << 20));
    let (mut here, there) = UnixStream::pair().unwrap();
    here.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    serve(&there, &patience, large).unwrap();
    drop(here);

    let (mut here, there) = UnixStream::pair().unwrap();
    here.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    drop(here);
    serve(&there, &LONG, large).unwrap();

    // One that reads the answer and stays is left as well.
    let (mut here, there) = UnixStream::pair().unwrap();
    here.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    serve(&there, &patience, || Ok::<_, io::Error>(TEXT.to_owned())).unwrap();
    drop(there);
    let mut answer = String::new();
    here.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with(TEXT), "{answer}");
}

#[test]
fn what_has_no_metrics_says_why_to_who_speaks_http() {
    let (mut here, there) = UnixStream::pair().unwrap();
    here.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    here.shutdown(Shutdown::Write).unwrap();
    serve(&there, &LONG, || Err::<String, _>("can't read os-release")).unwrap();
    drop(there);
    let mut answer = String::new();
    here.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 500 ") && answer.ends_with("\r\n\r\ncan't read os-release\n"), "{answer}");
}
