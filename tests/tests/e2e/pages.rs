//! A tablet's pages, asked by programs that are not its browser.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::office::{DEADLINE, Tablet};

/// The first line of the answer.
fn asks(port: &str, method: &str, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: 0\r\n{headers}\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn pages_of_a_tablet_are_shown_only_with_the_key_of_this_start_and_not_after_its_end() {
    let tablet = Tablet::new();
    let ui = tablet.ui();
    let (port, key) = ui.address.rsplit_once(':').unwrap().1.split_once('/').unwrap();
    let (port, key) = (port.to_owned(), format!("/{key}"));
    let host = format!("Host: 127.0.0.1:{port}\r\n");
    assert!(asks(&port, "GET", &key, &host).contains("200"));
    assert!(asks(&port, "GET", "/", &host).contains("403"));
    assert!(asks(&port, "GET", "/records", &host).contains("403"));
    assert!(asks(&port, "GET", &key, "Host: evil.example\r\n").contains("403"));
    assert!(asks(&port, "POST", &format!("{key}sync"), &host).contains("403"));
    let foreign = format!("{host}Origin: http://evil.example\r\n");
    assert!(asks(&port, "POST", &format!("{key}sync"), &foreign).contains("403"));
    // A second start shows the address of the first and serves nothing of its own.
    let again = tablet.run(&["ui", "--no-open"]).ok();
    assert!(again.out.contains(&ui.address), "{again:?}");
    let before = ui.address.clone();
    ui.kill();
    let ui = tablet.ui();
    assert_ne!(ui.address, before, "every start has a key of its own");
}
