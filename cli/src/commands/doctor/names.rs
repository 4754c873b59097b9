//! Checks that channels in use keep their names: writers whose objects have lost them, and a system
//! that is set to remove them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::{slice, thread};

use tearless::{Namespace, inspect::Inspection};

use super::finding::Finding;
use crate::context::Context;
use crate::directory::{DEV_SHM, Directory};
use crate::error::Failure;
use crate::health;

/// Users below have no logins: logind leaves their objects alone.
const FIRST_LOGIN: u32 = 1_000;

pub(super) fn examine(context: &Context) -> Result<Vec<Finding>, Failure> {
    if context.namespace.is_some() {
        // The examination of its channels calls `in_namespace`; logind belongs to the machine.
        return Ok(Vec::new());
    }
    let mut findings = lost(&context.all_namespaces()?, &context.directory, "");
    // logind removes files from /dev/shm only; those in /run/user go with the directory.
    let is_removed_at_logout = context.directory.path() == Path::new(DEV_SHM);
    if is_removed_at_logout && Path::new("/run/systemd/seats").is_dir() && removes_at_logout(Path::new("/")) {
        findings.extend(users(context)?.into_iter().map(of_logout));
    }
    Ok(findings)
}

/// Processes that publish without a name in this namespace, which may have no other object.
pub(super) fn in_namespace(namespace: &Namespace, directory: &Directory) -> Vec<Finding> {
    let mut findings = lost(slice::from_ref(namespace), directory, &namespace.object_prefix(None));
    findings.iter_mut().for_each(|it| it.namespace = Some(namespace.name().to_owned()));
    findings
}

/// Writers whose control page has lost its name, which began with `prefix` in `directory`.
fn lost(namespaces: &[Namespace], directory: &Directory, prefix: &str) -> Vec<Finding> {
    let directory = directory.real_path();
    let is_here = |page: &str| {
        let path = page.rsplit_once('/');
        path.is_some_and(|(parent, name)| Path::new(parent) == directory && name.starts_with(prefix))
    };
    let scan = || lost_by_processes(Path::new("/proc")).into_iter().filter(|(_, page)| is_here(page));
    let mut lost: BTreeSet<_> = scan().collect();
    if !lost.is_empty() {
        // A writer that closes its channel has the page open a little longer than the name exists.
        thread::sleep(health::END);
        lost = scan().filter(|it| lost.contains(it)).collect();
        let known = writers_in_registries(namespaces);
        lost.retain(|(pid, _)| !known.contains(pid));
    }
    lost.iter().map(|(pid, object)| of_lost(*pid, object)).collect()
}

/// Whether the process that an inspection names as writer has a control page of this channel open
/// that has no name. Then it lives, and the page inspected is a copy, whose lock it does not hold.
pub(super) fn has_lost(namespace: &Namespace, inspection: &Inspection) -> bool {
    let name = format!("{}c", namespace.object_prefix(Some(&inspection.channel)));
    let page = namespace.directory().and_then(|it| Some(fs::canonicalize(it).ok()?.join(name)));
    let threads = format!("/proc/{}/task", inspection.writer_pid);
    lost_by_processes(Path::new(&threads)).iter().any(|(_, lost)| page.as_deref() == Some(Path::new(lost)))
}

fn of_lost(pid: u64, object: &str) -> Finding {
    let how = if Path::new(object).exists() { "replaced, perhaps by a copy" } else { "removed" };
    let what = format!("process {pid} publishes on {object}, whose name was {how}: no new reader finds it");
    let advice = "restart that process, or let it call `Writer::reopen` and publish again, as a Syncer does";
    Finding::problem("nameless", what, advice)
}

fn of_logout(user: u32) -> Finding {
    let what = format!(
        "logind removes the shared memory of user {user}, also while it is in use, at that user's last logout"
    );
    let advice = "set RemoveIPC=no in /etc/systemd/logind.conf; or `loginctl enable-linger` for that user; or run the \
                  workers as a system user";
    Finding::note("remove-ipc", what, advice)
}

/// Writers of channels that a registry lists and that have no name: other findings are about them.
fn writers_in_registries(namespaces: &[Namespace]) -> BTreeSet<u64> {
    let mut lost = BTreeSet::new();
    for namespace in namespaces {
        let channels = namespace.channels().unwrap_or_default().into_iter();
        let channels = channels.filter(|info| health::is_missing(namespace, &info.name));
        lost.extend(channels.map(|info| info.writer_pid));
    }
    lost
}

/// The processes that have a control page open that has no name, as a writer does, with the name
/// that it had. Of other users' processes only root sees that.
fn lost_by_processes(proc: &Path) -> BTreeSet<(u64, String)> {
    let entries = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten();
    let mut lost = BTreeSet::new();
    for process in entries(proc.to_owned()) {
        let Ok(pid) = process.file_name().to_string_lossy().parse() else { continue };
        let open = entries(process.path().join("fd")).filter_map(|fd| fs::read_link(fd.path()).ok());
        lost.extend(open.filter_map(|path| Some((pid, lost_page(path.to_str()?)?.to_owned()))));
    }
    lost
}

/// The name of a control page that is unlinked, if `path` is that of one.
fn lost_page(path: &str) -> Option<&str> {
    let path = path.strip_suffix(" (deleted)")?;
    let (_, name) = path.rsplit_once('/')?;
    (name.starts_with("tl_") && name.ends_with('c')).then_some(path)
}

/// Whether logind removes the shared memory of users without sessions. The last setting counts; a
/// file in one folder replaces the file of that name in the folders before it.
fn removes_at_logout(root: &Path) -> bool {
    let mut files = std::collections::BTreeMap::new();
    for folder in ["usr/lib", "run", "etc"] {
        let folder = root.join(folder).join("systemd/logind.conf.d");
        for file in fs::read_dir(folder).into_iter().flatten().flatten() {
            files.insert(file.file_name(), file.path());
        }
    }
    let main = ["usr/lib", "run", "etc"].map(|folder| root.join(folder).join("systemd/logind.conf"));
    let main = main.into_iter().rfind(|file| file.exists());
    let texts = main.into_iter().chain(files.into_values()).filter_map(|file| fs::read_to_string(file).ok());
    let mut setting = texts.filter_map(|text| {
        text.lines().filter_map(|line| line.trim().strip_prefix("RemoveIPC=").map(str::to_owned)).next_back()
    });
    setting.next_back().is_none_or(|value| !["no", "false", "off", "0"].contains(&value.trim()))
}

/// The users with objects here that logind would remove.
fn users(context: &Context) -> Result<BTreeSet<u32>, Failure> {
    let owners = context.directory.objects()?.into_iter().map(|object| object.owner_uid);
    Ok(owners.filter(|user| *user >= FIRST_LOGIN && !lingers(*user)).collect())
}

fn lingers(user: u32) -> bool {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(user)).then_some(name)
    });
    name.is_some_and(|name| Path::new("/var/lib/systemd/linger").join(name).exists())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{lost_page, removes_at_logout};

    #[test]
    fn control_pages_without_a_name_are_recognized() {
        let page = "/dev/shm/tl_ylh0lyvuo614u47vnc";
        assert_eq!(lost_page(&format!("{page} (deleted)")), Some(page));
        for other in [page, "/dev/shm/tl_ylh0lyvuo614u47vna1 (deleted)", "/dev/shm/xc (deleted)"] {
            assert_eq!(lost_page(other), None, "{other}");
        }
    }

    #[test]
    fn the_last_setting_of_logind_counts() {
        let root = std::env::temp_dir().join(format!("tearless-logind-{}", std::process::id()));
        let set = |file: &str, text: &str| {
            let file = root.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
            removes_at_logout(&root)
        };
        assert!(removes_at_logout(&root), "it is the default");
        assert!(set("etc/systemd/logind.conf", "[Login]\n#RemoveIPC=no\n"));
        assert!(!set("etc/systemd/logind.conf", "[Login]\nRemoveIPC=yes\nRemoveIPC=no\n"));
        assert!(set("usr/lib/systemd/logind.conf.d/90-ipc.conf", "[Login]\nRemoveIPC=yes\n"));
        assert!(!set("etc/systemd/logind.conf.d/90-ipc.conf", "[Login]\n RemoveIPC=off\n"));
        fs::remove_dir_all(root).unwrap();
    }
}
