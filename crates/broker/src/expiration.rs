//! A message's `expiration` (docs/semantics.md, Time to live): milliseconds as a text.

use super::limits::TTL_MS_MAX;

/// Reads the property: whole milliseconds, with a sign or without, ten years at most.
///
/// # Errors
/// The text of `RabbitMQ`'s 406 for one that is no such number.
pub fn expiration_ms(text: &[u8]) -> Result<u64, String> {
    let text = String::from_utf8_lossy(text);
    parse(&text).map_err(|why| format!("invalid expiration '{text}': {why}"))
}

fn parse(text: &str) -> Result<u64, String> {
    let negative = text.starts_with('-');
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits = unsigned.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = unsigned.split_at(digits);
    if number.is_empty() {
        return Err("no_integer".to_owned());
    }
    if !rest.is_empty() {
        return Err(format!("{{leftover_string,{rest:?}}}"));
    }
    match number.parse::<u64>() {
        Ok(0) => Ok(0),
        _ if negative => Err(format!("{{value_negative,-{number}}}")),
        Ok(ms) if ms <= TTL_MS_MAX => Ok(ms),
        _ => Err(format!("{{value_too_large,{number}}}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_milliseconds_are_taken_and_others_refused_in_rabbitmqs_words() {
        for (text, want) in [
            ("0", Ok(0)),
            ("5000", Ok(5000)),
            ("+5", Ok(5)),
            ("", Err("no_integer")),
            ("x", Err("no_integer")),
            (" 5", Err("no_integer")),
            ("-1", Err("{value_negative,-1}")),
            ("1.5", Err("{leftover_string,\".5\"}")),
            ("5 ", Err("{leftover_string,\" \"}")),
            ("1099511627776", Err("{value_too_large,1099511627776}")),
            ("99999999999999999999", Err("{value_too_large,99999999999999999999}")),
        ] {
            let want = want.map_err(|why| format!("invalid expiration '{text}': {why}"));
            assert_eq!(expiration_ms(text.as_bytes()), want);
        }
    }
}
