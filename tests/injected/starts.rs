//! A command whose calls go wrong while it starts, one after the other: it goes on, or says why it cannot.

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;
use std::time::Duration;
use tempfile::TempDir;
use wasmoor_tests::guest::{self, left_out};
use wasmoor_tests::injection::calls::{self, Fault, Table};
use wasmoor_tests::injection::{Outcome, Plan, Run};

const LIMIT: Duration = Duration::from_secs(30);
/// Runs at the same time.
const WORKERS: usize = 2;

struct Starts {
    folder: TempDir,
    program: String,
}

impl Starts {
    fn run(&self, plan: Plan) -> anyhow::Result<Outcome> {
        let args = ["--dir", ".::/", &self.program];
        Run::start(&args, self.folder.path(), LIMIT, plan)?.finish()
    }

    /// A start of which one call goes wrong; whether it did.
    fn check(&self, call: i64, nth: u64, fault: Fault) -> bool {
        let what = format!("{} number {nth}, {fault:?}", calls::name(call));
        let outcome = self.run(Plan::One { number: call, nth, fault });
        let outcome = outcome.unwrap_or_else(|error| panic!("{what}: {error:#}"));
        let Outcome { status, stdout, stderr, made, .. } = &outcome;
        assert!(!stderr.contains("panicked"), "{what}: {stderr}");
        // This guest writes once, whatever comes of it.
        let is_whole = stdout == "hello!\n" || fault == Fault::Short && stdout.starts_with('h');
        let goes_on = status.success() && is_whole;
        // A command that gets no memory for a few bytes cannot say it in its own words.
        let says_why = stderr.starts_with("error: ") && status.code().is_some_and(|code| code > 0)
            || stderr.starts_with("memory allocation of ");
        let may_end = !matches!(fault, Fault::Broken | Fault::Short);
        assert!(goes_on || may_end && says_why, "{what}: {status}, `{stdout}`, `{stderr}`");
        !made.is_empty()
    }
}

#[test]
fn a_start_goes_on_or_says_why_not() {
    let program = guest::path("hello.wat").to_str().expect("a path of text").to_owned();
    let starts = Starts { folder: TempDir::new().expect("a folder"), program };
    let plain = match starts.run(Plan::Start) {
        Ok(plain) => plain,
        Err(error) => return left_out("calls of a start that go wrong", &error),
    };
    let (table, mut counts, mut cases) = (Table::read(), HashMap::new(), Vec::new());
    for call in &plain.in_order {
        let count: &mut u64 = counts.entry(*call).or_default();
        let faults = Fault::ALL.iter().map(|(_, fault)| *fault);
        let faults = faults.filter(|fault| table.says(&calls::name(*call), *fault));
        cases.extend(faults.map(|fault| (*call, *count, fault)));
        *count += 1;
    }
    let (all, cases, gone_wrong) = (cases.len(), Mutex::new(cases), Mutex::new(BTreeSet::new()));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let case = cases.lock().expect("nobody failed").pop();
                    let Some((call, nth, fault)) = case else { return };
                    if starts.check(call, nth, fault) {
                        gone_wrong
                            .lock()
                            .expect("nobody failed")
                            .insert((calls::name(call), fault));
                    }
                }
            });
        }
    });
    let gone_wrong = gone_wrong.into_inner().expect("nobody failed");
    println!("{all} starts: {gone_wrong:?}");
    for call in table.with(Fault::Memory) {
        assert!(gone_wrong.contains(&(call.to_owned(), Fault::Memory)), "`{call}` never failed");
    }
}
