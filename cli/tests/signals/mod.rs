//! Signals that this process was started to ignore.
#![allow(dead_code, reason = "every test file uses its part")]

/// Lets the processes that this one starts end at the signals that they catch, also if this one was
/// started to ignore them, as `nohup` does: a program begins with the default for what its parent
/// handles, and ignores what its parent ignores.
pub fn with_default_signals() {
    for signal in [signal_hook::consts::SIGHUP, signal_hook::consts::SIGINT] {
        if ignores(std::process::id(), signal) {
            signal_hook::flag::register(signal, std::sync::Arc::default()).unwrap();
        }
    }
}

/// Whether a process ignores the signal.
pub fn ignores(pid: u32, signal: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap() >> (signal - 1) & 1 == 1
}
