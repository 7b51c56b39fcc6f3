//! A fixed set of reading connections, lent to blocking threads one query at a time. A query that panics loses its
//! connection, and another takes its place.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use crate::writer::caught;
use crate::{Error, connect_reader};

#[derive(Debug)]
pub(crate) struct Readers {
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
    path: PathBuf,
}

impl Readers {
    /// Opens `count` connections to the database at `path`.
    pub(crate) fn open(path: PathBuf, count: usize) -> Result<Self, Error> {
        let idle = (0..count).map(|_| connect_reader(&path)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { permits: Semaphore::new(count), idle: Mutex::new(idle), path })
    }

    pub(crate) async fn run<T, F>(self: &std::sync::Arc<Self>, query: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    {
        let readers = self.clone();
        let _permit = self.permits.acquire().await.map_err(|_| Error::Closed)?;
        let work = move || {
            let connection = readers.lock().pop().ok_or(Error::Closed)?;
            let result = caught(|| query(&connection));
            let connection = match &result {
                Err(Error::Panicked) => connect_reader(&readers.path).unwrap_or(connection),
                _ => connection,
            };
            readers.lock().push(connection);
            result
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| Error::Closed)?
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn readers_outlive_queries_that_panic() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("test.db");
        crate::connect(&path).unwrap().execute_batch("CREATE TABLE numbers (n INTEGER)").unwrap();
        let readers = std::sync::Arc::new(Readers::open(path, 2).unwrap());
        for n in 0..6 {
            let panics = readers.run::<(), _>(move |connection| {
                let _count = connection.prepare_cached("SELECT count(*) FROM numbers")?;
                panic!("query {n}")
            });
            assert!(matches!(panics.await, Err(Error::Panicked)));
        }
        let count = |connection: &Connection| {
            Ok(connection.query_row("SELECT count(*) FROM numbers", [], |row| row.get::<_, i64>(0))?)
        };
        let (one, two) = tokio::join!(readers.run(count), readers.run(count));
        assert_eq!((one.unwrap(), two.unwrap()), (0, 0));
        let write = readers.run(|connection| Ok(connection.execute("INSERT INTO numbers VALUES (1)", [])?));
        assert!(matches!(write.await, Err(Error::ReadOnly { .. })), "a new reader only reads, too");
    }
}
