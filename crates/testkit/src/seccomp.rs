//! A system that lacks a system call, or a use of one.

/// Makes the system call of this number fail with `ENOSYS`, in this thread and in the threads that
/// it starts later. This cannot be undone, so it needs a process of its own.
pub fn forbid(call: libc::c_long) {
    let refusal = statement(libc::BPF_RET | libc::BPF_K, refusal(libc::ENOSYS));
    install(&[load(0), unless(call, 1), refusal, allowance()]);
}

/// Makes the system call of this number fail with `errno` where its argument `index` has this value,
/// as [`forbid`] does.
pub fn forbid_use(call: libc::c_long, index: u32, value: libc::c_int, errno: libc::c_int) {
    // The arguments follow the number, the architecture and the instruction pointer.
    let argument = load(16 + 8 * index);
    let refusal = statement(libc::BPF_RET | libc::BPF_K, refusal(errno));
    install(&[load(0), unless(call, 3), argument, unless(value.into(), 1), refusal, allowance()]);
}

fn code(code: u32) -> u16 {
    u16::try_from(code).unwrap()
}

fn statement(class: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code(class), jt: 0, jf: 0, k }
}

/// Loads a word of the filter's input. The first is the call's number.
fn load(byte: u32) -> libc::sock_filter {
    statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, byte)
}

/// Skips some statements unless the loaded word has this value.
fn unless(value: libc::c_long, skipped: u8) -> libc::sock_filter {
    let k = u32::try_from(value).unwrap();
    libc::sock_filter { code: code(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K), jt: 0, jf: skipped, k }
}

fn refusal(errno: libc::c_int) -> u32 {
    libc::SECCOMP_RET_ERRNO | u32::try_from(errno).unwrap()
}

fn allowance() -> libc::sock_filter {
    statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW)
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
