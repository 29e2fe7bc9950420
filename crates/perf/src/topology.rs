//! Queues, exchange and bindings of a measurement: declared before, deleted after.

use leveret_amqp091::wire::control::write_method;
use leveret_amqp091::wire::method::{AMQPClass, AMQPValue, FieldTable, exchange, queue, short_string};

use super::batch::header_of;
use super::error::PerfError;
use super::link::{Link, name, unexpected};
use super::settings::{ExchangeKind, Settings};

/// The channel used for setup.
pub(super) const CHANNEL: u16 = 1;

/// Declarations in flight before one is awaited.
const PIPELINE: usize = 500;

/// Deletes leftovers of an earlier run, and declares queues, exchange and bindings anew.
pub(super) fn declare(link: &mut Link, settings: &Settings) -> Result<(), PerfError> {
    let arguments = queue_arguments(&settings.queue_args)?;
    for index in 0..settings.queues {
        delete_queue(link, &settings.queue(index))?;
        declare_queue(link, &settings.queue(index), settings.durable, &arguments)?;
    }
    let kind = match settings.exchange {
        ExchangeKind::Default => return Ok(()),
        ExchangeKind::Direct => "direct",
        ExchangeKind::Topic => "topic",
        ExchangeKind::Fanout => "fanout",
        ExchangeKind::Headers => "headers",
    };
    delete_exchange(link, settings)?;
    let declare = exchange::Declare {
        exchange: name(&settings.exchange_name()),
        kind: kind.into(),
        durable: settings.durable,
        ..exchange::Declare::default()
    };
    link.call(CHANNEL, &AMQPClass::Exchange(exchange::AMQPMethod::Declare(declare)))?;
    let bindings =
        if settings.exchange == ExchangeKind::Fanout { settings.queues } else { settings.bindings };
    pipeline(link, bindings, |index, nowait| {
        AMQPClass::Queue(queue::AMQPMethod::Bind(queue::Bind {
            queue: name(&settings.queue(index % settings.queues)),
            exchange: name(&settings.exchange_name()),
            routing_key: name(&settings.binding_key(index)),
            nowait,
            arguments: match settings.exchange {
                ExchangeKind::Headers => header_of(index),
                _ => FieldTable::default(),
            },
        }))
    })
}

/// Deletes everything that [`declare`] declared.
pub(super) fn delete(link: &mut Link, settings: &Settings) -> Result<(), PerfError> {
    if settings.exchange != ExchangeKind::Default {
        delete_exchange(link, settings)?;
    }
    (0..settings.queues).try_for_each(|index| delete_queue(link, &settings.queue(index)))
}

/// Sends `count` methods, every Nth of which requests an answer.
pub(super) fn pipeline(
    link: &mut Link,
    count: usize,
    method: impl Fn(usize, bool) -> AMQPClass,
) -> Result<(), PerfError> {
    for start in (0..count).step_by(PIPELINE) {
        let end = count.min(start + PIPELINE);
        let mut frames = Vec::new();
        for index in start..end {
            write_method(&mut frames, CHANNEL, &method(index, index + 1 < end));
        }
        link.write(&frames)?;
        link.answer(CHANNEL)?;
    }
    Ok(())
}

/// Declares a queue. Returns its number of ready messages.
pub(super) fn declare_queue(
    link: &mut Link,
    queue: &str,
    durable: bool,
    arguments: &FieldTable,
) -> Result<u32, PerfError> {
    let declare = queue::Declare {
        queue: name(queue),
        durable,
        arguments: arguments.clone(),
        ..queue::Declare::default()
    };
    ready(link, declare)
}

/// Number of ready messages in an existing queue.
pub(super) fn messages(link: &mut Link, queue: &str) -> Result<u32, PerfError> {
    ready(link, queue::Declare { queue: name(queue), passive: true, ..queue::Declare::default() })
}

fn ready(link: &mut Link, declare: queue::Declare) -> Result<u32, PerfError> {
    match link.call(CHANNEL, &AMQPClass::Queue(queue::AMQPMethod::Declare(declare)))? {
        AMQPClass::Queue(queue::AMQPMethod::DeclareOk(declared)) => Ok(declared.message_count),
        other => Err(unexpected(&other)),
    }
}

pub(super) fn delete_queue(link: &mut Link, queue: &str) -> Result<(), PerfError> {
    let delete = queue::Delete { queue: name(queue), ..queue::Delete::default() };
    link.call(CHANNEL, &AMQPClass::Queue(queue::AMQPMethod::Delete(delete))).map(|_| ())
}

fn delete_exchange(link: &mut Link, settings: &Settings) -> Result<(), PerfError> {
    let delete =
        exchange::Delete { exchange: name(&settings.exchange_name()), ..exchange::Delete::default() };
    link.call(CHANNEL, &AMQPClass::Exchange(exchange::AMQPMethod::Delete(delete))).map(|_| ())
}

/// Parses `key=value` pairs: integers, `true`, `false`, else text.
pub(super) fn queue_arguments(pairs: &[String]) -> Result<FieldTable, PerfError> {
    let mut table = FieldTable::default();
    for pair in pairs {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(PerfError::Option(format!("--queue-args: {pair} is not key=value")));
        };
        let value = match (value.parse::<i64>(), value) {
            (Ok(number), _) => AMQPValue::LongLongInt(number),
            (_, "true") => AMQPValue::Boolean(true),
            (_, "false") => AMQPValue::Boolean(false),
            _ => AMQPValue::LongString(value.into()),
        };
        table.insert(short_string(key), value);
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_arguments_take_the_type_of_their_value() {
        let pairs = ["x-max-length=5", "x-single-active-consumer=true", "x-queue-type=quorum", "x-a=b=c"];
        let table = queue_arguments(&pairs.map(str::to_owned)).unwrap();
        for (key, want) in [
            ("x-max-length", AMQPValue::LongLongInt(5)),
            ("x-single-active-consumer", AMQPValue::Boolean(true)),
            ("x-queue-type", AMQPValue::LongString("quorum".into())),
            ("x-a", AMQPValue::LongString("b=c".into())),
        ] {
            assert_eq!(table.inner().get(key), Some(&want));
        }
        assert!(queue_arguments(&["x".to_owned()]).is_err());
    }
}
