//! What walsmith says of a damaged set, put to real SQLite and to what is known of the undamaged
//! one.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use super::ask::{Answer, ask};
use super::content::{Look, Looks};
use super::damage::Set;
use super::excuse::{excuse, excuse_of_result};
use crate::support::{beside, text};

/// What is false.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// `lossless: true`, and the output is not what was written.
    FalseClaim,
    /// A step is proven or evident, and its page is not what was written.
    FalseStep,
    /// A row that SQLite alone keeps is gone, and the report does not say so.
    LostWithoutAWord,
    /// A verdict of nothing lost, and SQLite loses committed rows.
    FalseClean,
    /// The result is called sound, and is not.
    FalseSound,
    /// The log is called another database's, and the repair refused, also with --accept-loss.
    FalselyForeign,
    /// The exit code is not the one of what was said.
    WrongExit,
    /// The damaged files were changed.
    Touched,
    Panic,
    Slow,
}

/// What walsmith says of the repair.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Claim {
    Lossless,
    /// `lossless: null`.
    Likely,
    Lossy,
    /// No plan: an error.
    Refused,
}

/// What came of one damaged set.
pub(super) struct Outcome {
    pub claim: Claim,
    /// The result is the undamaged database, byte for byte.
    pub is_exact: bool,
    /// The result has the rows of the undamaged database and is sound, though some bytes differ.
    pub has_same_rows: bool,
    pub rows: usize,
    pub rows_by_sqlite: usize,
    pub rows_recovered: usize,
    /// Sure steps whose page was compared, of plans that are not lossless byte for byte.
    pub steps_compared: usize,
    pub failures: Vec<(Kind, String)>,
    /// What would be false if SQLite itself could not have left these files, and why it could; and
    /// other things that are counted only.
    pub apart: Vec<String>,
}

/// Asks walsmith about a damaged set, and judges the answers.
pub(super) fn judge(set: &Set<'_>, looks: &mut Looks) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    set.write(&database);
    let (mut failures, mut apart) = (Vec::new(), Vec::new());
    let output = folder.path().join("new.db");
    let apply = ["repair", text(&database), "--apply", "--output", text(&output)];
    let verify = ask(&["verify-checksums", text(&database)], &mut failures);
    let repair = ask(&apply, &mut failures);
    if !output.exists() {
        let accepted = ask(&[&apply[..], &["--accept-loss"]].concat(), &mut failures);
        let error = accepted.report["error"]["message"].as_str().map(str::to_owned);
        match error {
            // Every set here belongs together.
            Some(why) if why.contains("another database") => {
                failures.push((Kind::FalselyForeign, why));
            }
            Some(why) => apart.push(format!("refused with --accept-loss: {why}")),
            None if accepted.exit != 1 => {
                let what = format!("exit {} with --accept-loss", accepted.exit);
                failures.push((Kind::WrongExit, what));
            }
            None => {}
        }
    }
    let wal = fs::read(beside(&database, "-wal")).ok();
    if fs::read(&database).unwrap() != set.database || wal.as_ref() != Some(&set.wal) {
        failures.push((Kind::Touched, String::new()));
    }
    let written = fs::read(&output).unwrap_or_default();
    let nothing = Look { rows: BTreeSet::new(), sound: false };
    let ours = if output.exists() { looks.of(&output) } else { nothing };
    let theirs = looks.of(&database);
    let truth = &set.content.rows;
    let is_exact = written == set.content.copied;
    let mut judgement = Judgement {
        set,
        report: &repair.report,
        has_output: output.exists(),
        written: &written,
        sound_for_sqlite: theirs.sound,
        theirs_right: theirs.rows.intersection(truth).copied().collect(),
        outcome: Outcome {
            claim: claim_of(&repair.report),
            is_exact,
            has_same_rows: !is_exact && ours.rows == *truth && ours.sound,
            rows: truth.len(),
            rows_by_sqlite: theirs.rows.intersection(truth).count(),
            rows_recovered: ours.rows.intersection(truth).count(),
            steps_compared: 0,
            failures,
            apart,
        },
        ours,
    };
    judgement.claim(repair.exit);
    judgement.steps();
    judgement.rows_of_sqlite();
    judgement.verdict(&verify);
    judgement.outcome
}

fn claim_of(report: &Value) -> Claim {
    match (report["error"].is_object(), report["lossless"].as_bool()) {
        (true, _) => Claim::Refused,
        (false, Some(true)) => Claim::Lossless,
        (false, Some(false)) => Claim::Lossy,
        (false, None) => Claim::Likely,
    }
}

struct Judgement<'a> {
    set: &'a Set<'a>,
    /// Of the repair without --accept-loss.
    report: &'a Value,
    has_output: bool,
    /// The result, also that with loss.
    written: &'a [u8],
    ours: Look,
    /// SQLite's own view is sound.
    sound_for_sqlite: bool,
    /// Rows that SQLite alone keeps, and that are right.
    theirs_right: BTreeSet<u64>,
    outcome: Outcome,
}

impl Judgement<'_> {
    fn fail(&mut self, kind: Kind, what: String) {
        self.outcome.failures.push((kind, what));
    }

    fn has_open_end(&self) -> bool {
        let is_end = |it: &Value| it["rule"] == "blank-tail" || it["rule"] == "log-torn";
        self.report["findings"].as_array().is_some_and(|all| all.iter().any(is_end))
    }

    /// It is false, unless SQLite could have left the set just so.
    fn fail_or_excuse(&mut self, kind: Kind, what: String) {
        let of_result = || excuse_of_result(self.set, self.written, kind == Kind::FalseClaim);
        match excuse(self.set).or_else(of_result) {
            Some(reason) => self.outcome.apart.push(format!("{kind:?}, but: {reason}")),
            None => self.fail(kind, what),
        }
    }

    fn claim(&mut self, exit: i32) {
        let is_right = self.outcome.is_exact || self.outcome.has_same_rows;
        let wanted = match self.outcome.claim {
            Claim::Lossless => 0,
            // Nothing is given up; but what came after the last commit is not known.
            Claim::Likely if self.report["likely"] == false => i32::from(self.has_open_end()),
            Claim::Likely | Claim::Lossy => 6,
            Claim::Refused => exit,
        };
        if exit != wanted {
            self.fail(Kind::WrongExit, format!("{exit} with lossless {}", self.report["lossless"]));
        }
        if self.outcome.claim == Claim::Refused {
            self.outcome.apart.push(format!("refused: {}", self.report["error"]["kind"]));
        }
        if self.outcome.claim == Claim::Lossless && !is_right {
            let rows = format!("{} of {} rows", self.outcome.rows_recovered, self.outcome.rows);
            let what = format!("{rows} are right, {}", plan_in_words(self.report));
            self.fail_or_excuse(Kind::FalseClaim, what);
        }
        if self.outcome.claim == Claim::Lossless && self.outcome.has_same_rows {
            let plan = actions(self.report);
            self.outcome.apart.push(format!("lossless, same rows, other bytes: {plan}"));
        }
        if self.outcome.claim == Claim::Likely {
            let word = if is_right { "right" } else { "wrong" };
            self.outcome.apart.push(format!("likely, and {word}"));
        }
        let sound = self.report["health"]["sound"].as_bool();
        if self.has_output && sound == Some(true) && !self.ours.sound {
            self.fail(Kind::FalseSound, plan_in_words(self.report));
        }
        // No database here was unsound before; where SQLite's own view is, no step is the reason.
        let is_evident = |it: &Value| it["proof"] == "evidence" && changes_an_image(it);
        let is_harmed = sound == Some(false) && self.sound_for_sqlite;
        if is_harmed && steps_of(self.report).iter().any(is_evident) {
            self.fail(Kind::FalseStep, format!("unsound, {}", plan_in_words(self.report)));
        }
    }

    /// Steps that count as sure, where the result shows what they gave: nothing else touches their
    /// page, and the frame is the newest of the page in the state that is given.
    fn steps(&mut self) {
        let content = self.set.content;
        // A false claim of no loss is told as such; here are those with the right rows, and the
        // others.
        let is_told = self.outcome.claim == Claim::Lossless && !self.outcome.has_same_rows;
        if is_told || !self.has_output || !self.names_are_as_they_were() {
            return;
        }
        let steps = steps_of(self.report);
        let chosen = self.report["candidates"].as_array();
        let chosen = chosen.and_then(|all| all.iter().find(|one| one["chosen"] == true));
        let frames_given = match chosen.map(|choice| (&choice["kind"], &choice["to_frame"])) {
            None => self.frames_of_transactions(),
            Some((kind, to_frame))
                if kind == "newest-with-old-pages" || kind == "newest-complete" =>
            {
                to_frame.as_u64().and_then(|frame| usize::try_from(frame).ok())
            }
            Some(_) => None,
        };
        let Some(frames_given) = frames_given.filter(|&count| count <= content.frames.len()) else {
            return;
        };
        let last = content.last_writers(frames_given);
        let numbers = |list: &Value| -> Vec<u64> {
            list.as_array().iter().flat_map(|all| all.iter()).filter_map(Value::as_u64).collect()
        };
        let doubtful: Vec<u64> = steps
            .iter()
            .filter(|step| !is_sure(step))
            .flat_map(|step| numbers(&step["pages"]))
            .collect();
        for step in steps.iter().filter(|step| is_sure(step) && changes_an_image(step)) {
            let Some(frame) = step["frame"].as_u64().and_then(|frame| usize::try_from(frame).ok())
            else {
                continue;
            };
            for (&page, _) in last.iter().filter(|&(_, &writer)| writer + 1 == frame) {
                let start = (page as usize - 1) * content.page_bytes;
                let given = self.written.get(start..start + content.page_bytes);
                if page == 1 || doubtful.contains(&page.into()) || given.is_none() {
                    continue;
                }
                self.outcome.steps_compared += 1;
                if given != Some(content.image(frame - 1)) {
                    let what =
                        format!("frame {frame}, page {page}: {}", plan_in_words(self.report));
                    self.fail_or_excuse(Kind::FalseStep, what);
                }
            }
        }
    }

    /// Frames of the transactions that the result has.
    fn frames_of_transactions(&self) -> Option<usize> {
        let count = usize::try_from(self.report["transactions_after"].as_u64()?).ok()?;
        // A commit that is left out is no transaction of the result: it goes into the next one.
        let is_step = |it: &Value, frame| it["action"] == "drop-frame" && it["frame"] == frame;
        let is_left_out = |frame: usize| steps_of(self.report).iter().any(|it| is_step(it, frame));
        let commits = self.set.content.frames.iter().enumerate().filter(|(_, it)| it.commits);
        let ends: Vec<usize> =
            commits.map(|(index, _)| index + 1).filter(|&frame| !is_left_out(frame)).collect();
        ends.get(count.checked_sub(1)?).copied()
    }

    /// Frames have their numbers, pages and commits still.
    fn names_are_as_they_were(&self) -> bool {
        let (content, wal) = (self.set.content, &self.set.wal);
        let is_same = |at: usize| wal.get(at..at + 8) == Some(&content.wal[at..at + 8]);
        wal.len() == content.wal.len()
            && self.set.database == content.database
            && content.frames.iter().all(|frame| is_same(frame.at))
    }

    fn rows_of_sqlite(&mut self) {
        let lacks = self.theirs_right.difference(&self.ours.rows).count();
        if lacks == 0 || !self.has_output {
            return;
        }
        let lost = &self.report["lost"];
        let is_told = lost["rows_lost_by_table"].as_array().is_some_and(|rows| !rows.is_empty());
        let what = format!("{lacks} rows of SQLite are missing, {}", plan_in_words(self.report));
        match (self.outcome.claim, is_told) {
            (_, true) => self.outcome.apart.push("lacks rows of SQLite, and says so".to_owned()),
            (Claim::Lossy | Claim::Refused, false) => {
                let exact =
                    if lost["rows_are_exact"] == true { " that it calls exact" } else { "" };
                let said = format!("lossy, lacks rows of SQLite with a list{exact} that is empty");
                self.outcome.apart.push(said);
            }
            // Nothing is written without a consent to what is only likely.
            (Claim::Likely, false) => {
                self.outcome.apart.push("likely only, and lacks rows of SQLite".to_owned());
            }
            (Claim::Lossless, false) => {
                self.fail_or_excuse(Kind::LostWithoutAWord, what);
            }
        }
    }

    fn verdict(&mut self, verify: &Answer) {
        let entry = &verify.report["files"][0];
        let verdict = entry["verdict"].as_str().unwrap_or("none");
        if self.outcome.rows_by_sqlite == self.outcome.rows {
            return;
        }
        if !matches!(verdict, "clean" | "empty" | "uncommitted-tail") {
            if verify.exit == 0 && excuse(self.set).is_none() {
                let said =
                    format!("{verdict}, exit 0, rows are lost, and it is not what a crash leaves");
                self.outcome.apart.push(said);
            }
            return;
        }
        let lost = self.outcome.rows - self.outcome.rows_by_sqlite;
        let findings = entry["findings"].as_array().map_or(&[][..], Vec::as_slice);
        let error = findings.iter().find(|finding| finding["severity"] == "error");
        let age = self.report["file_age"].as_str();
        match error {
            // Nothing in a log and a file where only values were changed tells which is the later.
            None if age == Some("may-be-newer") => {
                let said = format!("verdict {verdict}, rows lost, and the file may be newer");
                self.outcome.apart.push(said);
            }
            Some(error) => {
                let rule = error["rule"].as_str().unwrap_or("?");
                let said = format!("verdict {verdict}, rows lost, but with the finding {rule}");
                self.outcome.apart.push(said);
            }
            None => {
                let is_newer = self.set.database == self.set.content.copied;
                let file = if is_newer { ", the file has later pages than the log" } else { "" };
                let what = format!("{verdict}, exit {}, {lost} rows are lost{file}", verify.exit);
                self.fail_or_excuse(Kind::FalseClean, what);
            }
        }
    }
}

/// A step that is proven or evident.
fn is_sure(step: &Value) -> bool {
    step["proof"] == "checksum" || step["proof"] == "evidence"
}

fn changes_an_image(step: &Value) -> bool {
    const ACTIONS: [&str; 6] = [
        "correct-word",
        "take-image",
        "take-frame",
        "solve-header",
        "restore-salt",
        "restore-checksum",
    ];
    step["action"].as_str().is_some_and(|action| ACTIONS.contains(&action))
}

fn steps_of(report: &Value) -> &[Value] {
    report["plan"].as_array().map_or(&[][..], Vec::as_slice)
}

/// Each action of a plan once.
fn actions(report: &Value) -> String {
    let actions: BTreeSet<&str> =
        steps_of(report).iter().filter_map(|step| step["action"].as_str()).collect();
    Vec::from_iter(actions).join(", ")
}

/// The first steps of a plan with what is said for them.
fn plan_in_words(report: &Value) -> String {
    let steps = steps_of(report);
    let word = |value: &Value| value.as_str().unwrap_or("none").to_owned();
    let shown: Vec<String> = steps
        .iter()
        .take(4)
        .map(|step| {
            format!("{} {} ({})", word(&step["action"]), step["frame"], word(&step["proof"]))
        })
        .collect();
    let more = if steps.len() > 4 { ", .." } else { "" };
    format!("plan: {}{more}", shown.join(", "))
}
