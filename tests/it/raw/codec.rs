//! Wire encoding and decoding of methods, properties and content headers by their specifications.

use super::spec::{MethodSpec, PROPERTIES};
use super::value::{Reader, Table, Value, encode_table, parse_args};

/// Fields by name, as written in a test.
pub(super) type Args = Vec<(String, Value)>;

pub(super) fn encode_method(spec: &MethodSpec, args: &Args) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(spec.class.to_be_bytes());
    out.extend(spec.id.to_be_bytes());
    let mut bits: Option<u32> = None;
    for (name, kind) in &spec.fields {
        let arg = args.iter().find(|(n, _)| n == name).map(|(_, v)| v);
        if *kind == b'b' {
            let at = bits.map_or(0, |b| b + 1);
            if at == 0 {
                out.push(0);
            }
            let on = arg.is_some_and(|v| v.int() != 0);
            *out.last_mut().expect("pushed") |= u8::from(on) << at;
            bits = Some(at);
            continue;
        }
        bits = None;
        encode_field(*kind, arg, &mut out);
    }
    out
}

fn encode_field(kind: u8, arg: Option<&Value>, out: &mut Vec<u8>) {
    let text = || match arg {
        None => Vec::new(),
        Some(Value::Str(s)) => s.clone(),
        Some(other) => other.to_string().into_bytes(),
    };
    let number = arg.map_or(0, |v| if kind == b't' { 0 } else { int_of(v) });
    match kind {
        b'o' => out.extend(&number.to_be_bytes()[7..]),
        b'w' => out.extend(&number.to_be_bytes()[6..]),
        b'd' => out.extend(&number.to_be_bytes()[4..]),
        b'q' => out.extend(number.to_be_bytes()),
        b's' => {
            let text = text();
            out.push(u8::try_from(text.len()).expect("short string"));
            out.extend(text);
        }
        b'l' => {
            let text = text();
            out.extend(u32::try_from(text.len()).expect("long string").to_be_bytes());
            out.extend(text);
        }
        b't' => encode_table(arg.map_or(&vec![], Value::table), out),
        other => panic!("field type {}", char::from(other)),
    }
}

fn int_of(value: &Value) -> i64 {
    match value {
        Value::Int(_, n) => *n,
        _ => 0,
    }
}

pub(super) fn decode_fields(spec: &MethodSpec, reader: &mut Reader<'_>) -> Vec<(&'static str, Value)> {
    let mut bits: Option<(u8, u32)> = None;
    let mut fields = Vec::new();
    for (name, kind) in &spec.fields {
        let value = if *kind == b'b' {
            let (octet, at) = bits.map_or_else(|| (reader.take(1)[0], 0), |(o, at)| (o, at + 1));
            bits = Some((octet, at));
            Value::Bool(octet >> at & 1 == 1)
        } else {
            bits = None;
            decode_field(*kind, reader)
        };
        fields.push((*name, value));
    }
    assert!(reader.0.is_empty(), "octets left over in {}", spec.name);
    fields
}

fn decode_field(kind: u8, reader: &mut Reader<'_>) -> Value {
    let width = match kind {
        b'o' => 1,
        b'w' => 2,
        b'd' => 4,
        b'q' => 8,
        b's' => return Value::Str(reader.short_str()),
        b'l' => return Value::Str(reader.long_str().to_vec()),
        b't' => return Value::Table(reader.table()),
        other => panic!("field type {}", char::from(other)),
    };
    Value::Int(b'l', reader.uint(width).cast_signed())
}

pub(super) fn decode_props(reader: &mut Reader<'_>) -> Table {
    let flags = reader.uint(2);
    let mut props = Vec::new();
    for (i, (name, kind)) in PROPERTIES.iter().enumerate() {
        if flags >> (15 - i) & 1 == 1 {
            props.push(((*name).to_owned(), decode_field(*kind, reader)));
        }
    }
    assert!(reader.0.is_empty(), "octets left over after the properties");
    props
}

/// The payload of a content header.
pub(crate) fn encode_header(class: u16, size: u64, props: &str) -> Vec<u8> {
    let args = parse_args(props);
    let mut flags = 0_u16;
    let mut list = Vec::new();
    for (i, (name, kind)) in PROPERTIES.iter().enumerate() {
        if let Some((_, value)) = args.iter().find(|(n, _)| n == name) {
            flags |= 1 << (15 - i);
            encode_field(*kind, value.as_ref(), &mut list);
        }
    }
    assert_eq!(flags.count_ones() as usize, args.len(), "a property that does not exist in {props:?}");
    let mut out = Vec::new();
    out.extend(class.to_be_bytes());
    out.extend([0, 0]);
    out.extend(size.to_be_bytes());
    out.extend(flags.to_be_bytes());
    out.extend(list);
    out
}
