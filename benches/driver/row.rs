//! A row of the table.

/// Prints a row; a ratio is SQLite's time over ours.
pub(crate) fn row(job: &str, goal: &str, sqlite: f64, ours: f64) {
    println!("| {job} | {goal} | {:.2} | {sqlite:.1} ms | {ours:.1} ms |", sqlite / ours);
}
