//! The lines of a script.
//!
//! | line | meaning |
//! |---|---|
//! | `C 1 queue.declare queue=q` | a method; unnamed fields are zero, empty or false |
//! | `C 1 basic.publish routing_key=q with priority=3 << text` | a publish with its header and one body frame; `<<` alone: an empty body |
//! | `C 1 header 5 priority=3` | a content header, with the body's size |
//! | `C 1 body text` | a body frame |
//! | `C 0 heartbeat` | a heartbeat |
//! | `C 1 class 60.99` | a method unknown to the protocol, without arguments |
//! | `C 1 method 60.80 ff` | a method with these octets as arguments |
//! | `C raw 01ff` | raw octets |
//! | `C gone` | the socket is lost |
//! | `C shut` | an operator closes the connection |
//! | `--` | starts a new packet |
//! | `S 1 basic.deliver delivery_tag=1 with headers={a:1} without CC << text` | a method that must come, with these fields, properties and headers among others, without that property or header, and its body |
//! | `A 1 queue.declare queue=q` | a method, and its `-ok` expected in answer |
//! | `S 1 channel.close 404 by queue.declare saying words` | an expected error; `by 0,0`: no method to blame |
//! | `S end` | nothing more is read |
//! | `O permission ^q "" .*` | an operator lets the clients' user configure, write and read these from now on |
//! | `O vhost v` | an operator creates a vhost, without any permissions |
//! | `O vhost_limit max-queues 1`, `O user_limit max-channels 1` | an operator limits the vhost `/`, or the clients' user |
//! | `O limit exchanges_max 9` | an operator configures a limit of the broker |
//! | `T 10` | the time is this many milliseconds after the start; the timer ticks |
//!
//! `C2` and `S2` belong to a second client, which connects when it is first heard of.

use super::codec::{Args, encode_header, encode_method};
use super::spec::{self, MethodSpec};
use super::value::{Value, parse_args};

/// One line.
pub(super) enum Line {
    Said {
        client: usize,
        frames: Vec<Vec<u8>>,
    },
    Cut,
    /// The socket is lost.
    Gone {
        client: usize,
    },
    /// An operator closes the connection.
    Shut {
        client: usize,
    },
    Heard {
        client: usize,
        expected: Expected,
    },
    Ends {
        client: usize,
    },
    Later {
        ms: u64,
    },
    Operator(Operator),
}

/// An operator action.
pub(super) enum Operator {
    /// Lets the clients' user configure, write and read these.
    Permission([String; 3]),
    Vhost(String),
    VhostLimit(String, i64),
    UserLimit(String, i64),
    Limit(String, usize),
}

/// A method that the broker must send.
pub(super) struct Expected {
    pub(super) text: String,
    pub(super) channel: u16,
    pub(super) spec: &'static MethodSpec,
    pub(super) fields: Args,
    /// Must occur in the reply text of a close.
    pub(super) saying: String,
    pub(super) properties: Args,
    /// A property or header that must be absent.
    pub(super) without: Option<String>,
    pub(super) body: Option<String>,
}

impl Line {
    #[track_caller]
    pub(super) fn parse(line: &str) -> Self {
        if line == "--" {
            return Self::Cut;
        }
        let (speaker, rest) = line.split_once(' ').unwrap_or_else(|| panic!("no line: {line:?}"));
        let client = usize::from(speaker.ends_with('2'));
        match (speaker.trim_end_matches('2'), rest) {
            ("T", ms) => Self::Later { ms: ms.parse().unwrap() },
            ("O", rest) => Self::Operator(operator(rest)),
            ("S", "end") => Self::Ends { client },
            ("S", rest) => Self::Heard { client, expected: expected(rest) },
            ("C", "gone") => Self::Gone { client },
            ("C", "shut") => Self::Shut { client },
            ("C", rest) => Self::Said { client, frames: said(rest) },
            _ => panic!("no line: {line:?}"),
        }
    }
}

impl Line {
    /// Expands a line into the lines that it stands for.
    pub(super) fn all(line: &str) -> Vec<String> {
        let (speaker, rest) = line.split_once(' ').unwrap_or((line, ""));
        let Some(client) = speaker.strip_prefix('A') else { return vec![line.to_owned()] };
        let mut words = rest.split(' ');
        let (channel, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        vec![format!("C{client} {rest}"), format!("S{client} {channel} {name}-ok")]
    }
}

#[track_caller]
fn operator(text: &str) -> Operator {
    let words: Vec<&str> = text.split(' ').collect();
    match words[..] {
        ["permission", configure, write, read] => {
            Operator::Permission([configure, write, read].map(|pattern| pattern.trim_matches('"').to_owned()))
        }
        ["vhost", name] => Operator::Vhost(name.to_owned()),
        ["vhost_limit", name, value] => Operator::VhostLimit(name.to_owned(), value.parse().unwrap()),
        ["user_limit", name, value] => Operator::UserLimit(name.to_owned(), value.parse().unwrap()),
        ["limit", name, value] => Operator::Limit(name.to_owned(), value.parse().unwrap()),
        _ => panic!("no act of an operator: {text:?}"),
    }
}

/// The text before and after a word.
fn cut<'a>(text: &'a str, word: &str) -> (&'a str, Option<&'a str>) {
    if let Some(rest) = text.strip_prefix(word).and_then(|rest| rest.strip_prefix(' ')) {
        return ("", Some(rest));
    }
    match text.split_once(&format!(" {word} ")) {
        Some((before, behind)) => (before, Some(behind)),
        None => (text, None),
    }
}

#[track_caller]
fn channel_of(text: &str) -> (u16, &str) {
    let (channel, rest) = text.split_once(' ').unwrap_or_else(|| panic!("no channel: {text:?}"));
    (channel.parse().unwrap_or_else(|_| panic!("no channel: {text:?}")), rest)
}

/// A flag is set by naming it.
fn pairs(text: &str) -> Args {
    let pairs = parse_args(text).into_iter();
    pairs.map(|(name, value)| (name.to_owned(), value.unwrap_or(Value::Int(b'I', 1)))).collect()
}

fn fields(spec: &MethodSpec, text: &str) -> Args {
    let args = pairs(text);
    for (name, _) in &args {
        assert!(spec.fields.iter().any(|(known, _)| known == name), "{} has no field {name}", spec.name);
    }
    args
}

#[track_caller]
fn said(text: &str) -> Vec<Vec<u8>> {
    if let Some(octets) = text.strip_prefix("raw ") {
        let pairs = octets.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        return vec![pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()];
    }
    let (channel, text) = channel_of(text);
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    match word {
        "heartbeat" => vec![frame(8, channel, &[])],
        "header" => {
            let (size, properties) = rest.split_once(' ').unwrap_or((rest, ""));
            vec![frame(2, channel, &encode_header(60, size.parse().unwrap(), properties))]
        }
        "body" => vec![frame(3, channel, rest.as_bytes())],
        "class" | "method" => {
            let (number, arguments) = rest.split_once(' ').unwrap_or((rest, ""));
            let (class, method) = number.split_once('.').unwrap();
            let mut payload = class.parse::<u16>().unwrap().to_be_bytes().to_vec();
            payload.extend(method.parse::<u16>().unwrap().to_be_bytes());
            payload.extend(arguments.split_whitespace().map(|octet| u8::from_str_radix(octet, 16).unwrap()));
            vec![frame(1, channel, &payload)]
        }
        name => {
            let spec = spec::by_name(name);
            let (arguments, body) = match rest.split_once("<<") {
                Some((arguments, body)) => (arguments, Some(body.trim())),
                None => (rest, None),
            };
            let (arguments, properties) = cut(arguments, "with");
            let mut frames = vec![frame(1, channel, &encode_method(spec, &fields(spec, arguments)))];
            if let Some(body) = body {
                let properties = properties.unwrap_or_default();
                frames.push(frame(2, channel, &encode_header(60, body.len() as u64, properties)));
                if !body.is_empty() {
                    frames.push(frame(3, channel, body.as_bytes()));
                }
            }
            frames
        }
    }
}

#[track_caller]
fn expected(text: &str) -> Expected {
    let (channel, rest) = channel_of(text);
    let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let spec = spec::by_name(name);
    let (rest, body) = match rest.split_once("<<") {
        Some((rest, body)) => (rest, Some(body.trim().to_owned())),
        None => (rest, None),
    };
    let (rest, saying) = rest.split_once(" saying").unwrap_or((rest, ""));
    let (rest, without) = cut(rest, "without");
    let (rest, properties) = cut(rest, "with");
    let fields = match rest.split_once(" by ") {
        Some((code, blamed)) => {
            let (class, method) = match blamed.trim().split_once(',') {
                Some((class, method)) => (class.parse().unwrap(), method.parse().unwrap()),
                None => (spec::by_name(blamed.trim()).class, spec::by_name(blamed.trim()).id),
            };
            let number = |name: &str, value: i64| (name.to_owned(), Value::Int(b'I', value));
            vec![
                number("reply_code", code.trim().parse().unwrap()),
                number("class_id", class.into()),
                number("method_id", method.into()),
            ]
        }
        None => fields(spec, rest),
    };
    Expected {
        text: text.to_owned(),
        channel,
        spec,
        fields,
        saying: saying.trim().to_owned(),
        properties: pairs(properties.unwrap_or_default()),
        without: without.map(|name| name.trim().to_owned()),
        body,
    }
}

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend(channel.to_be_bytes());
    out.extend(u32::try_from(payload.len()).unwrap().to_be_bytes());
    out.extend(payload);
    out.push(0xCE);
    out
}

/// Whether a field or property has the expected value: numbers and bits compare by value, tables must contain the
/// entries named.
pub(super) fn fits(got: &Value, want: &Value) -> bool {
    match (got, want) {
        (Value::Int(_, got), Value::Int(_, want)) => got == want,
        (Value::Bool(got), Value::Int(_, want)) => i64::from(*got) == *want,
        (Value::Str(got), want @ Value::Int(..)) => *got == want.to_string().into_bytes(),
        (Value::Table(_), Value::Table(want)) => {
            want.iter().all(|(name, want)| got.get(name).is_some_and(|got| fits_in_table(got, want)))
        }
        (got, want) => got == want,
    }
}

/// In tables, types must match, too.
fn fits_in_table(got: &Value, want: &Value) -> bool {
    match (got, want) {
        (Value::Table(_), Value::Table(_)) => fits(got, want),
        (Value::Array(got), Value::Array(want)) => {
            got.len() == want.len() && got.iter().zip(want).all(|(got, want)| fits_in_table(got, want))
        }
        (got, want) => got == want,
    }
}
