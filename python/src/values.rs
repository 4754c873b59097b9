//! Values of Python as payloads, and back.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyList, PyString, PyTuple};
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use tearless::dynamic::{self, Decoder, DynamicReader};
use tearless::error::{CodecError, DecodeError};
use tearless::{Bytes, Codec, Encode, MessagePack, Pod};

use crate::errors::{Class, ToPython, is_interrupt};

/// Payloads that Python has made in the format of a codec of the library.
macro_rules! made_elsewhere {
    ($($(#[$doc:meta])* $codec:ident as $original:ident<$type:ty>;)*) => {$(
        $(#[$doc])*
        pub(crate) struct $codec;

        impl Codec<[u8]> for $codec {
            const NAME: &'static str = <$original as Codec<$type>>::NAME;
        }

        impl Encode<[u8]> for $codec {
            fn encode<'a>(value: &'a [u8], _scratch: &'a mut Vec<u8>) -> Result<&'a [u8], CodecError> {
                Ok(value)
            }
        }
    )*};
}

made_elsewhere! {
    /// MessagePack.
    Packed as MessagePack<u64>;
    /// Plain data.
    Plain as Pod<u64>;
}

/// How the payloads of a channel become values.
#[derive(Clone)]
pub(crate) enum Format {
    Packed,
    Raw,
    /// NumPy's, of the channel of this name.
    Array(Arc<str>),
    /// By the schema of the channel, whose name an error has.
    Described(Arc<str>, Arc<Decoder>),
}

impl Format {
    pub(crate) fn of(reader: &DynamicReader) -> Format {
        match reader.codec() {
            <MessagePack as Codec<u64>>::NAME => Format::Packed,
            <Bytes as Codec<[u8]>>::NAME if reader.type_name().starts_with("ndarray ") => {
                Format::Array(reader.reader().channel().into())
            }
            <Bytes as Codec<[u8]>>::NAME => Format::Raw,
            _ => Format::Described(reader.reader().channel().into(), reader.decoder().clone()),
        }
    }

    /// The value of a payload. No lock may be held: making objects may run code of Python.
    pub(crate) fn value<'py>(&self, py: Python<'py>, payload: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Format::Raw => Ok(PyBytes::new(py, payload).into_any()),
            Format::Array(channel) => {
                static ARRAY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
                let load = || Ok::<_, PyErr>(py.import("tearless._arrays")?.getattr("_array")?.unbind());
                ARRAY.get_or_try_init(py, load)?.bind(py).call1((PyByteArray::new(py, payload), &**channel))
            }
            Format::Packed => unpack(py, payload),
            Format::Described(channel, decoder) => described(py, channel, decoder, payload),
        }
    }
}

fn function<'py>(py: Python<'py>, cell: &PyOnceLock<Py<PyAny>>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let made =
        cell.get_or_try_init(py, || Ok::<_, PyErr>(py.import("tearless._values")?.getattr(name)?.unbind()))?;
    Ok(made.bind(py).clone())
}

/// A function that packs values.
pub(crate) fn make_pack(py: Python<'_>) -> PyResult<Py<PyAny>> {
    static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    Ok(function(py, &MAKE, "make_pack")?.call0()?.unbind())
}

/// The payload of `value`; an error says which part can't be packed.
pub(crate) fn pack<'py>(
    pack: &Bound<'py, PyAny>,
    value: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyBytes>> {
    static EXPLAIN: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    match pack.call1((value,)) {
        Ok(payload) => Ok(payload.cast_into()?),
        Err(error) if is_interrupt(value.py(), &error) => Err(error),
        Err(error) => {
            let py = value.py();
            let text: String =
                function(py, &EXPLAIN, "explain")?.call1((value, error.value(py)))?.extract()?;
            let explained = Class::Encode.error("Publish.Encode", &text);
            explained.set_cause(py, Some(error));
            Err(explained)
        }
    }
}

/// The value of a MessagePack payload.
///
/// Options take unpacking as long again as a small state does. It needs them for extensions, and for
/// maps whose keys are no texts: those it refuses without. With them it refuses keys that are lists
/// or maps, which are unpacked here.
pub(crate) fn unpack<'py>(py: Python<'py>, payload: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    static UNPACK: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static SIMPLY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let bytes = PyBytes::new(py, payload);
    let may_extend = payload.iter().any(|byte| matches!(byte, 0xc7..=0xc9 | 0xd4..=0xd8));
    if !may_extend {
        match function(py, &SIMPLY, "unpack_simply")?.call1((&bytes,)) {
            Err(error) if !is_interrupt(py, &error) => {}
            unpacked => return unpacked,
        }
    }
    function(py, &UNPACK, "unpack")?.call1((bytes,)).or_else(|mut error| {
        if error.is_instance_of::<PyTypeError>(py) {
            let explain = |error: DecodeError| PyValueError::new_err(error.to_string());
            match build(py, |seed| dynamic::decode_seed(MessagePack::NAME, None, payload, seed), explain) {
                Err(other) => error = other,
                unpacked => return unpacked,
            }
        }
        if is_interrupt(py, &error) {
            return Err(error);
        }
        let decoding =
            Class::Decode.error("Snapshot.Decode", &format!("the state is not MessagePack: {error}"));
        decoding.set_cause(py, Some(error));
        Err(decoding)
    })
}

/// The value of a payload, by the schema of its channel.
fn described<'py>(
    py: Python<'py>,
    channel: &str,
    decoder: &Decoder,
    payload: &[u8],
) -> PyResult<Bound<'py, PyAny>> {
    let undecodable = |error: DecodeError| {
        let (class, kind) = error.class();
        let text =
            format!("the state of channel {channel:?} can't be decoded: {error}; raw=True reads the bytes");
        class.error(kind, &text)
    };
    build(py, |seed| decoder.decode_seed(payload, seed), undecodable)
}

/// The object that `decode` makes; what Python raised meanwhile, or the error.
fn build<'py>(
    py: Python<'py>,
    decode: impl FnOnce(Build<'_, 'py>) -> Result<Bound<'py, PyAny>, DecodeError>,
    explain: impl FnOnce(DecodeError) -> PyErr,
) -> PyResult<Bound<'py, PyAny>> {
    let raised = Cell::new(None);
    let built = decode(Build { py, raised: &raised, is_key: false });
    built.map_err(|error| raised.take().unwrap_or_else(|| explain(error)))
}

/// The most elements for which memory is reserved before there are any.
const MAX_RESERVED: usize = 1024;

/// Makes the Python object of a value.
#[derive(Clone, Copy)]
struct Build<'a, 'py> {
    py: Python<'py>,
    /// What Python has raised.
    raised: &'a Cell<Option<PyErr>>,
    /// Whether it is inside of a map's key, where lists become tuples, and maps tuples of pairs: Python
    /// can hash them.
    is_key: bool,
}

impl<'py> Build<'_, 'py> {
    fn made<T, E: de::Error>(self, made: PyResult<Bound<'py, T>>) -> Result<Bound<'py, PyAny>, E> {
        made.map(Bound::into_any).map_err(|error| {
            self.raised.set(Some(error));
            E::custom("Python raised an error")
        })
    }
}

impl<'de, 'py> DeserializeSeed<'de> for Build<'_, 'py> {
    type Value = Bound<'py, PyAny>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

macro_rules! visit_numbers {
    ($($method:ident: $type:ty;)*) => {$(
        fn $method<E: de::Error>(self, value: $type) -> Result<Self::Value, E> {
            self.made(value.into_pyobject(self.py).map_err(PyErr::from))
        }
    )*};
}

impl<'de, 'py> Visitor<'de> for Build<'_, 'py> {
    type Value = Bound<'py, PyAny>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    visit_numbers! {
        visit_i64: i64;
        visit_u64: u64;
        visit_i128: i128;
        visit_u128: u128;
        visit_f64: f64;
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Self::Value, E> {
        let Ok(value) = value.into_pyobject(self.py);
        Ok(value.to_owned().into_any())
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok(PyString::new(self.py, value).into_any())
    }

    fn visit_bytes<E: de::Error>(self, value: &[u8]) -> Result<Self::Value, E> {
        Ok(PyBytes::new(self.py, value).into_any())
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(self.py.None().into_bound(self.py))
    }

    /// An extension of MessagePack.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Self::Value, D::Error> {
        static EXTENSION: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let made = inner.deserialize_any(Build { is_key: true, ..self })?;
        let made = made.cast_into::<PyTuple>().map_err(PyErr::from);
        self.made(made.and_then(|made| function(self.py, &EXTENSION, "extension")?.call1(made)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        // MessagePack may claim any length.
        let mut list = Vec::with_capacity(elements.size_hint().unwrap_or(0).min(MAX_RESERVED));
        while let Some(element) = elements.next_element_seed(self)? {
            list.push(element);
        }
        match self.is_key {
            true => self.made(PyTuple::new(self.py, list)),
            false => self.made(PyList::new(self.py, list)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let key = Build { is_key: true, ..self };
        if self.is_key {
            let mut pairs = Vec::new();
            while let Some(pair) = entries.next_entry_seed(key, self)? {
                pairs.push(pair);
            }
            return self.made(PyTuple::new(self.py, pairs));
        }
        let dict = PyDict::new(self.py);
        while let Some((key, value)) = entries.next_entry_seed(key, self)? {
            self.made(dict.set_item(key, value).map(|()| dict.clone()))?;
        }
        Ok(dict.into_any())
    }
}

/// Seconds as Python code gives them: not negative, and no more than a lifetime.
pub(crate) fn duration(seconds: f64) -> PyResult<Duration> {
    // Not by `min`, which would make an end of NaN.
    let seconds = if seconds > 1e9 { 1e9 } else { seconds };
    Duration::try_from_secs_f64(seconds).map_err(|_| {
        Class::Argument
            .error("", &format!("{seconds} is no number of seconds: give one that is not negative"))
    })
}

/// A `datetime` in UTC.
pub(crate) fn time_of_day(py: Python<'_>, time: SystemTime) -> PyResult<Bound<'_, PyAny>> {
    let module = py.import("datetime")?;
    let seconds = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => after.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    };
    let utc = module.getattr("timezone")?.getattr("utc")?;
    module.getattr("datetime")?.call_method1("fromtimestamp", (seconds, utc))
}
