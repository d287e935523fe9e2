//! Law: a cohort of 100,000 members is prepared quickly and without 100,000 open generators, which would be 500 MB.

#![allow(unsafe_code)]

#[path = "support/traffic.rs"]
#[allow(dead_code)]
mod traffic;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Counts the bytes that are allocated, and remembers the most there ever were.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(now, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MB: usize = 1_000_000;

#[test]
fn a_large_cohort_is_light() {
    let workload = traffic::workload("cohort", 200_000);
    let before = NOW.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let start = Instant::now();
    let mut source = workload.stream();
    let took = start.elapsed();
    let prepared = MOST.load(Ordering::Relaxed) - before;
    assert!(prepared < 80 * MB, "{prepared} bytes to prepare");
    // A tenth of that in a release build on an idle machine.
    assert!(took < Duration::from_secs(10), "{took:?} to prepare");
    let count = traffic::count(&mut *source);
    assert!((190_000..=200_000).contains(&count), "{count}");
    let most = MOST.load(Ordering::Relaxed) - before;
    assert!(most < 90 * MB, "{most} bytes for two requests per member");
}
