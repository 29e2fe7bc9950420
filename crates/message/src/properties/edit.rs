//! Edits of raw properties: for dead letters, delays, delivery counts, and anything else the broker writes into a
//! message.

use super::{Field, Properties, PropertiesError};

/// A copy of raw properties with changes.
#[derive(Clone, Debug, Default)]
pub struct PropertiesEdit<'a> {
    before: Properties<'a>,
    changed: [Option<Change>; 14],
}

#[derive(Clone, Debug)]
enum Change {
    Removed,
    Set(Vec<u8>),
}

impl<'a> PropertiesEdit<'a> {
    /// Starts from raw properties; use [`Default`] to start from none.
    pub fn new(raw: &'a [u8]) -> Result<Self, PropertiesError> {
        Ok(Self { before: Properties::parse(raw)?, changed: Default::default() })
    }

    /// The original properties.
    pub fn before(&self) -> &Properties<'a> {
        &self.before
    }

    /// Removes a field, if present.
    pub fn remove(&mut self, field: Field) -> &mut Self {
        self.changed[field as usize] = Some(Change::Removed);
        self
    }

    /// Sets a text field, truncated at 255 bytes. Must not be used for numbers and headers, which it leaves
    /// unchanged.
    pub fn set_text(&mut self, field: Field, text: &[u8]) -> &mut Self {
        if !matches!(field, Field::Headers | Field::DeliveryMode | Field::Priority | Field::Timestamp) {
            let count = u8::try_from(text.len()).unwrap_or(u8::MAX);
            let mut encoded = vec![count];
            encoded.extend(&text[..count.into()]);
            self.changed[field as usize] = Some(Change::Set(encoded));
        }
        self
    }

    /// Sets the headers to a table's contents (without length prefix), such as
    /// [`rewrite`](crate::table::edit::rewrite) returns. They are not checked.
    pub fn set_headers(&mut self, contents: &[u8]) -> &mut Self {
        let count = u32::try_from(contents.len()).unwrap_or(u32::MAX);
        let mut encoded = count.to_be_bytes().to_vec();
        encoded.extend(&contents[..count as usize]);
        self.changed[Field::Headers as usize] = Some(Change::Set(encoded));
        self
    }

    /// Sets the delivery mode: 2 is persistent.
    pub fn set_delivery_mode(&mut self, mode: u8) -> &mut Self {
        self.changed[Field::DeliveryMode as usize] = Some(Change::Set(vec![mode]));
        self
    }

    /// Sets the priority.
    pub fn set_priority(&mut self, priority: u8) -> &mut Self {
        self.changed[Field::Priority as usize] = Some(Change::Set(vec![priority]));
        self
    }

    /// Sets the timestamp, in seconds since the Unix epoch.
    pub fn set_timestamp(&mut self, seconds: u64) -> &mut Self {
        self.changed[Field::Timestamp as usize] = Some(Change::Set(seconds.to_be_bytes().to_vec()));
        self
    }

    /// The raw properties with all changes.
    pub fn finish(&self) -> Vec<u8> {
        let mut flags = 0;
        let mut out = vec![0, 0];
        for field in Field::ALL {
            let encoded = match &self.changed[field as usize] {
                Some(Change::Removed) => None,
                Some(Change::Set(encoded)) => Some(encoded.as_slice()),
                None => self.before.encoded[field as usize],
            };
            if let Some(encoded) = encoded {
                flags |= field.flag();
                out.extend(encoded);
            }
        }
        out[..2].copy_from_slice(&flags.to_be_bytes());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::edit::table_contents;
    use crate::testing::raw;
    use crate::values::{AMQPValue, FieldTable};
    use amq_protocol::protocol::basic::AMQPProperties;

    #[test]
    fn edit_changes_what_it_is_told_and_keeps_the_rest() {
        let before = AMQPProperties::default()
            .with_content_type("text/plain".into())
            .with_expiration("500".into())
            .with_priority(3);
        let raw_before = raw(&before);
        let mut edit = PropertiesEdit::new(&raw_before).unwrap();
        let mut headers = FieldTable::default();
        headers.insert("x-delay".into(), AMQPValue::LongInt(-5));
        edit.remove(Field::Expiration).remove(Field::ReplyTo).set_headers(&table_contents(&headers));
        edit.set_timestamp(9)
            .set_text(Field::UserId, b"me")
            .set_delivery_mode(2)
            .set_text(Field::Priority, b"no");
        let want = AMQPProperties::default()
            .with_content_type("text/plain".into())
            .with_priority(3)
            .with_headers(headers)
            .with_timestamp(9)
            .with_user_id("me".into())
            .with_delivery_mode(2);
        assert_eq!(edit.finish(), raw(&want));
        assert_eq!(edit.before().text(Field::Expiration), Some(&b"500"[..]));
    }
}
