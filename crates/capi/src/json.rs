//! States as JSON, whatever their codec is.

use std::ffi::c_char;

use tearless::SnapshotInfo;
use tearless::dynamic::DynamicReader;
use tearless::error::SnapshotError;

use crate::boundary::{self, Out, call};
use crate::handle::Handle;
use crate::info::tl_info;
use crate::reader::{Subscriber, empty_or, tl_reader};
use crate::status::{Failure, Result, in_c, status_of, tl_status};

/// Copies the latest state as JSON, whatever its codec is: MessagePack, or any other codec with a
/// schema. For bindings, logs and debuggers; it decodes the state and allocates.
///
/// buffer: receives the text, with a zero byte at its end; NULL only for no bytes.
/// capacity: bytes of the buffer.
/// length: receives the bytes of the text, without the zero byte; may be NULL.
/// info: receives what else is known of the state; may be NULL.
///
/// Returns TL_OK; TL_TOO_SMALL if text and zero byte don't fit, and then length is that of the
/// text; TL_MISMATCH if nothing says what the bytes mean; TL_CORRUPT if they can't be decoded;
/// otherwise what tl_reader_read() does.
///
/// # Safety
///
/// As of tl_reader_read().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tl_reader_json(
    reader: *mut tl_reader,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
    info: *mut tl_info,
) -> tl_status {
    call(|| {
        // SAFETY: the caller's promise.
        let mut it = unsafe { Handle::<Subscriber>::using(reader.cast())? };
        // SAFETY: the caller's promise.
        let len_out = unsafe { Out::optional(length, "the place for the length")? };
        // SAFETY: the caller's promise.
        let info_out = unsafe { Out::optional(info, "the place for the info")? };
        // SAFETY: the caller's promise.
        let buffer = unsafe { boundary::buffer(buffer.cast(), capacity, "the buffer")? };
        let read = match it.read_payload() {
            Ok(read) => read,
            Err(error) => return empty_or(error, Failure::from),
        };
        let text = it.decoded()?;
        len_out.set(text.len());
        info_out.set(read.into());
        let Some((text_room, [end, ..])) = buffer.split_at_mut_checked(text.len()) else {
            let (len, needed) = (buffer.len(), text.len() + 1);
            let text =
                format!("the text and its zero byte have {needed} bytes, the buffer {len}: use a larger one");
            return Err(Failure::new(tl_status::TL_TOO_SMALL, text));
        };
        text_room.copy_from_slice(text.as_bytes());
        *end = 0;
        Ok(tl_status::TL_OK)
    })
}

/// Attempts to copy a payload whose length changes.
const MAX_PAYLOADS: u32 = 64;

impl Subscriber {
    /// Copies the latest payload as the channel has it, wherever this reader puts members.
    fn read_payload(&mut self) -> std::result::Result<SnapshotInfo, SnapshotError> {
        let mut attempts = 0;
        loop {
            let read = self.reader.read_at(0, &mut self.payload);
            let len = match &read {
                Ok(info) if info.payload_len() > self.payload.len() => info.payload_len(),
                Err(SnapshotError::OutOfRange { len, .. }) if attempts < MAX_PAYLOADS => *len,
                _ => return read,
            };
            self.payload.resize(len, 0);
            attempts += 1;
        }
    }

    /// The last payload as JSON.
    fn decoded(&mut self) -> Result<String> {
        let decoder =
            self.decoder.get_or_insert_with(|| DynamicReader::from(self.reader.clone()).decoder().clone());
        let value = decoder.decode(&self.payload).map_err(|error| {
            let text = format!("the state of channel {:?} can't be decoded: {error}", self.reader.channel());
            Failure::new(status_of(error.kind()), in_c(text))
        })?;
        Ok(value.to_string())
    }
}
