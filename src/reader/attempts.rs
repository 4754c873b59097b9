//! Attaching again to a channel that is replaced while a reader attaches.

use crate::channel::AttachError;

/// How often a channel is attached to that is replaced before its schema has been read. Each time its writer has made it
/// anew, by a dozen system calls, in between two of the reader's.
const MAX_TRIES: usize = 16;

/// What `attach` comes to: tried again, so many times, while it finds that the channel was removed.
pub(crate) fn retry_attach<R>(mut attach: impl FnMut() -> Result<R, AttachError>) -> Result<R, AttachError> {
    for _ in 1..MAX_TRIES {
        match attach() {
            Err(AttachError::Removed { .. }) => {}
            result => return result,
        }
    }
    attach()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn removed() -> AttachError {
        AttachError::Removed { channel: "worker".into() }
    }

    #[test]
    fn a_channel_that_was_removed_is_attached_to_again_for_a_bounded_number_of_times() {
        for failures in [0, 1, MAX_TRIES - 1, MAX_TRIES, MAX_TRIES + 1] {
            let mut tries = 0;
            let attached = retry_attach(|| {
                tries += 1;
                if tries > failures { Ok(()) } else { Err(removed()) }
            });
            assert_eq!(attached.is_ok(), failures < MAX_TRIES);
            assert_eq!(tries, MAX_TRIES.min(failures + 1));
        }
    }

    #[test]
    fn any_other_failure_is_final() {
        let mut tries = 0;
        let attached = retry_attach(|| -> Result<(), AttachError> {
            tries += 1;
            Err(AttachError::NoSchema { channel: "worker".into() })
        });
        assert!(matches!(attached, Err(AttachError::NoSchema { .. })) && tries == 1);
    }
}
