"""Namespaces: where everything is opened."""

from __future__ import annotations

import atexit
import os
import weakref
from collections.abc import Callable
from typing import Any, Protocol, Self, TypedDict, TypeVar, Unpack

from numpy.typing import DTypeLike

from . import _arrays, _tearless
from ._aio import Publisher
from ._arrays import ArrayReader, ArrayWriter, Order, Shape, SharedArray
from ._errors import NotFoundError


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
    for ending in list(_open):
        try:
            ending.close()
        except Exception:
            # The process ends in any case, and what it leaves is removed by the next one.
            pass


def _kept(ending: _E) -> _E:
    _open.add(ending)
    return ending


class Namespace(_tearless.Namespace):
    """The channels and arrays of a fleet, under one name.

    Opening it has no effect on the system. It is pickled as its name and options.
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
        """A writer of a channel of values: whatever MessagePack carries, dataclasses and models."""
        return _kept(self._open_writer(channel, "values", type_name, **options))

    def bytes_writer(self, channel: str, *, type_name: str = "[u8]", plain: bool = False,
                     **options: Unpack[WriterOptions]) -> _tearless.Writer:
        """A writer of a channel of bytes, or of anything with the buffer protocol.

        With `plain`, the bytes are plain data of the type that programs in Rust call `type_name`.
        """
        return _kept(self._open_writer(channel, "plain" if plain else "bytes", type_name, **options))

    def reader(self, channel: str, *, raw: bool = False, timeout: float = 0.0) -> _tearless.Reader:
        """A reader of a channel, which need not have a writer any more.

        Waits up to `timeout` seconds for the channel to exist. With `raw`, values are the bytes of
        the payloads.
        """
        return self._open_reader(channel, raw=raw, timeout=timeout)

    def array_writer(self, channel: str, shape: Shape, dtype: DTypeLike = "float64", *, order: Order = "C",
                     pins: int = 4, **options: Unpack[ArrayWriterOptions]) -> ArrayWriter:
        """A writer of a channel of NumPy arrays. `pins` is how many views readers can hold at a time."""
        shape, dtype, order = _arrays._checked(shape, dtype, order)
        head = _arrays._head(dtype, shape, order)
        capacity = options.setdefault("capacity", len(head) + dtype.itemsize * _arrays._count(shape))
        options.setdefault("max_state_len", max(64 << 20, 2 * capacity))
        native = self._open_writer(channel, "bytes", _arrays._type_name(dtype, order), pins=pins, **options)
        return ArrayWriter(_kept(native), shape, dtype, order)

    def array_reader(self, channel: str, shape: Shape | None = None, dtype: DTypeLike | None = None, *,
                     timeout: float = 0.0) -> ArrayReader:
        """A reader of a channel of arrays; with `shape` or `dtype`, only of those."""
        return ArrayReader(self._open_reader(channel, timeout=timeout), shape, dtype)

    def alloc(self, name: str, shape: Shape, dtype: DTypeLike = "float64", *, order: Order = "C",
              permissions: int | None = None) -> SharedArray:
        """A new array of zeroes in shared memory, which belongs to this process.

        Its name goes with this process, or at `close`. An array of that name whose owner has ended
        is replaced.
        """
        shape, dtype, order = _arrays._checked(shape, dtype, order)
        count, label = dtype.itemsize * _arrays._count(shape), _arrays._label(dtype, shape, order)
        block = _kept(self._create_block(name, max(count, 1), label, permissions=permissions))
        self._blocks[name] = block
        return _arrays.shared_array(self, block)

    def array(self, name: str, *, read_only: bool = False, timeout: float = 0.0) -> SharedArray:
        """The array that another process, or this one, has made by `alloc`."""
        return _arrays.shared_array(self, self._open_block(name, read_only=read_only, timeout=timeout))

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

        With `resume`, it begins with the last state of a predecessor.
        """
        return _kept(self._open_syncer(channel, initial, type_name, interval=interval, resume=resume, **options))

    def publisher(self, channel: str, state: Callable[[], Any], *, interval: float = 0.1, type_name: str = "python",
                  **options: Unpack[WriterOptions]) -> Publisher:
        """Publishes what `state()` returns every `interval` seconds, on a loop of asyncio: ``async with``."""
        options.setdefault("heartbeat_interval", interval)
        return Publisher(self.writer(channel, type_name=type_name, **options), state, interval)

    def cleanup(self) -> list[str]:
        """Removes the channels and arrays that ended processes have left; returns their names."""
        return self.clean()

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
