//! A host: a network, mount, PID and host name namespace with its own `/dev/shm` and `/proc`.
//!
//! The namespaces belong to a process that waits for the end of its input, a pipe of this process.
//! So they, and every process in them, disappear when the [`Host`] is dropped and also when this
//! process is killed.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child as StdChild, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use testkit::child::Child;

use crate::net::{Net, address, mac};

/// For what must happen at some time.
pub const PATIENCE: Duration = Duration::from_secs(90);
const MAX_HOSTS: usize = 16;

/// Whether hosts can be made here. They need root, namespaces and TAP devices.
///
/// # Panics
///
/// If they can't, and `TEARLESS_MOUNTS` says that nothing may be skipped.
pub fn available() -> bool {
    let missing = if !rustix::process::geteuid().is_root() {
        "root"
    } else if !fs::exists("/dev/net/tun").unwrap_or(false) {
        "/dev/net/tun"
    } else if !succeeds("unshare", &["--net", "--mount", "--pid", "--uts", "--fork", "true"]) {
        "namespaces (unshare)"
    } else if !succeeds("ip", &["-Version"]) {
        "ip (iproute2)"
    } else {
        return true;
    };
    assert!(
        std::env::var_os("TEARLESS_MOUNTS").is_none(),
        "TEARLESS_MOUNTS is set, but {missing} is missing"
    );
    eprintln!("SKIPPED: real hosts need {missing}");
    false
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// A host of a [`Net`].
pub struct Host {
    pub name: String,
    /// The number of its address, and of its port of the switch.
    pub port: usize,
    /// `unshare`, whose child is the first process of the namespaces.
    keeper: StdChild,
}

impl Host {
    /// A host that is connected with `net`.
    pub fn new(net: &Net, name: &str) -> Host {
        let mut host = Host::alone(name);
        // Unique: the id of a living process.
        let device = format!("tl{}", host.keeper.id());
        host.port = net.add_port(&device);
        assert!(host.port <= MAX_HOSTS);
        host.take(&device);
        host
    }

    /// Two hosts that are connected with each other by the kernel: nothing of this process delays
    /// what they send.
    pub fn connected(names: [&str; 2]) -> [Host; 2] {
        let [mut a, mut b] = names.map(Host::alone);
        (a.port, b.port) = (1, 2);
        let devices = [format!("tl{}", a.keeper.id()), format!("tl{}", b.keeper.id())];
        let link = ["link", "add", &devices[0], "type", "veth", "peer", "name", &devices[1]];
        assert!(succeeds("ip", &link), "a link between two hosts can be made");
        a.take(&devices[0]);
        b.take(&devices[1]);
        [a, b]
    }

    fn alone(name: &str) -> Host {
        let keeper = Command::new("unshare")
            .args(["--net", "--mount", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc"])
            // It waits for the device, and for the end of its input.
            .args([
                "sh",
                "-c",
                "hostname \"$0\" && mount -t tmpfs -o mode=1777 none /dev/shm && exec cat",
                name,
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("unshare can be started");
        let host = Host { name: name.to_owned(), port: 0, keeper };
        host.await_namespaces();
        host
    }

    /// Moves a network device to this host.
    fn take(&self, device: &str) {
        let keeper = self.keeper.id().to_string();
        assert!(succeeds("ip", &["link", "set", device, "netns", &keeper, "name", "eth0"]));
        self.shell(&self.network());
    }

    /// The commands that give the host its address. All hosts know each other's hardware addresses,
    /// so that what happens after a partition does not depend on the timers of ARP.
    fn network(&self) -> String {
        let mut commands = format!(
            "ip link set lo up && ip link set eth0 address {} mtu {} && ip link set eth0 up && \
             ip address add {}/24 dev eth0",
            mac(self.port),
            crate::net::MTU,
            self.address(),
        );
        for other in (1..=MAX_HOSTS).filter(|other| *other != self.port) {
            commands +=
                &format!(" && ip neigh add {} lladdr {} dev eth0 nud permanent", address(other), mac(other));
        }
        commands
    }

    fn await_namespaces(&self) {
        let own = fs::read_link("/proc/self/ns/net").unwrap();
        let theirs = |what: &str| fs::read_link(format!("/proc/{}/ns/{what}", self.keeper.id()));
        eventually("the namespaces of a host exist", || {
            theirs("net").is_ok_and(|net| net != own) && theirs("pid_for_children").is_ok()
        });
        eventually("a host has its own /dev/shm", || {
            let mounts = fs::read_to_string(format!("/proc/{}/mounts", self.keeper.id())).unwrap_or_default();
            mounts.lines().any(|line| line.starts_with("none /dev/shm tmpfs"))
        });
    }

    pub fn address(&self) -> String {
        address(self.port).to_string()
    }

    /// A command that runs on this host. Its process is a child of `nsenter`.
    pub fn command(&self, program: &str) -> Command {
        let namespace = |what: &str, name: &str| format!("--{what}=/proc/{}/ns/{name}", self.keeper.id());
        let mut command = Command::new("nsenter");
        command.args([
            namespace("net", "net"),
            namespace("mount", "mnt"),
            namespace("uts", "uts"),
            namespace("pid", "pid_for_children"),
        ]);
        command.arg(program);
        command
    }

    /// Runs a shell's command, and returns what it prints.
    pub fn shell(&self, text: &str) -> String {
        let output = self.command("sh").args(["-c", text]).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {text}: {error}", self.name);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts a program. It is killed with the value that is returned.
    pub fn spawn(&self, program: &str, arguments: &[String]) -> Process {
        let child =
            self.command(program).args(arguments).stdin(Stdio::null()).process_group(0).spawn().unwrap();
        Process::of(child)
    }

    /// Starts this program's test `agent` on this host: see the module of that name.
    pub fn agent(&self, namespace: &str) -> Agent {
        let program = std::env::current_exe().unwrap();
        let mut command = self.command(program.to_str().unwrap());
        // With one thread, the harness does not remark that the test takes long.
        command
            .args(["--exact", "agent::agent", "--nocapture", "--test-threads", "1"])
            .env(crate::agent::NAMESPACE, namespace);
        Agent { host: self.name.clone(), child: Child::start_ready(command) }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let deadline = Instant::now() + Duration::from_secs(10);
        while matches!(self.keeper.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        // With --kill-child, this kills what is left in the namespaces.
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

/// A program on a host.
pub struct Process {
    nsenter: StdChild,
    pid: Pid,
}

impl Process {
    fn of(nsenter: StdChild) -> Process {
        let mut pid = None;
        eventually("a program on a host starts", || {
            pid = child_of(nsenter.id());
            pid.is_some()
        });
        Process { pid: pid.unwrap(), nsenter }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).unwrap();
    }

    /// Sends SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        let _ = kill_process(self.pid, Signal::KILL);
        let _ = self.nsenter.wait();
    }

    /// Sends SIGTERM, and waits for the end.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        eventually("a program ends by SIGTERM", || !self.is_running());
        self.nsenter.wait().unwrap()
    }

    pub fn is_running(&mut self) -> bool {
        self.nsenter.try_wait().unwrap().is_none()
    }

    /// Seconds of processor time so far.
    pub fn processor_seconds(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid.as_raw_nonzero())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
        ticks / rustix::param::clock_ticks_per_second() as f64
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The process id is not used again before `nsenter`, its parent, has been waited for.
        if self.is_running() {
            self.kill();
        }
    }
}

/// The child of process `parent`.
fn child_of(parent: u32) -> Option<Pid> {
    fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let ppid = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?;
        (ppid == parent.to_string()).then(|| Pid::from_raw(pid)).flatten()
    })
}

/// This program on a host: it writes and reads channels by orders.
pub struct Agent {
    host: String,
    child: Child,
}

impl Agent {
    /// Sends an order, and returns the answer.
    pub fn ask(&mut self, order: &str) -> String {
        let answer = self.child.ask(order);
        assert!(!answer.contains("panicked"), "{}: {order}: {answer}", self.host);
        answer
    }

    /// Sends an order that must be answered by `ok`, and what follows it.
    pub fn tell(&mut self, order: &str) -> String {
        let answer = self.ask(order);
        let rest = answer.strip_prefix("ok");
        rest.unwrap_or_else(|| panic!("{}: {order}: {answer}", self.host)).trim().to_owned()
    }

    /// Repeats an order until the answer is as expected.
    pub fn until(&mut self, order: &str, expected: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.ask(order);
            if expected(&answer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "{}: {order}: {answer}", self.host);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends a signal to the process.
    pub fn signal(&self, signal: Signal) {
        kill_process(child_of(self.child.pid()).unwrap(), signal).unwrap();
        if signal == Signal::CONT {
            // `nsenter` stops when its child does.
            self.child.signal(signal);
        }
    }

    /// Lets the process exit, with its channels open.
    pub fn exit(self) {
        self.child.finish();
    }

    /// Sends SIGKILL, and waits for the end.
    pub fn kill(mut self) {
        self.signal(Signal::KILL);
        self.child.wait();
    }
}

pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
