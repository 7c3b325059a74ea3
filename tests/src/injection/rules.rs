//! Which calls go wrong, and how: only as the kernel itself may have them go wrong.

use super::calls::Fault;
use super::holdings::{Holding, Kind};
use crate::tracer::Call;
use libc::{EAGAIN, ECONNABORTED, EINTR, EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOSPC};

/// What is made of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is not made, and fails so.
    Instead(i32),
    /// It is made, and where it succeeded it says that it failed so.
    Afterwards(i32),
    /// It is made with other arguments and other words in memory.
    With {
        /// Arguments, by number.
        args: Vec<(usize, u64)>,
        /// Words, by address.
        words: Vec<(u64, u64)>,
    },
}

/// One of how many calls goes wrong; never by turns, which several calls in a row could be tuned to.
fn share(fault: Fault) -> u64 {
    match fault {
        Fault::Broken | Fault::Short => 2,
        Fault::Descriptors | Fault::Refused | Fault::Memory => 4,
    }
}

/// Bytes that a pipe takes as a whole.
const PIPE_ROOM: u64 = 4096;

const PROT_READ: u64 = libc::PROT_READ as u64;

/// Numbers that look random, and are the same for the same ones.
fn mixed(of: [u64; 3]) -> u64 {
    of.iter().fold(0x9e37_79b9_7f4a_7c15, |mixed, &number| {
        let mixed = (mixed ^ number).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ mixed >> 29
    })
}

/// What is made of the `count`th call of its kind in a thread; `None`: nothing.
#[must_use]
pub fn decide(
    fault: Fault,
    seed: u64,
    count: u64,
    call: &Call,
    holding: &Holding,
) -> Option<Change> {
    let luck = mixed([seed, call.number.cast_unsigned(), count]);
    if !luck.is_multiple_of(share(fault)) {
        return None;
    }
    made_of(fault, call, holding, luck >> 8)
}

/// What is made of a call; `None` where the kernel would not. Which of several errors, or how many bytes,
/// is a matter of luck.
#[must_use]
pub fn made_of(fault: Fault, call: &Call, holding: &Holding, luck: u64) -> Option<Change> {
    match fault {
        Fault::Broken => broken(call, holding),
        Fault::Short => shortened(call, holding, luck),
        Fault::Descriptors => without_numbers(call, luck),
        Fault::Refused => refused(call, holding, luck),
        // What only gives back a right that was there finds its place.
        Fault::Memory if call.number == libc::SYS_mprotect && call.args[2] == PROT_READ => None,
        Fault::Memory => Some(Change::Instead(ENOMEM)),
    }
}

/// Calls that move data through the descriptor that is their first argument.
fn is_transfer(number: i64) -> bool {
    match number {
        libc::SYS_read | libc::SYS_pread64 | libc::SYS_readv | libc::SYS_preadv => true,
        libc::SYS_recvfrom | libc::SYS_recvmsg => true,
        number => is_output(number),
    }
}

fn is_output(number: i64) -> bool {
    match number {
        libc::SYS_write | libc::SYS_pwrite64 | libc::SYS_writev | libc::SYS_pwritev => true,
        number => is_send(number),
    }
}

fn is_send(number: i64) -> bool {
    [libc::SYS_sendto, libc::SYS_sendmsg, libc::SYS_sendfile].contains(&number)
}

/// A wait that ends without what it waited for. What does not wait is not broken off.
fn broken(call: &Call, holding: &Holding) -> Option<Change> {
    let fd = call.args[0];
    let instead = Some(Change::Instead(EINTR));
    match call.number {
        libc::SYS_connect if holding.never_waits(fd) => None,
        // Those of the network go on without the caller; the others have not begun.
        libc::SYS_connect if holding.is_unix_address(call.args[1]) => instead,
        libc::SYS_connect => Some(Change::Afterwards(EINTR)),
        // The number is free all the same.
        libc::SYS_close => Some(Change::Afterwards(EINTR)),
        libc::SYS_accept4 => instead.filter(|_| !holding.never_waits(fd)),
        libc::SYS_futex => {
            let operation = call.args[1] as i32 & libc::FUTEX_CMD_MASK;
            instead.filter(|_| [libc::FUTEX_WAIT, libc::FUTEX_WAIT_BITSET].contains(&operation))
        }
        libc::SYS_fcntl => instead.filter(|_| call.args[1] as i32 == libc::F_SETLKW),
        libc::SYS_ftruncate => instead.filter(|_| holding.kind(fd) != Kind::Memory),
        // Less is never broken off.
        libc::SYS_getrandom => instead.filter(|_| call.args[1] > 256),
        number if is_transfer(number) && holding.never_waits(fd) => None,
        // There is room for a few bytes: the tests read what guests write.
        libc::SYS_write if call.args[2] <= PIPE_ROOM && holding.kind(fd) == Kind::Pipe => None,
        _ => instead,
    }
}

/// Fewer than `count`, but some.
fn fewer(count: u64, luck: u64) -> u64 {
    match luck % 4 {
        0 => 1,
        1 => count / 2,
        2 => count - 1,
        _ => 1 + (luck >> 8) % (count - 1),
    }
}

fn shortened(call: &Call, holding: &Holding, luck: u64) -> Option<Change> {
    let less = |argument: usize, least: u64| {
        let count = call.args[argument];
        let value = (count > least).then(|| fewer(count, luck).max(least))?;
        Some(Change::With { args: vec![(argument, value)], words: Vec::new() })
    };
    let comes_in_pieces = || holding.kind(call.args[0]).comes_in_pieces();
    match call.number {
        // Less comes as a whole.
        libc::SYS_getrandom => less(1, 256),
        // There has to be room for the longest name.
        libc::SYS_getdents64 => less(2, 300),
        _ if !comes_in_pieces() => None,
        libc::SYS_sendfile => less(3, 1),
        libc::SYS_readv | libc::SYS_writev | libc::SYS_preadv | libc::SYS_pwritev => {
            let (first, words) = shorter_first(holding, call.args[1], luck)?;
            let args = vec![(2, 1)];
            (first || call.args[2] > 1).then_some(Change::With { args, words })
        }
        libc::SYS_recvmsg | libc::SYS_sendmsg => {
            // Where a header has the vectors, and how many.
            let (list, count_at) = (holding.word(call.args[1] + 16)?, call.args[1] + 24);
            let (first, mut words) = shorter_first(holding, list, luck)?;
            let changes = first || holding.word(count_at)? > 1;
            words.push((count_at, 1));
            changes.then_some(Change::With { args: Vec::new(), words })
        }
        number if is_transfer(number) => less(2, 1),
        _ => None,
    }
}

/// The first of some vectors made shorter, if it can be; `None` where there is nothing in it.
fn shorter_first(holding: &Holding, list: u64, luck: u64) -> Option<(bool, Vec<(u64, u64)>)> {
    match holding.word(list + 8)? {
        0 => None,
        1 => Some((false, Vec::new())),
        len => Some((true, vec![(list + 8, fewer(len, luck))])),
    }
}

fn without_numbers(call: &Call, luck: u64) -> Option<Change> {
    let duplicates = [libc::F_DUPFD, libc::F_DUPFD_CLOEXEC].contains(&(call.args[1] as i32));
    if call.number == libc::SYS_fcntl && !duplicates {
        return None;
    }
    Some(Change::Instead(if luck.is_multiple_of(2) { EMFILE } else { ENFILE }))
}

fn refused(call: &Call, holding: &Holding, luck: u64) -> Option<Change> {
    let fd = call.args[0];
    let errno = match call.number {
        libc::SYS_accept4 if luck.is_multiple_of(2) => ECONNABORTED,
        libc::SYS_accept4 if holding.never_waits(fd) => EAGAIN,
        libc::SYS_accept4 | libc::SYS_socket | libc::SYS_socketpair => ENOBUFS,
        libc::SYS_clone | libc::SYS_clone3 | libc::SYS_openat2 => EAGAIN,
        libc::SYS_mkdirat
        | libc::SYS_linkat
        | libc::SYS_symlinkat
        | libc::SYS_renameat2
        | libc::SYS_renameat => ENOSPC,
        libc::SYS_epoll_ctl if call.args[1] as i32 != libc::EPOLL_CTL_ADD => return None,
        number if is_transfer(number) => {
            return refused_transfer(call, holding).map(Change::Instead);
        }
        _ => ENOMEM,
    };
    Some(Change::Instead(errno))
}

/// No data yet, or no room.
fn refused_transfer(call: &Call, holding: &Holding) -> Option<i32> {
    let (number, fd) = (call.number, call.args[0]);
    let does_not_wait = || holding.never_waits(fd);
    match holding.kind(fd) {
        Kind::File => is_output(number).then_some(ENOSPC),
        Kind::Datagrams if is_send(number) => Some(ENOBUFS),
        Kind::Stream | Kind::Datagrams => does_not_wait().then_some(EAGAIN),
        // The kernel takes what there is room for.
        Kind::Pipe if !is_output(number) => does_not_wait().then_some(EAGAIN),
        _ => None,
    }
}
