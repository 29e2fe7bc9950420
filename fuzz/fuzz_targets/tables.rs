//! Message properties and the tables in them: read, converted, edited, read again.
#![no_main]

use leveret_message::properties::{Field, Properties, PropertiesEdit, essentials};
use leveret_message::table::{ArrayRef, TableRef, ValueRef};
use leveret_message::table::edit::{rewrite, table_contents};
use libfuzzer_sys::fuzz_target;

fn read_table(contents: &[u8]) {
    let unchecked = TableRef::assume_valid(contents);
    assert!(unchecked.iter().count() <= contents.len());
    assert!(ArrayRef::assume_valid(contents).iter().count() <= contents.len());
    let Ok(table) = TableRef::new(contents) else {
        assert!(unchecked.to_field_table().is_err());
        return;
    };
    let changed = rewrite(table, &[("a", Some(ValueRef::U8(7))), ("b", None)]);
    let changed = TableRef::new(&changed).expect("a table that we write");
    assert_eq!(changed.get("a"), Some(ValueRef::U8(7)));
    assert_eq!(changed.get("b"), None);
    if let Ok(owned) = table.to_field_table() {
        let written = table_contents(&owned);
        let again = TableRef::new(&written).expect("a table that we write");
        assert_eq!(table_contents(&again.to_field_table().expect("names are text")), written);
    }
}

fuzz_target!(|raw: &[u8]| {
    read_table(raw);
    let short = essentials(raw);
    let all = Properties::parse(raw);
    assert_eq!(short.map(|_| ()), all.map(|_| ()));
    let (Ok(short), Ok(all)) = (short, all) else {
        return;
    };
    assert_eq!(short.persistent, all.delivery_mode() == Some(2));
    assert_eq!(short.expiration, all.text(Field::Expiration));
    assert_eq!(short.headers, all.headers());
    let mut edit = PropertiesEdit::new(raw).expect("checked above");
    edit.remove(Field::Expiration).set_headers(b"\x01kV").set_text(Field::ReplyTo, b"there");
    let edited = edit.finish();
    let after = essentials(&edited).expect("properties that we write");
    assert_eq!((after.expiration, after.reply_to), (None, Some(&b"there"[..])));
    assert_eq!(after.persistent, short.persistent);
});
