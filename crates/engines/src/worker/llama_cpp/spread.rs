//! Keeps the threads of a step on processors of their own.
//!
//! The engine's threads meet hundreds of times for one token, and sleep where one is late. Where another program takes a
//! processor for a moment, the kernel wakes two of them on one, where threads that sleep so often may stay for tenths of a
//! second. So before a step each thread looks where it runs, and one that shares a processor moves to one that no other of
//! them runs on. None stays pinned: the kernel may move it on. Measured in decision 0018.

#![expect(unsafe_code, reason = "listed in xtask/tests/house.rs")]

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

use super::{int, sys};

/// A computation of nothing, by the engine on the threads that it uses for steps, so that each can look where it runs.
#[derive(Debug)]
pub(super) struct Spread {
    /// Holds the graph.
    memory: *mut sys::ggml_context,
    graph: *mut sys::ggml_cgraph,
    backend: sys::ggml_backend_t,
    set_threads: unsafe extern "C" fn(sys::ggml_backend_t, c_int),
    /// At one place for as long as the graph points to it.
    processors: Box<Processors>,
}

#[derive(Debug)]
struct Processors {
    /// Those that this process may run on.
    all: CpuSet,
    /// Whether a thread of the step that comes runs there.
    taken: Vec<AtomicBool>,
}

impl Spread {
    /// `None` where the engine or the kernel does not offer what it needs: the kernel then places threads alone.
    pub(super) fn new() -> Option<Self> {
        let all = sched_getaffinity(None).ok()?;
        let taken = (0..CpuSet::MAX_CPU).map(|_| AtomicBool::new(false)).collect();
        let processors = Box::new(Processors { all, taken });
        // SAFETY: the device's parameters may be null; the name ends with a zero; what the registry returns for it is a
        // function of this type or null. The graph's two tensors and the graph fit in the memory, which is counted
        // as ggml's header says, and the processors outlive the graph.
        unsafe {
            let backend = sys::ggml_backend_init_by_type(sys::GGML_BACKEND_DEVICE_TYPE_CPU, std::ptr::null());
            if backend.is_null() {
                return None;
            }
            let registry = sys::ggml_backend_dev_backend_reg(sys::ggml_backend_get_device(backend));
            let found =
                sys::ggml_backend_reg_get_proc_address(registry, c"ggml_backend_set_n_threads".as_ptr());
            let set_threads = std::mem::transmute::<*mut c_void, sys::ggml_backend_set_n_threads_t>(found);
            let memory = sys::ggml_init(sys::ggml_init_params {
                mem_size: 4 * sys::ggml_tensor_overhead()
                    + sys::ggml_graph_overhead_custom(GRAPH_SIZE, false),
                mem_buffer: std::ptr::null_mut(),
                no_alloc: false,
            });
            let Some(set_threads) = set_threads.filter(|_| !memory.is_null()) else {
                sys::ggml_free(memory);
                sys::ggml_backend_free(backend);
                return None;
            };
            let nothing = sys::ggml_new_tensor_1d(memory, sys::GGML_TYPE_F32, 1);
            let data = std::ptr::from_ref(&*processors).cast_mut().cast();
            let looked = sys::ggml_map_custom1(memory, nothing, Some(place), ALL_THREADS, data);
            let graph = sys::ggml_new_graph_custom(memory, GRAPH_SIZE, false);
            sys::ggml_build_forward_expand(graph, looked);
            Some(Self { memory, graph, backend, set_threads, processors })
        }
    }

    /// Has the `threads` threads of the step that comes run on as many processors, where there are so many.
    pub(super) fn before_step(&mut self, threads: u32) {
        if threads < 2 || threads > self.processors.all.count() {
            return;
        }
        for taken in &self.processors.taken {
            taken.store(false, Ordering::Relaxed);
        }
        // SAFETY: both are alive and compute nothing. What comes back is of no use: a step is computed either way.
        unsafe {
            (self.set_threads)(self.backend, int(threads));
            sys::ggml_backend_graph_compute(self.backend, self.graph);
        }
    }
}

impl Drop for Spread {
    fn drop(&mut self) {
        // SAFETY: made by ggml, owned here; the graph goes with its memory.
        unsafe {
            sys::ggml_free(self.memory);
            sys::ggml_backend_free(self.backend);
        }
    }
}

/// `GGML_N_TASKS_MAX` of `ggml.h`: as many tasks as threads.
const ALL_THREADS: c_int = -1;
/// Nodes that the graph has room for.
const GRAPH_SIZE: usize = 8;

unsafe extern "C" fn place(
    _: *mut sys::ggml_tensor,
    _: *const sys::ggml_tensor,
    _: c_int,
    _: c_int,
    processors: *mut c_void,
) {
    // SAFETY: points to the processors of a `Spread` that computes.
    unsafe { &*processors.cast::<Processors>() }.place();
}

impl Processors {
    /// Takes the processor that this thread runs on, or moves to one that none has taken.
    fn place(&self) {
        let take =
            |number: usize| self.taken.get(number).is_some_and(|taken| !taken.swap(true, Ordering::Relaxed));
        if take(sched_getcpu()) {
            return;
        }
        let Some(free) = (0..CpuSet::MAX_CPU).find(|number| self.all.is_set(*number) && take(*number)) else {
            return;
        };
        let mut one = CpuSet::new();
        one.set(free);
        // Where the kernel refuses, the thread stays.
        if sched_setaffinity(None, &one).is_ok() {
            let _ = sched_setaffinity(None, &self.all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_begin_on_one_processor_end_on_several() {
        let all = sched_getaffinity(None).unwrap();
        let count = all.count().min(4);
        if count < 2 {
            eprintln!("SKIPPED: this machine has one processor");
            return;
        }
        let first = (0..CpuSet::MAX_CPU).find(|number| all.is_set(*number)).unwrap();
        let mut one = CpuSet::new();
        one.set(first);
        let taken = (0..CpuSet::MAX_CPU).map(|_| AtomicBool::new(false)).collect();
        let processors = Processors { all, taken };
        std::thread::scope(|scope| {
            for _ in 0..count {
                scope.spawn(|| {
                    sched_setaffinity(None, &one).unwrap();
                    processors.place();
                    // It may run anywhere again.
                    assert_eq!(
                        sched_getaffinity(None).unwrap().count().max(2),
                        processors.all.count().max(2)
                    );
                });
            }
        });
        let taken = processors.taken.iter().filter(|taken| taken.load(Ordering::Relaxed)).count();
        assert_eq!(taken, count as usize);
    }

    #[test]
    fn the_engine_runs_the_spread_on_all_step_threads() {
        let mut spread = Spread::new().unwrap();
        let count = spread.processors.all.count().min(4);
        if count < 2 {
            eprintln!("SKIPPED: this machine has one processor");
            return;
        }
        spread.before_step(count);
        let taken = spread.processors.taken.iter().filter(|taken| taken.load(Ordering::Relaxed)).count();
        assert_eq!(taken, count as usize);
    }
}
