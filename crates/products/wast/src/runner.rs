//! Runs scripts, directive by directive.
//!
//! Every script gets a store, a linker and a thread of its own: the thread's stack is large enough
//! for any guest that may exhaust its own limit, whatever stack the caller has.
//!
//! A directive ends in an [`Outcome`]: as demanded, not as demanded (with what was expected and
//! what came out), or not tried. After a module that could not be instantiated there is no current
//! instance, so that what follows fails instead of meeting an older instance.

use crate::directive::{DirectiveKind, is_component};
use crate::expect;
use crate::options::RunOptions;
use crate::report::{Failure, Place, ScriptReport, Skip};
use crate::spectest;
use crate::threads::{SharedExports, Threads};
use crate::value::{self, ArgError, HostRefs, Shown};
use std::collections::HashMap;
use std::thread;
use wasmoor::{
    AsContextMut, Engine, Error, ErrorKind, Instance, Linker, Module, Result, Store, TrapCode, Val,
};
use wast::lexer::Lexer;
use wast::parser::{ParseBuffer, parse};
use wast::token::{Id, Span};
use wast::{QuoteWat, Wast, WastDirective, WastExecute, WastInvoke, WastRet, Wat};

/// Bytes of stack of the thread that runs a script: the guests' default limit of 1 MiB, what
/// hosts keep, and as much again for the text parser and unoptimized builds of the runner.
pub(crate) const STACK_BYTES: usize = 8 << 20;

/// An engine and how to run scripts on it.
#[derive(Debug)]
pub struct Runner {
    engine: Engine,
    options: RunOptions,
}

impl Runner {
    /// A runner with an engine of its own.
    ///
    /// # Errors
    /// When there is no engine for these options on this machine.
    pub fn new(options: &RunOptions) -> Result<Runner> {
        Ok(Runner { engine: Engine::new(&options.config())?, options: *options })
    }

    /// How scripts are run.
    #[must_use]
    pub fn options(&self) -> &RunOptions {
        &self.options
    }

    /// Runs a script; `name` is its name in reports.
    ///
    /// A script that cannot be read counts as one failed directive of the kind
    /// [`DirectiveKind::Script`].
    ///
    /// # Panics
    /// When the engine panics, or the system refuses a thread.
    #[must_use]
    pub fn run(&self, name: &str, text: &str) -> ScriptReport {
        thread::scope(|scope| {
            let run = || Session::run(self, name, text);
            let thread = thread::Builder::new()
                .name("wast".to_string())
                .stack_size(STACK_BYTES)
                .spawn_scoped(scope, run)
                .expect("the system grants a thread");
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

/// How a directive ended, if not as demanded.
pub(crate) enum Outcome {
    Failed { expected: String, got: String },
    Skipped(&'static str),
}

pub(crate) type Checked = Result<(), Outcome>;

pub(crate) fn failed<T>(expected: impl Into<String>, got: impl Into<String>) -> Result<T, Outcome> {
    Err(Outcome::Failed { expected: expected.into(), got: got.into() })
}

/// What an action came to: results, or the engine's error.
type Action = Result<Vec<Val>, Error>;

/// What all threads of a script know of it.
#[derive(Clone, Copy)]
pub(crate) struct Script<'s, 'scope> {
    pub(crate) runner: &'s Runner,
    name: &'s str,
    text: &'s str,
    /// Outlives the script's threads.
    pub(crate) scope: &'scope thread::Scope<'scope, 's>,
}

impl Script<'_, '_> {
    pub(crate) fn place(&self, span: Span) -> Place {
        let (line, column) = span.linecol_in(self.text);
        Place { script: self.name.to_string(), line: line + 1, column: column + 1 }
    }
}

/// One thread of a script being run.
pub(crate) struct Session<'s, 'scope> {
    pub(crate) script: Script<'s, 'scope>,
    pub(crate) store: Store<()>,
    linker: Linker<()>,
    /// Modules by name, and the last one.
    modules: HashMap<String, Module>,
    last_module: Option<Module>,
    /// Instances by name, and the last one.
    instances: HashMap<String, Instance>,
    last_instance: Option<Instance>,
    host_refs: HostRefs,
    /// What is seen of another thread's instance, by its name there.
    pub(crate) foreign: HashMap<String, SharedExports>,
    pub(crate) threads: Threads<'scope>,
}

/// Reads a script and runs its directives; an error is about the script as a whole.
fn run_script(
    runner: &Runner,
    name: &str,
    text: &str,
    report: &mut ScriptReport,
) -> Result<(), (Span, &'static str, String)> {
    let unreadable = |error: wast::Error| (error.span(), "a script", error.message());
    let mut lexer = Lexer::new(text);
    // Scripts test such characters in names.
    lexer.allow_confusing_unicode(true);
    let buffer = ParseBuffer::new_with_lexer(lexer).map_err(unreadable)?;
    let directives = parse::<Wast<'_>>(&buffer).map_err(unreadable)?.directives;
    thread::scope(|scope| {
        let mut session = Session::new(Script { runner, name, text, scope })
            .map_err(|error| (Span::from_offset(0), "a store", error.to_string()))?;
        session.run_all(directives, report);
        Ok(())
    })
}

impl<'s, 'scope> Session<'s, 'scope> {
    fn run(runner: &Runner, name: &str, text: &str) -> ScriptReport {
        let mut report = ScriptReport::new(name);
        if let Err((span, expected, got)) = run_script(runner, name, text, &mut report) {
            let (line, column) = span.linecol_in(text);
            let place = Place { script: name.to_string(), line: line + 1, column: column + 1 };
            let kind = DirectiveKind::Script;
            report.failed(Failure { place, kind, expected: expected.into(), got });
        }
        report
    }

    /// Runs directives in order.
    pub(crate) fn run_all(
        &mut self,
        directives: Vec<WastDirective<'s>>,
        report: &mut ScriptReport,
    ) {
        for directive in directives {
            let (kind, span) = (DirectiveKind::of(&directive), directive.span());
            match self.directive(directive, report) {
                Ok(()) => report.passed(kind),
                Err(Outcome::Skipped(reason)) => {
                    report.skipped(Skip { place: self.script.place(span), kind, reason });
                }
                Err(Outcome::Failed { expected, got }) => {
                    let place = self.script.place(span);
                    report.failed(Failure { place, kind, expected, got });
                    if self.script.runner.options.stop_at_failure {
                        break;
                    }
                }
            }
        }
    }

    pub(crate) fn new(script: Script<'s, 'scope>) -> Result<Self> {
        let mut store = Store::new(&script.runner.engine, ())?;
        let mut linker = Linker::new(&script.runner.engine);
        // `register` may use a name again.
        linker.allow_shadowing(true);
        spectest::define(&mut linker, &mut store, script.runner.options.features)?;
        Ok(Session {
            script,
            store,
            linker,
            modules: HashMap::new(),
            last_module: None,
            instances: HashMap::new(),
            last_instance: None,
            host_refs: HostRefs::default(),
            foreign: HashMap::new(),
            threads: HashMap::new(),
        })
    }

    fn directive(&mut self, directive: WastDirective<'s>, report: &mut ScriptReport) -> Checked {
        match directive {
            WastDirective::Module(module) => self.module(module),
            WastDirective::ModuleDefinition(module) => {
                let id = module.name();
                let module = self.load_or_fail(module)?;
                self.remember_module(id, &module);
                Ok(())
            }
            WastDirective::ModuleInstance { instance, module, .. } => {
                let module = self.find_module(module)?;
                self.instantiate(instance, &module)
            }
            WastDirective::Register { name, module, .. } => self.register(name, module),
            WastDirective::Invoke(call) => match self.invoke(&call)? {
                Ok(_) => Ok(()),
                Err(error) => failed("a return", error.to_string()),
            },
            WastDirective::AssertReturn { exec, results, .. } => self.assert_return(exec, &results),
            WastDirective::AssertTrap { exec, message, .. } => self.assert_trap(exec, message),
            WastDirective::AssertExhaustion { call, message, .. } => {
                self.assert_exhaustion(&call, message)
            }
            WastDirective::AssertInvalid { module, message, .. } => {
                self.assert_invalid(module, message)
            }
            WastDirective::AssertMalformed { module, message, .. } => {
                self.assert_malformed(module, message)
            }
            WastDirective::AssertUnlinkable { module, message, .. } => {
                self.assert_unlinkable(module, message)
            }
            WastDirective::AssertException { exec, .. } => self.assert_exception(exec),
            WastDirective::AssertSuspension { .. } => {
                Err(Outcome::Skipped("stack switching is not implemented"))
            }
            WastDirective::AssertInvalidCustom { .. }
            | WastDirective::AssertMalformedCustom { .. } => {
                Err(Outcome::Skipped("custom sections are not validated"))
            }
            WastDirective::Thread(thread) => self.start_thread(thread),
            WastDirective::Wait { thread, .. } => self.wait_for_thread(thread, report),
        }
    }

    fn module(&mut self, module: QuoteWat<'_>) -> Checked {
        let id = module.name();
        self.last_instance = None;
        if let Some(id) = id {
            self.instances.remove(id.name());
        }
        let module = self.load_or_fail(module)?;
        self.remember_module(id, &module);
        self.instantiate(id, &module)
    }

    fn remember_module(&mut self, id: Option<Id<'_>>, module: &Module) {
        if let Some(id) = id {
            self.modules.insert(id.name().to_string(), module.clone());
        }
        self.last_module = Some(module.clone());
    }

    fn find_module(&self, id: Option<Id<'_>>) -> Result<Module, Outcome> {
        let found = match id {
            Some(id) => self.modules.get(id.name()),
            None => self.last_module.as_ref(),
        };
        found.cloned().map_or_else(|| failed("a module of this name", "none"), Ok)
    }

    fn instantiate(&mut self, id: Option<Id<'_>>, module: &Module) -> Checked {
        self.last_instance = None;
        match self.link(module) {
            Err(error) => failed("an instance", error.to_string()),
            Ok(instance) => {
                if let Some(id) = id {
                    self.instances.insert(id.name().to_string(), instance);
                }
                self.last_instance = Some(instance);
                Ok(())
            }
        }
    }

    /// Instantiates a module with what is registered.
    fn link(&mut self, module: &Module) -> Result<Instance> {
        self.refuel()?;
        self.linker.instantiate(&mut self.store, module)
    }

    pub(crate) fn find_instance(&self, id: Option<Id<'_>>) -> Result<Instance, Outcome> {
        let found = match id {
            Some(id) => self.instances.get(id.name()),
            None => self.last_instance.as_ref(),
        };
        found.copied().map_or_else(|| failed("an instance of this name", "none"), Ok)
    }

    fn register(&mut self, name: &str, id: Option<Id<'_>>) -> Checked {
        if let Some(exports) = id.and_then(|id| self.foreign.get(id.name())) {
            for (export, memory) in exports.clone() {
                let defined = self.linker.define(&self.store, name, &export, memory);
                if let Err(error) = defined {
                    return failed("a registered instance", error.to_string());
                }
            }
            return Ok(());
        }
        let instance = self.find_instance(id)?;
        match self.linker.instance(&self.store, name, instance) {
            Ok(_) => Ok(()),
            Err(error) => failed("a registered instance", error.to_string()),
        }
    }

    fn refuel(&mut self) -> Result<()> {
        self.script.runner.options.fuel.map_or(Ok(()), |fuel| self.store.set_fuel(fuel))
    }

    /// Encodes a module's text: the outer error is that of the text.
    fn encode(mut module: QuoteWat<'_>) -> Result<Result<Vec<u8>, String>, Outcome> {
        if is_component(&module) {
            return Err(Outcome::Skipped("components are not implemented"));
        }
        Ok(module.encode().map_err(|error| error.message()))
    }

    fn load(&self, bytes: &[u8]) -> Result<Module> {
        Module::new(&self.script.runner.engine, bytes)
    }

    fn load_or_fail(&self, module: QuoteWat<'_>) -> Result<Module, Outcome> {
        let loaded = match Self::encode(module)? {
            Ok(bytes) => self.load(&bytes).map_err(|error| error.to_string()),
            Err(message) => Err(format!("malformed text: {message}")),
        };
        loaded.or_else(|error| failed("a valid module", error))
    }

    /// Carries out an action; the outer error is about the directive, not the engine.
    fn execute(&mut self, action: WastExecute<'_>) -> Result<Action, Outcome> {
        match action {
            WastExecute::Invoke(call) => self.invoke(&call),
            WastExecute::Get { module, global, .. } => {
                let instance = self.find_instance(module)?;
                match instance.get_global(&self.store, global) {
                    Some(global) => Ok(Ok(vec![global.get(&self.store)])),
                    None => failed(format!("a global \"{global}\""), "none"),
                }
            }
            WastExecute::Wat(module) => {
                let module = self.load_or_fail(QuoteWat::Wat(module))?;
                Ok(self.link(&module).map(|_| Vec::new()))
            }
        }
    }

    fn invoke(&mut self, call: &WastInvoke<'_>) -> Result<Action, Outcome> {
        let instance = self.find_instance(call.module)?;
        let Some(func) = instance.get_func(&self.store, call.name) else {
            return failed(format!("a function \"{}\"", call.name), "none");
        };
        let mut arguments = Vec::with_capacity(call.args.len());
        for argument in &call.args {
            match self.host_refs.argument(&mut self.store, argument) {
                Ok(value) => arguments.push(value),
                Err(ArgError::Unsupported) => {
                    return Err(Outcome::Skipped("objects are not implemented"));
                }
                Err(ArgError::Refused(error)) => return Ok(Err(error)),
            }
        }
        let ty = func.ty(&self.store);
        let mut results: Vec<Val> = ty.results.iter().map(|&ty| Val::default_for(ty)).collect();
        let called = self
            .refuel()
            .and_then(|()| func.call(self.store.as_context_mut(), &arguments, &mut results));
        Ok(called.map(|()| results))
    }

    fn assert_return(&mut self, action: WastExecute<'_>, patterns: &[WastRet<'_>]) -> Checked {
        match self.execute(action)? {
            Ok(results) if value::all_match(&self.store, &results, patterns) => Ok(()),
            Ok(results) => {
                let got = Shown(&self.store, &results).to_string();
                failed(value::show_patterns(patterns), got)
            }
            Err(error) => failed(value::show_patterns(patterns), error.to_string()),
        }
    }

    fn assert_trap(&mut self, action: WastExecute<'_>, words: &str) -> Checked {
        let expected = format!("the trap \"{words}\"");
        match self.execute(action)? {
            Ok(results) => failed(expected, Shown(&self.store, &results).to_string()),
            Err(error) => match error.trap_code() {
                Some(code) if expect::trap_matches(code, words) => Ok(()),
                _ => failed(expected, error.to_string()),
            },
        }
    }

    fn assert_exception(&mut self, action: WastExecute<'_>) -> Checked {
        let expected = "an exception";
        match self.execute(action)? {
            Ok(results) => failed(expected, Shown(&self.store, &results).to_string()),
            Err(error) if matches!(error.kind(), ErrorKind::Exception(_)) => Ok(()),
            Err(error) => failed(expected, error.to_string()),
        }
    }

    fn assert_exhaustion(&mut self, call: &WastInvoke<'_>, words: &str) -> Checked {
        let expected = format!("the trap \"{words}\"");
        match self.invoke(call)? {
            Ok(results) => failed(expected, Shown(&self.store, &results).to_string()),
            Err(error) if error.trap_code() == Some(TrapCode::StackOverflow) => Ok(()),
            Err(error) => failed(expected, error.to_string()),
        }
    }

    fn assert_invalid(&self, module: QuoteWat<'_>, words: &str) -> Checked {
        let expected = format!("an invalid module (\"{words}\")");
        match Self::encode(module)? {
            Err(message) => failed(expected, format!("malformed text: {message}")),
            Ok(bytes) => match self.load(&bytes) {
                Ok(_) => failed(expected, "a valid module"),
                Err(error) if expect::is_invalid(&error) => Ok(()),
                Err(error) => failed(expected, error.to_string()),
            },
        }
    }

    fn assert_malformed(&self, module: QuoteWat<'_>, words: &str) -> Checked {
        let expected = format!("a malformed module (\"{words}\")");
        match Self::encode(module)? {
            Err(_) => Ok(()),
            Ok(bytes) => match self.load(&bytes) {
                Ok(_) => failed(expected, "a valid module"),
                Err(error) if expect::is_malformed(&error) => Ok(()),
                Err(error) => failed(expected, error.to_string()),
            },
        }
    }

    fn assert_unlinkable(&mut self, module: Wat<'_>, words: &str) -> Checked {
        let expected = format!("the link error \"{words}\"");
        let module = self.load_or_fail(QuoteWat::Wat(module))?;
        match self.link(&module) {
            Ok(_) => failed(expected, "an instance"),
            Err(error) if expect::link_error_matches(&error, words) => Ok(()),
            Err(error) => failed(expected, error.to_string()),
        }
    }
}
