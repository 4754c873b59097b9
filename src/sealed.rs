//! Sealed channels: without a name, readable by whoever is given a descriptor.
//!
//! [`Writer::sealed`](crate::Writer::sealed) opens one,
//! [`Writer::descriptor`](crate::Writer::descriptor) gives a descriptor to hand out, and
//! [`Reader::from_descriptor`](crate::Reader::from_descriptor) reads. In between, the descriptor
//! goes over a Unix socket ([`send_descriptor`], [`receive_descriptor`]), or a child inherits it.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::os::unix::net::UnixStream;
//! use tearless::{Pod, Reader, Writer, sealed};
//!
//! let (worker, main) = UnixStream::pair()?;
//!
//! let mut writer = Writer::<[u64; 2]>::sealed("worker-7").codec::<Pod>().open()?;
//! writer.publish(&[3, 4])?;
//! sealed::send_descriptor(&worker, writer.descriptor()?)?;
//!
//! let descriptor = sealed::receive_descriptor(&main)?;
//! let mut reader = Reader::<[u64; 2], Pod>::from_descriptor(descriptor)?;
//! assert_eq!(*reader.snapshot()?, [3, 4]);
//! # Ok(())
//! # }
//! ```
//!
//! # What the kernel guarantees
//!
//! The memory is a `memfd`, sealed once the writer has mapped it. Whoever holds a descriptor, also
//! a process of the writer's user, can read: it can't store, truncate, punch a hole, map for
//! writing, or open the memory again through `/proc` to do so. The writer can't take memory away
//! either. So no process that reads or writes a sealed channel dies of SIGBUS, whatever the others
//! do, and readers need not trust the writer's user: what they read is checked, and what the kernel
//! doesn't say is sealed is refused ([`ObjectError::NotSealed`](crate::error::ObjectError)).
//!
//! Nothing is ever left behind. The memory exists as long as a process holds a descriptor or a
//! mapping of it: a holder reads the last state of a dead writer.
//!
//! # What differs from a channel with a name
//!
//! * The limit, [`max_state_len`](crate::WriterBuilder::max_state_len), is final, and takes
//!   addresses (times the number of slots) in each process. Memory is taken only as far as states
//!   have needed it.
//! * A process that locks its memory (`mlockall`) takes all of it.
//! * A writer begins a new channel. There is no takeover.
//! * No list has it: no hub, no `tearless ls`.
//! * Readers poll, with pauses of up to a millisecond, instead of sleeping: they can't announce
//!   themselves, because they can't write.
//! * [Views](crate::view) are copies, for the same reason.
//! * A reader keeps its descriptor open, by which it asks whether the writer lives. That works also
//!   for another user, and in another container.
//! * A clean end leaves the last state readable, as [`linger`](crate::WriterBuilder::linger) does.
//!   The options `linger`, `permissions`, `pins`, `wake_mode`, and the namespace's
//!   `max_dead_channels` and permissions of the registry have no effect. Required `huge_pages`
//!   fail. [`max_memory`](crate::WriterBuilder::max_memory) counts the whole length, not what is
//!   taken.
//!
//! # Limits
//!
//! * A larger state takes memory in all slots of its side, up to twice its size each if there is
//!   room, and the channel keeps it.
//! * Where the system gives all shared memory huge pages (`shmem_enabled` is `always`,
//!   `within_size` or `force`), memory is not sparse.
//! * A hostile writer can make a reader take as much memory as the channel has, again with each
//!   larger state: the kernel counts a channel's memory, and does not say where it is.
//! * Whoever has the descriptor can take memory up to the limit, by reading where there is none.
//! * Before Linux 6.13, who may use `/dev/udmabuf` may write to sealed memory through it.
//! * A process of the writer's user may debug the writer (`ptrace`, `/proc/PID/mem`), and store
//!   what it likes through it. It may also open the memory again for writing: it can't write to it,
//!   but its lock makes a dead writer seem alive.
//!
//! It needs Linux 5.14: 5.1 for the seals, and 5.14 for readers.
//!
//! # Children
//!
//! A descriptor is closed in programs that this process executes. The safe way past that is to make
//! it the child's standard input:
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let writer = tearless::Writer::<u64>::sealed("worker-7").codec::<tearless::Pod>().open()?;
//! use std::os::fd::AsFd;
//! use std::process::Command;
//!
//! // In the parent:
//! Command::new("reader").stdin(writer.descriptor()?).spawn()?;
//! // In the child:
//! let descriptor = std::io::stdin().as_fd().try_clone_to_owned()?;
//! # Ok(())
//! # }
//! ```
//!
//! Any other number takes [`inheritable`].

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::{Errno, FdFlags, fcntl_dupfd_cloexec, fcntl_setfd, retry_on_intr};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recv, recvmsg, sendmsg,
};

use crate::object::passes_processes;

/// The byte that goes with each descriptor: a stream carries none without a byte.
const MARK: u8 = b'D';

/// Room for what comes with the byte: descriptors, also more than one, and what the socket's other
/// options add, such as the sender's credentials.
const CONTROL_BYTES: usize = 256;

/// Why a descriptor was not sent or received. None is left open by that.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum DescriptorError {
    /// The other end is closed: its process has ended, or sends nothing more.
    #[error("the other end of the socket is closed: its process has ended, or handed out all descriptors")]
    Closed,
    /// A descriptor was under way and was dropped by the kernel: this process may open no more, or
    /// a security module forbids it this one. It has to be sent again.
    #[error(
        "a descriptor was lost because this process has too many: raise that limit (ulimit -n, in a \
         systemd unit LimitNOFILE=), and let the sender send it again; or a security module (SELinux, AppArmor) \
         forbids it this one: see its log"
    )]
    Lost,
    /// What was received was not sent by [`send_descriptor`].
    #[error(
        "what the socket received is no descriptor of a channel ({reason}): use the socket for \
         `send_descriptor` alone, or agree on when each end sends"
    )]
    Unexpected {
        /// What it was.
        reason: &'static str,
    },
    /// The descriptor can't be passed on.
    #[error("the descriptor can't be passed on: {reason}")]
    Refused {
        /// Why not, and what to do.
        reason: &'static str,
    },
    /// The system refused for another reason: the socket would block, for example.
    #[error("{operation} failed for a descriptor of a channel: {source}")]
    Os {
        /// The operation that failed.
        operation: &'static str,
        /// The system's reason.
        r#source: io::Error,
    },
}

debug_as_display!(DescriptorError);

/// Sends a descriptor, for example of [`Writer::descriptor`](crate::Writer::descriptor), over a
/// connected Unix socket: a stream (`UnixStream`), or one of packets. The caller's descriptor stays
/// open.
///
/// It is one byte with the descriptor beside it. Over a stream, several can be sent before the
/// first is received: each [`receive_descriptor`] takes one. The byte takes its turn among others
/// that a program sends over the same stream.
///
/// Progress: as the socket: it may block, unless the socket doesn't. Cost: a system call.
///
/// # Errors
///
/// [`DescriptorError`]. No signal (SIGPIPE) is sent if the other end is closed.
pub fn send_descriptor(socket: impl AsFd, descriptor: impl AsFd) -> Result<(), DescriptorError> {
    let descriptors = [descriptor.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    // There is room for it.
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    let send = || sendmsg(&socket, &[IoSlice::new(&[MARK])], &mut control, SendFlags::NOSIGNAL);
    retry_on_intr(send).map(drop).map_err(|errno| match errno {
        Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN | Errno::CONNREFUSED => DescriptorError::Closed,
        Errno::TOOMANYREFS => DescriptorError::Refused {
            reason: "too many descriptors of this user are under way: wait until they are received, or raise \
                     the limit (ulimit -n)",
        },
        Errno::PERM | Errno::ACCESS => DescriptorError::Refused {
            reason: "the receiving socket takes none (SO_PASSRIGHTS), or a security module forbids it",
        },
        errno => DescriptorError::Os { operation: "sendmsg", source: errno.into() },
    })
}

/// Receives one descriptor that [`send_descriptor`] sent. It is closed in programs that this
/// process executes.
///
/// What comes from a stranger need not be a channel:
/// [`Reader::from_descriptor`](crate::Reader::from_descriptor) finds out, and closes what is none.
///
/// Progress: as the socket: it blocks until there is one, unless the socket doesn't. Cost: a system
/// call.
///
/// # Errors
///
/// [`DescriptorError`]. What was received is taken from the socket and closed.
/// [`DescriptorError::Refused`], before anything is received, if the socket has `SO_PASSPIDFD`:
/// each message would leave a descriptor open.
pub fn receive_descriptor(socket: impl AsFd) -> Result<OwnedFd, DescriptorError> {
    if passes_processes(socket.as_fd()) {
        return Err(DescriptorError::Refused {
            reason: "the receiving socket adds a descriptor of the sender's process (SO_PASSPIDFD): switch \
                     that off",
        });
    }
    let (mut space, mut byte) = ([MaybeUninit::uninit(); CONTROL_BYTES], [0]);
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let receive =
        || recvmsg(&socket, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC);
    let received = retry_on_intr(receive).map_err(|errno| match errno {
        Errno::CONNRESET | Errno::NOTCONN => DescriptorError::Closed,
        errno => DescriptorError::Os { operation: "recvmsg", source: errno.into() },
    })?;
    // Whatever is returned: those that are not are closed at the end.
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(found) = message {
            descriptors.extend(found);
        }
    }
    let unexpected = |reason| Err(DescriptorError::Unexpected { reason });
    match (received.bytes, descriptors.pop()) {
        _ if received.flags.contains(ReturnFlags::CTRUNC) && descriptors.is_empty() => {
            Err(DescriptorError::Lost)
        }
        _ if received.flags.contains(ReturnFlags::TRUNC) => unexpected("a longer message"),
        // The end comes again, an empty packet does not.
        (0, None)
            if !matches!(recv(&socket, &mut [0; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT), Ok((_, 0))) =>
        {
            unexpected("an empty message")
        }
        (0, None) => Err(DescriptorError::Closed),
        (_, None) => unexpected("a byte without a descriptor"),
        _ if !descriptors.is_empty() => unexpected("several descriptors at once"),
        _ if byte != [MARK] => unexpected("a descriptor with another byte"),
        (_, Some(descriptor)) => Ok(descriptor),
    }
}

/// A copy of the descriptor, with another number, that programs inherit which this process
/// executes. Tell the child the number, by an argument for example, and drop the copy once the
/// child has started. Children that other threads start in between inherit it, too.
///
/// The child takes it once: `unsafe { OwnedFd::from_raw_fd(number) }`.
///
/// # Errors
///
/// [`DescriptorError::Os`], for example if this process may open no more descriptors.
pub fn inheritable(descriptor: impl AsFd) -> Result<OwnedFd, DescriptorError> {
    /// Behind the standard streams.
    const MIN: i32 = 3;
    let failed = |errno: Errno| DescriptorError::Os { operation: "fcntl", source: errno.into() };
    let copy = fcntl_dupfd_cloexec(descriptor, MIN).map_err(failed)?;
    fcntl_setfd(&copy, FdFlags::empty()).map_err(failed).map(|()| copy)
}
