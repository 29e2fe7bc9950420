//! Content as it arrives: a publish, its header and its body frames.
//!
//! Invariants: content is handled only when complete; at most one is open per channel; a body is copied once.
//! Absent: carrying out the publish (`publishing.rs`).

use super::connection::{Connection, OpenBody, Phase, unexpected};
use super::content::{Content, Publication, header_of, in_one_piece};
use super::error::{AmqpError, ReplyCode, bad_frame};
use crate::wire::frame::{FRAME_END, Frame, FrameKind, Scan, scan};
use crate::wire::publish::Publish;

/// Publishes carried out together, at most. Bounds how long one connection holds a queue.
const BATCH_MAX: usize = 512;

impl Connection {
    /// A publish. Its header and body mostly follow directly, and the message is then made in one copy.
    /// Otherwise its pieces are collected. Returns the bytes consumed.
    pub(super) fn publish_frames(&mut self, bytes: &[u8], frame: &Frame, publish: &Publish<'_>) -> usize {
        let channel = frame.channel;
        if publish.immediate {
            self.flush();
            let error = AmqpError::new(ReplyCode::NotImplemented, super::content::PUBLISH, "immediate=true");
            self.fail_on(channel, &error);
            return frame.end;
        }
        if self.batch.channel != channel || self.batch.messages.len() >= BATCH_MAX {
            self.flush();
            self.batch.channel = channel;
        }
        match self.whole_content(bytes, frame, publish) {
            Ok(Some((message, end))) => {
                self.accept(channel, message);
                end
            }
            Ok(None) => {
                if let Some(open) = self.channels.get_mut(&channel) {
                    open.content = Some(Content::new(publish));
                }
                frame.end
            }
            Err((error, end)) => {
                self.flush();
                self.fail_on(channel, &error);
                end
            }
        }
    }

    /// The message, if all its frames are complete and contiguous. An error carries the bytes consumed.
    fn whole_content(
        &self,
        bytes: &[u8],
        method: &Frame,
        publish: &Publish<'_>,
    ) -> Result<Option<(Publication, usize)>, (AmqpError, usize)> {
        let frame_max = self.negotiated.frame_max;
        let next = |at: usize, kind: FrameKind| match scan(&bytes[at..], frame_max) {
            Ok(Scan::Frame(frame)) if frame.kind == kind && frame.channel == method.channel => Some(frame),
            _ => None,
        };
        let Some(head) = next(method.end, FrameKind::Header) else { return Ok(None) };
        let header_at = method.end + head.payload.start;
        let header_end = method.end + head.end;
        let payload = &bytes[header_at..method.end + head.payload.end];
        let header = header_of(payload).map_err(|error| (error, header_end))?;
        let (body, end) = if header.body_size == 0 {
            (header_end..header_end, header_end)
        } else {
            let Some(body) = next(header_end, FrameKind::Body) else { return Ok(None) };
            if body.payload.len() as u64 != header.body_size {
                return Ok(None);
            }
            (header_end + body.payload.start..header_end + body.payload.end, header_end + body.end)
        };
        if body.len() >= super::content::APART_BYTES {
            return Ok(None);
        }
        // Ranges are relative to the publish's payload, where the copy starts.
        let origin = method.payload.start;
        in_one_piece(
            &bytes[origin..body.end.max(header_end)],
            publish,
            0,
            &header,
            header_at - origin,
            body.start - origin..body.end - origin,
            &self.rules(),
        )
        .map(|message| Some((message, end)))
        .map_err(|error| (error, end))
    }

    /// A content header that did not directly follow its publish.
    pub(super) fn header_piece(&mut self, channel: u16, payload: &[u8]) {
        let Some(mut content) = self.open_content(channel, "header") else { return };
        match content.header(payload, &self.rules()) {
            Ok(()) => {
                self.holding.grows(content.memory());
                self.put_back(channel, content);
            }
            Err(error) => self.fail_on(channel, &error),
        }
    }

    /// A piece of a body that did not directly follow its header, or is large.
    pub(super) fn body_piece(&mut self, channel: u16, piece: &[u8]) {
        let Some(mut content) = self.open_content(channel, "body") else { return };
        self.holding.grows(piece.len());
        match content.body(piece) {
            Ok(()) => self.put_back(channel, content),
            Err(error) => self.fail_on(channel, &error),
        }
    }

    fn open_content(&mut self, channel: u16, got: &str) -> Option<Content> {
        match self.channels.get_mut(&channel) {
            Some(open) if open.closing => None,
            Some(open) => {
                let content = open.content.take();
                if content.is_none() {
                    self.fail(&unexpected(&format!("expected a method, got content {got} instead")));
                }
                content
            }
            None => {
                self.flush();
                match channel {
                    0 => self.fail(&unexpected("content on channel 0")),
                    _ => self.no_channel(channel, &[]),
                }
                None
            }
        }
    }

    fn put_back(&mut self, channel: u16, content: Content) {
        if !content.is_complete() {
            if let Some(open) = self.channels.get_mut(&channel) {
                open.content = Some(content);
            }
            return;
        }
        if self.batch.channel != channel {
            self.flush();
            self.batch.channel = channel;
        }
        match content.finish(&self.rules()) {
            Ok(message) => self.accept(channel, message),
            Err(error) => {
                self.flush();
                self.fail_on(channel, &error);
            }
        }
    }

    /// Buffers a complete message.
    fn accept(&mut self, channel: u16, mut message: Publication) {
        if message.asks_reply && !self.address(channel, &mut message) {
            return;
        }
        self.batch.messages.push(message);
    }

    /// More of a body frame. `None`: all bytes are consumed and it is still incomplete.
    pub(super) fn continue_body(&mut self, bytes: &[u8]) -> Option<usize> {
        let OpenBody { channel, left } = self.open_body.take()?;
        let piece = left.min(bytes.len());
        if piece > 0 && self.phase != Phase::Closing {
            self.body_piece(channel, &bytes[..piece]);
        }
        match bytes.get(piece) {
            Some(&FRAME_END) => Some(piece + 1),
            Some(&octet) => {
                self.fail(&bad_frame(&crate::wire::frame::FrameError::BadEnd(octet)));
                self.phase = Phase::Closed;
                Some(bytes.len())
            }
            None => {
                self.open_body = Some(OpenBody { channel, left: left - piece });
                None
            }
        }
    }
}
