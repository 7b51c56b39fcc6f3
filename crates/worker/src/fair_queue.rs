//! A queue that shares a resource among callers: they take turns, and the work of one caller keeps its order.
//!
//! The caller that was served least goes next. [`FairQueue::charge`] sets the cost of a turn: 1 if all turns
//! are alike, or the time that it took. A new caller starts at the current level, so that nobody saves up
//! turns by staying away. A caller that was just served is remembered for a while. Callers that send one
//! request at a time therefore do not delay a caller with many. (Start-time fair queueing: Goyal, Vin and
//! Cheng, 1996.)
//!
//! Callers are numbers that the server chooses; see `ToWorker::Tokenize`.

use std::collections::VecDeque;

/// The waiting work of several callers.
pub(super) struct FairQueue<T> {
    /// The callers with waiting work, and those that were served more than the level. Among equals the first
    /// goes first.
    lines: VecDeque<Line<T>>,
    /// How much the last served caller had been served before its turn. Never falls while work waits.
    level: u64,
}

struct Line<T> {
    caller: u64,
    served: u64,
    work: VecDeque<T>,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self { lines: VecDeque::new(), level: 0 }
    }
}

impl<T> FairQueue<T> {
    /// Returns whether no work waits.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.iter().all(|line| line.work.is_empty())
    }

    /// Adds work after the other work of its caller.
    pub(super) fn push(&mut self, caller: u64, work: T) {
        let mut line = Line { caller, served: self.level, work: VecDeque::new() };
        if let Some(at) = self.lines.iter().position(|line| line.caller == caller) {
            if !self.lines[at].work.is_empty() {
                self.lines[at].work.push_back(work);
                return;
            }
            // A returning caller goes behind those that have waited.
            line.served = self.lines[at].served.max(self.level);
            self.lines.remove(at);
        }
        line.work.push_back(work);
        self.lines.push_back(line);
    }

    /// Returns the next work and its caller, without removing it.
    pub(super) fn next_mut(&mut self) -> Option<(u64, &mut T)> {
        let line =
            self.lines.iter_mut().filter(|line| !line.work.is_empty()).min_by_key(|line| line.served)?;
        self.level = line.served;
        let caller = line.caller;
        line.work.front_mut().map(|work| (caller, work))
    }

    /// Takes the next work and charges its caller for one turn.
    pub(super) fn take_next(&mut self) -> Option<(u64, T)> {
        let (caller, _) = self.next_mut()?;
        let line = self.lines.iter_mut().find(|line| line.caller == caller)?;
        let work = line.work.pop_front()?;
        self.charge(caller, 1);
        Some((caller, work))
    }

    /// Records how much a caller was served.
    pub(super) fn charge(&mut self, caller: u64, cost: u64) {
        if let Some(line) = self.lines.iter_mut().find(|line| line.caller == caller) {
            line.served = line.served.saturating_add(cost.max(1));
        }
        self.forget();
    }

    /// Keeps only the waiting work for which `keeps` returns true.
    pub(super) fn retain(&mut self, mut keeps: impl FnMut(&mut T) -> bool) {
        for line in &mut self.lines {
            line.work.retain_mut(&mut keeps);
        }
        self.forget();
    }

    /// Forgets callers without work that were served no more than new callers; all callers if no work waits.
    fn forget(&mut self) {
        if self.is_empty() {
            self.lines.clear();
            self.level = 0;
        }
        let level = self.level;
        self.lines.retain(|line| !line.work.is_empty() || line.served > level);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the work of the next turns.
    fn next(queue: &mut FairQueue<&'static str>, count: usize) -> Vec<&'static str> {
        (0..count).filter_map(|_| queue.take_next()).map(|(_, work)| work).collect()
    }

    #[test]
    fn a_caller_with_much_work_delays_no_other() {
        let mut queue = FairQueue::default();
        for _ in 0..100 {
            queue.push(1, "many");
        }
        assert_eq!(next(&mut queue, 10), ["many"; 10]);
        queue.push(2, "one");
        queue.push(3, "first");
        queue.push(3, "second");
        assert_eq!(next(&mut queue, 6), ["one", "first", "many", "second", "many", "many"]);
        queue.retain(|work| *work != "many");
        assert!(queue.is_empty());
        assert_eq!(queue.take_next(), None);
    }

    #[test]
    fn returning_callers_do_not_starve_a_backlog() {
        let mut queue = FairQueue::default();
        for _ in 0..100 {
            queue.push(1, "many");
        }
        queue.push(2, "b");
        queue.push(3, "c");
        let mut order = Vec::new();
        for _ in 0..9 {
            // One of the two always waits, and each returns as soon as it was served.
            let (caller, work) = queue.take_next().unwrap();
            order.push(work);
            if caller != 1 {
                queue.push(caller, work);
            }
        }
        assert_eq!(order, ["many", "b", "c", "many", "b", "c", "many", "b", "c"]);
    }

    #[test]
    fn cancelled_work_frees_its_turn() {
        let mut queue = FairQueue::default();
        for (caller, work) in [(1, "a"), (2, "b"), (1, "c"), (3, "d")] {
            queue.push(caller, work);
        }
        queue.retain(|work| *work != "b");
        assert_eq!(next(&mut queue, 2), ["a", "d"]);
        assert_eq!(queue.lines.len(), 2, "a served caller is remembered while others wait");
        assert_eq!(next(&mut queue, 2), ["c"]);
        assert!(queue.lines.is_empty(), "no caller is remembered if no work waits");
    }

    #[test]
    fn expensive_work_gets_fewer_turns() {
        let mut queue = FairQueue::default();
        for _ in 0..20 {
            queue.push(1, "dear");
            queue.push(2, "cheap");
        }
        let mut order = Vec::new();
        for _ in 0..12 {
            let (caller, work) = queue.next_mut().unwrap();
            order.push(*work);
            let line = queue.lines.iter_mut().find(|line| line.caller == caller).unwrap();
            line.work.pop_front();
            queue.charge(caller, if caller == 1 { 5 } else { 1 });
        }
        let dear = order.iter().filter(|work| **work == "dear").count();
        assert_eq!((order[0], dear), ("dear", 2), "{order:?}");
    }
}
