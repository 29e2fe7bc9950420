//! Field values: wire encoding with type letters, and a short text form.
//!
//! Text: `5` is a 32-bit int (`I`), a trailing letter names another type (`5l`, `5s`, `5b`, `5B`, `5u`, `5i`, `5T`),
//! `true`/`false`, `void`, `1.5` a double, `"text"` or a bare word a long string, `[..]` an array, `{k:v,..}` a table.
//! Tables keep their order, so that the broker's output can be compared exactly.

use std::fmt;

/// A field value with its exact type.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Bool(bool),
    /// Any integer, with its type letter.
    Int(u8, i64),
    Str(Vec<u8>),
    Bytes(Vec<u8>),
    Double(f64),
    Float(f32),
    Decimal(u8, u32),
    Array(Vec<Value>),
    Table(Table),
    Void,
}

/// A field table in wire order.
pub(crate) type Table = Vec<(String, Value)>;

impl Value {
    pub(crate) fn int(&self) -> i64 {
        match self {
            Self::Int(_, n) => *n,
            Self::Bool(b) => i64::from(*b),
            other => panic!("not an integer: {other}"),
        }
    }

    pub(crate) fn str(&self) -> String {
        match self {
            Self::Str(s) => String::from_utf8_lossy(s).into_owned(),
            other => panic!("not a string: {other}"),
        }
    }

    pub(crate) fn table(&self) -> &Table {
        match self {
            Self::Table(t) => t,
            other => panic!("not a table: {other}"),
        }
    }

    pub(crate) fn array(&self) -> &[Value] {
        match self {
            Self::Array(a) => a,
            other => panic!("not an array: {other}"),
        }
    }

    /// The entry with this key, if this is a table that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.table().iter().find(|(k, _)| k == key).map(|(_, v)| v)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Bool(b) => out.extend([b't', u8::from(*b)]),
            Self::Int(letter, n) => {
                out.push(*letter);
                out.extend(&n.to_be_bytes()[8 - int_width(*letter)..]);
            }
            Self::Str(s) => {
                out.push(b'S');
                long_bytes(out, s);
            }
            Self::Bytes(s) => {
                out.push(b'x');
                long_bytes(out, s);
            }
            Self::Double(d) => {
                out.push(b'd');
                out.extend(d.to_be_bytes());
            }
            Self::Float(d) => {
                out.push(b'f');
                out.extend(d.to_be_bytes());
            }
            Self::Decimal(scale, n) => {
                out.extend([b'D', *scale]);
                out.extend(n.to_be_bytes());
            }
            Self::Array(items) => {
                let mut inner = Vec::new();
                for item in items {
                    item.encode(&mut inner);
                }
                out.push(b'A');
                long_bytes(out, &inner);
            }
            Self::Table(t) => {
                out.push(b'F');
                encode_table(t, out);
            }
            Self::Void => out.push(b'V'),
        }
    }
}

fn int_width(letter: u8) -> usize {
    match letter {
        b'b' | b'B' => 1,
        b's' | b'u' => 2,
        b'I' | b'i' => 4,
        b'l' | b'L' | b'T' => 8,
        other => panic!("no integer type {}", char::from(other)),
    }
}

fn long_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(u32::try_from(bytes.len()).expect("length").to_be_bytes());
    out.extend(bytes);
}

/// A table preceded by its length.
pub(crate) fn encode_table(table: &Table, out: &mut Vec<u8>) {
    let mut inner = Vec::new();
    for (key, value) in table {
        inner.push(u8::try_from(key.len()).expect("key length"));
        inner.extend(key.as_bytes());
        value.encode(&mut inner);
    }
    long_bytes(out, &inner);
}

/// Reads the broker's output; a short read is the broker's error and panics.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, n: usize) -> &'a [u8] {
        assert!(n <= self.0.len(), "the broker's frame ends early: {n} wanted, {} left", self.0.len());
        let (head, tail) = self.0.split_at(n);
        self.0 = tail;
        head
    }

    /// A big-endian unsigned integer of `width` octets.
    pub(crate) fn uint(&mut self, width: usize) -> u64 {
        self.take(width).iter().fold(0, |n, b| n << 8 | u64::from(*b))
    }

    fn signed(&mut self, width: usize) -> i64 {
        let shift = 64 - 8 * u32::try_from(width).expect("width");
        (self.uint(width) << shift).cast_signed() >> shift
    }

    pub(crate) fn short_str(&mut self) -> Vec<u8> {
        let n = self.uint(1);
        self.take(usize::try_from(n).expect("length")).to_vec()
    }

    pub(crate) fn long_str(&mut self) -> &'a [u8] {
        let n = self.uint(4);
        self.take(usize::try_from(n).expect("length"))
    }

    pub(crate) fn table(&mut self) -> Table {
        let mut inner = Reader(self.long_str());
        let mut table = Vec::new();
        while !inner.0.is_empty() {
            let key = String::from_utf8(inner.short_str()).expect("key in UTF-8");
            table.push((key, inner.value()));
        }
        table
    }

    fn value(&mut self) -> Value {
        match self.take(1)[0] {
            b't' => Value::Bool(self.uint(1) != 0),
            c @ (b'b' | b's' | b'I' | b'l' | b'L') => Value::Int(c, self.signed(int_width(c))),
            c @ (b'B' | b'u' | b'i' | b'T') => Value::Int(c, self.uint(int_width(c)).cast_signed()),
            b'S' => Value::Str(self.long_str().to_vec()),
            b'x' => Value::Bytes(self.long_str().to_vec()),
            b'd' => Value::Double(f64::from_bits(self.uint(8))),
            b'f' => Value::Float(f32::from_be_bytes(self.take(4).try_into().expect("four"))),
            b'D' => Value::Decimal(self.take(1)[0], u32::try_from(self.uint(4)).expect("decimal")),
            b'A' => {
                let mut inner = Reader(self.long_str());
                let mut items = Vec::new();
                while !inner.0.is_empty() {
                    items.push(inner.value());
                }
                Value::Array(items)
            }
            b'F' => Value::Table(self.table()),
            b'V' => Value::Void,
            other => panic!("the broker sent a field of type {other:#x}"),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(b) => write!(f, "{b}"),
            Self::Int(b'I', n) => write!(f, "{n}"),
            Self::Int(letter, n) => write!(f, "{n}{}", char::from(*letter)),
            Self::Str(s) => write!(f, "{:?}", String::from_utf8_lossy(s)),
            Self::Bytes(s) => write!(f, "x{s:?}"),
            Self::Double(d) => write!(f, "{d:?}"),
            Self::Float(d) => write!(f, "{d:?}f"),
            Self::Decimal(scale, n) => write!(f, "{n}e-{scale}"),
            Self::Array(items) => {
                let items: Vec<_> = items.iter().map(ToString::to_string).collect();
                write!(f, "[{}]", items.join(","))
            }
            Self::Table(t) => {
                let items: Vec<_> = t.iter().map(|(k, v)| format!("{k}:{v}")).collect();
                write!(f, "{{{}}}", items.join(","))
            }
            Self::Void => write!(f, "void"),
        }
    }
}

/// Splits `key=value key=value flag` into pairs; a flag has no value.
#[track_caller]
pub(crate) fn parse_args(text: &str) -> Vec<(&str, Option<Value>)> {
    let mut parser = Parser(text.trim_start());
    let mut args = Vec::new();
    while !parser.0.is_empty() {
        let end = parser.0.find(['=', ' ', '\n']).unwrap_or(parser.0.len());
        let key = &parser.0[..end];
        parser.0 = &parser.0[end..];
        let value = parser.eat('=').then(|| parser.value());
        args.push((key, value));
        parser.0 = parser.0.trim_start();
    }
    args
}

struct Parser<'a>(&'a str);

impl Parser<'_> {
    fn eat(&mut self, c: char) -> bool {
        let rest = self.0.strip_prefix(c);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn value(&mut self) -> Value {
        if self.eat('"') {
            return Value::Str(self.quoted());
        }
        if self.eat('[') {
            let mut items = Vec::new();
            while !self.eat(']') {
                items.push(self.value());
                self.eat(',');
            }
            return Value::Array(items);
        }
        if self.eat('{') {
            let mut table = Vec::new();
            while !self.eat('}') {
                let end = self.0.find(':').expect("a colon after a table's key");
                let key = self.0[..end].to_owned();
                self.0 = &self.0[end + 1..];
                table.push((key, self.value()));
                self.eat(',');
            }
            return Value::Table(table);
        }
        let end = self.0.find([' ', ',', ']', '}', '\n']).unwrap_or(self.0.len());
        let word = &self.0[..end];
        self.0 = &self.0[end..];
        bare(word)
    }

    fn quoted(&mut self) -> Vec<u8> {
        let mut text = String::new();
        let mut chars = self.0.char_indices();
        loop {
            match chars.next().expect("a closing quote") {
                (at, '"') => {
                    self.0 = &self.0[at + 1..];
                    return text.into_bytes();
                }
                (_, '\\') => text.push(match chars.next().expect("an escape").1 {
                    '0' => '\0',
                    'n' => '\n',
                    'r' => '\r',
                    c => c,
                }),
                (_, c) => text.push(c),
            }
        }
    }
}

fn bare(word: &str) -> Value {
    match word {
        "true" => return Value::Bool(true),
        "false" => return Value::Bool(false),
        "void" => return Value::Void,
        "NaN" => return Value::Double(f64::NAN),
        "inf" => return Value::Double(f64::INFINITY),
        _ => {}
    }
    if let Ok(n) = word.parse() {
        return Value::Int(b'I', n);
    }
    if let Some(letter) = word.bytes().last().filter(|c| b"bBsuIilT".contains(c))
        && let Ok(n) = word[..word.len() - 1].parse()
    {
        return Value::Int(letter, n);
    }
    if word.contains('.')
        && let Ok(d) = word.parse()
    {
        return Value::Double(d);
    }
    Value::Str(word.as_bytes().to_vec())
}
