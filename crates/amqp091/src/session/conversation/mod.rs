//! Conversations: client input and broker output, as text, against a [`Connection`] alone.
//!
//! A script has one line per frame. `C 1 basic.ack delivery_tag=9` is sent by the client on channel 1,
//! `S 1 channel.close 406 by basic.ack` is expected in answer. Consecutive client lines form one packet, unless
//! separated by `--`. Broker output that no line expects fails the test, as does missing output. Each script is
//! played with its packets whole, with one packet per frame, and with one per octet: the result must be the same.
//!
//! Absent: sockets, tasks, disk, clocks.

mod admission;
mod closing;
#[path = "../../../../../tests/it/raw/codec.rs"]
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
#[path = "../../../../../tests/it/raw/spec.rs"]
mod spec;
mod transactions;
#[path = "../../../../../tests/it/raw/value.rs"]
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

/// Plays a script whose result depends on its packet boundaries.
#[track_caller]
fn conversation_in_packets(script: &str) {
    play(script, Packets::AsWritten, |player| player.open(0));
}

/// Plays a script from just after the client's protocol header.
#[track_caller]
fn handshake(script: &str) {
    for packets in [Packets::AsWritten, Packets::OfFrames, Packets::OfOctets] {
        play(script, packets, |player| {
            player.header(0);
            player.forget();
        });
    }
}

/// The same, for a client connecting from this address.
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
