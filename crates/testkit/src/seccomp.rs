//! A system that lacks a system call, or a use of one, or has larger pages.
//!
//! Filters hold for this thread and for the threads and processes that it starts later. They cannot
//! be undone.

use std::fs::File;
use std::os::fd::AsRawFd;

/// The arguments of a system call in the filter's input: their offset, and that of one to the next.
const ARGUMENTS: u32 = 16;
const ARGUMENT: u32 = 8;

/// Makes the system call of this number fail with `ENOSYS`.
pub fn forbid(call: libc::c_long) {
    install(&[load(0), jump(libc::BPF_JEQ, number(call), 0, 1), refuse(libc::ENOSYS), allow()]);
}

/// Makes the system call of this number fail with `errno` where its argument `index` has this
/// value.
pub fn forbid_use(call: libc::c_long, index: u32, value: libc::c_int, errno: libc::c_int) {
    install(&[
        load(0),
        jump(libc::BPF_JEQ, number(call), 0, 3),
        load(ARGUMENTS + index * ARGUMENT),
        jump(libc::BPF_JEQ, value.unsigned_abs(), 0, 1),
        refuse(errno),
        allow(),
    ]);
}

/// Makes `mmap` of a file fail with `EINVAL` unless its offset is a multiple of `page` bytes, as a
/// kernel with pages of that size does. The filter replaces such a kernel: it can't show what
/// such a kernel maps beside what was asked for.
///
/// # Panics
///
/// If the filter does not refuse such an offset, or refuses another.
pub fn map_files_by(page: u32) {
    // On 64-bit little-endian processors the low half of an argument comes first.
    let (flags, offset) = (load(ARGUMENTS + 3 * ARGUMENT), load(ARGUMENTS + 5 * ARGUMENT));
    install(&[
        load(0),
        jump(libc::BPF_JEQ, number(libc::SYS_mmap), 0, 5),
        flags,
        jump(libc::BPF_JSET, libc::MAP_ANONYMOUS.unsigned_abs(), 3, 0),
        offset,
        jump(libc::BPF_JSET, page - 1, 0, 1),
        refuse(libc::EINVAL),
        allow(),
    ]);
    let program = File::open("/proc/self/exe").expect("a program can read itself");
    let map = |offset| {
        let (length, descriptor) = (4096, program.as_raw_fd());
        // SAFETY: a new read-only mapping at an address of the kernel's choice replaces nothing.
        let mapped = unsafe {
            libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ, libc::MAP_SHARED, descriptor, offset)
        };
        if mapped == libc::MAP_FAILED {
            return std::io::Error::last_os_error().raw_os_error();
        }
        // SAFETY: the mapping is this one, and nothing refers to it.
        let unmapped = unsafe { libc::munmap(mapped, length) };
        (unmapped != 0).then_some(unmapped)
    };
    assert_eq!([map(i64::from(page) / 2), map(i64::from(page))], [Some(libc::EINVAL), None]);
}

fn number(call: libc::c_long) -> u32 {
    u32::try_from(call).unwrap()
}

fn code(code: u32) -> u16 {
    u16::try_from(code).unwrap()
}

/// Loads a word of the input: of the call's number at 0, else of an argument.
fn load(offset: u32) -> libc::sock_filter {
    libc::sock_filter { code: code(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS), jt: 0, jf: 0, k: offset }
}

/// Compares the loaded word with `operand`, and skips so many steps if true, or if false.
fn jump(comparison: u32, operand: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code: code(libc::BPF_JMP | comparison | libc::BPF_K), jt, jf, k: operand }
}

fn refuse(errno: libc::c_int) -> libc::sock_filter {
    answer(libc::SECCOMP_RET_ERRNO | errno.unsigned_abs())
}

fn allow() -> libc::sock_filter {
    answer(libc::SECCOMP_RET_ALLOW)
}

fn answer(answer: u32) -> libc::sock_filter {
    libc::sock_filter { code: code(libc::BPF_RET | libc::BPF_K), jt: 0, jf: 0, k: answer }
}

fn install(filter: &[libc::sock_filter]) {
    let len = u16::try_from(filter.len()).unwrap();
    let program = libc::sock_fprog { len, filter: filter.as_ptr().cast_mut() };
    // SAFETY: takes numbers only.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }, 0);
    // SAFETY: the program and its filter outlive the call, which copies them.
    let result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    assert_eq!(result, 0, "a process may give up calls");
}
