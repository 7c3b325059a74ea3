//! Listings as text.
//!
//! [`table`] puts the operators in a column and what became of each beside it, a column per tier:
//! for reading along the program. [`code`] is the code of one tier in its own order with the
//! operators as headings: for reading along the machine.

use crate::Listing;
use crate::machine::{Line, Machine};
use crate::operators::Operator;
use std::fmt::Write as _;

/// Widest column of operators and of code but for the last; what is longer is cut.
const OPERATOR_WIDTH_MAX: usize = 40;
const CODE_WIDTH_MAX: usize = 72;

/// A listing by operators: each with its code in every tier.
#[must_use]
pub fn table(listing: &Listing) -> String {
    let mut rows = vec![heading(listing)];
    rows.push(rows_of_code("  (no operator)", listing, None));
    for operator in &listing.operators {
        let text = format!("{:#06x} {}", operator.offset, indented(operator));
        rows.push(rows_of_code(&text, listing, Some(operator.offset)));
    }
    let mut out = title(listing);
    for (name, tier) in &listing.tiers {
        if let Err(error) = tier {
            let _ = writeln!(out, "  {name}: {}", crate::printable(&error.to_string()));
        }
    }
    print_columns(&mut out, &rows);
    out
}

/// One line about a function.
#[must_use]
pub fn title(listing: &Listing) -> String {
    let Listing { index, name, ty, wasm_bytes, .. } = listing;
    format!("function {index} `{name}` {ty}: {wasm_bytes} bytes of wasm\n")
}

/// The code of one tier in its own order.
#[must_use]
pub fn code(operators: &[Operator], machine: &Machine) -> String {
    let mut out = String::new();
    let mut shown = None;
    for line in &machine.lines {
        if line.operator != shown {
            shown = line.operator;
            let at = shown.and_then(|offset| {
                operators.binary_search_by_key(&offset, |operator| operator.offset).ok()
            });
            let _ = match at.and_then(|at| operators.get(at)) {
                Some(operator) => writeln!(out, "{}", operator.text),
                None => writeln!(out, "-"),
            };
        }
        let label = line.label.as_ref().map(|label| format!("{label}:")).unwrap_or_default();
        let _ = writeln!(out, "{:>7} {}", label, noted(line));
    }
    out
}

/// The operator behind two spaces for each block that it is in.
pub(crate) fn indented(operator: &Operator) -> String {
    /// Deeper blocks look alike.
    const DEPTH_MAX: usize = 20;
    format!("{}{}", "  ".repeat(operator.depth.min(DEPTH_MAX)), operator.text)
}

/// The instruction with its notes.
pub(crate) fn noted(line: &Line) -> String {
    match line.notes.as_slice() {
        [] => line.text.clone(),
        notes => format!("{} ; {}", line.text, notes.join(", ")),
    }
}

/// A row of the table: lines in each column.
type Row = Vec<Vec<String>>;

fn heading(listing: &Listing) -> Row {
    let tiers = listing.tiers.iter().map(|(name, tier)| {
        let bytes = tier.as_ref().map_or(0, |machine| machine.bytes);
        vec![format!("{name}: {bytes} bytes")]
    });
    std::iter::once(vec!["  wasm".to_owned()]).chain(tiers).collect()
}

fn rows_of_code(text: &str, listing: &Listing, operator: Option<u32>) -> Row {
    let tiers = listing.tiers.iter().map(|(_, tier)| {
        let machine = tier.as_ref().ok();
        machine.into_iter().flat_map(|it| it.of_operator(operator)).map(placed).collect()
    });
    std::iter::once(vec![text.to_owned()]).chain(tiers).collect()
}

fn placed(line: &Line) -> String {
    let label = line.label.as_ref().map(|label| format!("{label}:")).unwrap_or_default();
    format!("{:4x} {label:>5} {}", line.offset, noted(line))
}

fn print_columns(out: &mut String, rows: &[Row]) {
    let columns = rows.first().map_or(0, Vec::len);
    let widest = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).flatten();
        let max = if column == 0 { OPERATOR_WIDTH_MAX } else { CODE_WIDTH_MAX };
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0).min(max)
    };
    let widths: Vec<usize> = (0..columns).map(widest).collect();
    for row in rows {
        let height = row.iter().map(Vec::len).max().unwrap_or(0);
        for at in 0..height {
            let mut line = String::new();
            for (column, cells) in row.iter().enumerate() {
                let cell = cells.get(at).map_or("", String::as_str);
                let is_last = column + 1 == columns;
                let cell = if is_last { cell.to_owned() } else { fitted(cell, widths[column]) };
                line.push_str(&cell);
                line.push_str(if is_last { "" } else { "  " });
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
    }
}

/// The cell at exactly this width.
fn fitted(cell: &str, width: usize) -> String {
    let len = cell.chars().count();
    if len <= width {
        return format!("{cell}{}", " ".repeat(width - len));
    }
    let kept: String = cell.chars().take(width.saturating_sub(1)).collect();
    kept + "…"
}
