//! `wasmoor run`: from a file to the guest's exit status.
//!
//! ```text
//! load       from a file of `compile`, from the cache, or by reading and validating (see `load`)
//! link       the world's functions; every missing import is named
//! thread     a stack of --max-stack and some for host functions:
//!   instantiate, then `_start`, `_initialize` or the function of --invoke
//! ```
//! The main thread waits. When the guest is stuck in a host call behind its deadline, which nothing
//! can end, the main thread ends the process as if the guest had trapped (see `overdue`).

use crate::args::Run;
use crate::load::{self, Keeper};
use crate::overdue::Overdue;
use crate::report::{self, Failure, near, printable};
use crate::stats::Stats;
use crate::{hints, network, outcome, validate, values, world};
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Instant;
use wasmoor::cache::Cache;
use wasmoor::{
    Allocation, Config, Engine, Extern, Func, Instance, Linker, Module, Store, StoreLimits, Val,
};
use wasmoor_abi::limits::HOST_STACK_RESERVE_BYTES;
use wasmoor_wasix::{Process, Thread};

/// Stack for instantiation and for what is below the guest's first frame.
const THREAD_STACK_BYTES: usize = 1 << 20;
/// Processes of the guest besides its first, unless fuel is counted.
const PROCESSES_MAX_DEFAULT: u32 = 256;

/// Runs the program.
///
/// # Errors
/// The guest ended with another status than 0, or anything of ours went wrong.
pub(crate) fn run(args: Run) -> Result<(), Failure> {
    let mut stats = Stats::default();
    let path = args.file_and_args.first().map_or(Path::new(""), Path::new);
    let engine = engine(&args)?;
    let loaded = load::load(&args, &engine, &mut stats);
    let loaded = loaded.map_err(|failure| suggest_command(failure, path))?;
    let (module, cache) = (loaded.module.clone(), loaded.cache.clone());
    let mut keeper = Keeper::new(loaded);
    let (result, mut stats) = on_thread(&args, module, cache, stats, &mut keeper)?;
    keeper.store_at_exit();
    if args.stats {
        if keeper.failed.is_some() {
            stats.stored = "; the cache cannot be written";
        }
        stats.print();
    }
    // The process ends here; freeing a large module's description takes milliseconds.
    std::mem::forget(keeper);
    result
}

/// `wasmoor valdate x.wasm` means a file called `valdate`, unless there is none.
fn suggest_command(mut failure: Failure, path: &Path) -> Failure {
    let name = path.to_string_lossy();
    let commands = crate::args::subcommands();
    let near = near(&name, commands.iter().map(String::as_str));
    if let (Some(message), [command, ..], false) = (&mut failure.message, &near[..], path.exists())
    {
        *message += &format!(" (did you mean the command `{command}`?)");
    }
    failure
}

fn engine(args: &Run) -> Result<Engine, Failure> {
    let mut config = Config::new();
    // A command makes one instance: what is kept for the next one would never be used.
    config.allocation(Allocation::OnDemand);
    config
        .tier(args.tier)
        .eager(args.eager)
        .jit(!args.no_jit)
        .fuel(args.fuel.is_some())
        .max_stack(stack_bytes(args)?)
        .threads(validate::threads());
    args.proposals.configure(&mut config);
    Engine::new(&config).map_err(Failure::error)
}

fn stack_bytes(args: &Run) -> Result<usize, Failure> {
    usize::try_from(args.max_stack).map_err(Failure::error)
}

/// The stack of a thread that runs the guest.
fn thread_stack_bytes(args: &Run) -> Result<usize, Failure> {
    stack_bytes(args)?
        .checked_add(HOST_STACK_RESERVE_BYTES + THREAD_STACK_BYTES)
        .ok_or_else(|| Failure::usage("the stack is too large"))
}

/// How the guest ended, and where the time went.
type Answer = (Result<(), Failure>, Stats);

/// What the guest's thread sends to the main thread.
enum Message {
    /// It is about to run, with this deadline.
    Starts(Overdue),
    /// It has ended.
    Ended(Box<Answer>),
}

fn on_thread(
    args: &Run,
    module: Module,
    cache: Option<Cache>,
    stats: Stats,
    keeper: &mut Keeper,
) -> Result<Answer, Failure> {
    let stack = thread_stack_bytes(args)?;
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        let guest = std::thread::Builder::new().name("guest".to_owned()).stack_size(stack);
        let body = move || {
            let mut stats = stats;
            let starts = |deadline| drop(sender.send(Message::Starts(deadline)));
            let result = guest_thread(args, &module, cache, &mut stats, starts);
            // The main thread waits for this; it cannot be gone.
            let _ = sender.send(Message::Ended(Box::new((result, stats))));
        };
        guest
            .spawn_scoped(scope, body)
            .map_err(|error| Failure::error(format!("cannot start a thread: {error}")))?;
        wait(&receiver, keeper)
    })
}

/// Waits for the guest's thread, and looks after its module and its deadline meanwhile.
fn wait(receiver: &mpsc::Receiver<Message>, keeper: &mut Keeper) -> Result<Answer, Failure> {
    let ended = |_| Failure::error("the guest's thread ended without a result");
    let mut overdue: Option<Overdue> = None;
    loop {
        let look_at = overdue.as_ref().and_then(Overdue::look_at);
        let message = match look_at.into_iter().chain(keeper.due()).min() {
            None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(until) => receiver.recv_timeout(until.saturating_duration_since(Instant::now())),
        };
        match message {
            Ok(Message::Ended(answer)) => return Ok(*answer),
            Ok(Message::Starts(deadline)) => overdue = Some(deadline),
            Err(RecvTimeoutError::Disconnected) => return Err(ended(mpsc::RecvError)),
            Err(RecvTimeoutError::Timeout) => {
                let now = Instant::now();
                if overdue.as_mut().is_some_and(|overdue| overdue.is_stuck(now)) {
                    end_stuck_guest();
                }
                if keeper.due().is_some_and(|due| due <= now) {
                    keeper.work();
                }
            }
        }
    }
}

/// The guest's thread cannot be ended, so the scope cannot be left: the process ends here.
fn end_stuck_guest() -> ! {
    let code = wasmoor::TrapCode::DeadlineExceeded;
    report::error_line(&format!(
        "wasm trap: {code}; there is no backtrace, since the guest is in a call of the host that \
         does not end"
    ));
    std::process::exit(report::STATUS_TRAP.into())
}

fn guest_thread(
    args: &Run,
    module: &Module,
    cache: Option<Cache>,
    stats: &mut Stats,
    starts: impl Fn(Overdue),
) -> Result<(), Failure> {
    let thread = Process::builder(world::context(args)?)
        .threads_max(threads_max(args))
        .thread_stack(thread_stack_bytes(args)?)
        .store_limits(store_limits(args))
        .network(network::network(args))
        .working_dir(args.cwd.as_deref().unwrap_or("/"))
        .host_process(true)
        .processes_max(processes_max(args))
        .cache(cache)
        .build();
    let mut process = Arc::clone(thread.process());
    let end = args.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut terms = Terms { args, fuel: args.fuel, end, starts: &starts, stats };
    let mut result = program(&mut terms, module, thread, args.invoke.as_deref());
    // What the guest becomes, program after program.
    while let Some((next, thread)) = process.take_successor() {
        process = Arc::clone(thread.process());
        let start = Instant::now();
        result = program(&mut terms, &next.module, thread, None);
        if let Some(entry) = &next.entry {
            // Without it the next one is compiled too.
            let _ = entry.store_at_exit(&next.module, start.elapsed());
        }
    }
    let granted = args.fuel.unwrap_or_default();
    terms.stats.fuel = terms.fuel.map(|left| granted.saturating_sub(left));
    exit_in_child(&process, &result);
    result
}

/// What the programs of a guest run under, one after the other.
struct Terms<'a> {
    args: &'a Run,
    /// What is left of it.
    fuel: Option<u64>,
    /// When the guest's time is up.
    end: Option<Instant>,
    /// Tells the main thread of a deadline to look after.
    starts: &'a dyn Fn(Overdue),
    stats: &'a mut Stats,
}

/// Runs one program of the guest in a store of its own.
fn program(
    terms: &mut Terms<'_>,
    module: &Module,
    thread: Thread,
    invoke: Option<&str>,
) -> Result<(), Failure> {
    let is_child = thread.process().is_child();
    let process = Arc::clone(thread.process());
    let mut linker = Linker::for_module(module);
    wasmoor_wasix::add_to_linker(&mut linker, module).map_err(Failure::error)?;
    note_unsupported(module);
    let mut store = Store::new(module.engine(), thread).map_err(Failure::error)?;
    store.set_limits(store_limits(terms.args));
    if let Some(fuel) = terms.fuel {
        store.set_fuel(fuel).map_err(Failure::error)?;
    }
    let time = terms.end.map(|end| end.saturating_duration_since(Instant::now()));
    let deadline = time.map(|time| store.set_deadline(time)).transpose();
    let deadline = deadline.map_err(Failure::error)?;
    // The process of a child has no main thread.
    if let Some(time) = time.filter(|_| !is_child) {
        let handle = store.interrupt_handle();
        (terms.starts)(Overdue::new(time, move || handle.is_pending()));
    }
    let result = guest(terms, module, &linker, &mut store, invoke).map_err(|mut failure| {
        let missed = store.data().wasi().missed();
        let hint = hints::missing_grant(terms.args, module, missed, &failure);
        failure.details.extend(hint.map(report::note_line));
        failure
    });
    terms.fuel = terms.fuel.map(|_| store.fuel());
    terms.stats.compiled = module.compile_stats();
    terms.stats.memory_bytes = store.meter().memory_bytes;
    terms.stats.table_elements = store.meter().table_elements;
    if process.is_child() && !process.has_successor() {
        // The process ends now. To free what it shares with its parent means to copy it first.
        std::mem::forget((deadline, store, linker));
    }
    result
}

/// In a process that the guest has forked there is no thread to go back to: it ends here.
fn exit_in_child(process: &Process, result: &Result<(), Failure>) {
    if process.is_child() {
        let status = result.as_ref().err().map_or(0, Failure::report);
        process.exit_in_child(status);
    }
}

/// Functions of WASIX that are known but only answer an error.
fn note_unsupported(module: &Module) {
    let names: Vec<&str> = wasmoor_wasix::unsupported_imports(module).collect();
    if !names.is_empty() {
        report::note(format_args!(
            "these functions of WASIX are not supported, calls fail with ENOSYS: {}",
            list(names)
        ));
    }
}

/// Fuel is counted for one thread, so that results are the same in every run.
fn threads_max(args: &Run) -> u32 {
    if args.fuel.is_some() { 0 } else { args.max_threads }
}

/// Each process has the fuel for itself, so it takes a word of the user for more than one.
fn processes_max(args: &Run) -> u32 {
    let default = if args.fuel.is_some() { 0 } else { PROCESSES_MAX_DEFAULT };
    args.max_processes.unwrap_or(default)
}

fn store_limits(args: &Run) -> StoreLimits {
    let mut limits = StoreLimits::default();
    limits.memory_bytes_max = args.max_memory.unwrap_or(limits.memory_bytes_max);
    limits.table_elements_max = args.max_table.unwrap_or(limits.table_elements_max);
    limits
}

fn guest(
    terms: &mut Terms<'_>,
    module: &Module,
    linker: &Linker<Thread>,
    store: &mut Store<Thread>,
    invoked: Option<&str>,
) -> Result<(), Failure> {
    let start = Instant::now();
    let instance = wasmoor_wasix::instantiate(linker, store, module);
    terms.stats.instantiate += start.elapsed();
    let instance = match instance {
        Ok(instance) => instance,
        Err(error) => return outcome::of(Err(error)),
    };
    let start = Instant::now();
    let result = match invoked {
        Some(name) => invoke(terms.args, name, module, &instance, store),
        None => start_program(module, &instance, store),
    };
    terms.stats.run += start.elapsed();
    result
}

/// `_start` of a command, `_initialize` of a reactor, or nothing: the start function has run.
fn start_program(
    module: &Module,
    instance: &Instance,
    store: &mut Store<Thread>,
) -> Result<(), Failure> {
    let exported = |name| instance.get_func(&*store, name);
    match exported("_start").or_else(|| exported("_initialize")) {
        Some(start) => {
            outcome::of(wasmoor_wasix::run(store, |store| start.call(store, &[], &mut [])))
        }
        None => {
            let functions = functions(module);
            if std::io::stderr().is_terminal() && !functions.is_empty() {
                let list = list(functions);
                report::note(format_args!("no `_start` is exported; --invoke calls one of {list}"));
            }
            Ok(())
        }
    }
}

fn invoke(
    args: &Run,
    name: &str,
    module: &Module,
    instance: &Instance,
    store: &mut Store<Thread>,
) -> Result<(), Failure> {
    let func = find(name, module, instance, store)?;
    let ty = func.ty(&*store);
    let texts = args.file_and_args.get(1..).unwrap_or_default();
    if texts.len() != ty.params.len() {
        let given = match texts.len() {
            1 => "1 was given".to_owned(),
            count => format!("{count} were given"),
        };
        let name = printable(name);
        let count = ty.params.len();
        return Err(Failure::error(format!(
            "`{name}` is {ty}: it takes {count} arguments, {given}"
        )));
    }
    let params: Vec<Val> = texts
        .iter()
        .zip(&ty.params)
        .map(|(text, &ty)| values::parse(&text.to_string_lossy(), ty).map_err(Failure::error))
        .collect::<Result<_, _>>()?;
    let mut results: Vec<Val> = ty.results.iter().map(|&ty| Val::default_for(ty)).collect();
    // A reactor's functions may be called only after this one.
    let initialize = instance.get_func(&*store, "_initialize").filter(|_| name != "_initialize");
    let mut has_returned = false;
    outcome::of(wasmoor_wasix::run(store, |store| {
        if let Some(initialize) = initialize {
            initialize.call(&mut *store, &[], &mut [])?;
        }
        func.call(store, &params, &mut results)?;
        has_returned = true;
        Ok(())
    }))?;
    if !has_returned {
        // It has ended the guest, without an error.
        return Ok(());
    }
    report::print(&results.iter().map(|value| values::show(value) + "\n").collect::<String>())
}

fn find(
    name: &str,
    module: &Module,
    instance: &Instance,
    store: &mut Store<Thread>,
) -> Result<Func, Failure> {
    let shown = printable(name);
    match (instance.get_export(&*store, name), module.get_export(name)) {
        (Some(Extern::Func(func)), _) => Ok(func),
        (_, Some(ty)) => Err(Failure::error(format!("`{shown}` is no function, but {ty}"))),
        (_, None) => {
            let functions = functions(module);
            let near = near(name, functions.iter().copied());
            let hint = match (functions.is_empty(), near.is_empty()) {
                (true, _) => "there is none".to_owned(),
                (false, true) => format!("there are {}", list(functions)),
                (false, false) => format!("did you mean {}?", list(near)),
            };
            Err(Failure::error(format!("no function `{shown}` is exported; {hint}")))
        }
    }
}

/// Names of the exported functions.
fn functions(module: &Module) -> Vec<&str> {
    let is_func = |ty: &wasmoor::ExternType| matches!(ty, wasmoor::ExternType::Func(_));
    module.exports().filter(|export| is_func(&export.ty)).map(|export| export.name).collect()
}

/// The first names of a list.
fn list(names: Vec<&str>) -> String {
    const SHOWN: usize = 10;
    let mut text: Vec<String> =
        names.iter().take(SHOWN).map(|name| format!("`{}`", printable(name))).collect();
    if names.len() > SHOWN {
        text.push(format!("{} more", names.len() - SHOWN));
    }
    text.join(", ")
}
