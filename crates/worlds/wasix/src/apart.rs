//! A child before it is there: its descriptors and its current directory, apart from its parent's.
//!
//! Programs are started by a thread that acts for the child: what it opens, closes and where it goes
//! is on copies. The host process forks only when the program has been found, so whatever is in the
//! way of that is an error in the parent, and nobody waits for anybody. In between the thread is in
//! one of two calls: `proc_spawn` and its kin do all at once, after `proc_fork_env` the guest itself
//! acts until it becomes a program or ends (`vfork`).
//!
//! ```text
//! part      the thread has copies; the parent's are kept in [`Apart`]
//! fork      parent: rejoin, the copies are gone
//!           child:  the copies take the place of the parent's
//! ```

use crate::family::Admitted;
use crate::thread::Thread;
use std::sync::Arc;
use wasmoor_host::{DescriptorTable, WorkingDir};

/// What is the parent's while the thread acts for a child.
#[derive(Debug)]
pub(crate) struct Apart {
    table: Arc<DescriptorTable>,
    working_dir: Option<Arc<WorkingDir>>,
    number: Option<u32>,
    /// Counts the child until it is there, also when it never will be.
    admitted: Option<Admitted>,
}

impl Apart {
    /// From now on the thread acts for a child, which may have a number already.
    pub(crate) fn part(thread: &mut Thread, admitted: Admitted, number: Option<u32>) -> Self {
        let core = thread.wasi_mut().core_mut();
        let (table, working_dir) = (Arc::clone(&core.table), core.working_dir.clone());
        core.table = table.copy();
        core.working_dir = working_dir.as_deref().map(|dir| Arc::new(dir.copy()));
        Apart { table, working_dir, number, admitted: Some(admitted) }
    }

    /// The child is there.
    pub(crate) fn take_admitted(&mut self) -> Option<Admitted> {
        self.admitted.take()
    }

    /// The child's number, if it has one before it is there.
    pub(crate) fn number(&self) -> Option<u32> {
        self.number
    }

    /// The thread is the parent's again.
    pub(crate) fn rejoin(self, thread: &mut Thread) {
        // Descriptors may have given up rights meanwhile.
        self.table.note_change();
        let core = thread.wasi_mut().core_mut();
        std::mem::replace(&mut core.table, self.table).close_all();
        core.working_dir = self.working_dir;
    }

    /// In the child of the fork, which closes what is its parent's alone: other threads, which are not
    /// there, have that table too.
    pub(crate) fn begin_in_child(&self, thread: &mut Thread) {
        let core = thread.wasi_mut().core_mut();
        let copy = std::mem::replace(&mut core.table, Arc::clone(&self.table));
        core.table.take_over(&copy);
    }
}
