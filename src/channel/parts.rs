//! What a reader looks through, laid open for an inspection.

use super::ChannelReader;
use crate::layout::Side;
use crate::memory::Page;
use crate::memory::ReadOnlyWords;
use crate::object::ObjectError;
use crate::seqlock::Ring;

impl ChannelReader {
    /// The control page.
    pub(crate) fn page(&self) -> &Page<ReadOnlyWords> {
        self.reader.control()
    }

    /// Maps a segment, whether it is in force or not. `NotFound` if there is none of this instance of the channel.
    pub(crate) fn view_segment(
        &self,
        side: Side,
        generation: u64,
    ) -> Result<Ring<ReadOnlyWords>, ObjectError> {
        self.segments.view(side, generation)
    }
}
