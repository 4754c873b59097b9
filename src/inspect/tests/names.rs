//! Invalid names of namespaces and channels are not reported, even if they match the names of their
//! objects.

use super::*;
use crate::inspect::{namespaces, objects};
use crate::layout::{Kind, ObjectNames};
use crate::object::{Access, Backend, SharedMemory};
use crate::registry::{ChannelInfo, Registry};
use std::sync::Arc;

/// A name that `ChannelName::new` refuses, as a hostile process may use it.
fn forged(namespace: &str, channel: &str) -> ChannelName {
    let objects = ObjectNames::new(namespace, channel);
    ChannelName { namespace: namespace.into(), channel: channel.into(), objects }
}

/// The namespace and the channel that are reported for the control page.
fn reported(name: &ChannelName) -> (Option<String>, Option<String>) {
    let page = name.objects.object(Kind::Control);
    let all = objects().list().unwrap();
    let info = all.into_iter().find(|object| object.name == page).unwrap();
    (info.namespace, info.channel)
}

#[test]
fn names_that_hold_control_characters_are_not_reported() {
    let backend: Arc<dyn Backend> = Arc::new(SharedMemory::default());
    let plain = format!("names-{}", std::process::id());
    let hostile = format!("{plain}\u{1b}[2J");
    for (namespace, channel) in [(&plain, "\u{1b}]0;title\u{7}"), (&hostile, "worker")] {
        let name = forged(namespace, channel);
        let options = WriterOptions::new(Format::new("bytes", "State"));
        let writer = crate::channel::open(&backend, &name, &options).unwrap();
        assert_eq!(reported(&name), (None, None));
        let info = ChannelInfo::of(&writer);
        Registry::of(&backend, namespace).register(&info, Access::OWNER).unwrap();
        // The registry holds the name of its namespace, too.
        let expected = (*namespace == plain).then(|| plain.clone());
        assert_eq!(reported(&name), (expected, None));
        assert!(namespaces().list().unwrap().iter().all(|info| info.name.as_ref() != Some(&hostile)));
        Registry::of(&backend, namespace).deregister(&[(channel, info.instance)]).unwrap();
    }
    let left = objects().list().unwrap();
    let prefixes = [plain, hostile].map(|namespace| ObjectNames::prefix(&namespace));
    assert!(!left.iter().any(|object| prefixes.iter().any(|prefix| object.name.starts_with(prefix))));
}
