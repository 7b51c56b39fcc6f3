//! The interactive tasks in progress. Background work of Lar itself waits until there are none for a while, and
//! stops when one starts.

use std::time::Duration;

use lar_base::Instant;
use tokio::sync::watch;

/// The interactive tasks in progress. Clones share them.
#[derive(Debug, Clone)]
pub struct InteractiveTasks(watch::Sender<Activity>);

#[derive(Debug, Clone, Copy)]
struct Activity {
    count: usize,
    /// The last start or end of a task.
    changed_at: Instant,
}

impl Default for InteractiveTasks {
    fn default() -> Self {
        Self(watch::Sender::new(Activity { count: 0, changed_at: Instant::now() }))
    }
}

/// A task in progress. It ends when this is dropped.
pub(crate) struct InteractiveTask(InteractiveTasks);

impl Drop for InteractiveTask {
    fn drop(&mut self) {
        self.0.change(|count| count.saturating_sub(1));
    }
}

impl InteractiveTasks {
    pub(crate) fn start(&self) -> InteractiveTask {
        self.change(|count| count + 1);
        InteractiveTask(self.clone())
    }

    /// Waits until no interactive task has been in progress for this time.
    pub async fn wait_until_quiet(&self, quiet: Duration) {
        let mut activity = self.0.subscribe();
        loop {
            let Activity { count, changed_at } = *activity.borrow_and_update();
            let left = quiet.saturating_sub(changed_at.elapsed());
            if count == 0 && left.is_zero() {
                return;
            }
            if count > 0 {
                _ = activity.changed().await;
            } else {
                tokio::select! {
                    _ = activity.changed() => {}
                    () = tokio::time::sleep(left) => {}
                }
            }
        }
    }

    /// Waits until an interactive task is in progress.
    pub async fn wait_for_one(&self) {
        _ = self.0.subscribe().wait_for(|activity| activity.count > 0).await;
    }

    fn change(&self, count: impl Fn(usize) -> usize) {
        self.0.send_modify(|activity| {
            *activity = Activity { count: count(activity.count), changed_at: Instant::now() };
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn background_work_waits_until_it_is_quiet_and_stops_at_the_next_task() {
        let tasks = InteractiveTasks::default();
        let one = tasks.start();
        tasks.wait_for_one().await;
        let waiting = tasks.clone();
        let quiet = tokio::spawn(async move { waiting.wait_until_quiet(Duration::ZERO).await });
        tokio::task::yield_now().await;
        assert!(!quiet.is_finished());
        drop(one);
        quiet.await.unwrap();
        let waiting = tasks.clone();
        let next = tokio::spawn(async move { waiting.wait_for_one().await });
        tokio::task::yield_now().await;
        assert!(!next.is_finished());
        let _one = tasks.start();
        next.await.unwrap();
    }
}
