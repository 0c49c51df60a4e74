//! Claims of `repair` and `verify-checksums` against families of damage: every claim that rows were
//! kept, and every step that counts as sure, is put to SQLite and to the undamaged bytes.
//!
//! Five damages of each here; 1,000 of all:
//! `WALSMITH_FAMILIES=1000 cargo test --release --test suite families -- --nocapture`.
//! `WALSMITH_SEED` chooses others, `WALSMITH_FAMILY` one family; the line of a failing case has all
//! three, and `WALSMITH_KEEP=FOLDER` writes its files there. `WALSMITH_SHOW=WORDS` prints the line
//! of each case that is counted apart with these words.

use std::collections::BTreeMap;
use std::fs;
use std::ops::AddAssign;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use fastrand::Rng;

use content::{Content, Looks};
use damage::{Damage, FAMILIES, Set};
use judge::{Claim, Kind, Outcome, judge};

mod ask;
pub(crate) mod content;
mod damage;
mod excuse;
mod judge;

/// So many cases in a row have the same databases.
const CASES_OF_A_CONTENT: u64 = 250;

/// One damaged set and what came of it.
struct Case {
    family: &'static str,
    damages: Vec<&'static str>,
    again: String,
    outcome: Outcome,
}

/// What is counted of a family.
#[derive(Clone, Copy, Default)]
struct Tally {
    cases: usize,
    several: usize,
    lossless: usize,
    likely: usize,
    likely_right: usize,
    lossy: usize,
    refused: usize,
    same_rows: usize,
    steps_compared: usize,
    rows: usize,
    by_sqlite: usize,
    recovered: usize,
    false_claims: usize,
    failing: usize,
}

#[test]
fn no_claim_is_false_whatever_the_family_of_damage() {
    let variable = |name: &str| std::env::var(name).ok();
    let number =
        |name: &str, default: u64| variable(name).map_or(default, |text| text.parse().unwrap());
    let (count, first) = (number("WALSMITH_FAMILIES", 190), number("WALSMITH_SEED", 1));
    let asked = variable("WALSMITH_FAMILY");
    let families: Vec<_> = FAMILIES
        .iter()
        .filter(|(name, _)| asked.as_ref().is_none_or(|asked| asked == name))
        .collect();
    assert!(!families.is_empty(), "no such family");
    let mut looks = Looks::start();
    let groups = first / CASES_OF_A_CONTENT..=(first + count - 1) / CASES_OF_A_CONTENT;
    let contents: BTreeMap<u64, Vec<Content>> =
        groups.map(|group| (group, Content::all(group, &mut looks))).collect();
    for content in contents.values().flatten() {
        let outcome = judge(&Set::of(content), &mut looks);
        let is_right = outcome.is_exact && outcome.rows_by_sqlite == outcome.rows;
        assert!(is_right && outcome.failures.is_empty(), "{} is not damaged", content.name);
    }
    let next = AtomicUsize::new(0);
    let cases = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut looks = Looks::start();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let seed = first + index as u64;
                    if seed >= first + count {
                        return;
                    }
                    let contents = &contents[&(seed / CASES_OF_A_CONTENT)];
                    let case = one(contents, *families[index % families.len()], seed, &mut looks);
                    cases.lock().unwrap().insert(index, case);
                }
            });
        }
    });
    let cases: Vec<Case> = cases.into_inner().unwrap().into_values().collect();
    print_table(&cases);
    let failures = print_failures(&cases);
    assert_eq!(failures, 0, "of {} cases", cases.len());
}

/// One case, made from its seed and judged.
fn one(
    contents: &[Content],
    (family, damage): (&'static str, Damage),
    seed: u64,
    looks: &mut Looks,
) -> Case {
    let mut rng = Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut damages = vec![family];
    let mut set = loop {
        // The largest one takes longest.
        let small = contents.iter().filter(|it| it.page_bytes < 65_536 || rng.u32(..3) == 0);
        let small: Vec<&Content> = small.collect();
        let mut set = Set::of(small[rng.usize(..small.len())]);
        damage(&mut set, &mut rng);
        if set.is_damaged() {
            break set;
        }
    };
    for _ in 0..[0, 0, 0, 0, 0, 0, 0, 1, 1, 2][rng.usize(..10)] {
        let other =
            if rng.bool() { (family, damage) } else { FAMILIES[rng.usize(..FAMILIES.len())] };
        let before = set.clone();
        other.1(&mut set, &mut rng);
        if set.is_damaged() && !set.is_as(&before) {
            damages.push(other.0);
        } else {
            set = before;
        }
    }
    if let Ok(folder) = std::env::var("WALSMITH_KEEP") {
        keep(&set, &Path::new(&folder).join(format!("{seed}")));
    }
    let again = again(set.content, family, seed);
    Case { family, damages, again, outcome: judge(&set, looks) }
}

impl AddAssign<&Case> for Tally {
    fn add_assign(&mut self, case: &Case) {
        let outcome = &case.outcome;
        let claimed = |claim| usize::from(outcome.claim == claim);
        self.cases += 1;
        self.several += usize::from(case.damages.len() > 1);
        self.lossless += claimed(Claim::Lossless);
        self.likely += claimed(Claim::Likely);
        let is_right = outcome.is_exact || outcome.has_same_rows;
        self.likely_right += usize::from(outcome.claim == Claim::Likely && is_right);
        self.lossy += claimed(Claim::Lossy);
        self.refused += claimed(Claim::Refused);
        self.same_rows += usize::from(outcome.claim == Claim::Lossless && outcome.has_same_rows);
        self.steps_compared += outcome.steps_compared;
        self.rows += outcome.rows;
        self.by_sqlite += outcome.rows_by_sqlite;
        self.recovered += outcome.rows_recovered;
        let is_false = |(kind, _): &(Kind, String)| *kind == Kind::FalseClaim;
        self.false_claims += usize::from(outcome.failures.iter().any(is_false));
        self.failing += usize::from(!outcome.failures.is_empty());
    }
}

fn print_table(cases: &[Case]) {
    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    let mut all = Tally::default();
    for case in cases {
        *tallies.entry(case.family).or_default() += case;
        all += case;
    }
    println!(
        "| damage | cases | of them several at once | lossless | likely, of them right | lossy \
         | rows SQLite keeps | rows recovered | false claims | failing |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let families = FAMILIES.iter().filter_map(|(name, _)| tallies.get_key_value(name));
    for (family, tally) in families.chain([(&"all", &all)]) {
        let share = |rows: usize| format!("{:.1} %", 100.0 * rows as f64 / tally.rows as f64);
        let (sqlite, ours) = (share(tally.by_sqlite), share(tally.recovered));
        println!(
            "| {family} | {} | {} | {} | {}, {} | {} | {sqlite} | {ours} | {} | {} |",
            tally.cases,
            tally.several,
            tally.lossless,
            tally.likely,
            tally.likely_right,
            tally.lossy,
            tally.false_claims,
            tally.failing
        );
    }
    println!(
        "{} refused; {} lossless with other bytes but the same rows; {} sure steps of plans \
         that are not lossless byte for byte compared",
        all.refused, all.same_rows, all.steps_compared
    );
    let mut apart: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in cases.iter().flat_map(|case| &case.outcome.apart) {
        *apart.entry(reason).or_default() += 1;
    }
    println!("\nCounted apart:");
    apart.iter().for_each(|(reason, count)| println!("{count:5} {reason}"));
    let Ok(shown) = std::env::var("WALSMITH_SHOW") else { return };
    for case in cases {
        for reason in case.outcome.apart.iter().filter(|reason| reason.contains(&shown)) {
            println!("{} {}: {reason}", case.again, case.damages.join(" + "));
        }
    }
}

/// Prints what is false, and returns how many cases are.
fn print_failures(cases: &[Case]) -> usize {
    let mut kinds: BTreeMap<(Kind, &str), usize> = BTreeMap::new();
    for case in cases {
        for (kind, what) in &case.outcome.failures {
            let several = if case.damages.len() > 1 { &case.damages.join(" + ") } else { "" };
            println!("{kind:?}: {} {several}: {what}", case.again);
            *kinds.entry((*kind, case.family)).or_default() += 1;
        }
    }
    println!("\nFailing, by kind and family:");
    kinds.iter().for_each(|((kind, family), count)| println!("{count:5} {kind:?}, {family}"));
    let mut all: BTreeMap<Kind, usize> = BTreeMap::new();
    kinds.iter().for_each(|((kind, _), count)| *all.entry(*kind).or_default() += count);
    println!("{all:?}");
    cases.iter().filter(|case| !case.outcome.failures.is_empty()).count()
}

/// A line that makes the case again.
fn again(content: &Content, family: &str, seed: u64) -> String {
    let name = &content.name;
    format!("WALSMITH_FAMILY='{family}' WALSMITH_SEED={seed} WALSMITH_FAMILIES=1 ({name})")
}

/// Folder in which a case that is run alone is kept.
fn keep(set: &Set<'_>, folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    set.write(&folder.join("x.db"));
    fs::write(folder.join("truth.db"), &set.content.copied).unwrap();
    fs::write(folder.join("truth.db-wal-undamaged"), &set.content.wal).unwrap();
}
