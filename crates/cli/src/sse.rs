//! A parser of server-sent events.

use futures_util::{Stream, StreamExt as _};
use lar_egress::Response;

/// The maximum size of an event. The largest has a question of 1 MiB, which JSON may escape to 6 MiB, and its answer.
const EVENT_BYTES_MAX: usize = 16 << 20;

/// An event's name and data.
pub(crate) type Event = (String, String);

/// Returns the events of a response as they arrive, without comments.
pub(crate) fn events(response: Response) -> impl Stream<Item = anyhow::Result<Event>> {
    let bytes = Box::pin(response.stream());
    futures_util::stream::unfold((bytes, Parser::default()), |(mut bytes, mut parser)| async move {
        loop {
            if let Some(event) = parser.next() {
                return Some((Ok(event), (bytes, parser)));
            }
            match bytes.next().await {
                Some(Ok(chunk)) => {
                    if let Err(error) = parser.push(&chunk) {
                        return Some((Err(error), (bytes, parser)));
                    }
                }
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
    /// Adds the next bytes of the stream.
    ///
    /// # Errors
    /// If an event is longer than [`EVENT_BYTES_MAX`].
    fn push(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.buffer.extend_from_slice(bytes);
        anyhow::ensure!(
            self.buffer.len() <= EVENT_BYTES_MAX,
            "the server sent an event of more than {} MiB",
            EVENT_BYTES_MAX >> 20
        );
        Ok(())
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
    fn events_are_returned_whole_and_comments_are_skipped() {
        let mut parser = Parser::default();
        parser.push(b": hello\n\nevent: token\nid: 1\nda").unwrap();
        assert_eq!(parser.next(), None);
        parser.push(b"ta: {\"t\":1}\n\n").unwrap();
        assert_eq!(parser.next(), Some(("token".into(), "{\"t\":1}".into())));
        assert_eq!(parser.next(), None);
    }

    #[test]
    fn an_event_without_an_end_is_refused() {
        let mut parser = Parser::default();
        assert!(parser.push(&vec![b'x'; EVENT_BYTES_MAX]).is_ok());
        let error = parser.push(b"x").unwrap_err().to_string();
        assert_eq!(error, "the server sent an event of more than 16 MiB");
    }
}
