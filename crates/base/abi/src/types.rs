//! WebAssembly types as a module's sections state them.

use crate::reference::RefType;
use core::fmt;

/// Type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValType {
    /// 32-bit integer.
    I32,
    /// 64-bit integer.
    I64,
    /// 32-bit float.
    F32,
    /// 64-bit float.
    F64,
    /// 128-bit vector.
    V128,
    /// Reference.
    Ref(RefType),
}

impl ValType {
    /// `funcref`, nullable.
    pub const FUNCREF: ValType = ValType::Ref(RefType::FUNCREF);
    /// `externref`, nullable.
    pub const EXTERNREF: ValType = ValType::Ref(RefType::EXTERNREF);
    /// `exnref`, nullable.
    pub const EXNREF: ValType = ValType::Ref(RefType::EXNREF);
    /// `anyref`, nullable.
    pub const ANYREF: ValType = ValType::Ref(RefType::ANYREF);

    /// Whether values travel in vector registers.
    #[must_use]
    pub const fn is_float_or_vector(self) -> bool {
        matches!(self, ValType::F32 | ValType::F64 | ValType::V128)
    }

    /// Bytes that a value takes in memory; references are one pointer on every 64-bit host.
    #[must_use]
    pub const fn bytes(self) -> u32 {
        match self {
            ValType::I32 | ValType::F32 => 4,
            ValType::I64 | ValType::F64 | ValType::Ref(_) => 8,
            ValType::V128 => 16,
        }
    }
}

impl fmt::Display for ValType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValType::I32 => f.write_str("i32"),
            ValType::I64 => f.write_str("i64"),
            ValType::F32 => f.write_str("f32"),
            ValType::F64 => f.write_str("f64"),
            ValType::V128 => f.write_str("v128"),
            ValType::Ref(r) => r.fmt(f),
        }
    }
}

/// Type of a function.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FuncType {
    /// Parameter types, in order.
    pub params: Box<[ValType]>,
    /// Result types, in order.
    pub results: Box<[ValType]>,
}

impl FuncType {
    /// A function type from parameter and result types.
    pub fn new(
        params: impl IntoIterator<Item = ValType>,
        results: impl IntoIterator<Item = ValType>,
    ) -> Self {
        FuncType { params: params.into_iter().collect(), results: results.into_iter().collect() }
    }
}

impl fmt::Display for FuncType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, types: &[ValType]| -> fmt::Result {
            for (i, ty) in types.iter().enumerate() {
                write!(f, "{}{ty}", if i == 0 { "" } else { ", " })?;
            }
            Ok(())
        };
        f.write_str("(")?;
        list(f, &self.params)?;
        f.write_str(")")?;
        match &*self.results {
            [] => Ok(()),
            [one] => write!(f, " -> {one}"),
            many => {
                f.write_str(" -> (")?;
                list(f, many)?;
                f.write_str(")")
            }
        }
    }
}

/// Type of a table. Sizes are in elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TableType {
    /// Type of the elements.
    pub element: RefType,
    /// Elements at creation.
    pub minimum: u64,
    /// Elements that growth may reach.
    pub maximum: Option<u64>,
    /// Whether indices are 64-bit.
    pub index64: bool,
}

impl fmt::Display for TableType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("table ")?;
        limits(f, self.index64, self.minimum, self.maximum)?;
        write!(f, " {}", self.element)
    }
}

/// Type of a memory. Sizes are in pages of `1 << page_size_log2` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MemoryType {
    /// Pages at creation.
    pub minimum: u64,
    /// Pages that growth may reach.
    pub maximum: Option<u64>,
    /// Whether addresses are 64-bit.
    pub index64: bool,
    /// Whether threads may share it.
    pub shared: bool,
    /// Logarithm of the page size in bytes: 16, or 0 with custom page sizes.
    pub page_size_log2: u8,
}

impl MemoryType {
    /// Bytes in a page.
    #[must_use]
    pub const fn page_bytes(&self) -> u64 {
        1 << self.page_size_log2
    }

    /// Pages that the index type can address.
    #[must_use]
    pub const fn pages_max_by_index(&self) -> u64 {
        let bits = if self.index64 { 64 } else { 32 };
        if self.page_size_log2 == 0 && bits == 64 {
            u64::MAX
        } else {
            1 << (bits - self.page_size_log2 as u32)
        }
    }
}

impl fmt::Display for MemoryType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory ")?;
        limits(f, self.index64, self.minimum, self.maximum)?;
        if self.shared {
            f.write_str(" shared")?;
        }
        if self.page_size_log2 != 16 {
            write!(f, " (pagesize {})", self.page_bytes())?;
        }
        Ok(())
    }
}

fn limits(
    f: &mut fmt::Formatter<'_>,
    index64: bool,
    minimum: u64,
    maximum: Option<u64>,
) -> fmt::Result {
    if index64 {
        f.write_str("i64 ")?;
    }
    write!(f, "{minimum}")?;
    maximum.map_or(Ok(()), |maximum| write!(f, " {maximum}"))
}

/// Type of a global.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GlobalType {
    /// Type of the value.
    pub content: ValType,
    /// Whether `global.set` is allowed.
    pub mutable: bool,
}

impl fmt::Display for GlobalType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.mutable {
            write!(f, "global (mut {})", self.content)
        } else {
            write!(f, "global {}", self.content)
        }
    }
}
