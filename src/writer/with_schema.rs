//! Channels that carry the schema of their states.

use super::WriterBuilder;
use crate::channel::{CreateError, SchemaBytes, WriterOptions};
use crate::schema::{Describe, Schema};
impl<T: ?Sized, C> WriterBuilder<T, C> {
    /// Lets the channel carry the [`Schema`] of its states, for programs that don't know `T`: see
    /// [`Reader::schema_bytes`](crate::Reader::schema_bytes).
    ///
    /// It is written once, into an object of its own (4 KiB for a schema of up to 4,032 bytes, 68 KiB at most), and goes
    /// with the channel. Publishing costs nothing more. A successor goes on with the channel only if it brings the
    /// same schema; one that brings another one, or none, replaces it. Choose the codec first: another one needs another
    /// schema.
    ///
    /// Only with the feature `schema`.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let fleet = tearless::Namespace::in_process("fleet")?;
    /// use tearless::schema::Schema;
    ///
    /// let mut writer = fleet.writer_builder::<(u64, String)>("worker-7").with_schema().open()?;
    /// writer.publish(&(3, "a job".to_string()))?;
    ///
    /// let reader = fleet.reader_builder::<Vec<u8>>("worker-7").codec::<tearless::Bytes>().accept(crate::accept::Any).open()?;
    /// let schema = reader.schema_bytes()?.expect("the writer has described it");
    /// assert_eq!(Schema::from_bytes(&schema)?.to_string(), "(u64, String)");
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_schema(mut self) -> Self
    where
        C: Describe<T>,
    {
        self.options.schema = SchemaBytes::new(&C::describe().to_bytes());
        self
    }
}

/// Whether readers will be able to read the schema.
pub(super) fn check(options: &WriterOptions) -> Result<(), CreateError> {
    let Some(schema) = &options.schema else { return Ok(()) };
    let checked = Schema::from_bytes(schema.bytes()).map(drop);
    checked.map_err(|error| CreateError::SchemaRefused { reason: error.to_string() })
}
