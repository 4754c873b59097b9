"""Values of every kind, and bytes that are none."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import json
import math
import mmap
import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
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
wide = st.one_of(integers, st.integers(-(2**127), 2**128 - 1))
texts = st.text()
times = st.datetimes(datetime.datetime(1970, 1, 1), datetime.datetime(2200, 1, 1), timezones=st.just(datetime.UTC))
keys = st.one_of(texts, wide, st.binary(max_size=9), st.booleans(), st.tuples(integers, texts), times)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), wide, st.floats(), texts, st.binary(max_size=100), times),
    lambda parts: st.one_of(st.lists(parts, max_size=6), st.tuples(parts, parts), st.dictionaries(keys, parts, max_size=6)),
    max_leaves=30,
)
# What JSON carries, too.
plain = st.recursive(
    st.one_of(st.none(), st.booleans(), integers, st.floats(allow_nan=False, allow_infinity=False), texts),
    lambda parts: st.one_of(st.lists(parts, max_size=5), st.dictionaries(texts, parts, max_size=5)),
    max_leaves=20,
)


def same(read: Any, published: Any, *, is_key: bool = False) -> bool:
    """Whether a value has arrived: lists are read for tuples, but in keys tuples for lists."""
    if isinstance(published, (list, tuple)):
        pairs = type(read) is (tuple if is_key else list) and len(read) == len(published)
        return pairs and all(same(*pair, is_key=is_key) for pair in zip(read, published, strict=True))
    if isinstance(published, dict):
        if not isinstance(read, dict) or len(read) != len(published):
            return False
        pairs = zip(read.items(), published.items(), strict=True)
        return all(same(key, other_key, is_key=True) and same(part, other) for (key, part), (other_key, other) in pairs)
    if isinstance(published, float) and math.isnan(published):
        return isinstance(read, float) and math.isnan(read)
    return type(read) is type(published) and bool(read == published)


@pytest.fixture(scope="module")
def opened() -> Iterator[tearless.Namespace]:
    """One namespace for many examples."""
    namespace = tearless.Namespace(f"py-fuzz-{os.getpid()}")
    prefix = namespace._object_prefix()
    try:
        yield namespace
    finally:
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


# --- Through a program in Rust

REPOSITORY = Path(os.environ.get("TEARLESS_REPOSITORY", Path(__file__).parents[2]))
HAS_PEER = "TEARLESS_PEER" in os.environ or (
    shutil.which("cargo") is not None and (REPOSITORY / "crates/testkit/examples/python_peer.rs").exists()
)
through_rust = pytest.mark.skipif(not HAS_PEER, reason="there is no cargo, or no clone of the repository")

i64s = st.integers(-(2**63), 2**63 - 1)
i128s = st.one_of(i64s, st.integers(-(2**127), 2**127 - 1))
u128s = st.one_of(st.integers(0, 2**64), st.integers(0, 2**128 - 1))
i8s, i16s = st.integers(-128, 127), st.integers(-(2**15), 2**15 - 1)
f32s = st.floats(width=32)
blobs = st.binary(max_size=40)
letters = st.characters(exclude_categories=["Cs"])


@dataclasses.dataclass
class Plain:
    """Plain data in Rust, too: `python_peer.rs` has the same types, and what they are there."""

    wide: int
    low: int
    load: float
    count: int
    ratios: tuple[float, float]
    offset: int
    small: tuple[int, int]


plains = st.builds(Plain, u128s, i128s, st.floats(), st.integers(0, 2**64 - 1), st.tuples(f32s, f32s),
                   st.integers(-(2**31), 2**31 - 1), st.tuples(i16s, i16s))
PLAIN = numpy.dtype([("wide", "V16"), ("low", "V16"), ("load", "<f8"), ("count", "<u8"), ("ratios", "<f4", 2),
                     ("offset", "<i4"), ("small", "<i2", 2)])


def plain_bytes(plain: Plain) -> bytes:
    row = numpy.zeros(1, PLAIN)
    for name, value in vars(plain).items():
        wide = PLAIN[name] == numpy.dtype("V16")
        row[name] = numpy.void(value.to_bytes(16, "little", signed=value < 0)) if wide else value
    return row.tobytes()


@dataclasses.dataclass
class Nested:
    pair: tuple[int, str]
    by_level: dict[str, int]


@dataclasses.dataclass
class State:
    id: int
    offset: int
    wide: int
    low: int
    load: float
    ratio: float
    is_up: bool
    letter: str
    name: str
    data: bytes
    deadline: int | None
    phases: list[Any]
    by_pair: dict[tuple[int, bool], str | None]
    by_name: dict[str, list[float]]
    nested: Nested | None
    plain: Plain


phases = st.one_of(
    st.just("Idle"),
    st.builds(lambda job: {"Working": job}, st.integers(0, 2**64 - 1)),
    st.builds(lambda x, y, data: {"Moving": {"to": [x, y], "data": data}}, st.floats(), st.floats(), blobs),
    st.builds(lambda number, flag: {"Pair": [number, flag]}, i8s, st.booleans()),
)
states = st.builds(
    State, st.integers(0, 2**64 - 1), i16s, u128s, i128s, st.floats(), f32s, st.booleans(), letters, texts, blobs,
    st.none() | i64s, st.lists(phases, max_size=4),
    st.dictionaries(st.tuples(st.integers(0, 255), st.booleans()), st.none() | texts, max_size=4),
    st.dictionaries(texts, st.lists(st.floats(), max_size=4), max_size=4),
    st.none() | st.builds(Nested, st.tuples(st.integers(-(2**31), 2**31 - 1), texts),
                          st.dictionaries(st.just("Low"), u128s)),
    plains,
)


def fields(value: Any) -> Any:
    """What arrives of a state; maps are sorted in Rust."""
    if dataclasses.is_dataclass(value):
        value = vars(value)
    if isinstance(value, dict):
        return {key: fields(part) for key, part in value.items()}
    return [fields(part) for part in value] if isinstance(value, (list, tuple)) else value


def same_fields(read: Any, published: Any) -> bool:
    """As `same`, but maps may have another order, as those of Rust have."""
    if isinstance(published, dict) and isinstance(read, dict):
        return read.keys() == published.keys() and all(same_fields(read[key], published[key]) for key in read)
    if isinstance(published, list) and isinstance(read, list):
        return len(read) == len(published) and all(same_fields(*pair) for pair in zip(read, published, strict=True))
    return same(read, published)


class Peer:
    """The channels to and from the program in Rust."""

    def __init__(self, fleet: tearless.Namespace) -> None:
        self.fleet = fleet
        self.ended: tuple[int, str] | None = None
        self.any = fleet.writer("any")
        self.state = fleet.writer("state")
        self.plain = fleet.bytes_writer("plain", type_name="Plain", plain=True)
        program = os.environ.get("TEARLESS_PEER")
        command = [program] if program else ["cargo", "run", "--quiet", "--example", "python_peer", "--"]
        self.process = subprocess.Popen([*command, fleet.name], cwd=REPOSITORY, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            assert self.process.stdout is not None
            assert self.process.stdout.readline() == "ready\n", self.end()
            names = ("any-back", "state-packed", "state-compact", "state-plain", "plain-back", "keys-packed", "keys-compact")
            self.readers = {name: fleet.reader(name, timeout=60) for name in names}
        except BaseException:
            self.end()
            raise

    def back(self, name: str, number: int) -> Any:
        """What the program has published there for publication `number` of this process."""
        reader, end = self.readers[name], time.monotonic() + 60
        while True:
            try:
                snapshot = reader.snapshot()
            except tearless.EmptyError:
                pass
            else:
                # A failing example may leave states behind it, which are not those of the next one.
                assert snapshot.publication <= number
                if snapshot.publication == number:
                    return snapshot.value
            assert self.process.poll() is None, (name, self.end())
            # The examples after this one need not wait, too: the program is no longer there.
            assert time.monotonic() < end, (name, self.end())
            reader.changed(timeout=0.1)

    def end(self) -> tuple[int, str]:
        """Ends the program; returns its code, and what it says of errors."""
        if self.ended is None:
            try:
                # Its input ends.
                _, errors = self.process.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                errors = "it was killed, as it did not end with its input"
            self.ended = self.process.wait(), errors
            for channel in (self.any, self.state, self.plain):
                channel.close()
        return self.ended


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    namespace = tearless.Namespace(f"py-peer-{os.getpid()}")
    prefix = namespace._object_prefix()
    try:
        peer = Peer(namespace)
        yield peer
        ended = peer.end()
    finally:
        left = left_of(prefix)
        remove(prefix)
    assert (ended, left) == ((0, ""), [])


@through_rust
@settings(max_examples=500, deadline=None)
@given(value=values)
def test_values_come_back_from_rust(peer: Peer, value: Any) -> None:
    read = peer.back("any-back", peer.any.publish(value))
    assert same(read, value), (read, value)


@through_rust
@settings(max_examples=200, deadline=None)
@given(state=states, as_dict=st.booleans())
def test_fields_come_back_from_rust(peer: Peer, state: State, as_dict: bool) -> None:
    """A dataclass or a dict is a struct in Rust, whose MessagePack, Postcard and plain data are values here."""
    expected = fields(state)
    number = peer.state.publish(expected if as_dict else state)
    for channel in ("state-packed", "state-compact"):
        read = peer.back(channel, number)
        assert same_fields(read, expected), (channel, read, expected)
    assert list(peer.readers["state-packed"].snapshot().value) == [field.name for field in dataclasses.fields(State)]
    read = peer.back("state-plain", number)
    assert same(read, fields(state.plain)), (read, state.plain)


@through_rust
@settings(max_examples=100, deadline=None)
@given(plain=plains)
def test_plain_data_comes_back_from_rust(peer: Peer, plain: Plain) -> None:
    read = peer.back("plain-back", peer.plain.publish(plain_bytes(plain)))
    assert same(read, fields(plain)), (read, plain)


@through_rust
@pytest.mark.parametrize("channel", ["keys-packed", "keys-compact"])
def test_keys_of_any_kind_are_keys(peer: Peer, channel: str) -> None:
    """In a key, lists are tuples, and maps tuples of pairs."""
    value = peer.back(channel, 1)
    at = (("At", (("x", 2), ("steps", (3, 4)))),)
    assert value == {"by_level": {"Low": 1, (("Of", -1),): 2**127, at: 5}, "by_option": {None: None, -6: None}}


@through_rust
@pytest.mark.parametrize("channel", ["state-compact", "state-plain"])
def test_a_hub_and_streams_of_a_channel_with_a_schema(peer: Peer, channel: str) -> None:
    hub, reader = peer.fleet.hub(), peer.fleet.reader(channel)

    async def check() -> None:
        changes, of_hub = reader.changes(), hub.changes(channel)
        for at in range(3):
            number = peer.state.publish(a_state(f"stream {at}"))
            expected = peer.back(channel, number)
            assert same(hub.get(channel).value, expected) and same(hub.states(channel)[channel].value, expected)
            # The last state of another test may come first.
            while (snapshot := await anext(changes)).publication < number:
                pass
            while (found := await anext(of_hub))[1].publication < number:
                pass
            assert found[0] == channel
            for one in (snapshot, found[1]):
                assert one.publication == number and same(one.value, expected)

    asyncio.run(asyncio.wait_for(check(), 60))


def a_state(name: str) -> State:
    plain = Plain(2**100, -(2**100), 0.5, 7, (0.25, 0.5), -1, (3, -4))
    phases = ["Idle", {"Working": 3}, {"Moving": {"to": [1.0, 2.0], "data": b"ab"}}, {"Pair": [-1, True]}]
    nested = Nested((1, "one"), {"Low": 2**127})
    return State(1, -2, 2**100, -(2**100), 1.5, 0.5, True, "x", name, bytes(range(20)), 7, phases,
                 {(1, True): "one", (2, False): None}, {"loads": [0.5, 1.5]}, nested, plain)


@contextmanager
def memory_of(payload: bytes, prefix: str) -> Iterator[mmap.mmap]:
    """The object of a namespace that has this payload, at its position."""
    with ExitStack() as ending:
        found = []
        for entry in os.listdir("/dev/shm"):
            if entry.startswith(prefix):
                with open(f"/dev/shm/{entry}", "r+b") as file:
                    memory = ending.enter_context(mmap.mmap(file.fileno(), 0))
                if (at := memory.find(payload)) >= 0:
                    memory.seek(at)
                    found.append(memory)
        assert len(found) == 1
        yield found[0]


@through_rust
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("channel", ["state-compact", "keys-compact", "state-plain"])
def test_payloads_that_another_program_damages(peer: Peer, channel: str, seed: int) -> None:
    """Of Postcard and plain data with a schema: a value or an error of the package, and nothing else."""
    odds = random.Random(seed)
    number = peer.state.publish(a_state(f"damaged {seed}"))
    before = peer.back(channel, 1 if channel.startswith("keys") else number)
    payload = peer.fleet.reader(channel, raw=True).snapshot().value
    reader, hub = peer.readers[channel], peer.fleet.hub()
    values = errors = 0
    with memory_of(payload, peer.fleet._object_prefix()) as memory:
        begin = memory.tell()
        place = slice(begin, begin + len(payload))
        try:
            for _ in range(1000):
                bytes_of = odds.choice([range(256), range(4), (0x80, 0xFF), (0, 1, 0x7F, 0xFF)])
                damaged = bytearray(payload)
                for _ in range(odds.choice([1, 2, 5, len(damaged)])):
                    damaged[odds.randrange(len(damaged))] = odds.choice(bytes_of)
                memory[place] = bytes(damaged)
                try:
                    reader.snapshot()
                    values += 1
                except tearless.DecodeError as error:
                    assert "can't be decoded" in str(error)
                    errors += 1
                states = hub.states(channel)
                assert len(states) + len(states.errors) == 1
        finally:
            memory[place] = payload
    assert same(reader.snapshot().value, before)
    # All bytes are values of plain data.
    assert errors == 0 if channel == "state-plain" else errors > 100
    assert values > 100


@through_rust
def test_a_channel_of_another_host(peer: Peer) -> None:
    for host, state in (("a", "alive"), ("b", "unreachable")):
        reader = peer.fleet.reader(f"{host}/keys", timeout=60)
        snapshot = reader.snapshot()
        assert snapshot.value == peer.readers["keys-packed"].snapshot().value
        assert snapshot.origin is not None and snapshot.publication == 1
        assert (snapshot.origin.host, snapshot.origin.publication) == (host, 12)
        assert str(snapshot.origin) == f"publication 12 of host {host}"
        assert repr(snapshot.origin) == f"<Origin: {snapshot.origin}>"
        assert snapshot.origin == reader.snapshot().origin and hash(snapshot.origin) == hash(reader.snapshot().origin)
        assert reader.writer_state() == state
        status = peer.fleet.hub().status(f"{host}/keys")
        assert (status.health == "unreachable") == (state == "unreachable") and f"of host {host}" in str(status)
        with pytest.raises(tearless.Error, match=f"host {host!r}".replace("'", '"')):
            peer.fleet.writer(f"{host}/keys")
    assert peer.readers["keys-packed"].snapshot().origin is None
