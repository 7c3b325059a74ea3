//! Offers the functions to a module, in the form in which it imports them.
//!
//! WASIX has changed some functions while it grew. The types of a module's imports tell which form
//! it was made for; so a linker is filled for a module.

use crate::calls::{self, Result};
use crate::program::Guest;
use crate::unsupported;
use wasmoor::{ExternType, IntoFunc, Linker, Module, SharedMemory};
use wasmoor_wasi_p1::PREVIEW1;

/// The module name of WASIX.
pub const WASIX_32: &str = "wasix_32v1";
/// The module name of the proposal for threads.
pub const WASI: &str = "wasi";

/// Whether a module imports anything of WASIX, and so has its meanings where they differ from those
/// of preview 1.
#[must_use]
pub fn is_wasix(module: &Module) -> bool {
    module.imports().any(|import| is_ours(import.module, import.name))
}

fn is_ours(module: &str, name: &str) -> bool {
    module.starts_with("wasix_") || (module == WASI && name == "thread-spawn")
}

/// Defines what the module can import: the functions of preview 1, and if it imports anything of
/// WASIX, those too; and the shared memory that it imports.
///
/// # Errors
/// When a function of that name is defined already, or the system refuses the memory.
pub fn add_to_linker<T: Guest>(linker: &mut Linker<T>, module: &Module) -> wasmoor::Result<()> {
    wasmoor_wasi_p1::add_to_linker(linker, |data: &mut T| data.thread().wasi_mut())?;
    memory(linker, module)?;
    if !is_wasix(module) {
        return Ok(());
    }
    linker.alias_module(PREVIEW1, WASIX_32)?;
    let mut offers = Offers { linker, module };
    calls::channels::offer(&mut offers)?;
    calls::clocks::offer(&mut offers)?;
    calls::epoll::offer(&mut offers)?;
    calls::descriptors::offer(&mut offers)?;
    calls::files::offer(&mut offers)?;
    calls::futex::offer(&mut offers)?;
    calls::polling::offer(&mut offers)?;
    calls::proc_spawn::offer(&mut offers)?;
    calls::processes::offer(&mut offers)?;
    calls::programs::offer(&mut offers)?;
    calls::signals::offer(&mut offers)?;
    calls::socket_options::offer(&mut offers)?;
    calls::sockets::offer(&mut offers)?;
    calls::stack::offer(&mut offers)?;
    calls::terminal::offer(&mut offers)?;
    calls::threads::offer(&mut offers)?;
    calls::transfers::offer(&mut offers)?;
    unsupported::offer(&mut offers)
}

/// Makes the shared memory that the module imports.
fn memory<T: Guest>(linker: &mut Linker<T>, module: &Module) -> wasmoor::Result<()> {
    for import in module.imports() {
        if let ExternType::Memory(ty) = import.ty
            && ty.shared
        {
            let memory = SharedMemory::new(module.engine(), ty)?;
            linker.define_shared(import.module, import.name, memory)?;
        }
    }
    Ok(())
}

/// Defines functions for a module.
pub(crate) struct Offers<'a, T> {
    linker: &'a mut Linker<T>,
    module: &'a Module,
}

impl<'a, T: Guest> Offers<'a, T> {
    /// Defines a function of WASIX; it takes the place of preview 1's if there is one.
    pub(crate) fn define<P, R>(
        &mut self,
        name: &str,
        func: impl IntoFunc<T, P, R>,
    ) -> wasmoor::Result<()> {
        self.define_in(WASIX_32, name, func)
    }

    /// The same under another module name.
    pub(crate) fn define_in<P, R>(
        &mut self,
        module: &str,
        name: &str,
        func: impl IntoFunc<T, P, R>,
    ) -> wasmoor::Result<()> {
        self.linker.func_replace(module, name, func)?;
        Ok(())
    }

    /// How many parameters the module expects of a function; `None` if it does not import it.
    pub(crate) fn params(&self, name: &str) -> Option<usize> {
        self.module.imports().find_map(|import| match import.ty {
            ExternType::Func(ty) if import.module == WASIX_32 && import.name == name => {
                Some(ty.params.len())
            }
            _ => None,
        })
    }

    pub(crate) fn module(&self) -> &'a Module {
        self.module
    }

    pub(crate) fn linker(&mut self) -> &mut Linker<T> {
        self.linker
    }
}

/// The result of a call in the guest's terms.
pub(crate) fn number(result: Result) -> i32 {
    result.map_or_else(|errno| i32::from(errno.raw()), |()| 0)
}

/// Defines functions `name(thread, memory, parameters...) -> Result` of the module at hand.
macro_rules! offer {
    ($offers:ident, $( $name:ident($($param:ident: $ty:ty),*); )*) => { $(
        $offers.define(
            stringify!($name),
            |mut caller: wasmoor::Caller<'_, T>, $($param: $ty),*| -> i32 {
                wasmoor_wasi_p1::with_memory(&mut caller, |data, memory| {
                    $crate::link::number($name(data.thread(), memory, $($param),*))
                })
            },
        )?;
    )* };
}

/// Defines functions of preview 1 anew, as [`offer`] does, under both module names. Their number for a
/// bad pointer stays that of preview 1.
macro_rules! offer_in_preview1 {
    ($offers:ident, $( $name:ident($($param:ident: $ty:ty),*); )*) => {
        for module in [$crate::WASIX_32, wasmoor_wasi_p1::PREVIEW1] { $(
            $offers.define_in(
                module,
                stringify!($name),
                |mut caller: wasmoor::Caller<'_, T>, $($param: $ty),*| -> i32 {
                    wasmoor_wasi_p1::with_memory(&mut caller, |data, memory| {
                        let result = $name(data.thread(), memory, $($param),*);
                        $crate::link::number(result.map_err($crate::Errno::in_preview1))
                    })
                },
            )?;
        )* }
    };
}

pub(crate) use {offer, offer_in_preview1};
