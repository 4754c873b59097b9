//! Values of Python as payloads, and back.

use std::time::{Duration, SystemTime};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyList};
use serde_json::Value;
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
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Packed,
    Raw,
    /// By the schema of the channel.
    Described,
}

impl Format {
    pub(crate) fn of(codec: &str) -> Format {
        match codec {
            <MessagePack as Codec<u64>>::NAME => Format::Packed,
            <Bytes as Codec<[u8]>>::NAME => Format::Raw,
            _ => Format::Described,
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
/// maps whose keys are no texts: those it refuses without.
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
    function(py, &UNPACK, "unpack")?.call1((bytes,)).map_err(|error| {
        if is_interrupt(py, &error) {
            return error;
        }
        let decoding =
            Class::Decode.error("Snapshot.Decode", &format!("the state is not MessagePack: {error}"));
        decoding.set_cause(py, Some(error));
        decoding
    })
}

/// A value that was decoded by the schema of its channel, or the error.
pub(crate) fn from_decoded<'py>(
    py: Python<'py>,
    channel: &str,
    decoded: Result<Value, DecodeError>,
) -> PyResult<Bound<'py, PyAny>> {
    let value = decoded.map_err(|error| {
        let (class, kind) = error.class();
        let text =
            format!("the state of channel {channel:?} can't be decoded: {error}; raw=True reads the bytes");
        class.error(kind, &text)
    })?;
    from_json(py, &value)
}

fn from_json<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(value) => value.into_pyobject(py)?.to_owned().into_any(),
        Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
            (Some(value), ..) => value.into_pyobject(py)?.into_any(),
            (_, Some(value), _) => value.into_pyobject(py)?.into_any(),
            (.., value) => value.into_pyobject(py)?.into_any(),
        },
        Value::String(text) => text.into_pyobject(py)?.into_any(),
        Value::Array(values) => {
            let list = PyList::empty(py);
            for value in values {
                list.append(from_json(py, value)?)?;
            }
            list.into_any()
        }
        Value::Object(members) => {
            let dict = PyDict::new(py);
            for (name, value) in members {
                dict.set_item(name, from_json(py, value)?)?;
            }
            dict.into_any()
        }
    })
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
