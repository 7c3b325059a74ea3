//! Listings as one HTML page that needs nothing else.
//!
//! Pointing at a line highlights what belongs to the same operator in every column; clicking keeps
//! it and brings it into view. Everything out of the module is escaped, and the page's policy
//! forbids it to load anything.

use crate::Listing;
use crate::machine::Line;
use crate::text::{indented, noted};
use std::fmt::Write as _;

const HEAD: &str = r#"<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
"#;
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page. `notes` stand above the listings.
#[must_use]
pub fn page(title: &str, notes: &[String], listings: &[Listing]) -> String {
    let title = escaped(title);
    let mut out = format!("{HEAD}<title>{title}</title>\n<style>\n{STYLE}</style></head>\n<body>");
    let _ = writeln!(out, "<h1>{title}</h1>");
    for note in notes {
        let _ = writeln!(out, "<p>{}</p>", escaped(note));
    }
    for (number, listing) in listings.iter().enumerate() {
        function(&mut out, listing, number == 0);
    }
    let _ = write!(out, "<script>\n{SCRIPT}</script></body></html>\n");
    out
}

fn function(out: &mut String, listing: &Listing, open: bool) {
    let open = if open { " open" } else { "" };
    let title = crate::text::title(listing);
    let _ = writeln!(out, "<details{open}><summary>{}</summary>", escaped(title.trim_end()));
    let _ = writeln!(out, "<div class=\"f\"><div class=\"c\"><h2>wasm</h2>");
    for operator in &listing.operators {
        let text = escaped(&indented(operator));
        let offset = operator.offset;
        let _ = writeln!(out, "<div data-o=\"{offset}\"><i>{offset:#x}</i>{text}</div>");
    }
    let _ = writeln!(out, "</div>");
    // Where the operators were cut, so is their code.
    let last = listing.operators.last().map(|operator| operator.offset);
    let is_shown = |line: &&Line| line.operator.is_none() || line.operator <= last;
    for (name, tier) in &listing.tiers {
        match tier {
            Ok(machine) => {
                let bytes = machine.bytes;
                let _ = writeln!(out, "<div class=\"c\"><h2>{name}, {bytes} bytes</h2>");
                machine.lines.iter().filter(is_shown).for_each(|line| instruction(out, line));
            }
            Err(error) => {
                let error = escaped(&crate::printable(&error.to_string()));
                let _ = writeln!(out, "<div class=\"c\"><h2>{name}</h2><p>{error}</p>");
            }
        }
        let _ = writeln!(out, "</div>");
    }
    let _ = writeln!(out, "</div></details>");
}

fn instruction(out: &mut String, line: &Line) {
    let operator = line.operator.map(|at| format!(" data-o=\"{at}\"")).unwrap_or_default();
    let label = line.label.as_ref().map(|label| format!("<b>{label}:</b>")).unwrap_or_default();
    let text = escaped(&noted(line));
    let text = match text.split_once(" ; ") {
        Some((text, notes)) => format!("{text} <u>; {notes}</u>"),
        None => text,
    };
    let _ = writeln!(out, "<div{operator}><i>{:x}</i>{label}{text}</div>", line.offset);
}

/// Text as the content of an element or a quoted attribute.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Maker, list, operators};
    use std::sync::Arc;
    use wasmoor_abi::Tunables;
    use wasmoor_baseline::{BaselineCompiler, Cpu};
    use wasmoor_module::{Features, Module};

    fn page_of(wat: &str) -> String {
        let bytes = wat::parse_str(wat).expect("text");
        let module = Arc::new(Module::parse(bytes, &Features::default(), 1).expect("valid"));
        let funcs: Vec<_> = module.bodies.keys().collect();
        let mut texts = operators::read(&module, &funcs).expect("operators");
        let compiler = BaselineCompiler::for_cpu(Cpu::default()).with_every_operator();
        let mut makers = [Maker::new(&compiler, Tunables::default())];
        let listings: Vec<_> = funcs
            .iter()
            .map(|func| list(&module, *func, texts.remove(func).unwrap_or_default(), &mut makers))
            .collect();
        page("<title>", &["a & b".to_owned()], &listings)
    }

    #[test]
    fn nothing_out_of_a_module_is_markup() {
        let page = page_of(
            r#"(module
                (func $a (@name "</div><script>alert(1)</script>") call $b)
                (func $b (@name "\"' onclick=x \u{202e}\u{1b}[31m") unreachable))"#,
        );
        assert_eq!(page.matches("<script").count(), 1, "ours");
        assert!(page.contains("&lt;/div&gt;&lt;script&gt;"));
        assert!(page.contains("&quot;&#39; onclick=x \\u{202e}\\u{1b}[31m"), "{page}");
        assert!(page.contains("<h1>&lt;title&gt;</h1>") && page.contains("<p>a &amp; b</p>"));
        assert!(!page.contains("http://") && !page.contains("https://"), "it loads nothing");
    }

    #[test]
    fn lines_of_one_operator_carry_its_offset() {
        let page = page_of(
            "(module (func (param i32 i32) (result i32)
            local.get 0 local.get 1 i32.mul))",
        );
        let multiply = page.lines().find(|line| line.contains("i32.mul")).expect("the operator");
        let (_, rest) = multiply.split_once("data-o=\"").expect("an offset");
        let (offset, _) = rest.split_once('"').expect("an offset");
        let beside = format!("data-o=\"{offset}\"");
        let code = page.lines().filter(|line| line.contains(&beside));
        assert!(code.clone().count() >= 2, "{page}");
        assert!(code.clone().any(|line| line.contains("imul")), "{page}");
    }
}
