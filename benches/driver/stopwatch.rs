//! Times processes.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};

/// Runs of each contestant.
const ROUNDS: usize = 7;

/// A program with its arguments.
pub struct Run {
    program: String,
    args: Vec<String>,
}

/// What one run took.
#[derive(Clone, Copy)]
pub struct Taken {
    /// From the start of the process to its end.
    pub milliseconds: f64,
    /// Its largest resident set.
    pub peak_kib: u64,
}

impl Run {
    /// A run to be.
    pub fn new(program: &str, args: &[&str]) -> Self {
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        Self { program: program.to_owned(), args }
    }

    /// Runs it, and returns what it prints.
    pub fn once(&self) -> String {
        let output = Command::new(&self.program).args(&self.args).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} {:?}: {stderr}", self.program, self.args);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs it in a process that waits for nothing else, so that the largest resident set is its own.
    pub fn timed(&self) -> Taken {
        let own = std::env::current_exe().unwrap();
        let mut command = Command::new(own);
        command.arg("time").arg(&self.program).args(&self.args);
        let output = command.output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} {:?}: {stderr}", self.program, self.args);
        let text = String::from_utf8(output.stdout).unwrap();
        let (nanoseconds, peak_kib) = text.trim().split_once(' ').unwrap();
        let milliseconds = nanoseconds.parse::<f64>().unwrap() / 1e6;
        Taken { milliseconds, peak_kib: peak_kib.parse().unwrap() }
    }
}

/// Runs `program`, and prints the nanoseconds it took and its largest resident set in KiB.
pub(crate) fn time(program: &str, args: &[&str]) {
    let start = Instant::now();
    let mut command = Command::new(program);
    let status = command.args(args).stdout(Stdio::null()).status().unwrap();
    let nanoseconds = start.elapsed().as_nanos();
    // 1: differences were found.
    assert!(matches!(status.code(), Some(0 | 1)), "{program} {args:?}: {status}");
    let peak_kib = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss();
    println!("{nanoseconds} {peak_kib}");
}

/// Reads a file once, with reads of 1 MiB, by `threads` threads.
pub(crate) fn read(path: &Path, threads: usize) {
    let file = File::open(path).unwrap();
    let next = AtomicU64::new(0);
    let read = || {
        let mut buffer = vec![0; 1 << 20];
        while file.read_at(&mut buffer, next.fetch_add(1 << 20, Ordering::Relaxed)).unwrap() > 0 {}
    };
    thread::scope(|scope| {
        (1..threads).for_each(|_| drop(scope.spawn(read)));
        read();
    });
}

/// Writes a new file of `count` times `len` bytes twice, and prints the nanoseconds that the second
/// time took.
pub(crate) fn write(path: &Path, count: u64, len: usize) {
    let file = File::create(path).unwrap();
    let bytes = vec![1; len];
    let write = || (0..count).for_each(|at| file.write_all_at(&bytes, at * len as u64).unwrap());
    write();
    let start = Instant::now();
    write();
    println!("{count} {}", start.elapsed().as_nanos());
}

/// What each contestant does: a preparation that is not timed, and a measurement in any unit.
pub(crate) type Contestant<'a> = (&'a dyn Fn(), &'a dyn Fn() -> f64);

/// The medians of contestants that run in turn, after one round that warms the caches.
pub(crate) fn medians<const N: usize>(contestants: [Contestant<'_>; N]) -> [f64; N] {
    let mut taken: [Vec<f64>; N] = std::array::from_fn(|_| Vec::new());
    for round in 0..=ROUNDS {
        for ((prepare, measure), taken) in contestants.iter().zip(&mut taken) {
            prepare();
            let value = measure();
            if round > 0 {
                taken.push(value);
            }
        }
    }
    taken.map(|mut values| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    })
}
