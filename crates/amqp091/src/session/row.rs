//! Consecutive methods of one kind that change definitions, read together, are carried out together: mostly with
//! one commit.
//!
//! Invariants: in order, up to the first refused; answers in the order of the methods; methods behind them see all
//! their effects.

use leveret_broker::names::without_line_breaks;
use leveret_broker::refusal::Refusal;
use leveret_broker::reply_to::is_reply_name;

use super::connection::{Connection, Phase};
use super::error::{MethodId, refused};
use crate::wire::control::parse_method;
use crate::wire::frame::{Frame, FrameKind, Scan, scan};
use crate::wire::method::{AMQPClass, exchange, queue};

/// Methods carried out together, at most.
const TOGETHER_MAX: usize = 4096;

/// The methods carried out are answered; the error refused the next one.
pub(super) type Answered = Result<(), Refusal>;

/// The valid requests, up to the first invalid one.
pub(super) fn until_refused<M, R>(
    methods: &[M],
    mut request: impl FnMut(&M) -> Result<R, Refusal>,
) -> (Vec<R>, Option<Refusal>) {
    let mut requests = Vec::with_capacity(methods.len());
    for method in methods {
        match request(method) {
            Ok(request) => requests.push(request),
            Err(refusal) => return (requests, Some(refusal)),
        }
    }
    (requests, None)
}

/// Whether it names a reply queue, which is never declared.
pub(super) fn names_reply_queue(declare: &queue::Declare) -> bool {
    is_reply_name(&without_line_breaks(declare.queue.as_str()))
}

/// Whether a method changes definitions with a commit that others can share.
fn shares(method: &AMQPClass) -> bool {
    use exchange::AMQPMethod as X;
    use queue::AMQPMethod as Q;
    match method {
        AMQPClass::Queue(Q::Declare(declare)) => !declare.passive && !names_reply_queue(declare),
        AMQPClass::Exchange(X::Declare(declare)) => !declare.passive,
        AMQPClass::Queue(Q::Delete(_) | Q::Bind(_) | Q::Unbind(_))
        | AMQPClass::Exchange(X::Delete(_) | X::Bind(_) | X::Unbind(_)) => true,
        _ => false,
    }
}

impl Connection {
    /// Carries out a method together with those of its kind that follow in `bytes`. Returns the length of
    /// these in bytes; `None`: none follow.
    pub(super) fn row(
        &mut self,
        bytes: &[u8],
        frame: &Frame,
        method: &AMQPClass,
        id: MethodId,
    ) -> Option<usize> {
        if self.phase != Phase::Running || !shares(method) {
            return None;
        }
        let kind = [id.0.to_be_bytes(), id.1.to_be_bytes()].concat();
        let (second, used) = self.following(&bytes[frame.end..], frame.channel, &kind)?;
        let (mut end, mut methods) = (frame.end + used, vec![method.clone(), second]);
        while methods.len() < TOGETHER_MAX
            && let Some((method, used)) = self.following(&bytes[end..], frame.channel, &kind)
        {
            methods.push(method);
            end += used;
        }
        if self.on_open_channel(frame.channel, method, id) {
            self.carry_out(frame.channel, methods, id);
        }
        Some(end)
    }

    /// The method at the start of `bytes`, if it is of this kind, and its length.
    fn following(&self, bytes: &[u8], channel: u16, kind: &[u8]) -> Option<(AMQPClass, usize)> {
        let Ok(Scan::Frame(frame)) = scan(bytes, self.negotiated.frame_max) else { return None };
        let payload = &bytes[frame.payload.clone()];
        if frame.kind != FrameKind::Method || frame.channel != channel || !payload.starts_with(kind) {
            return None;
        }
        let method = parse_method(payload).ok().filter(shares)?;
        Some((method, frame.end))
    }

    /// Carries out methods of one kind, and answers them.
    pub(super) fn carry_out(&mut self, number: u16, methods: Vec<AMQPClass>, id: MethodId) {
        use exchange::AMQPMethod as X;
        use queue::AMQPMethod as Q;
        macro_rules! all {
            ($class:ident, $pattern:path) => {
                methods
                    .into_iter()
                    .filter_map(|method| match method {
                        AMQPClass::$class($pattern(method)) => Some(method),
                        _ => None,
                    })
                    .collect::<Vec<_>>()
            };
        }
        let answered = match methods.first() {
            Some(AMQPClass::Queue(Q::Declare(_))) => self.declare_queues(number, &all!(Queue, Q::Declare)),
            Some(AMQPClass::Queue(Q::Delete(_))) => self.delete_queues(number, &all!(Queue, Q::Delete)),
            Some(AMQPClass::Queue(Q::Bind(_))) => self.bind_queues(number, &all!(Queue, Q::Bind)),
            Some(AMQPClass::Queue(Q::Unbind(_))) => self.unbind_queues(number, &all!(Queue, Q::Unbind)),
            Some(AMQPClass::Exchange(X::Declare(_))) => {
                self.declare_exchanges(number, &all!(Exchange, X::Declare))
            }
            Some(AMQPClass::Exchange(X::Delete(_))) => {
                self.delete_exchanges(number, &all!(Exchange, X::Delete))
            }
            Some(AMQPClass::Exchange(X::Bind(_))) => self.bind_exchanges(number, &all!(Exchange, X::Bind)),
            Some(AMQPClass::Exchange(X::Unbind(_))) => {
                self.unbind_exchanges(number, &all!(Exchange, X::Unbind))
            }
            _ => return self.unimplemented(id),
        };
        if let Err(refusal) = answered {
            self.fail_on(number, &refused(&refusal, id));
        }
    }
}
