//! Directives on threads of their own.
//!
//! Each thread of a script has a store and names of its own. Of the script's instances it sees
//! one, by its name and of that only the shared memories: nothing else can be in two stores.

use crate::directive::DirectiveKind;
use crate::report::{Failure, ScriptReport};
use crate::runner::{Checked, STACK_BYTES, Script, Session, failed};
use std::collections::HashMap;
use std::thread::{Builder, ScopedJoinHandle};
use wasmoor::SharedMemory;
use wast::WastThread;
use wast::token::Id;

/// Shared memories of an instance, by the names of its exports.
pub(crate) type SharedExports = Vec<(String, SharedMemory)>;

/// Threads that have not been waited for, by name.
pub(crate) type Threads<'scope> = HashMap<String, ScopedJoinHandle<'scope, ScriptReport>>;

impl<'s, 'scope> Session<'s, 'scope> {
    /// Starts a thread.
    pub(crate) fn start_thread(&mut self, thread: WastThread<'s>) -> Checked {
        let shared = match thread.shared_module {
            None => None,
            Some(id) => Some((id.name().to_owned(), self.shared_exports(id)?)),
        };
        let Script { scope, runner, .. } = self.script;
        let script = self.script;
        let body = move || {
            let mut report = ScriptReport::new(thread.name.name());
            match Session::new(script) {
                Ok(mut session) => {
                    session.foreign.extend(shared);
                    session.run_all(thread.directives, &mut report);
                }
                Err(error) => report.failed(Failure {
                    place: script.place(thread.span),
                    kind: DirectiveKind::Thread,
                    expected: "a store".to_owned(),
                    got: error.to_string(),
                }),
            }
            report
        };
        let builder = Builder::new().name("wast".to_owned()).stack_size(STACK_BYTES);
        match builder.spawn_scoped(scope, body) {
            Ok(handle) => {
                debug_assert!(runner.options().features.contains(wasmoor::Feature::Threads));
                self.threads.insert(thread.name.name().to_owned(), handle);
                Ok(())
            }
            Err(error) => failed("a thread", error.to_string()),
        }
    }

    /// Waits for a thread and adds what came of its directives.
    pub(crate) fn wait_for_thread(&mut self, name: Id<'_>, report: &mut ScriptReport) -> Checked {
        let Some(handle) = self.threads.remove(name.name()) else {
            return failed("a thread of this name", "none");
        };
        match handle.join() {
            Ok(its) => {
                report.absorb(its);
                Ok(())
            }
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// What a thread may see of an instance.
    fn shared_exports(&self, id: Id<'_>) -> Result<SharedExports, crate::runner::Outcome> {
        if let Some(exports) = self.foreign.get(id.name()) {
            return Ok(exports.clone());
        }
        let instance = self.find_instance(Some(id))?;
        let exports = instance.exports(&self.store).into_iter();
        Ok(exports.filter_map(|(name, item)| Some((name, item.into_shared_memory()?))).collect())
    }
}
