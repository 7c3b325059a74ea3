//! Functions that are known but not there: they answer `nosys`.

use crate::link::{Offers, WASIX_32};
use crate::program::Guest;
use wasmoor::{Error, ExternType, FuncType, Module, Val};

/// Dynamic linking and calls, coroutines, network interfaces, snapshots; and what was there once.
const NAMES: &[&str] = &[
    "call_dynamic",
    "closure_allocate",
    "closure_free",
    "closure_prepare",
    "context_create",
    "context_destroy",
    "context_switch",
    "dl_invalid_handle",
    "dlopen",
    "dlsym",
    "port_addr_add",
    "port_addr_clear",
    "port_addr_list",
    "port_addr_remove",
    "port_bridge",
    "port_dhcp_acquire",
    "port_gateway_set",
    "port_mac",
    "port_route_add",
    "port_route_clear",
    "port_route_list",
    "port_route_remove",
    "port_unbridge",
    "proc_snapshot",
    "reflect_signature",
];

/// Those that the module imports, with the types that it imports them with.
fn imports(module: &Module) -> impl Iterator<Item = (&str, FuncType)> {
    module.imports().filter_map(|import| match import.ty {
        ExternType::Func(ty) if import.module == WASIX_32 && NAMES.contains(&import.name) => {
            Some((import.name, ty))
        }
        _ => None,
    })
}

/// The names of functions that the module imports and that only answer `nosys`.
pub fn unsupported_imports(module: &Module) -> impl Iterator<Item = &str> {
    imports(module).map(|(name, _)| name)
}

/// Defines those that the module imports.
pub(crate) fn offer<T: Guest>(offers: &mut Offers<'_, T>) -> wasmoor::Result<()> {
    for (name, ty) in imports(offers.module()) {
        let answer = move |_: wasmoor::Caller<'_, T>, _: &[Val], results: &mut [Val]| match results
        {
            [Val::I32(result)] => {
                *result = i32::from(wasmoor_wasi_p1::Errno::NoSys.raw());
                Ok(())
            }
            _ => Err(Error::usage("a function of WASIX that is not supported was called")),
        };
        offers.linker().func_new(WASIX_32, name, ty, answer)?;
    }
    Ok(())
}
