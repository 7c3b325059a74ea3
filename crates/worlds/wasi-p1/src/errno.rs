//! The error numbers of preview 1, and which error of the host becomes which.

use wasmoor_host::{Errno as Host, Fault};

macro_rules! errnos {
    ($( $name:ident = $number:literal $(from $($host:ident)|+)?, $text:literal; )*) => {
        /// An error number of preview 1; `errno` in its interface types. Success, 0, is no error.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum Errno { $( #[doc = $text] $name = $number, )* }

        impl Errno {
            /// Every error number, in order.
            pub const ALL: &[Errno] = &[ $( Errno::$name, )* ];

            /// What it means, in a few words.
            #[must_use]
            pub fn text(self) -> &'static str {
                match self { $( Errno::$name => $text, )* }
            }
        }

        impl From<Host> for Errno {
            fn from(host: Host) -> Self {
                match host {
                    $( $( $( Host::$host )|+ => Errno::$name, )? )*
                    _ => Errno::Io,
                }
            }
        }
    };
}

errnos! {
    TooBig = 1 from TOOBIG, "argument list too long";
    Acces = 2 from ACCESS, "permission denied";
    AddrInUse = 3 from ADDRINUSE, "address in use";
    AddrNotAvail = 4 from ADDRNOTAVAIL, "address not available";
    AfNoSupport = 5 from AFNOSUPPORT, "address family not supported";
    Again = 6 from AGAIN, "resource unavailable, or operation would block";
    Already = 7 from ALREADY, "connection already in progress";
    Badf = 8 from BADF, "bad file descriptor";
    BadMsg = 9 from BADMSG, "bad message";
    Busy = 10 from BUSY, "device or resource busy";
    Canceled = 11 from CANCELED, "operation canceled";
    Child = 12 from CHILD, "no child processes";
    ConnAborted = 13 from CONNABORTED, "connection aborted";
    ConnRefused = 14 from CONNREFUSED, "connection refused";
    ConnReset = 15 from CONNRESET, "connection reset";
    Deadlk = 16 from DEADLK, "resource deadlock would occur";
    DestAddrReq = 17 from DESTADDRREQ, "destination address required";
    Dom = 18 from DOM, "mathematics argument out of domain of function";
    Dquot = 19 from DQUOT, "disk quota exceeded";
    Exist = 20 from EXIST, "file exists";
    Fault = 21 from FAULT, "bad address";
    Fbig = 22 from FBIG, "file too large";
    HostUnreach = 23 from HOSTUNREACH, "host is unreachable";
    Idrm = 24 from IDRM, "identifier removed";
    Ilseq = 25 from ILSEQ, "illegal byte sequence";
    InProgress = 26 from INPROGRESS, "operation in progress";
    Intr = 27 from INTR, "interrupted function";
    Inval = 28 from INVAL, "invalid argument";
    Io = 29 from IO, "I/O error";
    IsConn = 30 from ISCONN, "socket is connected";
    IsDir = 31 from ISDIR, "is a directory";
    Loop = 32 from LOOP, "too many levels of symbolic links";
    Mfile = 33 from MFILE, "too many open files in the guest";
    Mlink = 34 from MLINK, "too many links";
    MsgSize = 35 from MSGSIZE, "message too large";
    Multihop = 36 from MULTIHOP, "multihop attempted";
    NameTooLong = 37 from NAMETOOLONG, "file name too long";
    NetDown = 38 from NETDOWN, "network is down";
    NetReset = 39 from NETRESET, "connection aborted by network";
    NetUnreach = 40 from NETUNREACH, "network unreachable";
    Nfile = 41 from NFILE, "too many open files in the system";
    NoBufs = 42 from NOBUFS, "no buffer space available";
    NoDev = 43 from NODEV, "no such device";
    NoEnt = 44 from NOENT, "no such file or directory";
    NoExec = 45 from NOEXEC, "executable file format error";
    NoLck = 46 from NOLCK, "no locks available";
    NoLink = 47 from NOLINK, "link has been severed";
    NoMem = 48 from NOMEM, "not enough space";
    NoMsg = 49 from NOMSG, "no message of the desired type";
    NoProtoOpt = 50 from NOPROTOOPT, "protocol not available";
    NoSpc = 51 from NOSPC, "no space left on device";
    NoSys = 52 from NOSYS, "function not supported";
    NotConn = 53 from NOTCONN, "the socket is not connected";
    NotDir = 54 from NOTDIR, "not a directory";
    NotEmpty = 55 from NOTEMPTY, "directory not empty";
    NotRecoverable = 56 from NOTRECOVERABLE, "state not recoverable";
    NotSock = 57 from NOTSOCK, "not a socket";
    NotSup = 58 from NOTSUP, "not supported";
    NoTty = 59 from NOTTY, "inappropriate I/O control operation";
    Nxio = 60 from NXIO, "no such device or address";
    Overflow = 61 from OVERFLOW, "value too large to be stored in data type";
    OwnerDead = 62 from OWNERDEAD, "previous owner died";
    Perm = 63 from PERM, "operation not permitted";
    Pipe = 64 from PIPE, "broken pipe";
    Proto = 65 from PROTO, "protocol error";
    ProtoNoSupport = 66 from PROTONOSUPPORT, "protocol not supported";
    Prototype = 67 from PROTOTYPE, "protocol wrong type for socket";
    Range = 68 from RANGE, "result too large";
    Rofs = 69 from ROFS, "read-only file system";
    Spipe = 70 from SPIPE, "invalid seek";
    Srch = 71 from SRCH, "no such process";
    Stale = 72 from STALE, "stale file handle";
    TimedOut = 73 from TIMEDOUT, "connection timed out";
    TxtBsy = 74 from TXTBSY, "text file busy";
    Xdev = 75 from XDEV, "cross-device link";
    NotCapable = 76, "capabilities insufficient";
}

impl Errno {
    /// The number as a guest sees it.
    #[must_use]
    pub fn raw(self) -> u16 {
        self as u16
    }
}

impl From<Fault> for Errno {
    fn from(_: Fault) -> Self {
        Errno::Fault
    }
}

impl std::fmt::Display for Errno {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for Errno {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_interface() {
        for (index, errno) in (1u16..).zip(Errno::ALL) {
            assert_eq!(errno.raw(), index, "{errno:?}");
        }
        assert_eq!(Errno::ALL.len(), 76);
    }

    #[test]
    fn host_errors() {
        for (host, errno) in [
            (Host::PERM, Errno::Perm),
            (Host::WOULDBLOCK, Errno::Again),
            (Host::OPNOTSUPP, Errno::NotSup),
            (Host::ROFS, Errno::Rofs),
            (Host::from_raw_os_error(4000), Errno::Io),
        ] {
            assert_eq!(Errno::from(host), errno);
        }
    }
}
