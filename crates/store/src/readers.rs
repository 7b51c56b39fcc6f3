//! A fixed pool of read connections, lent to blocking threads for one query at a time. If a query panics, its
//! connection is replaced. If a query's caller leaves, the query keeps its connection until it ends.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::{Semaphore, oneshot};

use crate::connection::connect_reader;
use crate::error::Error;
use crate::panics::catch_panic;

/// A query that returns whether it panicked.
type AnyQuery = Box<dyn FnOnce(&Connection) -> bool + Send>;

#[derive(Debug)]
pub(crate) struct Readers {
    idle: Mutex<Vec<Connection>>,
    /// One permit per idle connection.
    permits: Arc<Semaphore>,
    path: PathBuf,
}

impl Readers {
    /// Opens `count` connections to the database at `path`.
    pub(crate) fn open(path: PathBuf, count: usize) -> Result<Self, Error> {
        let idle = (0..count).map(|_| connect_reader(&path)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { permits: Arc::new(Semaphore::new(count)), idle: Mutex::new(idle), path })
    }

    pub(crate) async fn run<T, F>(self: &Arc<Self>, query: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let query = move |connection: &Connection| {
            let result = catch_panic(|| query(connection));
            let has_panicked = matches!(result, Err(Error::Panicked));
            let _ = answer.send(result);
            has_panicked
        };
        self.run_any(Box::new(query)).await?;
        answered.await.map_err(|_| Error::Closed)?
    }

    /// Runs a query that delivers its own result and returns whether it panicked. Not generic: the code that
    /// runs a task is large, and would otherwise be compiled once per query in every crate that uses the
    /// store.
    async fn run_any(self: &Arc<Self>, query: AnyQuery) -> Result<(), Error> {
        let readers = self.clone();
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| Error::Closed)?;
        let work = move || {
            // The caller may drop this future before the query ends: the permit is freed with the connection.
            let _permit = permit;
            let connection = readers.lock().pop().ok_or(Error::Closed)?;
            let has_panicked = query(&connection);
            let connection = match has_panicked {
                true => connect_reader(&readers.path).unwrap_or(connection),
                false => connection,
            };
            readers.lock().push(connection);
            Ok(())
        };
        tokio::task::spawn_blocking(work).await?
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
        crate::connection::connect(&path).unwrap().execute_batch("CREATE TABLE numbers (n INTEGER)").unwrap();
        let readers = Arc::new(Readers::open(path, 2).unwrap());
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
        assert!(matches!(write.await, Err(Error::ReadOnly { .. })), "a new connection is read-only, too");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_query_whose_caller_left_keeps_its_connection_until_it_ends() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("test.db");
        drop(crate::connection::connect(&path).unwrap());
        let readers = Arc::new(Readers::open(path, 2).unwrap());
        let (started, mut starts) = tokio::sync::mpsc::channel(2);
        let mut open = Vec::new();
        let callers = [(), ()].map(|()| {
            let (gate, waits) = std::sync::mpsc::sync_channel::<()>(1);
            open.push(gate);
            let (readers, started) = (readers.clone(), started.clone());
            tokio::spawn(async move {
                let query = move |_: &Connection| {
                    started.try_send(()).unwrap();
                    // Blocks until the test drops the other end.
                    let _ = waits.recv();
                    Ok(())
                };
                readers.run(query).await
            })
        });
        for _ in 0..2 {
            starts.recv().await.unwrap();
        }
        for caller in callers {
            caller.abort();
            assert!(caller.await.unwrap_err().is_cancelled());
        }
        assert_eq!(readers.permits.available_permits(), 0, "both connections are still in use");
        drop(open);
        let one =
            readers.run(|connection| Ok(connection.query_row("SELECT 1", [], |row| row.get::<_, i64>(0))?));
        assert_eq!(one.await.unwrap(), 1);
    }
}
