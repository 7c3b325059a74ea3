//! The handler table that accompanies machine code: where exceptions are caught.
//!
//! A *site* is a call (by its return address) inside a `try`; a *region* is the extent of one
//! `try` with its clauses in order, and the region around it. The table says whether a frame
//! catches an exception and where its code goes on then; which clause it is, the code there
//! finds out by itself. A region stands once in the table however many calls and regions it
//! holds, so that the table grows with the function's length only.
//!
//! ```text
//! words of 4 bytes, little-endian:
//! vmctx below fp, sites, regions
//! sites    return offset, landing offset, frame bytes, region        ascending return offsets
//! regions  parent or NONE, first clause
//! clauses  tag index or ALL
//! ```
//!
//! Looking up allocates nothing, and a damaged table catches nothing rather than panics: a
//! region's parent comes before it, so that no walk is endless.

use crate::index::TagIndex;

/// Bytes of a word.
const WORD: usize = 4;
const HEADER_WORDS: usize = 3;
const SITE_WORDS: usize = 4;
const REGION_WORDS: usize = 2;
/// No region, or a clause for every tag.
const NONE: u32 = u32::MAX;

/// What a clause catches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clause {
    /// Exceptions of this tag.
    Tag(TagIndex),
    /// All exceptions.
    All,
}

/// A call that returns here may throw, and something around it may catch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandlerSite {
    /// Where the call returns to, in bytes from the start of the function's code.
    pub return_offset: u32,
    /// Where the code goes on that caught the exception.
    pub landing_offset: u32,
    /// Distance from the stack pointer up to the frame pointer there.
    pub frame_bytes: u32,
    /// The innermost region that the call is in.
    pub region: u32,
}

/// A `try` of a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandlerRegion {
    /// The region that takes what this one does not catch; its number is smaller.
    pub parent: Option<u32>,
    /// What is caught, in order.
    pub clauses: Vec<Clause>,
}

/// A function's handlers as a compiler states them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandlerTable {
    /// Distance from the frame pointer down to the word that holds the frame's vmctx.
    pub vmctx_below_fp: u32,
    /// Calls inside regions, by ascending return offset.
    pub sites: Vec<HandlerSite>,
    /// All regions.
    pub regions: Vec<HandlerRegion>,
}

impl HandlerTable {
    /// Encodes the table; without sites there is nothing to encode.
    #[must_use]
    pub fn encode(&self) -> Box<[u8]> {
        if self.sites.is_empty() {
            return Box::default();
        }
        // A function has fewer sites, regions and clauses than bytes.
        let mut words =
            vec![self.vmctx_below_fp, self.sites.len() as u32, self.regions.len() as u32];
        for site in &self.sites {
            words.extend([site.return_offset, site.landing_offset, site.frame_bytes, site.region]);
        }
        let mut clauses = 0;
        for region in &self.regions {
            words.extend([region.parent.unwrap_or(NONE), clauses]);
            clauses += region.clauses.len() as u32;
        }
        for clause in self.regions.iter().flat_map(|region| &region.clauses) {
            words.push(match clause {
                Clause::Tag(tag) => tag.as_u32(),
                Clause::All => NONE,
            });
        }
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }
}

/// An encoded handler table.
#[derive(Clone, Copy, Debug)]
pub struct Handlers<'a>(&'a [u8]);

impl<'a> Handlers<'a> {
    /// The table in these bytes.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Handlers(bytes)
    }

    fn word(self, at: usize) -> Option<u32> {
        self.0.get(at.checked_mul(WORD)?..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
    }

    /// Distance from the frame pointer down to the frame's vmctx.
    #[must_use]
    pub fn vmctx_below_fp(self) -> Option<u32> {
        self.word(0)
    }

    /// The site of the call that returns to this offset.
    #[must_use]
    pub fn site(self, return_offset: u32) -> Option<HandlerSite> {
        let (mut low, mut high) = (0, self.word(1)? as usize);
        while low < high {
            let middle = low.midpoint(high);
            let at = HEADER_WORDS + middle * SITE_WORDS;
            let found = self.word(at)?;
            if found < return_offset {
                low = middle + 1;
            } else if found > return_offset {
                high = middle;
            } else {
                return Some(HandlerSite {
                    return_offset,
                    landing_offset: self.word(at + 1)?,
                    frame_bytes: self.word(at + 2)?,
                    region: self.word(at + 3)?,
                });
            }
        }
        None
    }

    /// The clauses of a region and of those around it, innermost first.
    #[must_use]
    pub fn clauses(self, region: u32) -> Clauses<'a> {
        let mut clauses = Clauses { table: self, parent: None, next: 0, end: 0 };
        clauses.enter(region);
        clauses
    }

    /// Words before the clauses, and the number of regions.
    fn shape(self) -> Option<(usize, u32)> {
        let (sites, regions) = (self.word(1)? as usize, self.word(2)?);
        let words = sites.checked_mul(SITE_WORDS)?.checked_add(HEADER_WORDS)?;
        Some((words, regions))
    }
}

/// Iterator over the clauses that an exception meets.
#[derive(Clone, Debug)]
pub struct Clauses<'a> {
    table: Handlers<'a>,
    /// The region after the present one.
    parent: Option<u32>,
    /// Word of the next clause.
    next: usize,
    /// Word after the present region's last.
    end: usize,
}

impl Clauses<'_> {
    /// Goes on with a region; one that is none ends the walk.
    fn enter(&mut self, region: u32) {
        self.parent = None;
        (self.next, self.end) = self.extent(region).unwrap_or((0, 0));
    }

    fn extent(&mut self, region: u32) -> Option<(usize, usize)> {
        let (start, regions) = self.table.shape()?;
        if region >= regions {
            return None;
        }
        let first_clause = start + regions as usize * REGION_WORDS;
        let at = start + region as usize * REGION_WORDS;
        let parent = self.table.word(at)?;
        let from = self.table.word(at + 1)? as usize;
        let to = if region + 1 == regions {
            (self.table.0.len() / WORD).saturating_sub(first_clause)
        } else {
            self.table.word(at + REGION_WORDS + 1)? as usize
        };
        self.parent = (parent < region).then_some(parent);
        Some((first_clause + from, first_clause + to))
    }
}

impl Iterator for Clauses<'_> {
    type Item = Clause;

    fn next(&mut self) -> Option<Clause> {
        while self.next >= self.end {
            let parent = self.parent?;
            self.enter(parent);
        }
        let word = self.table.word(self.next)?;
        self.next += 1;
        Some(if word == NONE { Clause::All } else { Clause::Tag(TagIndex::from_u32(word)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(index: u32) -> Clause {
        Clause::Tag(TagIndex::from_u32(index))
    }

    fn table() -> HandlerTable {
        let site = |return_offset, region| HandlerSite {
            return_offset,
            landing_offset: return_offset + 100,
            frame_bytes: 32,
            region,
        };
        let region = |parent, clauses: &[Clause]| HandlerRegion { parent, clauses: clauses.into() };
        HandlerTable {
            vmctx_below_fp: 8,
            sites: vec![site(5, 0), site(9, 3), site(70_000, 2)],
            regions: vec![
                region(None, &[tag(1), Clause::All]),
                region(None, &[]),
                region(Some(1), &[tag(2), tag(1)]),
                region(Some(0), &[tag(3)]),
            ],
        }
    }

    #[test]
    fn sites_are_found_by_return_address_alone() {
        let bytes = table().encode();
        let handlers = Handlers::new(&bytes);
        assert_eq!(handlers.vmctx_below_fp(), Some(8));
        for site in table().sites {
            assert_eq!(handlers.site(site.return_offset), Some(site));
            assert_eq!(handlers.site(site.return_offset + 1), None);
        }
        assert_eq!(handlers.site(0), None);
    }

    #[test]
    fn clauses_go_on_with_those_of_the_region_around() {
        let bytes = table().encode();
        let clauses = |region| Handlers::new(&bytes).clauses(region).collect::<Vec<_>>();
        assert_eq!(clauses(0), [tag(1), Clause::All]);
        assert_eq!(clauses(1), []);
        assert_eq!(clauses(2), [tag(2), tag(1)]);
        assert_eq!(clauses(3), [tag(3), tag(1), Clause::All]);
        assert_eq!(clauses(4), []);
    }

    #[test]
    fn a_function_without_sites_needs_no_table() {
        assert!(HandlerTable { sites: Vec::new(), ..table() }.encode().is_empty());
        assert_eq!(Handlers::new(&[]).site(0), None);
        assert_eq!(Handlers::new(&[]).clauses(0).count(), 0);
    }

    #[test]
    fn damaged_tables_catch_nothing_endlessly() {
        let good = table().encode();
        for len in 0..good.len() {
            let cut = Handlers::new(&good[..len]);
            assert!(cut.site(70_000).is_none_or(|site| site.region == 2));
            assert!(cut.clauses(3).count() <= 6);
        }
        for at in 0..good.len() / WORD {
            for word in [0u32, 1, 7, u32::MAX] {
                let mut bad = good.clone();
                bad[at * WORD..][..WORD].copy_from_slice(&word.to_le_bytes());
                let bad = Handlers::new(&bad);
                let _ = bad.site(9);
                assert!(bad.clauses(3).count() <= 100);
            }
        }
    }
}
