//! Codecs that can say what their payloads mean.

use super::{DescribePod, Encoding, Schema, postcard_schema};
use crate::codec::{Codec, Pod, Postcard};

/// A codec that knows the schema of its payloads of `T`.
pub trait Describe<T: ?Sized>: Codec {
    /// What a payload of a `T` consists of.
    fn describe() -> Schema;
}

impl<T: postcard_schema::Schema + ?Sized> Describe<T> for Postcard {
    fn describe() -> Schema {
        Schema { encoding: Encoding::Postcard, root: super::postcard::converted(T::SCHEMA) }
    }
}

impl<T: DescribePod> Describe<T> for Pod {
    fn describe() -> Schema {
        Schema { encoding: Encoding::Pod, root: T::describe_pod() }
    }
}
