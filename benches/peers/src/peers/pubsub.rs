//! iceoryx2: publish-subscribe with one publisher, whose samples are filled and read in place.
//!
//! A subscriber's buffer holds one sample, which a newer one replaces (safe overflow): it gets the
//! latest state, however seldom it looks. The other settings are the peer's defaults, and the pool
//! has as many samples as they require, so that a loan never fails and the publisher never waits.
//!
//! What it does not promise, and a channel with views does:
//!
//! * `receive` returns each sample once. A subscriber that looks again must have kept the sample.
//! * A subscriber that comes late gets nothing before the next sample. A history of one sample
//!   would change that, if the publisher also updates its connections; it is left out, because it
//!   can only cost time.
//! * The numbers of subscribers and of samples that each may keep are fixed when the service is
//!   created. A subscriber that keeps more gets an error.
//! * A sample stays in its thread. `ipc_threadsafe::Service` changes that, at the price of a lock.
//! * `receive` does not wait. Waking needs a second service, of events.

use std::time::Duration;

use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::*;
use iceoryx2::sample::Sample;
use iceoryx2::service::port_factory::event;

use super::iceoryx::{node, service_name};
use crate::place::Place;

/// How many samples a subscriber may keep: it receives the next one before it drops the last one.
const KEPT: usize = 2;

/// A sample that a subscriber holds.
pub(crate) type Held = Sample<ipc::Service, [u8], ()>;

/// The publisher, and what must live as long.
pub(crate) struct Sender {
    publisher: Publisher<ipc::Service, [u8], ()>,
    node: Node<ipc::Service>,
    len: usize,
}

/// A subscriber, and what must live as long.
pub(crate) struct Receiver {
    subscriber: Subscriber<ipc::Service, [u8], ()>,
    node: Node<ipc::Service>,
}

/// Wakes the subscribers.
pub(crate) struct Waker(Notifier<ipc::Service>);

/// Waits for a [`Waker`].
pub(crate) struct Alarm(Listener<ipc::Service>);

impl Sender {
    /// Creates the service for states of `len` bytes and so many subscribers.
    pub(crate) fn open(place: &Place, len: usize, subscribers: usize) -> Sender {
        let node = node(place);
        let builder = node.service_builder(&service_name(place)).publish_subscribe::<[u8]>();
        let builder = builder.max_publishers(1).max_subscribers(subscribers);
        let builder = builder.subscriber_max_buffer_size(1).enable_safe_overflow(true);
        let service = builder.subscriber_max_borrowed_samples(KEPT).create();
        let service = service.expect("there is room in shared memory");
        let builder = service.publisher_builder().initial_max_slice_len(len).max_loaned_samples(1);
        Sender { publisher: builder.create().expect("it is the only one"), node, len }
    }

    /// Fills a sample with `byte`, puts `number` in front, and sends it.
    pub(crate) fn send_filled(&mut self, byte: u8, number: u64) {
        let sample = self.publisher.loan_slice_uninit(self.len).expect("the pool is large enough");
        let mut sample = sample.write_from_fn(|_| byte);
        sample.payload_mut()[..8].copy_from_slice(&number.to_ne_bytes());
        sample.send().expect("the subscribers live");
    }

    /// Puts `number` at both ends of a sample that was filled before, and sends it.
    #[allow(unsafe_code, reason = "the peer has no other way to send what was filled elsewhere")]
    #[inline]
    pub(crate) fn send_ends(&mut self, number: u64) {
        let mut sample = self.publisher.loan_slice_uninit(self.len).expect("the pool is large enough");
        let payload = sample.payload_mut();
        for at in [0, payload.len() - 8] {
            for (byte, value) in payload[at..][..8].iter_mut().zip(number.to_ne_bytes()) {
                byte.write(value);
            }
        }
        // SAFETY: every byte of the payload has to be initialized. It lies in an object of shared
        // memory, which the kernel has filled with zeroes.
        let sample = unsafe { sample.assume_init() };
        sample.send().expect("the subscribers live");
    }

    /// The waker of the same place.
    pub(crate) fn waker(&self, place: &Place) -> Waker {
        let notifier = events(&self.node, place).notifier_builder().create();
        Waker(notifier.expect("the service has few notifiers"))
    }
}

impl Receiver {
    /// Opens the service.
    pub(crate) fn open(place: &Place) -> Receiver {
        let node = node(place);
        let builder = node.service_builder(&service_name(place)).publish_subscribe::<[u8]>();
        let service = builder.open().expect("the publisher has created it");
        let subscriber = service.subscriber_builder().buffer_size(1).create();
        Receiver { subscriber: subscriber.expect("the service has few subscribers"), node }
    }

    /// The sample that was sent last, unless it was received before.
    #[inline]
    pub(crate) fn receive(&mut self) -> Option<Held> {
        self.subscriber.receive().expect("no more samples are kept than allowed")
    }

    /// The waiting end of the same place's waker.
    pub(crate) fn alarm(&self, place: &Place) -> Alarm {
        let listener = events(&self.node, place).listener_builder().create();
        Alarm(listener.expect("the service has few listeners"))
    }
}

impl Waker {
    /// Wakes all that wait.
    pub(crate) fn wake(&mut self) {
        self.0.notify().expect("the listeners live");
    }
}

impl Alarm {
    /// Waits until it is woken, or until the timeout.
    pub(crate) fn wait(&mut self, timeout: Duration) {
        self.0.timed_wait(|_| {}, timeout).expect("the system lets it wait");
    }
}

fn events(node: &Node<ipc::Service>, place: &Place) -> event::PortFactory<ipc::Service> {
    let service = node.service_builder(&service_name(&place.at("events"))).event().open_or_create();
    service.expect("there is room in shared memory")
}
