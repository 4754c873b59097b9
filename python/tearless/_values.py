"""How Python values become MessagePack, and back."""

# Values are of any type here, and what a check of their class leaves of that is unknown.
# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import collections.abc
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import os
import uuid
from typing import Any

import msgpack
import numpy

# Rust integers of 128 bits, which MessagePack has no type for.
_SIGNED, _UNSIGNED = ord("i"), ord("u")

_ADVICE = (
    ((set, frozenset), "publish a list: sorted(value)"),
    ((numpy.ndarray,), "publish it on an array channel (Namespace.array_writer), or as value.tolist()"),
    ((datetime.datetime,), "give it a time zone: value.astimezone()"),
    ((numpy.datetime64, numpy.timedelta64), "publish str(value)"),
    ((datetime.date, datetime.time), "publish value.isoformat()"),
    ((datetime.timedelta,), "publish value.total_seconds()"),
    ((complex,), "publish [value.real, value.imag]"),
    ((decimal.Decimal, fractions.Fraction, uuid.UUID, os.PathLike, BaseException), "publish str(value)"),
    ((range, collections.abc.Iterator, collections.abc.Set, collections.abc.ValuesView), "publish list(value)"),
    ((str,), "a part of it is no Unicode: publish os.fsencode(value), or value.encode(errors=…)"),
)
# For what has attributes of its own.
_FIELDS = "publish a dict of its fields: vars(value)"


def _default(value: Any) -> Any:
    """What is packed in place of a value that MessagePack has no type for."""
    if isinstance(value, int):
        # One of more than 64 bits.
        if -(2**127) <= value < 0:
            return msgpack.ExtType(_SIGNED, value.to_bytes(16, "big", signed=True))
        if 0 <= value < 2**128:
            return msgpack.ExtType(_UNSIGNED, value.to_bytes(16, "big"))
        raise OverflowError("integers have at most 128 bits")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, numpy.generic):
        # A scalar that stays one, such as numpy.longdouble, has no counterpart in Python.
        item = value.item()
        if not isinstance(item, numpy.generic):
            return item
    if isinstance(value, enum.Enum):
        return value.value
    fields = getattr(type(value), "model_fields", None)
    if isinstance(fields, dict):
        return {name: getattr(value, name) for name in fields}
    raise TypeError(f"values of the type {type(value).__name__} can't be published")


def make_pack() -> Any:
    """A function of its own for each writer: packers keep their memory."""
    return msgpack.Packer(default=_default, datetime=True).pack


def extension(code: int, data: bytes) -> Any:
    """The value of an extension."""
    if code in (_SIGNED, _UNSIGNED) and len(data) == 16:
        return int.from_bytes(data, "big", signed=code == _SIGNED)
    if code == -1:
        return msgpack.Timestamp.from_bytes(data).to_datetime()
    return msgpack.ExtType(code, data)


# Refuses keys that are no texts, and leaves extensions as they are.
unpack_simply = msgpack.unpackb
# Raises TypeError for a key that is a list or a map.
unpack = functools.partial(msgpack.unpackb, ext_hook=extension, strict_map_key=False, timestamp=3)


def explain(value: Any, error: BaseException) -> str:
    """Why `value` can't be packed: where the part is that can't, and what to publish instead."""
    place, part, why = _find(value, "value", set()) or ("value", value, str(error))
    if place.startswith("a key of "):
        return f"{why}: keys are texts, numbers, bytes, or tuples of them"
    for types, advice in _ADVICE:
        if isinstance(part, types) and not isinstance(part, enum.Enum):
            return f"{why}: {advice.replace('value', place)}"
    return f"{why}: {_FIELDS.replace('value', place)}" if "__dict__" in dir(part) and not callable(part) else why


def _refused(place: str, value: Any) -> str:
    name = type(value).__name__
    return f"{place} is {'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}, which can't be published"


def _find(value: Any, place: str, above: set[int]) -> tuple[str, Any, str] | None:
    """The first part that can't be packed, with its place and the reason."""
    if id(value) in above:
        return place, value, f"{place} contains itself"
    if len(above) > 500:
        return place, value, f"{place[:60]}… is nested more than 500 levels deep"
    parts: Any = ()
    if isinstance(value, dict):
        for key in value:
            found = _find(key, f"a key of {place}", above | {id(value)})
            if found is not None:
                return found
        parts = ((f"{place}[{key!r}]", part) for key, part in value.items())
    elif isinstance(value, (list, tuple)):
        parts = ((f"{place}[{at}]", part) for at, part in enumerate(value))
    else:
        try:
            make_pack()(value)
            return None
        except (TypeError, ValueError, OverflowError) as error:
            if isinstance(value, int):
                return place, value, f"{place} is an integer of more than 128 bits: publish str({place})"
            try:
                inner = _default(value)
            except TypeError:
                return place, value, _refused(place, value)
            except Exception as failure:
                return place, value, f"{place} can't be read: {failure}"
            if isinstance(inner, dict):
                parts = ((f"{place}.{key}", part) for key, part in inner.items())
            else:
                found = _find(inner, place, above | {id(value)})
                if found is not None and isinstance(value, numpy.generic):
                    return place, value, _refused(place, value)
                return found or (place, value, str(error))
    for where, part in parts:
        found = _find(part, where, above | {id(value)})
        if found is not None:
            return found
    return None
