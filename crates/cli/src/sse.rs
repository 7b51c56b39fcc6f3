//! Reads server-sent events out of a stream of bytes.

use futures_util::{Stream, StreamExt as _};
use lar_egress::Response;

/// An event's name and data.
pub(crate) type Event = (String, String);

/// The events of an answer, as they come. Comments are left out.
pub(crate) fn events(response: Response) -> impl Stream<Item = anyhow::Result<Event>> {
    let bytes = Box::pin(response.stream());
    futures_util::stream::unfold((bytes, Parser::default()), |(mut bytes, mut parser)| async move {
        loop {
            if let Some(event) = parser.next() {
                return Some((Ok(event), (bytes, parser)));
            }
            match bytes.next().await {
                Some(Ok(chunk)) => parser.push(&chunk),
                Some(Err(error)) => return Some((Err(error.into()), (bytes, parser))),
                None => return None,
            }
        }
    })
}

#[derive(Debug, Default)]
struct Parser {
    buffer: Vec<u8>,
}

impl Parser {
    fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    fn next(&mut self) -> Option<Event> {
        loop {
            let end = self.buffer.windows(2).position(|pair| pair == b"\n\n")?;
            let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
            let block = String::from_utf8_lossy(&block);
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
            if let Some(data) = field("data: ") {
                return Some((field("event: ").unwrap_or("message").to_owned(), data.to_owned()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_whole_and_comments_not_at_all() {
        let mut parser = Parser::default();
        parser.push(b": hello\n\nevent: token\nid: 1\nda");
        assert_eq!(parser.next(), None);
        parser.push(b"ta: {\"t\":1}\n\n");
        assert_eq!(parser.next(), Some(("token".into(), "{\"t\":1}".into())));
        assert_eq!(parser.next(), None);
    }
}
