//! Ends of channels and connections: plays every cell of the tables in docs/closing.md, and combinations of them.

use super::{conversation, conversation_in_packets, play_from};

const TABLES: &str = include_str!("../../../../../docs/closing.md");

/// The states, the input leading to each, and the cells below them, of the table under this heading.
fn cells(heading: &str) -> Vec<(String, String, String)> {
    let section = TABLES.split("\n## ").find(|section| section.starts_with(heading)).expect("the heading");
    let mut rows = section
        .lines()
        .filter(|line| line.starts_with("| "))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>());
    let states = rows.next().expect("the states");
    let mut cells = Vec::new();
    for row in rows {
        assert_eq!(row.len(), states.len(), "{row:?}");
        for (state, cell) in states.iter().zip(&row).skip(1) {
            cells.push(((*state).to_owned(), row[0].to_owned(), (*cell).to_owned()));
        }
    }
    cells
}

/// The input that brings channel 1 into a state. Channel 2 is open.
fn channel_state(state: &str) -> &'static str {
    match state {
        "free" => "C 1 channel.close \n S 1 channel.close-ok",
        "open" => "",
        "content" => "C 1 basic.publish routing_key=q",
        "body" => "C 1 basic.publish routing_key=q \n C 1 header 5 \n C 1 body he",
        "closing" => "C 1 queue.declare queue=none passive \n S 1 channel.close 404 by queue.declare",
        "crossed" => {
            "C 1 queue.declare queue=none passive \n C 1 channel.close
             S 1 channel.close 404 by queue.declare \n S 1 channel.close-ok"
        }
        "answered" => {
            "C 1 queue.declare queue=none passive \n S 1 channel.close 404 by queue.declare
             C 1 channel.close-ok"
        }
        _ => panic!("no state {state}"),
    }
}

/// The outcome that a cell of a channel table stands for. In each, channel 2 continues or the connection ends in
/// order.
fn channel_outcome(cell: &str) -> String {
    let (said, lives) = match cell {
        "-" => (String::new(), true),
        "open-ok" | "close-ok" | "flow-ok" => (format!("S 1 channel.{cell}"), true),
        "declare-ok" => ("S 1 queue.declare-ok".to_owned(), true),
        code => match code.strip_prefix("channel ") {
            Some(code) => (format!("S 1 channel.close reply_code={code} \n C 1 channel.close-ok"), true),
            None => (format!("S 0 connection.close reply_code={code}"), false),
        },
    };
    let after = if lives { ALIVE } else { "C 0 connection.close-ok \n S end" };
    format!("{said}\n{after}")
}

const ALIVE: &str = "C 2 channel.flow active \n S 2 channel.flow-ok active \n C 0 connection.close \n S 0 connection.close-ok \n S end";

#[test]
fn every_cell_of_a_channels_table() {
    let cells = cells("A channel");
    assert!(cells.len() > 100);
    for (state, said, cell) in cells {
        let before = channel_state(&state);
        conversation(&format!(
            "C 2 channel.open \n S 2 channel.open-ok \n {before} \n -- \n C 1 {said} \n {}",
            channel_outcome(&cell)
        ));
    }
}

#[test]
fn every_cell_of_a_connections_table() {
    let cells = cells("A connection");
    assert!(cells.len() > 100);
    for (state, said, cell) in cells {
        let (begun, before) = match state.as_str() {
            "begun" => (false, ""),
            "tuned" => (
                false,
                "C 0 connection.start-ok mechanism=EXTERNAL locale=en_US \n S 0 connection.tune
                 C 0 connection.tune-ok channel_max=5 frame_max=4096",
            ),
            "open" => (true, ""),
            "closing" => (true, "C 3 queue.declare \n S 0 connection.close 504 by queue.declare"),
            "closed" => (true, "C 0 connection.close \n S 0 connection.close-ok \n S end"),
            _ => panic!("no state {state}"),
        };
        let channel = said.split(' ').next().expect("a channel");
        let mut script = format!("{before} \n -- \n C {said} \n");
        for part in cell.split(", ") {
            let line = match part {
                "-" => String::new(),
                "end" => "S end \n".to_owned(),
                "close-ok" => "S 0 connection.close-ok \n".to_owned(),
                "channel 406" => "S 1 channel.close reply_code=406 \n".to_owned(),
                code if code.starts_with('5') => format!("S 0 connection.close reply_code={code} \n"),
                method => format!("S {channel} {method} \n"),
            };
            script.push_str(&line);
        }
        let silent = matches!(cell.as_str(), "-" | "channel 406") || cell.ends_with("-ok");
        script += match state.as_str() {
            "begun" | "tuned" | "open" if silent => {
                "C 0 connection.close \n S 0 connection.close-ok \n S end"
            }
            "closing" if silent => "C 0 connection.close-ok \n S end",
            _ => "",
        };
        play_from(begun, &script);
    }
}

#[test]
fn closes_that_cross_leave_the_number_free() {
    for failing in [
        "basic.publish exchange=nowhere << x",
        "queue.bind queue=none exchange=amq.direct",
        "queue.declare queue=none passive",
        "exchange.declare exchange=none passive",
        "basic.consume queue=none",
        "basic.ack delivery_tag=7",
        "queue.declare queue=amq.mine",
        "tx.rollback",
    ] {
        for answers in ["", "C 1 channel.close-ok", "C 1 channel.close-ok \n C 1 channel.close-ok"] {
            conversation_of_close(failing, answers);
        }
    }
}

/// The client's close and the failing method arrive in one packet; then the number is reused.
#[track_caller]
fn conversation_of_close(failing: &str, answers: &str) {
    conversation(&format!(
        "C 1 {failing} \n C 1 channel.close
         S 1 channel.close \n S 1 channel.close-ok
         {answers}
         C 1 channel.open \n S 1 channel.open-ok
         C 1 channel.close-ok
         C 1 queue.declare queue=q \n S 1 queue.declare-ok queue=q
         C 1 channel.close \n S 1 channel.close-ok"
    ));
}

#[test]
fn the_answer_to_the_first_close_may_come_after_the_second() {
    conversation(
        "C 1 queue.declare queue=none passive \n C 1 channel.close
         S 1 channel.close \n S 1 channel.close-ok
         C 1 channel.open \n S 1 channel.open-ok
         C 1 queue.declare queue=none passive \n S 1 channel.close
         C 1 channel.close-ok \n C 1 channel.close-ok
         C 1 channel.open \n S 1 channel.open-ok",
    );
}

#[test]
fn content_that_was_on_its_way_is_discarded_with_its_channel() {
    conversation(
        "C 1 queue.declare queue=q \n S 1 queue.declare-ok
         C 1 basic.ack delivery_tag=7 \n C 1 basic.publish routing_key=q << first
         C 1 basic.publish routing_key=q \n C 1 header 10 \n C 1 body half
         S 1 channel.close 406 by basic.ack
         C 1 body -other \n C 1 channel.close
         S 1 channel.close-ok
         C 1 basic.publish routing_key=q << late
         C 1 channel.close-ok \n C 1 channel.open \n S 1 channel.open-ok
         C 1 queue.declare queue=q passive \n S 1 queue.declare-ok message_count=0",
    );
}

#[test]
fn a_bad_header_closes_the_channel_and_its_body_is_discarded() {
    conversation(
        "C 1 basic.publish routing_key=q \n C 1 header 3 expiration=soon \n C 1 body abc
         S 1 channel.close 406 by basic.publish saying expiration
         C 1 channel.close-ok \n C 1 channel.open \n S 1 channel.open-ok",
    );
}

#[test]
fn what_a_closed_channel_held_goes_to_others() {
    conversation(
        "C 1 queue.declare queue=q \n S 1 queue.declare-ok
         C 1 basic.publish routing_key=q << x \n C 1 basic.get queue=q
         S 1 basic.get-ok delivery_tag=1 redelivered=0 << x
         C 1 basic.ack delivery_tag=2 \n S 1 channel.close 406 by basic.ack
         C 2 channel.open \n S 2 channel.open-ok
         C 2 basic.get queue=q no_ack \n S 2 basic.get-ok redelivered << x
         C 1 channel.close \n S 1 channel.close-ok",
    );
}

#[test]
fn a_connections_closes_that_cross() {
    conversation(
        "C 3 queue.declare \n C 0 connection.close
         S 0 connection.close 504 by queue.declare \n S 0 connection.close-ok \n S end",
    );
    conversation_in_packets(
        "C 3 queue.declare \n C 1 basic.publish routing_key=q << x \n C 1 queue.declare queue=q \n C 0 heartbeat
         S 0 connection.close 504 by queue.declare
         C 4 channel.open \n C 4 basic.publish routing_key=q \n C 4 header 5 \n C 4 body x \n C 0 connection.close-ok
         S end",
    );
}

#[test]
fn a_channels_close_that_crosses_a_connections() {
    conversation(
        "C 3 queue.declare \n C 1 channel.close \n C 1 channel.close-ok
         S 0 connection.close 504 by queue.declare
         C 0 connection.close-ok \n S end",
    );
}

#[test]
fn channels_are_counted_not_numbered() {
    conversation(
        "C 65535 channel.open \n S 65535 channel.open-ok
         C 60000 channel.open \n S 60000 channel.open-ok
         C 2 channel.open \n S 2 channel.open-ok
         C 3 channel.open \n S 3 channel.open-ok
         C 65535 channel.close \n S 65535 channel.close-ok
         C 4 channel.open \n S 4 channel.open-ok
         C 6 channel.open \n S 0 connection.close 530 by channel.open saying (5)
         C 0 connection.close-ok \n S end",
    );
}

#[test]
fn a_channel_counts_until_its_close_is_answered() {
    conversation(
        "C 1 queue.declare queue=none passive \n S 1 channel.close
         C 2 channel.open \n S 2 channel.open-ok
         C 3 channel.open \n S 3 channel.open-ok
         C 4 channel.open \n S 4 channel.open-ok
         C 5 channel.open \n S 5 channel.open-ok
         C 1 channel.close-ok \n C 9 channel.open \n S 9 channel.open-ok
         C 10 channel.open \n S 0 connection.close 530 by channel.open",
    );
}
