//! Runs of the command in which system calls go wrong.
//!
//! The command runs under trace: at the entry of a call that is to go wrong it is replaced by none, or its
//! arguments are changed, and at its exit the thread finds an error, or its registers as they were. What goes
//! wrong is decided by the number of the call, by how many of its kind the thread made before, and by a
//! seed: the same thread that does the same meets the same.

pub mod calls;
pub mod holdings;
pub mod rules;

use crate::binary::{CACHE_VARIABLE, wasmoor};
use crate::tracer::{self, Call, Stop};
use anyhow::{Context, Result, bail};
use calls::{Fault, Table};
use holdings::Holding;
use rules::Change;
use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

/// No call has this number: the kernel does nothing.
const NO_CALL: u64 = u64::MAX;

/// What goes wrong, and from when on.
#[derive(Clone, Debug)]
pub enum Plan {
    /// Nothing: the run that others are compared with.
    Nothing,
    /// What the table says of this fault, once the guest has printed something.
    Guest {
        /// What goes wrong.
        fault: Fault,
        /// Another one has other calls go wrong.
        seed: u64,
    },
    /// Nothing, but what is seen begins with the command.
    Start,
    /// One call of a number, from the start of the command on, counted from 0.
    One {
        /// Which call.
        number: i64,
        /// Which of them.
        nth: u64,
        /// What goes wrong.
        fault: Fault,
    },
}

/// What was seen of a run.
#[derive(Debug)]
pub struct Outcome {
    /// How the command ended.
    pub status: ExitStatus,
    /// What it printed that was not read meanwhile.
    pub stdout: String,
    /// What it said of errors.
    pub stderr: String,
    /// Calls of the command, its threads and its children, from when on it mattered.
    pub seen: BTreeMap<String, u64>,
    /// Those of them that went wrong.
    pub made: BTreeMap<String, u64>,
    /// The descriptors that the process had when it ended.
    pub open_at_end: Vec<String>,
    /// Calls of the whole run in order, by number.
    pub in_order: Vec<i64>,
}

/// A run that goes on.
#[derive(Debug)]
pub struct Run {
    lines: BufReader<ChildStdout>,
    stderr: JoinHandle<String>,
    tracer: JoinHandle<Result<Traced>>,
    has_hung: Arc<AtomicBool>,
    over: mpsc::Sender<()>,
    shown: String,
}

impl Run {
    /// Starts `wasmoor run ARGS` in a folder; what takes longer than `limit` is killed.
    ///
    /// # Errors
    /// The system does not let programs be traced.
    pub fn start(args: &[&str], folder: &Path, limit: Duration, plan: Plan) -> Result<Self> {
        // Waits for its tracer, and becomes the command.
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "kill -STOP $$; exec \"$0\" run \"$@\""]).arg(wasmoor()).args(args);
        command.current_dir(folder).env_clear().env(CACHE_VARIABLE, "off").process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (begun, beginning) = mpsc::channel();
        let tracer = std::thread::spawn(move || trace(command, plan, &begun));
        let Ok((process, stdout, stderr)) = beginning.recv() else {
            return Err(tracer.join().map_or_else(|_| anyhow::anyhow!("a panic"), never_began));
        };
        let (has_hung, over) = watch(process, limit);
        Ok(Run {
            lines: BufReader::new(stdout),
            stderr: std::thread::spawn(move || text_of(stderr)),
            tracer,
            has_hung,
            over,
            shown: args.join(" "),
        })
    }

    /// The next line that the guest prints.
    ///
    /// # Errors
    /// It prints no more.
    pub fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.lines.read_line(&mut line)? == 0 {
            bail!("{} prints no line", self.shown);
        }
        Ok(line.trim_end().to_owned())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It hung, or could not be traced to its end.
    pub fn finish(self) -> Result<Outcome> {
        let stdout = text_of(self.lines);
        let stderr = self.stderr.join().unwrap_or_default();
        let traced = self.tracer.join().map_err(|_| anyhow::anyhow!("the tracer panicked"))??;
        // Nobody waits for this any more if it was too late.
        let _ = self.over.send(());
        if self.has_hung.load(Ordering::SeqCst) {
            let made = &traced.made;
            bail!("{} hung; it printed: {stdout}{stderr}; went wrong: {made:?}", self.shown);
        }
        Ok(Outcome {
            status: traced.status.context("the command did not end")?,
            stdout,
            stderr,
            seen: traced.seen,
            made: traced.made,
            open_at_end: traced.open_at_end,
            in_order: traced.in_order,
        })
    }
}

fn never_began(result: Result<Traced>) -> anyhow::Error {
    result.err().unwrap_or_else(|| anyhow::anyhow!("the command did not begin"))
}

fn text_of(mut stream: impl Read) -> String {
    let mut bytes = Vec::new();
    // A broken pipe ends it as its end does.
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Kills the group of a process when the time is over, unless it is told that it has ended.
fn watch(process: i32, limit: Duration) -> (Arc<AtomicBool>, mpsc::Sender<()>) {
    let has_hung = Arc::new(AtomicBool::new(false));
    let (over, is_over) = mpsc::channel();
    let hangs = Arc::clone(&has_hung);
    std::thread::spawn(move || {
        if is_over.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
            hangs.store(true, Ordering::SeqCst);
            let group = rustix::process::Pid::from_raw(process);
            // All of it may have ended just now.
            let _ = group.map(|group| {
                rustix::process::kill_process_group(group, rustix::process::Signal::KILL)
            });
        }
    });
    (has_hung, over)
}

type Begun = (i32, ChildStdout, ChildStderr);

/// The tracer's thread, from the start of the command to the end of all of its processes.
fn trace(mut command: Command, plan: Plan, begun: &mpsc::Sender<Begun>) -> Result<Traced> {
    let mut child = command.spawn()?;
    if let Err(error) = tracer::seize(child.id().cast_signed()) {
        // It may have ended; nothing else is to be done about it.
        let _ = child.kill();
        let _ = child.wait();
        return Err(error);
    }
    let mut traced = Traced::new(&child, plan);
    let streams = child.stdout.take().zip(child.stderr.take()).context("they are piped")?;
    let _ = begun.send((child.id().cast_signed(), streams.0, streams.1));
    while let Some((thread, stop)) = tracer::next_stop()? {
        traced.on(thread, stop);
        tracer::resume(thread, stop);
    }
    Ok(traced)
}

/// What is put back when a call has been made.
#[derive(Debug)]
struct Pending {
    change: Change,
    registers: libc::user_regs_struct,
    /// Words as they were.
    words: Vec<(u64, u64)>,
}

/// A run as its tracer knows it.
#[derive(Debug)]
struct Traced {
    plan: Plan,
    table: Table,
    process: i32,
    /// What the system calls the standard output.
    output: String,
    has_begun: bool,
    counts: HashMap<(i32, i64), u64>,
    pending: HashMap<i32, Pending>,
    status: Option<ExitStatus>,
    seen: BTreeMap<String, u64>,
    made: BTreeMap<String, u64>,
    open_at_end: Vec<String>,
    in_order: Vec<i64>,
}

impl Traced {
    fn new(child: &Child, plan: Plan) -> Self {
        let process = child.id().cast_signed();
        Traced {
            plan,
            table: Table::read(),
            process,
            output: Holding::of(process).shown(1),
            has_begun: false,
            counts: HashMap::new(),
            pending: HashMap::new(),
            status: None,
            seen: BTreeMap::new(),
            made: BTreeMap::new(),
            open_at_end: Vec::new(),
            in_order: Vec::new(),
        }
    }

    fn on(&mut self, thread: i32, stop: Stop) {
        match stop {
            Stop::Entry(call) => self.enter(thread, &call),
            Stop::Exit => self.exit(thread),
            Stop::Ended(status) => {
                self.pending.remove(&thread);
                if thread == self.process {
                    self.status = Some(ExitStatus::from_raw(status));
                }
            }
            Stop::Signal(_) | Stop::Group | Stop::Event => {}
        }
    }

    fn enter(&mut self, thread: i32, call: &Call) {
        let holding = Holding::of(thread);
        let from_start = matches!(self.plan, Plan::Start | Plan::One { .. });
        if !self.has_begun && !self.begins(from_start, call, &holding) {
            return;
        }
        self.in_order.push(call.number);
        let name = calls::name(call.number);
        *self.seen.entry(name.clone()).or_default() += 1;
        if call.number == libc::SYS_exit_group && holding.process() == Some(self.process) {
            self.open_at_end = holding.descriptors();
        }
        let count =
            self.counts.entry((if from_start { 0 } else { thread }, call.number)).or_default();
        let nth = *count;
        *count += 1;
        let change = match &self.plan {
            Plan::Nothing | Plan::Start => None,
            Plan::Guest { fault, seed } if self.table.says(&name, *fault) => {
                rules::decide(*fault, *seed, nth, call, &holding)
            }
            Plan::Guest { .. } => None,
            Plan::One { number, nth: which, fault } => (*number == call.number && *which == nth)
                .then(|| rules::made_of(*fault, call, &holding, 0))
                .flatten(),
        };
        if let Some(change) = change
            && let Some(pending) = put(thread, &holding, change)
        {
            self.pending.insert(thread, pending);
            *self.made.entry(name).or_default() += 1;
        }
    }

    /// Whether it matters from this call on, or from the next.
    fn begins(&mut self, from_start: bool, call: &Call, holding: &Holding) -> bool {
        if from_start {
            // The first call of a program of ours; those before are the loader's and the C library's.
            self.has_begun = call.number == libc::SYS_poll;
            return self.has_begun;
        }
        let prints = call.number == libc::SYS_write || call.number == libc::SYS_writev;
        self.has_begun = prints && holding.shown(call.args[0]) == self.output;
        false
    }

    fn exit(&mut self, thread: i32) {
        let Some(Pending { change, registers: before, words }) = self.pending.remove(&thread)
        else {
            return;
        };
        let Some(mut registers) = tracer::registers(thread) else { return };
        match change {
            Change::Instead(errno) => registers.rax = failure(errno),
            Change::Afterwards(errno) if registers.rax == 0 => registers.rax = failure(errno),
            Change::Afterwards(_) => {}
            Change::With { .. } => {
                registers.rdx = before.rdx;
                registers.rsi = before.rsi;
                registers.r10 = before.r10;
            }
        }
        for (at, value) in words {
            // If it is not there any more nobody reads it.
            let _ = Holding::of(thread).set_word(at, value);
        }
        tracer::set_registers(thread, &registers);
    }
}

/// As calls return it.
fn failure(errno: i32) -> u64 {
    i64::from(-errno).cast_unsigned()
}

/// Has a call that begins go wrong; `None` where the thread is not there any more.
fn put(thread: i32, holding: &Holding, change: Change) -> Option<Pending> {
    let registers = tracer::registers(thread)?;
    let (mut changed, mut before) = (registers, Vec::new());
    match &change {
        Change::Instead(_) => changed.orig_rax = NO_CALL,
        Change::Afterwards(_) => {}
        Change::With { args, words } => {
            for &(argument, value) in args {
                match argument {
                    1 => changed.rsi = value,
                    2 => changed.rdx = value,
                    _ => changed.r10 = value,
                }
            }
            for &(at, value) in words {
                before.push((at, holding.word(at)?));
                holding.set_word(at, value)?;
            }
        }
    }
    tracer::set_registers(thread, &changed);
    Some(Pending { change, registers, words: before })
}
