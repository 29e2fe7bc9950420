//! Failing starts: one clear line, and a matching exit code.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::harness::{Broker, serve};
use crate::wait;

/// Starts the broker on a folder; it must exit by itself.
fn refuses(data: &Path, options: &[&str]) -> Output {
    let mut command = serve(data);
    command.args(options);
    ends(command)
}

/// Runs a command that must exit by itself.
fn ends(mut command: Command) -> Output {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the broker's binary");
    let ended = wait::within(wait::LIMIT, || child.try_wait().expect("wait").is_some());
    if !ended {
        drop(child.kill());
    }
    let output = child.wait_with_output().expect("output");
    assert!(ended, "it runs: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Checks that it failed, in one line that contains these words.
#[track_caller]
fn check(output: &Output, words: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "it should fail");
    assert!(!text.contains("panicked") && !text.contains("RUST_BACKTRACE"), "{text}");
    let lines: Vec<_> = text.lines().filter(|l| !l.contains("INFO")).collect();
    assert_eq!(lines.len(), 1, "one line, not:\n{text}");
    for word in words {
        assert!(lines[0].contains(word), "{word:?} should be in {:?}", lines[0]);
    }
}

#[test]
fn second_start_on_the_same_folder() {
    let broker = Broker::new();
    let data = broker.data();
    let output = refuses(&data, &["--amqp-listen", "127.0.0.1:0"]);
    check(&output, &[data.to_str().expect("UTF-8")]);
    // The first one is unaffected.
    broker.client().declare("queue=q exclusive");
}

#[test]
fn a_special_file_in_the_place_of_one_of_ours() {
    let folder = tempfile::tempdir().expect("a folder");
    for (number, file) in ["FORMAT", "definitions.synced"].into_iter().enumerate() {
        for device in ["/dev/zero", "/dev/null"] {
            let data = folder.path().join(format!("{number}{}", &device[5..]));
            fs::create_dir(&data).expect("the data folder");
            std::os::unix::fs::symlink(device, data.join(file)).expect("a link");
            check(&refuses(&data, &["--amqp-listen", "127.0.0.1:0"]), &[file, "not a regular file"]);
        }
    }
}

#[test]
fn port_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = taken.local_addr().expect("address").to_string();
    let folder = tempfile::tempdir().expect("a folder");
    for option in ["--amqp-listen", "--http-listen", "--metrics-listen"] {
        let data = folder.path().join(option);
        let mut command = Command::new(env!("CARGO_BIN_EXE_leveret"));
        command.arg("serve").arg("--data-dir").arg(&data);
        for listen in ["--amqp-listen", "--http-listen", "--metrics-listen"] {
            command.args([listen, if listen == option { &address } else { "127.0.0.1:0" }]);
        }
        let output = ends(command);
        let key = option.trim_start_matches("--").replace('-', "_");
        check(&output, &[&address, &format!("({key})")]);
    }
}

#[test]
fn check_data_reads_a_folder_that_no_broker_uses_and_gives_a_verdict() {
    let mut broker = Broker::new();
    let mut client = broker.client();
    for (queue, messages) in [("orders", 2), ("empty", 0)] {
        client.declare(&format!("queue={queue} durable"));
        client.confirms();
        for _ in 0..messages {
            client.publish_confirmed(&format!("routing_key={queue}"), "delivery_mode=2", "x");
        }
    }
    let checked = |folder: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_leveret"));
        command.arg("check-data").arg(folder);
        let output = command.output().expect("the binary");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let data = broker.data();
    let (code, _, refusal) = checked(&data);
    assert_eq!(code, Some(1));
    assert!(refusal.contains(&format!("pid {}", broker.pid())) && refusal.contains("stop it"), "{refusal}");
    let (code, _, refusal) = checked(data.parent().expect("a parent"));
    assert!(code == Some(1) && refusal.contains(&format!("did you mean {}?", data.display())), "{refusal}");

    broker.stop();
    let (code, said, errors) = checked(&data);
    assert_eq!(
        (code, errors.as_str(), said.lines().last()),
        (Some(0), "", Some("Whole: 2 queues, 2 messages"))
    );
    let words: Vec<Vec<&str>> = said.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(words.iter().any(|line| line[..] == ["2", "2", "/", "orders"]), "{said}");

    let segments = fs::read_dir(data.join("log")).expect("the log").flatten().map(|entry| entry.path());
    let segment = segments.filter(|path| path.extension().is_some()).min().expect("a segment");
    let mut bytes = fs::read(&segment).expect("the segment");
    let inside = 4096 + 20;
    bytes[inside] ^= 0xff;
    fs::write(&segment, bytes).expect("write");
    let (code, said, errors) = checked(&data);
    assert_eq!((code, errors.trim()), (Some(1), "leveret: the data folder is damaged"), "{said}");
    assert!(
        said.lines().last().is_some_and(|line| line.starts_with("Damaged: 1 place; readable: ")),
        "{said}"
    );
}

#[test]
fn unwritable_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "not a folder").expect("write");
    // Nobody can create a folder below a file, not even root.
    let data = file.join("data");
    let output = refuses(&data, &["--amqp-listen", "127.0.0.1:0"]);
    check(&output, &[data.to_str().expect("UTF-8")]);
}

#[test]
fn an_address_that_is_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = refuses(folder.path(), &["--amqp-listen", "nowhere"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("nowhere") && !text.contains("panicked"), "{text}");
}

#[test]
fn the_log_says_what_listens_where() {
    let broker = Broker::new();
    broker.client().close();
    let log = broker.log();
    for what in ["amqp", "http", "metrics"] {
        assert!(log.contains(&format!("{what} listening on 127.0.0.1:")), "{what} in:\n{log}");
    }
    let http = crate::management::listening(&broker, "http");
    let dashboard = format!("dashboard at http://{http}/; user guest may log in from this machine only");
    assert!(log.contains(&dashboard), "{log}");
    assert!(!log.contains("ERROR") && !log.contains("WARN"), "a clean start:\n{log}");
}
