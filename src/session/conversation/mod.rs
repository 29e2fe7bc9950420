//! Conversations: what a client says and what the broker answers, as text, in front of a [`Connection`] alone.
//!
//! A script has a line for each frame. `C 1 basic.ack delivery_tag=9` is said by the client on channel 1,
//! `S 1 channel.close 406 by basic.ack` must be answered. Lines of the client that follow each other are one packet,
//! unless `--` stands between them. What the broker says that no line expects fails the test, as does what is missing.
//! Each script is played with its packets whole, with a packet for each frame, and with one for each octet: it must
//! make no difference.
//!
//! Absent: sockets, tasks, disk, clocks.

mod admission;
mod closing;
#[path = "../../../tests/it/raw/codec.rs"]
mod codec;
mod confirms;
mod consumers;
mod dead_letters;
mod declaring;
mod errors;
mod limits;
mod player;
mod routing;
mod script;
mod settling;
#[path = "../../../tests/it/raw/spec.rs"]
mod spec;
mod transactions;
#[path = "../../../tests/it/raw/value.rs"]
#[expect(dead_code, reason = "the tests over sockets use more of it")]
mod value;

use player::Player;
use script::Line;

/// How the client's bytes are cut into packets.
#[derive(Clone, Copy, Debug)]
enum Packets {
    AsWritten,
    OfFrames,
    OfOctets,
}

/// Plays a script; channel 1 is open.
#[track_caller]
fn conversation(script: &str) {
    for packets in [Packets::AsWritten, Packets::OfFrames, Packets::OfOctets] {
        play(script, packets, |player| player.open(0));
    }
}

/// Plays a script in which it matters what comes together.
#[track_caller]
fn conversation_in_packets(script: &str) {
    play(script, Packets::AsWritten, |player| player.open(0));
}

/// Plays a script that begins with the protocol header, which the client has sent.
#[track_caller]
fn handshake(script: &str) {
    for packets in [Packets::AsWritten, Packets::OfFrames, Packets::OfOctets] {
        play(script, packets, |player| {
            player.header(0);
            player.forget();
        });
    }
}

/// Plays a script that begins with the protocol header of a client that comes from this address.
#[track_caller]
fn handshake_from(address: &str, script: &str) {
    play(script, Packets::AsWritten, |player| {
        player.come_from(address.parse().unwrap());
        player.header(0);
        player.forget();
    });
}

/// Plays a script on an open connection, or from the protocol header on.
#[track_caller]
fn play_from(open: bool, script: &str) {
    if open { conversation(script) } else { handshake(script) }
}

#[track_caller]
fn play(script: &str, packets: Packets, begin: impl FnOnce(&mut Player)) {
    let mut player = Player::new(packets);
    begin(&mut player);
    let mut packet: Option<(usize, Vec<Vec<u8>>)> = None;
    let lines = script.lines().map(str::trim).filter(|line| !line.is_empty());
    for line in lines.flat_map(Line::all) {
        match Line::parse(&line) {
            Line::Said { client, frames } => match &mut packet {
                Some((speaker, waiting)) if *speaker == client => waiting.extend(frames),
                _ => {
                    player.send(packet.take(), script);
                    packet = Some((client, frames));
                }
            },
            Line::Cut => player.send(packet.take(), script),
            Line::Gone { client } => {
                player.send(packet.take(), script);
                player.gone(client);
            }
            Line::Shut { client } => {
                player.send(packet.take(), script);
                player.shut(client);
            }
            Line::Heard { client, expected } => {
                player.deliver(packet.take());
                player.hear(client, &expected, script);
            }
            Line::Operator(act) => {
                player.send(packet.take(), script);
                player.operate(&act);
            }
            Line::Later { ms } => {
                player.send(packet.take(), script);
                player.later(ms, script);
            }
            Line::Ends { client } => {
                player.deliver(packet.take());
                player.ends(client, script);
            }
        }
    }
    player.send(packet.take(), script);
    player.nothing_more(script);
}
