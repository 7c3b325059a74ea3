//! The table of libcalls: what compiled code asks of the runtime.
//!
//! Machine code loads the table's address from the vmctx ([`crate::vmctx::VMCTX_LIBCALLS`]) and
//! calls entry `n` at byte `8 * n` with the platform's C convention. The first argument is the
//! caller's vmctx, the others are listed below; every entry has at most six arguments, so all
//! travel in registers on every target. A libcall that traps does not return.

/// Calls a macro with the whole list.
#[macro_export]
macro_rules! for_each_libcall {
    ($m:ident) => {
        $m! {
            /// Traps with the given `TrapCode` number. Never returns.
            raise(code: i32);
            /// `memory.grow`: pages before, or -1. Deltas and results are zero-extended; an
            /// i32 memory's caller takes the low half.
            memory_grow(memory: i32, delta: i64) -> i64;
            /// `memory.fill`.
            memory_fill(memory: i32, dst: i64, value: i32, len: i64);
            /// `memory.copy`.
            memory_copy(dst_memory: i32, src_memory: i32, dst: i64, src: i64, len: i64);
            /// `memory.init`.
            memory_init(memory: i32, data: i32, dst: i64, src: i32, len: i32);
            /// `data.drop`.
            data_drop(data: i32);
            /// `table.grow`: elements before, or -1. `init` is a reference value.
            table_grow(table: i32, init: i64, delta: i64) -> i64;
            /// `table.fill`.
            table_fill(table: i32, dst: i64, value: i64, len: i64);
            /// `table.copy`.
            table_copy(dst_table: i32, src_table: i32, dst: i64, src: i64, len: i64);
            /// `table.init`.
            table_init(table: i32, elem: i32, dst: i64, src: i32, len: i32);
            /// `elem.drop`.
            elem_drop(elem: i32);
            /// `ref.func`: the function reference (never null).
            ref_func(func: i32) -> i64;
            /// The reference in a cell of a function table that still holds
            /// `vmctx::FUNCREF_CELL_LAZY`; `index` is in bounds. May be null (0).
            table_get_lazy(table: i32, index: i64) -> i64;
            /// Copies bytes between host addresses that code has checked; they may overlap.
            copy_bytes(dst: i64, src: i64, len: i64);
            /// Fills bytes at a host address that code has checked with the low byte of `value`.
            fill_bytes(dst: i64, value: i32, len: i64);
            /// `throw`: `values` is the address of the exception's values, 16 bytes each. Never
            /// returns; called by the convention of wasm functions, like `throw_ref`.
            throw(tag: i32, values: i64);
            /// `throw_ref`: traps if the reference is null. Never returns.
            throw_ref(exception: i64);
            /// `memory.atomic.notify` at an effective address: threads woken.
            memory_notify(memory: i32, address: i64, count: i32) -> i64;
            /// `memory.atomic.wait32` at an effective address; nanoseconds, negative: for ever.
            /// 0: woken, 1: memory holds something else, 2: the time is up.
            memory_wait32(memory: i32, address: i64, expected: i32, timeout: i64) -> i64;
            /// `memory.atomic.wait64`; see `memory_wait32`.
            memory_wait64(memory: i32, address: i64, expected: i64, timeout: i64) -> i64;
        }
    };
}

/// Type of a libcall's argument or result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LibcallType {
    /// 32 bits; the upper half of the register is undefined.
    I32,
    /// 64 bits.
    I64,
}

macro_rules! define {
    (@ty i32) => { LibcallType::I32 };
    (@ty i64) => { LibcallType::I64 };
    (@result) => { None };
    (@result $ret:ident) => { Some(define!(@ty $ret)) };
    ($( $(#[$doc:meta])* $name:ident($($arg:ident: $ty:ident),*) $(-> $ret:ident)?; )*) => {
        /// An entry of the libcall table; the discriminant is its position.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(non_camel_case_types, reason = "one name in the list, the enum and the functions")]
        #[repr(u32)]
        pub enum Libcall { $( $(#[$doc])* $name, )* }

        impl Libcall {
            /// Every libcall, in table order.
            pub const ALL: &[Libcall] = &[$(Libcall::$name),*];

            /// The name, for listings.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $( Libcall::$name => stringify!($name), )* }
            }

            /// Argument types after the vmctx.
            #[must_use]
            pub const fn params(self) -> &'static [LibcallType] {
                match self { $( Libcall::$name => &[$( define!(@ty $ty) ),*], )* }
            }

            /// Result type.
            #[must_use]
            pub const fn result(self) -> Option<LibcallType> {
                match self { $( Libcall::$name => define!(@result $($ret)?), )* }
            }

            /// Byte offset of the entry in the table.
            #[must_use]
            pub const fn table_offset(self) -> u32 {
                self as u32 * 8
            }
        }
    };
}
for_each_libcall!(define);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_fit_the_registers_of_the_c_convention() {
        for call in Libcall::ALL {
            assert!(call.params().len() <= 5, "{} has too many arguments", call.name());
        }
    }
}
