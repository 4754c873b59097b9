"""Namespaces: where everything is opened."""

from __future__ import annotations

import atexit
import math
import os
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any, Protocol, Self, TypedDict, TypeVar, Unpack

from numpy.typing import DTypeLike

from . import _arrays, _tearless
from ._aio import Publisher
from ._arrays import ArrayReader, ArrayWriter, Order, Shape, SharedArray
from ._errors import Error, NotFoundError
from ._hub import Hub


class NamespaceOptions(TypedDict, total=False):
    """Options of a namespace: see docs/python.md."""

    directory: str | os.PathLike[str] | None
    permissions: int
    group: str | int
    max_memory: int
    max_dead_channels: int
    trust_owner: int


class ArrayWriterOptions(TypedDict, total=False):
    """Options of an array writer: see docs/python.md."""

    capacity: int
    slots: int
    max_state_len: int
    max_memory: int
    checksum: bool
    permissions: int
    heartbeat_interval: float
    linger: bool


class WriterOptions(ArrayWriterOptions, total=False):
    """Options of a writer: see docs/python.md."""

    pins: int


class _Ending(Protocol):
    def close(self) -> None: ...


_E = TypeVar("_E", bound=_Ending)

# What has to end in order when the interpreter does, whatever still refers to it.
_open: weakref.WeakSet[_Ending] = weakref.WeakSet()


@atexit.register
def _end() -> None:
    # Threads that are not waited for may use what is closed now: that is no error of theirs.
    raised = threading.excepthook

    def excepthook(of: threading.ExceptHookArgs) -> None:
        is_closed = isinstance(of.exc_value, Error) and of.thread is not None and of.thread.daemon
        if not is_closed:
            raised(of)

    threading.excepthook = excepthook
    for ending in list(_open):
        try:
            getattr(ending, "_end", ending.close)()
        except BaseException:
            # The process ends in any case, and what it leaves is removed by the next one.
            pass


# What is open belongs to the process that has opened it.
os.register_at_fork(after_in_child=_open.clear)

# The process that ends by `_end`, too, as processes of multiprocessing don't come to atexit.
_ending_pid = 0


def _kept(ending: _E) -> _E:
    global _ending_pid
    _open.add(ending)
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None and _ending_pid != os.getpid():
        from multiprocessing.util import Finalize

        _ending_pid = os.getpid()
        # After what the program itself has registered.
        Finalize(None, _end, exitpriority=-1000)
    return ending


def _seconds(timeout: float | None) -> float:
    return math.inf if timeout is None else timeout


class Namespace(_tearless.Namespace):
    """The channels and arrays of a fleet, under one name.

    Opening it has no effect on the system, and it holds nothing open. It is pickled as its name and
    options. What it opens may be used by several threads.

    >>> with fleet.writer("worker-7") as worker:
    ...     worker.publish({"jobs_done": 3, "queue": ["a job"]})
    ...     fleet.reader("worker-7").snapshot().value["jobs_done"]
    1
    3
    >>> fleet.channels()
    []
    """

    _name: str
    _options: NamespaceOptions
    _blocks: weakref.WeakValueDictionary[str, _tearless.Block]

    def __new__(cls, name: str, **options: Unpack[NamespaceOptions]) -> Self:
        namespace = super().__new__(cls, name, **options)
        namespace._name, namespace._options = name, options
        namespace._blocks = weakref.WeakValueDictionary()
        return namespace

    def writer(self, channel: str, *, type_name: str = "python", **options: Unpack[WriterOptions]) -> _tearless.Writer:
        """A writer of a channel of values: whatever MessagePack carries, dataclasses and models.

        A channel has one writer: while its process lives, others get `InUseError`. After a writer
        that was killed, this one goes on with the next number. Rust programs find the channel by
        `type_name`, or by its fields.
        """
        return _kept(self._open_writer(channel, "values", type_name, **options))

    def bytes_writer(self, channel: str, *, type_name: str = "[u8]", plain: bool = False,
                     **options: Unpack[WriterOptions]) -> _tearless.Writer:
        """A writer of a channel of bytes, or of anything with the buffer protocol.

        With `plain`, the bytes are plain data of the type that programs in Rust call `type_name`.

        >>> with fleet.bytes_writer("log") as log:
        ...     log.publish(b"ready")
        ...     fleet.reader("log").snapshot().value
        1
        b'ready'
        """
        return _kept(self._open_writer(channel, "plain" if plain else "bytes", type_name, **options))

    def reader(self, channel: str, *, raw: bool = False, timeout: float | None = 0.0) -> _tearless.Reader:
        """A reader of a channel, which need not have a writer any more.

        Waits up to `timeout` seconds for the channel to exist, for ever if that is None, and raises
        `NotFoundError` then. With `raw`, values are the bytes of the payloads.
        """
        return self._open_reader(channel, raw=raw, timeout=_seconds(timeout))

    def array_writer(self, channel: str, shape: Shape, dtype: DTypeLike = "float64", *, order: Order = "C",
                     pins: int = 4, **options: Unpack[ArrayWriterOptions]) -> ArrayWriter:
        """A writer of a channel of NumPy arrays. `pins` is how many views readers can hold at a time.

        The memory for arrays of this shape is reserved now. Larger ones make the channel grow.
        """
        shape, dtype, order = _arrays._checked(shape, dtype, order)
        head = _arrays._head(dtype, shape, order)
        capacity = options.setdefault("capacity", len(head) + dtype.itemsize * _arrays._count(shape))
        options.setdefault("max_state_len", max(64 << 20, 2 * capacity))
        native = self._open_writer(channel, "bytes", _arrays._type_name(dtype, order), pins=pins, **options)
        return ArrayWriter(_kept(native), shape, dtype, order)

    def array_reader(self, channel: str, shape: Shape | None = None, dtype: DTypeLike | None = None, *,
                     timeout: float | None = 0.0) -> ArrayReader:
        """A reader of a channel of arrays; with `shape` or `dtype`, only of those.

        Waits up to `timeout` seconds for the channel to exist. Raises `TypeMismatchError` for a
        channel of other elements, or of values.
        """
        return ArrayReader(self._open_reader(channel, timeout=_seconds(timeout)), shape, dtype)

    def alloc(self, name: str, shape: Shape, dtype: DTypeLike = "float64", *, order: Order = "C",
              permissions: int | None = None) -> SharedArray:
        """A new array of zeroes in shared memory, which belongs to this process.

        Its name goes with this process, or at `close`. An array of that name whose owner has ended
        is replaced; while its owner lives, this raises `InUseError`. The memory is reserved now: where
        there is too little of it, this raises `LimitError`.

        >>> with fleet.alloc("replay", (1000, 4), "float32") as replay:
        ...     replay[7] = 1
        ...     replay.sum().item(), replay.name
        (4.0, 'replay')
        """
        shape, dtype, order = _arrays._checked(shape, dtype, order)
        count, label = dtype.itemsize * _arrays._count(shape), _arrays._label(dtype, shape, order)
        block = _kept(self._create_block(name, max(count, 1), label, permissions=permissions))
        self._blocks[name] = block
        return _arrays.shared_array(self, block)

    def array(self, name: str, *, read_only: bool = False, timeout: float | None = 0.0) -> SharedArray:
        """The array that another process, or this one, has made by `alloc`.

        It is the same memory: what one process stores, the others see. Raises `NotFoundError` if
        there is none after `timeout` seconds, or its owner has died.
        """
        return _arrays.shared_array(self, self._open_block(name, read_only=read_only, timeout=_seconds(timeout)))

    def _block(self, name: str, instance: int, is_read_only: bool) -> _tearless.Block:
        """The block that a pickled array is in: opened once in a process."""
        block = self._blocks.get(name)
        if block is None or not block.is_current() or block.instance != instance or block.is_read_only != is_read_only:
            block = self._open_block(name, read_only=is_read_only)
            if block.instance != instance:
                raise NotFoundError(f"array {name!r} of namespace {self.name!r} was removed, and made again by process "
                                    f"{block.owner_pid}: open it by Namespace.array")
            self._blocks[name] = block
        return block

    def syncer(self, channel: str, initial: Any, *, interval: float = 0.1, resume: bool = False,
               type_name: str = "python", **options: Unpack[WriterOptions]) -> _tearless.Syncer:
        """A state that a thread publishes every `interval` seconds, if it has changed.

        With `resume`, it begins with the last state of a predecessor. Changing the state takes no
        time of publishing; the thread gives heartbeats as well.
        """
        return _kept(self._open_syncer(channel, initial, type_name, interval=interval, resume=resume, **options))

    def publisher(self, channel: str, state: Callable[[], Any], *, interval: float = 0.1, type_name: str = "python",
                  **options: Unpack[WriterOptions]) -> Publisher:
        """Publishes what `state()` returns every `interval` seconds, on a loop of asyncio: ``async with``."""
        options.setdefault("heartbeat_interval", interval)
        return Publisher(self.writer(channel, type_name=type_name, **options), state, interval)

    def hub(self, *, fresh_within: float | None = None, stalled_after: float | None = None) -> Hub:
        """A hub, which reads all channels by their names.

        A state that is at most `fresh_within` seconds old is fresh; a writer that has given no
        heartbeat for `stalled_after` seconds is stalled.
        """
        return Hub(self, fresh_within=fresh_within, stalled_after=stalled_after)

    def cleanup(self, keep: float | None = None) -> list[str]:
        """Removes the channels and arrays that ended processes have left; returns their names.

        The last states of dead writers stay readable until another writer replaces them or they are
        removed by name. With `keep`, they stay for that many seconds; with 0, none stays.
        """
        return self.clean(keep)

    def remove(self, name: str) -> bool:
        """Removes a channel or an array whose owner has ended; false if there is none."""
        return self.remove_channel(name) | self.remove_block(name)

    def __reduce__(self) -> Any:
        return _namespace, (self._name, self._options)

    def __repr__(self) -> str:
        return f"<Namespace {self._name!r}>"


def _namespace(name: str, options: NamespaceOptions) -> Namespace:
    """A pickled namespace: one object in a process, so that blocks are mapped once."""
    key = (name, tuple(sorted((option, repr(value)) for option, value in options.items())))
    opened = _namespaces.get(key)
    if opened is None:
        opened = _namespaces[key] = Namespace(name, **options)
    return opened


_namespaces: dict[Any, Namespace] = {}


def _reopen(namespace: Namespace, channel: str, raw: bool) -> _tearless.Reader:
    """A pickled reader."""
    return namespace.reader(channel, raw=raw)
