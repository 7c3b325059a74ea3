//! Operators of functions as text, with their offsets in the module.
//!
//! A module is printed as a whole or not at all, and may be huge. So a small one is made of it:
//! the same types, imports and names, but only the bodies that are wanted; the others are empty.
//! Where it puts a body tells how far its operators' offsets have moved.

use crate::printable;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use wasmoor_abi::DefinedFuncIndex;
use wasmoor_module::Module;
use wasmparser::{BinaryReader, FunctionBody, Parser, Payload};

/// One operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// Offset in the module.
    pub offset: u32,
    /// How many blocks it is in.
    pub depth: usize,
    /// The operator in the text format.
    pub text: String,
}

/// Number of the code section.
const CODE: u8 = 10;
/// Sections that say nothing about how operators are written.
const LEFT_OUT: [u8; 2] = [9, 11];
/// A body without locals and operators, with its length.
const EMPTY_BODY: [u8; 3] = [2, 0, 0x0b];

/// Operators of these functions, in the order of the functions' indices.
///
/// # Errors
/// The module cannot be printed, in words.
pub fn read(
    module: &Module,
    funcs: &[DefinedFuncIndex],
) -> Result<HashMap<DefinedFuncIndex, Vec<Operator>>, String> {
    let (small, places) = small_module(module, funcs).map_err(|error| error.to_string())?;
    let mut storage = String::new();
    let config = wasmprinter::Config::new();
    let lines =
        config.offsets_and_lines(&small, &mut storage).map_err(|error| format!("{error:#}"))?;
    let mut found: HashMap<_, _> = funcs.iter().map(|&func| (func, Vec::new())).collect();
    for (offset, line) in lines {
        let Some(offset) = offset.and_then(|offset| u32::try_from(offset).ok()) else { continue };
        let after = places.partition_point(|place| place.operators.start <= offset);
        let Some(place) = after.checked_sub(1).and_then(|at| places.get(at)) else { continue };
        if place.operators.contains(&offset)
            && let Some(operators) = found.get_mut(&place.func)
        {
            operators.push(operator(offset - place.operators.start + place.original, line));
        }
    }
    Ok(found)
}

fn operator(offset: u32, line: &str) -> Operator {
    /// Columns of an operator that is in no block, and of each block around one.
    const INDENT: usize = 2;
    // The last `end` is the parenthesis that closes the function.
    let text = match line.trim() {
        ")" => "end",
        text => text,
    };
    let spaces = line.len() - line.trim_start().len();
    Operator { offset, depth: (spaces / INDENT).saturating_sub(2), text: printable(text) }
}

/// Where the operators of a function are in the small module.
#[derive(Debug)]
struct Place {
    func: DefinedFuncIndex,
    operators: Range<u32>,
    /// Offset of the first in the module itself.
    original: u32,
}

/// The module without bodies but these, and their places in order.
fn small_module(
    module: &Module,
    funcs: &[DefinedFuncIndex],
) -> wasmparser::Result<(Vec<u8>, Vec<Place>)> {
    let bytes = module.bytes();
    let mut small = bytes.get(..8).unwrap_or_default().to_vec();
    let mut places = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload?;
        if let Payload::CustomSection(section) = &payload
            && section.name() != "name"
        {
            continue;
        }
        match payload.as_section() {
            Some((CODE, _)) => places = put_code(module, funcs, &mut small)?,
            Some((id, range)) if !LEFT_OUT.contains(&id) => {
                let content = bytes.get(range.start as usize..range.end as usize);
                put_section(&mut small, id, content.unwrap_or_default());
            }
            _ => {}
        }
    }
    Ok((small, places))
}

fn put_code(
    module: &Module,
    funcs: &[DefinedFuncIndex],
    small: &mut Vec<u8>,
) -> wasmparser::Result<Vec<Place>> {
    let mut content = Vec::new();
    put_leb(&mut content, module.bodies.len());
    let wanted: HashSet<_> = funcs.iter().collect();
    let mut places = Vec::new();
    for func in module.bodies.keys() {
        if !wanted.contains(&func) {
            content.extend_from_slice(&EMPTY_BODY);
            continue;
        }
        let body = module.body_bytes(func);
        put_leb(&mut content, body.len());
        let locals = first_operator(body)?;
        let start = content.len() as u32 + locals;
        let end = (content.len() + body.len()) as u32;
        let original = module.bodies[func].range.start + locals;
        places.push(Place { func, operators: start..end, original });
        content.extend_from_slice(body);
    }
    put_section(small, CODE, &content);
    let content_start = (small.len() - content.len()) as u32;
    for Place { operators, .. } in &mut places {
        *operators = operators.start + content_start..operators.end + content_start;
    }
    Ok(places)
}

/// Bytes of a body before its first operator.
fn first_operator(body: &[u8]) -> wasmparser::Result<u32> {
    let body = FunctionBody::new(BinaryReader::new(body, 0));
    Ok(body.get_operators_reader()?.original_position() as u32)
}

fn put_section(module: &mut Vec<u8>, id: u8, content: &[u8]) {
    module.push(id);
    put_leb(module, content.len());
    module.extend_from_slice(content);
}

fn put_leb(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
