//! Declarations while the memory alarm is raised.

use leveret_store::memory::MemStore;

use super::*;
use crate::alarms::{AlarmLimits, Seen};

fn arguments(bytes: usize) -> FieldTable {
    let mut inner = FieldTable::default();
    inner.insert("x".into(), Value::LongString("a".repeat(bytes).into()));
    let mut outer = FieldTable::default();
    outer.insert("nested".into(), Value::FieldTable(inner));
    outer
}

#[test]
fn large_arguments_wait_for_the_end_of_the_alarm_and_small_ones_do_not() {
    let kept = Kept::default();
    let bench = Bench::start(Arc::new(MemStore::new()), &kept, kept.found(HashMap::new()));
    let alarms = &bench.broker.alarms;
    alarms.set_limits(AlarmLimits { resident_max: 1000, ..alarms.limits() });
    bench.queue("q", false).unwrap();
    for (turn, (resident, alarm)) in [(10, false), (2000, true), (10, false)].into_iter().enumerate() {
        alarms.observe(Seen { disk_free: None, resident: Some(resident) });
        for (size, bytes, fits) in [("small", 100, true), ("large", 5000, !alarm)] {
            let (table, name) = (arguments(bytes), format!("{size} {turn}"));
            assert_eq!(bench.queue_with(&name, false, &table).is_ok(), fits, "queue {name}");
            let request = ExchangeRequest {
                kind: "fanout",
                durable: false,
                auto_delete: false,
                internal: false,
                arguments: &table,
            };
            let declared = bench.as_guest(|vhost, caller| {
                bench.broker.declare_exchange(vhost, caller, &ExchangeName::new(&name), &request)
            });
            assert_eq!(declared.is_ok(), fits, "exchange {name}");
            let request = BindingRequest {
                routing_key: name.clone(),
                arguments: table,
                ..binding("amq.direct", DestinationKind::Queue, "q")
            };
            let bound = bench.as_guest(|vhost, caller| bench.broker.bind(vhost, caller, &request));
            assert_eq!(bound.is_ok(), fits, "binding {name}");
        }
    }
}
