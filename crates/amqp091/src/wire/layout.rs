//! The argument types of every method, in order: validated before `amq-protocol` sees a payload.

/// The type of an argument. Bits packed in one octet count as one argument here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arg {
    Octet,
    Short,
    Long,
    LongLong,
    ShortStr,
    LongStr,
    Bits,
    Table,
}

use Arg::{Bits, Long, LongLong, LongStr, Octet, Short, ShortStr, Table};

/// All classes, for tests that iterate over every method.
#[cfg(test)]
pub(crate) const CLASSES: [u16; 8] = [10, 20, 30, 40, 50, 60, 85, 90];

/// The arguments of a method; `None` if no such method exists.
#[expect(clippy::match_same_arms, reason = "one row per method, in the specification's order")]
pub(crate) fn arguments(class: u16, method: u16) -> Option<&'static [Arg]> {
    Some(match (class, method) {
        // connection: start, start-ok, secure(-ok), tune(-ok), open, open-ok, close, close-ok, blocked, unblocked,
        // update-secret(-ok)
        (10, 10) => &[Octet, Octet, Table, LongStr, LongStr],
        (10, 11) => &[Table, ShortStr, LongStr, ShortStr],
        (10, 20 | 21) => &[LongStr],
        (10, 30 | 31) => &[Short, Long, Short],
        (10, 40) => &[ShortStr, ShortStr, Bits],
        (10, 41) => &[ShortStr],
        (10, 50) => &[Short, ShortStr, Short, Short],
        (10, 60) => &[ShortStr],
        (10, 51 | 61 | 71) => &[],
        (10, 70) => &[LongStr, ShortStr],
        // channel: open, open-ok, flow(-ok), close, close-ok
        (20, 10) => &[ShortStr],
        (20, 11) => &[LongStr],
        (20, 20 | 21) => &[Bits],
        (20, 40) => &[Short, ShortStr, Short, Short],
        (20, 41) => &[],
        // access: request(-ok)
        (30, 10) => &[ShortStr, Bits],
        (30, 11) => &[Short],
        // exchange: declare, delete, bind, unbind and their -ok (unbind-ok is 51)
        (40, 10) => &[Short, ShortStr, ShortStr, Bits, Table],
        (40, 20) => &[Short, ShortStr, Bits],
        (40, 30 | 40) => &[Short, ShortStr, ShortStr, ShortStr, Bits, Table],
        (40, 11 | 21 | 31 | 51) => &[],
        // queue: declare, bind, purge, delete, unbind and their -ok
        (50, 10) => &[Short, ShortStr, Bits, Table],
        (50, 11) => &[ShortStr, Long, Long],
        (50, 20) => &[Short, ShortStr, ShortStr, ShortStr, Bits, Table],
        (50, 30) => &[Short, ShortStr, Bits],
        (50, 31 | 41) => &[Long],
        (50, 40) => &[Short, ShortStr, Bits],
        (50, 50) => &[Short, ShortStr, ShortStr, ShortStr, Table],
        (50, 21 | 51) => &[],
        // basic: qos, consume, cancel, publish, return, deliver, get, get-ok, get-empty, ack, reject, recover(-async), nack
        (60, 10) => &[Long, Short, Bits],
        (60, 20) => &[Short, ShortStr, ShortStr, Bits, Table],
        (60, 21 | 31 | 72) => &[ShortStr],
        (60, 30) => &[ShortStr, Bits],
        (60, 40) => &[Short, ShortStr, ShortStr, Bits],
        (60, 50) => &[Short, ShortStr, ShortStr, ShortStr],
        (60, 60) => &[ShortStr, LongLong, Bits, ShortStr, ShortStr],
        (60, 70) => &[Short, ShortStr, Bits],
        (60, 71) => &[LongLong, Bits, ShortStr, ShortStr, Long],
        (60, 80 | 90 | 120) => &[LongLong, Bits],
        (60, 100 | 110) => &[Bits],
        (60, 11 | 111) => &[],
        // confirm: select(-ok)
        (85, 10) => &[Bits],
        (85, 11) => &[],
        // tx: select, commit, rollback and their -ok
        (90, 10 | 11 | 20 | 21 | 30 | 31) => &[],
        _ => return None,
    })
}
