//! What holds for all reference programs, and the echo itself without a network.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::thread;

use forkspec_servers::{programs, str_echo, writen};

#[test]
fn the_names_are_unique_and_start_the_usage() {
    let names: HashSet<_> = programs().iter().map(|program| program.name).collect();
    assert_eq!(names.len(), programs().len());
    for program in programs() {
        assert_eq!(program.usage.split(' ').next(), Some(program.name));
        assert!(!program.about.is_empty());
    }
    for name in ["server", "client", "client-poll", "prefork", "thread", "event", "iterative", "inetd"] {
        assert!(names.contains(name), "{name}");
    }
}

#[test]
fn too_many_arguments_end_every_program_with_its_usage() {
    let args: Vec<OsString> = ["1", "2", "3", "4"].map(OsString::from).into();
    for program in programs() {
        // ExitCode cannot be compared; that run returns at all means that it did not serve.
        assert_eq!(
            format!("{:?}", (program.run)(&args)),
            format!("{:?}", std::process::ExitCode::FAILURE),
            "{}",
            program.name
        );
    }
}

/// Sends `sent` through `str_echo` over a socket pair, whose buffers are far smaller than a
/// megabyte, half-closes, and gives back all that came until end of file.
fn echoed(sent: &[u8]) -> Vec<u8> {
    let (mut client, server) = UnixStream::pair().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || str_echo(&server, &server).unwrap());
        let mut writer = client.try_clone().unwrap();
        scope.spawn(move || {
            writer.write_all(sent).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut received = Vec::new();
        client.read_to_end(&mut received).unwrap();
        received
    })
}

#[test]
fn one_mebibyte_comes_back() {
    let sent: Vec<u8> = (0..1024 * 1024_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    assert!(echoed(&sent) == sent);
}

#[test]
fn all_bytes_are_alike() {
    let sent: Vec<u8> = (0..=255).collect();
    assert_eq!(echoed(&sent), sent);
    assert_eq!(echoed(b"no newline"), b"no newline");
    assert_eq!(echoed(b"\n\n\r\n"), b"\n\n\r\n");
    assert_eq!(echoed(b""), b"");
}

#[test]
fn str_echo_reports_a_client_that_reads_no_more() {
    let (mut client, server) = UnixStream::pair().unwrap();
    client.write_all(b"who reads this?\n").unwrap();
    drop(client);
    assert!(str_echo(&server, &server).is_err());
}

#[test]
fn writen_writes_more_than_the_buffer_holds() {
    let (mut reader, writer) = UnixStream::pair().unwrap();
    let sent = vec![b'x'; 4 * 1024 * 1024];
    let received = thread::scope(|scope| {
        scope.spawn(|| {
            writen(&writer, &sent).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut received = Vec::new();
        reader.read_to_end(&mut received).unwrap();
        received
    });
    assert!(received == sent);
}
