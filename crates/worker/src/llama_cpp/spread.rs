//! Spreads the threads of a step over different processors.
//!
//! The engine's threads meet at barriers hundreds of times per token, and sleep if one is late. When another
//! program takes a processor for a moment, the kernel may wake two of the threads on one processor. Threads
//! that sleep so often can then share it for tenths of a second. Before each step, every thread therefore
//! checks its processor and moves to a free one if another thread of the step has taken it. No thread stays
//! pinned, so the kernel may move it again. Measured in decision 0018.

#![expect(unsafe_code, reason = "listed in xtask/tests/house.rs")]

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

use super::{int, sys};

/// An empty computation that the engine runs on the threads of its steps, so that each thread can check its
/// processor.
#[derive(Debug)]
pub(super) struct Spread {
    /// Owns the graph.
    memory: *mut sys::ggml_context,
    graph: *mut sys::ggml_cgraph,
    backend: sys::ggml_backend_t,
    set_threads: unsafe extern "C" fn(sys::ggml_backend_t, c_int),
    /// Boxed, because the graph has a pointer to it.
    processors: Box<Processors>,
}

#[derive(Debug)]
struct Processors {
    /// The processors that this process may use.
    all: CpuSet,
    /// Whether a thread of the next step runs there.
    taken: Vec<AtomicBool>,
}

impl Spread {
    /// Returns `None` if the engine or the kernel lacks the needed functions; then only the kernel places the
    /// threads.
    pub(super) fn new() -> Option<Self> {
        let all = sched_getaffinity(None).ok()?;
        let taken = (0..CpuSet::MAX_CPU).map(|_| AtomicBool::new(false)).collect();
        let processors = Box::new(Processors { all, taken });
        // SAFETY: the device's parameters may be null, and the name ends with a zero byte. The registry
        // returns a function of this type for it, or null. The graph and its two tensors fit in the memory,
        // whose size is computed as ggml's header says. The processors outlive the graph.
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

    /// Spreads the `threads` threads of the next step over as many processors, if there are enough.
    pub(super) fn before_step(&mut self, threads: u32) {
        if threads < 2 || threads > self.processors.all.count() {
            return;
        }
        for taken in &self.processors.taken {
            taken.store(false, Ordering::Relaxed);
        }
        // SAFETY: both are alive and compute nothing. The result is ignored, because the step is computed in
        // any case.
        unsafe {
            (self.set_threads)(self.backend, int(threads));
            sys::ggml_backend_graph_compute(self.backend, self.graph);
        }
    }
}

impl Drop for Spread {
    fn drop(&mut self) {
        // SAFETY: allocated by ggml and owned here; freeing the memory frees the graph.
        unsafe {
            sys::ggml_free(self.memory);
            sys::ggml_backend_free(self.backend);
        }
    }
}

/// `GGML_N_TASKS_MAX` of `ggml.h`: one task per thread.
const ALL_THREADS: c_int = -1;
/// The capacity of the graph, in nodes.
const GRAPH_SIZE: usize = 8;

unsafe extern "C" fn place(
    _: *mut sys::ggml_tensor,
    _: *const sys::ggml_tensor,
    _: c_int,
    _: c_int,
    processors: *mut c_void,
) {
    // SAFETY: the pointer is to the processors of the `Spread` that computes.
    unsafe { &*processors.cast::<Processors>() }.place();
}

impl Processors {
    /// Takes the processor that this thread runs on, or moves to a free one.
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
        // If the kernel refuses, the thread stays where it is.
        if sched_setaffinity(None, &one).is_ok() {
            let _ = sched_setaffinity(None, &self.all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_on_one_processor_are_spread_over_several() {
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
