//! A system that lacks a system call.

/// Makes the system call of this number fail with `ENOSYS`, in this thread and in the threads that
/// it starts later. This cannot be undone, so it needs a process of its own.
pub fn forbid(call: libc::c_long) {
    let call = u32::try_from(call).unwrap();
    let code = |code: u32| u16::try_from(code).unwrap();
    let statement = |class, k| libc::sock_filter { code: code(class), jt: 0, jf: 0, k };
    let refusal = libc::SECCOMP_RET_ERRNO | u32::try_from(libc::ENOSYS).unwrap();
    let filter = [
        // The first word of the filter's input is the call's number.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        libc::sock_filter { code: code(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K), jt: 0, jf: 1, k: call },
        statement(libc::BPF_RET | libc::BPF_K, refusal),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: 4, filter: filter.as_ptr().cast_mut() };
    // SAFETY: takes numbers only.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }, 0);
    // SAFETY: the program and its filter outlive the call, which copies them.
    let result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    assert_eq!(result, 0, "a process may give up calls");
}
