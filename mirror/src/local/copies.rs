//! Mirrored channels in this host's shared memory.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use tearless::Namespace;
use tearless::hub::Pattern;
use tearless::inspect::WriterState;
use tearless::mirror::{MirrorWriter, OriginStatus};

use super::now;
use crate::message::{Description, Status, Writer};
use crate::sink::{Copies, Mirrored};

/// News of a writer comes this much later than its heartbeats: its promise here is longer by as
/// much.
const NEWS_DELAY: Duration = Duration::from_secs(2);

/// Where copies are.
#[derive(Clone, Debug)]
pub struct CopyOptions {
    /// The directory of the namespaces; `None` is `/dev/shm`.
    pub directory: Option<PathBuf>,
    /// Permission bits of the channels.
    pub permissions: Option<u32>,
    /// Names of the copies: `{host}` and `{channel}` are replaced.
    pub name: String,
}

impl Default for CopyOptions {
    fn default() -> CopyOptions {
        CopyOptions { directory: None, permissions: None, name: "{host}/{channel}".into() }
    }
}

impl CopyOptions {
    /// Opens a namespace with these options.
    ///
    /// # Errors
    ///
    /// Why it can't be used, for people.
    pub fn namespace(&self, name: &str) -> Result<Namespace, String> {
        let mut builder = Namespace::builder(name);
        if let Some(directory) = &self.directory {
            builder = builder.directory(directory);
        }
        if let Some(mode) = self.permissions {
            builder = builder.permissions(mode);
        }
        builder.open().map_err(|error| error.to_string())
    }

    fn name_of(&self, origin: &str, channel: &str) -> String {
        // At once: a host may be called {channel}.
        let mut parts = self.name.split("{channel}");
        let first = parts.next().unwrap_or_default().replace("{host}", origin);
        parts.fold(first, |name, part| name + channel + &part.replace("{host}", origin))
    }
}

/// More open namespaces are not kept beyond a listing: an origin could name new ones for ever.
const MAX_NAMESPACES: usize = 1024;

/// The copies of one origin.
pub struct LocalCopies {
    options: CopyOptions,
    namespaces: HashMap<String, Namespace>,
}

impl LocalCopies {
    /// Copies that are made as `options` say.
    #[must_use]
    pub fn new(options: CopyOptions) -> LocalCopies {
        LocalCopies { options, namespaces: HashMap::new() }
    }

    /// Opens the namespaces of this host that have the names that `patterns` match: a former mirror
    /// may have left copies there.
    #[must_use]
    pub fn with_former(mut self, patterns: &[Pattern]) -> LocalCopies {
        let mut listing = tearless::inspect::namespaces();
        if let Some(directory) = &self.options.directory {
            listing = listing.directory(directory);
        }
        let names = listing.list().unwrap_or_default().into_iter().filter_map(|info| info.name);
        for name in names.filter(|name| patterns.iter().any(|pattern| pattern.matches(name))) {
            // One that can't be opened has no copies of this user.
            let _ = self.namespace(&name);
        }
        self
    }

    fn namespace(&mut self, name: &str) -> Result<&Namespace, String> {
        if !self.namespaces.contains_key(name) {
            let namespace = self.options.namespace(name)?;
            self.namespaces.insert(name.to_owned(), namespace);
        }
        self.namespaces.get(name).ok_or_else(|| "the namespace is gone".to_owned())
    }
}

impl Copies for LocalCopies {
    type Copy = LocalCopy;

    fn open(&mut self, origin: &str, description: &Description) -> Result<LocalCopy, String> {
        let channel = self.options.name_of(origin, &description.channel);
        let namespace = self.namespace(&description.namespace)?;
        let writer =
            MirrorWriter::open(namespace, &channel, origin, description.instance, &description.format);
        Ok(LocalCopy { writer: writer.map_err(|error| error.to_string())?, status: None })
    }

    fn remove_others(&mut self, origin: &str, is_there: &dyn Fn(&str, &str) -> bool) {
        for (name, namespace) in &self.namespaces {
            for listed in namespace.channels().unwrap_or_default() {
                let Some(channel) = self.channel_of(origin, &listed.name) else { continue };
                if is_there(name, &channel) {
                    continue;
                }
                // To inspect a channel takes longer than to compare its name.
                let Ok(inspection) = namespace.inspect(&listed.name) else { continue };
                if inspection.origin.is_some_and(|it| it.host == origin) {
                    // A copy that another process writes stays: the removal is refused.
                    let _ = namespace.remove_channel(&listed.name);
                }
            }
        }
        if self.namespaces.len() > MAX_NAMESPACES {
            // They are opened again where they are needed.
            self.namespaces.clear();
        }
    }
}

impl LocalCopies {
    /// The origin's name of the channel of which `copy` is the name.
    fn channel_of(&self, origin: &str, copy: &str) -> Option<String> {
        let (before, after) = self.options.name.split_once("{channel}")?;
        let before = copy.strip_prefix(&before.replace("{host}", origin))?;
        before.strip_suffix(&after.replace("{host}", origin)).map(str::to_owned)
    }
}

/// A mirrored channel.
pub struct LocalCopy {
    writer: MirrorWriter,
    /// The latest status, and when it came.
    status: Option<(Status, Duration)>,
}

impl Mirrored for LocalCopy {
    fn publication(&self) -> u64 {
        self.writer.publication()
    }

    fn publish(&mut self, payload: &[u8], publication: u64, age: Option<Duration>) -> Result<(), String> {
        self.writer.publish(payload, publication, age).map(drop).map_err(|error| error.to_string())
    }

    fn set_status(&mut self, status: &Status) {
        self.status = Some((*status, now()));
        self.writer.set_status(&origin_status(status));
    }

    fn set_unreachable(&mut self, since: Option<Duration>) {
        self.writer.set_unreachable(since);
    }

    fn check(&mut self) -> Result<(), String> {
        self.writer.check_names().map_err(|error| error.to_string())?;
        if let Some((status, at)) = self.status {
            self.writer.set_status(&origin_status(&status.after(now().saturating_sub(at))));
        }
        Ok(())
    }

    fn remove(self) {
        // It is ended in any case; what could not be unlinked is for `tearless gc`.
        let _ = self.writer.close();
    }
}

fn origin_status(status: &Status) -> OriginStatus {
    let [interval, heartbeat, opened, ended] =
        [status.heartbeat_interval, status.heartbeat_age, status.opened_ago, status.ended_ago]
            .map(|nanos| nanos.map(Duration::from_nanos));
    OriginStatus {
        incarnation: status.incarnation,
        pid: status.pid,
        writer: match status.writer {
            Writer::Alive => WriterState::Alive,
            Writer::Stopped => WriterState::Stopped,
            Writer::Dead => WriterState::Dead,
            Writer::Exited => WriterState::Exited,
            Writer::Closed => WriterState::Closed,
            Writer::Unknown => WriterState::Unknown,
        },
        heartbeat_interval: interval.map(|interval| interval + NEWS_DELAY),
        heartbeat_age: heartbeat,
        opened_ago: opened,
        ended_ago: ended,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_copies_follow_the_template_and_back() {
        let options = CopyOptions { name: "{host}/{channel}".into(), ..CopyOptions::default() };
        let copies = LocalCopies::new(options.clone());
        for (host, channel) in [("a", "w-1"), ("{channel}", "x"), ("a", "{host}/x"), ("ü", "")] {
            let name = options.name_of(host, channel);
            assert_eq!(name, format!("{host}/{channel}"));
            assert_eq!(copies.channel_of(host, &name).as_deref(), Some(channel));
        }
        assert_eq!(copies.channel_of("a", "b/w-1"), None);
    }
}
