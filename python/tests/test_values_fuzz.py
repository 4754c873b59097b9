"""Values of every kind, and bytes that are none."""

from __future__ import annotations

import datetime
import json
import math
import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import numpy
import pytest
import tearless
from conftest import left_of, remove

hypothesis = pytest.importorskip("hypothesis")
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

COMMAND = os.environ.get("TEARLESS_COMMAND") or shutil.which("tearless")

integers = st.integers(-(2**63), 2**64 - 1)
texts = st.text()
times = st.datetimes(datetime.datetime(1970, 1, 1), datetime.datetime(2200, 1, 1), timezones=st.just(datetime.UTC))
keys = st.one_of(texts, integers, st.binary(max_size=9), st.booleans(), st.tuples(integers, texts))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), integers, st.floats(), texts, st.binary(max_size=100), times),
    lambda parts: st.one_of(st.lists(parts, max_size=6), st.tuples(parts, parts), st.dictionaries(keys, parts, max_size=6)),
    max_leaves=30,
)
# What JSON carries, too.
plain = st.recursive(
    st.one_of(st.none(), st.booleans(), integers, st.floats(allow_nan=False, allow_infinity=False), texts),
    lambda parts: st.one_of(st.lists(parts, max_size=5), st.dictionaries(texts, parts, max_size=5)),
    max_leaves=20,
)


def same(read: Any, published: Any) -> bool:
    """Whether a value has arrived: lists are read for tuples."""
    if isinstance(published, (list, tuple)):
        pairs = isinstance(read, (list, tuple)) and len(read) == len(published)
        return pairs and all(same(*pair) for pair in zip(read, published, strict=True))
    if isinstance(published, dict):
        if not isinstance(read, dict) or len(read) != len(published):
            return False
        pairs = zip(read.items(), published.items(), strict=True)
        return all(same(key, other_key) and same(part, other) for (key, part), (other_key, other) in pairs)
    if isinstance(published, float) and math.isnan(published):
        return isinstance(read, float) and math.isnan(read)
    return type(read) is type(published) and bool(read == published)


@pytest.fixture(scope="module")
def opened() -> Iterator[tearless.Namespace]:
    """One namespace for many examples."""
    namespace = tearless.Namespace(f"py-fuzz-{os.getpid()}")
    prefix = namespace._object_prefix()
    yield namespace
    left = left_of(prefix)
    remove(prefix)
    assert left == []


@pytest.fixture(scope="module")
def channel(opened: tearless.Namespace) -> Iterator[tuple[tearless.Writer, tearless.Reader]]:
    with opened.writer("w") as writer:
        yield writer, opened.reader("w")


@settings(max_examples=500, deadline=None)
@given(value=values)
def test_values_come_back(channel: tuple[tearless.Writer, tearless.Reader], value: Any) -> None:
    writer, reader = channel
    writer.publish_if_changed(value)
    snapshot = reader.snapshot()
    assert snapshot.publication == writer.publication
    assert same(snapshot.value, value), (snapshot.value, value)
    # What was read is published again, and its bytes are the same.
    assert writer.publish_if_changed(snapshot.value) is None


@pytest.mark.skipif(COMMAND is None, reason="the command is not there: set TEARLESS_COMMAND")
@settings(max_examples=40, deadline=None)
@given(value=plain)
def test_the_command_shows_what_was_published(
    opened: tearless.Namespace, channel: tuple[tearless.Writer, tearless.Reader], value: Any
) -> None:
    assert COMMAND is not None
    channel[0].publish({"value": value})
    shown = subprocess.run([COMMAND, "get", "--namespace", opened.name, "--json", "w"], capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["value"] == {"value": value}


RANDOM = """
import random, sys
import tearless
from tearless import _values
# Writers whose packing does nothing: what another program may publish as MessagePack.
_values.make_pack = lambda: bytes
fleet = tearless.Namespace(sys.argv[1])
writer = fleet.writer("w"); reader = fleet.reader("w"); hub = fleet.hub()
odds = random.Random(int(sys.argv[2])); values = errors = 0
payloads = [b"\\x91" * 100_000, b"\\x81" * 5000, b"\\xdd\\xff\\xff\\xff\\xff", b"\\xdf\\xff\\xff\\xff\\xff", b"",
            b"\\xc6\\xff\\xff\\xff\\xff", b"\\xc9\\xff\\xff\\xff\\xff\\xff", b"\\x81\\x80\\x01", b"\\x81\\x91\\x80\\x01",
            b"\\xc7\\x0c\\xff" + b"\\xff" * 12, b"\\xd7\\xff" + b"\\xff" * 8, b"\\xa1\\xff", b"\\x01\\x01"]
marks = b"\\x81\\x82\\x91\\x92\\xa1\\xc0\\xc1\\xc4\\xc7\\xc8\\xcb\\xd4\\xd6\\xd7\\xd8\\xd9\\xdc\\xde\\xff\\x01"
payloads += [bytes(odds.choice(marks) for _ in range(odds.randrange(30))) for _ in range(10_000)]
payloads += [odds.randbytes(odds.randrange(60)) for _ in range(10_000)]
for payload in payloads:
    writer.publish(payload)
    try:
        reader.snapshot(); values += 1
    except tearless.DecodeError as error:
        assert "MessagePack" in str(error); errors += 1
    assert len(hub.states()) + len(hub.states().errors) == 1
assert values > 100 and errors > 100, (values, errors)
"""


@pytest.mark.parametrize("seed", ["1", "2"])
def test_bytes_that_are_no_message_pack(fleet: tearless.Namespace, run: Any, seed: str) -> None:
    """A value or a DecodeError, and nothing else."""
    run(RANDOM, fleet.name, seed)


dtypes = st.sampled_from(["u1", "<i2", ">i4", "<f4", "<f8", "c8", "?", "S3", "U2", "M8[s]", "m8[ms]", "f2"])
shapes = st.lists(st.integers(0, 5), max_size=4).map(tuple)


@settings(max_examples=200, deadline=None)
@given(dtype=dtypes, shape=shapes, order=st.sampled_from("CF"), data=st.data())
def test_arrays_come_back(opened: tearless.Namespace, dtype: str, shape: tuple[int, ...], order: Any, data: Any) -> None:
    of = numpy.dtype(dtype)
    count = math.prod(shape) * of.itemsize
    raw = data.draw(st.binary(min_size=count, max_size=count))
    array = numpy.frombuffer(raw, of).reshape(shape, order=order) if count else numpy.zeros(shape, of, order)
    with opened.array_writer("a", shape, of, order=order) as writer:
        writer.publish(array)
        reader = opened.array_reader("a")
        for read in (reader.snapshot().value, reader.view().array):
            assert read.dtype == of and read.shape == shape and read.tobytes() == array.tobytes()
    with opened.alloc("b", shape, of, order=order) as block:
        block[...] = array
        read = opened.array("b")
        assert read.dtype == of and read.shape == shape and read.tobytes("A") == block.tobytes("A")
