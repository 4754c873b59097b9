//! The payload that a writer compares the next one with.

/// Whether a state has to be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    /// It encodes to the bytes of the last publication.
    No,
    /// It does not, or that is not known.
    Yes,
}

/// A private copy of a payload that was published, or is about to be. Nothing is allocated before it is used.
#[derive(Debug, Default)]
pub(super) struct LastPayload {
    payload: Vec<u8>,
    /// The publication that `payload` is of. An ordinary publish leaves it behind, and so makes the copy stale for
    /// nothing; `None` while `payload` is not published.
    publication: Option<u64>,
}

impl LastPayload {
    /// Compares `payload` with that of publication `last`, the writer's last one, and keeps it if it differs.
    pub(super) fn prepare(&mut self, payload: &[u8], last: u64) -> Changed {
        if self.publication == Some(last) && self.payload == payload {
            return Changed::No;
        }
        // First: a panic while it is copied must not leave a mixture that counts as published.
        self.publication = None;
        self.payload.clear();
        self.payload.extend_from_slice(payload);
        Changed::Yes
    }

    /// What was kept last.
    pub(super) fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// What was kept last is in force under that number.
    pub(super) fn is_published_as(&mut self, publication: u64) {
        self.publication = Some(publication);
    }

    /// Gives the memory back; the next state counts as changed.
    pub(super) fn forget(&mut self) {
        *self = LastPayload::default();
    }
}
