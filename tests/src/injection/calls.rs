//! System calls by name, and the table that says what is made of each.

use std::collections::BTreeMap;
use xtask::process;

/// What goes wrong in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Calls that wait are broken off: `EINTR`, with no signal for the guest.
    Broken,
    /// Fewer bytes than were asked for.
    Short,
    /// No number is left for another descriptor: `EMFILE`, `ENFILE`.
    Descriptors,
    /// What else the system may be short of: memory, buffers, space, processes, data.
    Refused,
    /// No memory while the command starts: `ENOMEM`.
    Memory,
}

impl Fault {
    /// All of them, with the words of the table.
    pub const ALL: [(&'static str, Fault); 5] = [
        ("broken", Fault::Broken),
        ("short", Fault::Short),
        ("descriptors", Fault::Descriptors),
        ("refused", Fault::Refused),
        ("memory", Fault::Memory),
    ];
}

macro_rules! calls {
    ($($number:ident $name:literal),* $(,)?) => {
        /// Names of calls; those of others are their numbers.
        const NAMES: &[(i64, &str)] = &[$((libc::$number, $name)),*];
    };
}

calls! {
    SYS_read "read", SYS_write "write", SYS_pread64 "pread64", SYS_pwrite64 "pwrite64",
    SYS_readv "readv", SYS_writev "writev", SYS_preadv "preadv", SYS_pwritev "pwritev",
    SYS_preadv2 "preadv2", SYS_pwritev2 "pwritev2", SYS_sendfile "sendfile",
    SYS_recvfrom "recvfrom", SYS_sendto "sendto", SYS_recvmsg "recvmsg", SYS_sendmsg "sendmsg",
    SYS_recvmmsg "recvmmsg", SYS_sendmmsg "sendmmsg", SYS_copy_file_range "copy_file_range",
    SYS_splice "splice", SYS_getdents64 "getdents64", SYS_getrandom "getrandom",
    SYS_accept4 "accept4", SYS_connect "connect", SYS_socket "socket", SYS_socketpair "socketpair",
    SYS_bind "bind", SYS_listen "listen", SYS_shutdown "shutdown", SYS_getsockname "getsockname",
    SYS_getpeername "getpeername", SYS_getsockopt "getsockopt", SYS_setsockopt "setsockopt",
    SYS_poll "poll", SYS_ppoll "ppoll", SYS_epoll_create1 "epoll_create1", SYS_epoll_ctl "epoll_ctl",
    SYS_epoll_wait "epoll_wait", SYS_epoll_pwait "epoll_pwait", SYS_epoll_pwait2 "epoll_pwait2",
    SYS_pipe2 "pipe2", SYS_eventfd2 "eventfd2", SYS_timerfd_create "timerfd_create",
    SYS_memfd_create "memfd_create", SYS_pidfd_open "pidfd_open", SYS_signalfd4 "signalfd4",
    SYS_open "open", SYS_openat "openat", SYS_openat2 "openat2", SYS_close "close",
    SYS_close_range "close_range", SYS_dup "dup", SYS_dup2 "dup2", SYS_dup3 "dup3", SYS_fcntl "fcntl",
    SYS_flock "flock", SYS_ioctl "ioctl", SYS_lseek "lseek", SYS_fstat "fstat",
    SYS_newfstatat "newfstatat", SYS_statx "statx", SYS_statfs "statfs", SYS_fstatfs "fstatfs",
    SYS_access "access", SYS_faccessat "faccessat", SYS_faccessat2 "faccessat2",
    SYS_ftruncate "ftruncate", SYS_fallocate "fallocate", SYS_fsync "fsync",
    SYS_fdatasync "fdatasync", SYS_fadvise64 "fadvise64", SYS_utimensat "utimensat",
    SYS_mkdir "mkdir", SYS_mkdirat "mkdirat", SYS_unlink "unlink", SYS_unlinkat "unlinkat",
    SYS_rename "rename", SYS_renameat "renameat", SYS_renameat2 "renameat2", SYS_linkat "linkat",
    SYS_symlinkat "symlinkat", SYS_readlink "readlink", SYS_readlinkat "readlinkat",
    SYS_getcwd "getcwd", SYS_chdir "chdir", SYS_umask "umask", SYS_fchmod "fchmod",
    SYS_mmap "mmap", SYS_munmap "munmap", SYS_mremap "mremap", SYS_mprotect "mprotect",
    SYS_madvise "madvise", SYS_brk "brk", SYS_msync "msync", SYS_mincore "mincore",
    SYS_membarrier "membarrier", SYS_futex "futex", SYS_futex_waitv "futex_waitv",
    SYS_clone "clone", SYS_clone3 "clone3", SYS_fork "fork", SYS_vfork "vfork",
    SYS_execve "execve", SYS_exit "exit", SYS_exit_group "exit_group", SYS_wait4 "wait4",
    SYS_waitid "waitid", SYS_kill "kill", SYS_tgkill "tgkill", SYS_tkill "tkill",
    SYS_rt_sigaction "rt_sigaction", SYS_rt_sigprocmask "rt_sigprocmask",
    SYS_rt_sigreturn "rt_sigreturn", SYS_rt_sigtimedwait "rt_sigtimedwait",
    SYS_rt_sigsuspend "rt_sigsuspend", SYS_rt_sigpending "rt_sigpending",
    SYS_sigaltstack "sigaltstack", SYS_restart_syscall "restart_syscall", SYS_pause "pause",
    SYS_nanosleep "nanosleep", SYS_clock_nanosleep "clock_nanosleep",
    SYS_clock_gettime "clock_gettime", SYS_clock_getres "clock_getres",
    SYS_gettimeofday "gettimeofday", SYS_getpid "getpid", SYS_getppid "getppid",
    SYS_gettid "gettid", SYS_getuid "getuid", SYS_geteuid "geteuid", SYS_getgid "getgid",
    SYS_getegid "getegid", SYS_getpriority "getpriority", SYS_setpriority "setpriority",
    SYS_getrlimit "getrlimit", SYS_prlimit64 "prlimit64", SYS_getrusage "getrusage",
    SYS_sched_yield "sched_yield", SYS_sched_getaffinity "sched_getaffinity",
    SYS_sched_setaffinity "sched_setaffinity", SYS_prctl "prctl", SYS_arch_prctl "arch_prctl",
    SYS_set_tid_address "set_tid_address", SYS_set_robust_list "set_robust_list",
    SYS_get_robust_list "get_robust_list", SYS_rseq "rseq", SYS_uname "uname", SYS_sysinfo "sysinfo",
}

/// A call's name.
#[must_use]
pub fn name(number: i64) -> String {
    let known = NAMES.iter().find(|(of, _)| *of == number);
    known.map_or_else(|| format!("call {number}"), |(_, name)| (*name).to_owned())
}

/// Calls of the host with what is made of each: `tests/wasix/injected.txt`.
#[derive(Debug)]
pub struct Table(BTreeMap<String, Vec<Fault>>);

impl Table {
    /// Reads it.
    ///
    /// # Panics
    /// It is not there, or says what means nothing.
    #[must_use]
    pub fn read() -> Self {
        let path = process::workspace_root().join("tests/wasix/injected.txt");
        let text = std::fs::read_to_string(path).expect("it is in the tree");
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Table(lines.flat_map(entries).collect())
    }

    /// Whether the call is known.
    #[must_use]
    pub fn has(&self, call: &str) -> bool {
        self.0.contains_key(call)
    }

    /// Whether this is made of it.
    #[must_use]
    pub fn says(&self, call: &str, fault: Fault) -> bool {
        self.0.get(call).is_some_and(|faults| faults.contains(&fault))
    }

    /// Those of which this is made.
    pub fn with(&self, fault: Fault) -> impl Iterator<Item = &str> {
        let made = self.0.iter().filter(move |(_, faults)| faults.contains(&fault));
        made.map(|(call, _)| call.as_str())
    }
}

/// `CALLS | FAULTS`, or `CALLS | - WHY NONE`.
fn entries(line: &str) -> Vec<(String, Vec<Fault>)> {
    let (calls, faults) = line.split_once(" | ").expect("calls and faults");
    let word = |word: &str| {
        let known = Fault::ALL.iter().find(|(name, _)| *name == word);
        known.unwrap_or_else(|| panic!("`{line}`: there is no fault `{word}`")).1
    };
    let faults: Vec<Fault> = match faults.strip_prefix("- ") {
        Some(_) => Vec::new(),
        None => faults.split(' ').map(word).collect(),
    };
    calls.split(' ').map(|call| (call.to_owned(), faults.clone())).collect()
}
