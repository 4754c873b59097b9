//! The objects of one channel in shared memory.

use std::fs;

use tearless::Namespace;

use crate::CHANNEL;

const DIRECTORY: &str = "/dev/shm/";

/// Lists the objects of one channel.
#[derive(Clone, Debug)]
pub(crate) struct Objects {
    prefix: String,
}

impl Objects {
    /// Learns the prefix of the names of the channel's objects from this process's mappings, as the
    /// kernel lists them. Creates the channel for that and removes it. Nothing else of this library
    /// may be mapped.
    pub(crate) fn of(namespace: &Namespace, channel: &str) -> Objects {
        let writer = namespace.writer_builder::<u8>(channel).codec::<tearless::Pod>().open().unwrap();
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        writer.close().unwrap();
        let names = maps.lines().filter_map(|line| line.split_once(DIRECTORY)).map(|(_, name)| name);
        let pages = names.filter(|name| name.starts_with("tl_") && name.ends_with('c')).collect::<Vec<_>>();
        let [page] = pages[..] else { panic!("not one control page: {pages:?}") };
        let objects = Objects { prefix: page.trim_end_matches('c').into() };
        assert_eq!(objects.names(), [""; 0], "the channel was closed");
        objects
    }

    /// The names of the objects, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        testkit::objects::listed(&self.prefix)
    }

    /// Panics unless there are exactly the channel's object, and one segment of each side that has
    /// grown.
    pub(crate) fn assert_whole(&self, namespace: &Namespace, when: &str) {
        let [a, b] = namespace.inspect(CHANNEL).unwrap().generations.map(|generation| generation > 1);
        let expected: String = [(a, 'a'), (b, 'b'), (true, 'c')]
            .into_iter()
            .filter_map(|(exists, kind)| exists.then_some(kind))
            .collect();
        let names = self.names();
        let kinds = names.iter().map(|name| &name[self.prefix.len()..][..1]).collect::<String>();
        assert_eq!(kinds, expected, "{when}: {names:?}");
    }

    /// Panics if there are more than `max` objects.
    pub(crate) fn assert_at_most(&self, max: usize, when: &str) {
        let names = self.names();
        assert!(names.len() <= max, "{when}: {names:?}");
    }

    /// Panics if there is any object.
    pub(crate) fn assert_none(&self, when: &str) {
        assert_eq!(self.names(), [""; 0], "{when}");
    }
}
