//! Own pages of private mappings.

use super::unsupported;
use crate::pagemap::OwnPages;
use std::io;
use std::ops::Range;

pub(crate) fn own_pages(
    _addresses: Range<usize>,
    _found: &mut [OwnPages],
) -> io::Result<(usize, usize)> {
    unsupported()
}
