"""Arrays: channels whose states are NumPy arrays, and managed memory that is one."""

from __future__ import annotations

import ast
import functools
import io
import operator
import struct
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import numpy
from numpy.lib import format as npy
from numpy.typing import ArrayLike, DTypeLike, NDArray

from . import _tearless
from ._aio import Changes
from ._errors import ArgumentError, ClosedError, DecodeError, TypeMismatchError

if TYPE_CHECKING:
    from ._namespace import Namespace
    from ._tearless import _ProcessState

# What NumPy reads of a header without being told that it is safe.
_MAX_HEAD = 10_000

Shape: TypeAlias = int | Sequence[int]
Order: TypeAlias = Literal["C", "F"]
_Shape: TypeAlias = tuple[int, ...]
_DType: TypeAlias = numpy.dtype[Any]


@functools.lru_cache(256)
def _head(dtype: _DType, shape: _Shape, order: Order) -> bytes:
    """The header of a payload: that of a file in NumPy's format ``.npy``."""
    out = io.BytesIO()
    described = {"descr": npy.dtype_to_descr(dtype), "fortran_order": order == "F", "shape": shape}
    npy.write_array_header_1_0(out, described)
    return out.getvalue()


@functools.lru_cache(256)
def _parse(head: bytes) -> tuple[_DType, _Shape, Order]:
    shape, is_fortran, dtype = npy.read_array_header_1_0(io.BytesIO(head[8:]))
    if dtype.hasobject or dtype.subdtype is not None or dtype.itemsize == 0:
        raise ValueError(f"elements of the type {dtype} can't be shared")
    if len(shape) > 32 or any(not 0 <= length < 1 << 63 for length in shape):
        raise ValueError(f"there is no array of the shape {shape}")
    return dtype, shape, "F" if is_fortran else "C"


def _split(payload: memoryview, channel: str) -> tuple[bytes, _DType, _Shape, Order]:
    """The header of a payload, and what it says."""
    try:
        if bytes(payload[:8]) != b"\x93NUMPY\x01\x00":
            raise ValueError("it does not begin as one")
        end = 10 + struct.unpack_from("<H", payload, 8)[0]
        head = bytes(payload[:end])
        dtype, shape, order = _parse(head)
        if end + dtype.itemsize * _count(shape) != len(payload):
            raise ValueError("it has another length than its header says")
    except Exception as error:  # NumPy evaluates the header: it may raise anything.
        raise DecodeError(f"the state of channel {channel!r} is no array: {error}") from error
    return head, dtype, shape, order


def _array(payload: bytearray, channel: str) -> NDArray[Any]:
    """The array of a payload, in the memory that the payload has."""
    head, dtype, shape, order = _split(memoryview(payload), channel)
    memory: Any = payload
    return numpy.ndarray(shape, dtype, memory, len(head), None, order)


def _count(shape: _Shape) -> int:
    count = 1
    for length in shape:
        count *= length
    return count


def _checked(shape: Shape, dtype: DTypeLike, order: Any) -> tuple[_Shape, _DType, Order]:
    try:
        given: Any = shape
        lengths: Sequence[Any] = cast(Sequence[Any], given) if isinstance(given, (tuple, list)) else (given,)
        shape = tuple(operator.index(length) for length in lengths)
    except TypeError:
        raise ArgumentError(f"{shape!r} is no shape: give a number or a tuple of numbers, such as (480, 640)") from None
    dtype = _element_type(dtype)
    if any(length < 0 for length in shape):
        raise ArgumentError(f"an array can't have the shape {shape}: no length is negative")
    if dtype.subdtype is not None:
        raise ArgumentError(f"elements of the type {dtype} are arrays: give {dtype.subdtype[0]} and a longer shape")
    if dtype.itemsize == 0:
        raise ArgumentError(f"elements of the type {dtype.str!r} have no size: give one, such as 'S5' or 'U5'")
    if dtype.hasobject:
        raise TypeMismatchError(f"elements of the type {dtype} are Python objects, which can't be shared: "
                                "choose numbers, texts of a fixed length or a structured type")
    if order not in ("C", "F"):
        raise ArgumentError(f"the order {order!r} is unknown: choose 'C' or 'F'")
    if dtype.names is not None:
        _check_fields(dtype)
    return shape, dtype, order


def _element_type(dtype: DTypeLike) -> _DType:
    try:
        return cast(_DType, numpy.dtype(dtype))
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"{dtype!r} is no type of elements ({error}): give one of NumPy's, such as 'float32'"
                            ) from None


@functools.lru_cache(256)
def _check_fields(dtype: _DType) -> None:
    """Whether a structured type can be described, and read again from its description."""
    try:
        head = _head(dtype, (), "C")
        if len(head) > _MAX_HEAD:
            raise ValueError(f"its description has more than {_MAX_HEAD} bytes")
        _parse(head)
    except (ValueError, UnicodeError) as error:
        raise TypeMismatchError(f"elements of the type {str(dtype)[:200]} can't be described ({error}): choose fields "
                                "in their order in memory, with short names (numpy.lib.recfunctions.repack_fields)"
                                ) from None


def _named(dtype: _DType) -> str:
    """A name of a type of elements that `numpy.dtype` takes: ``uint8`` where it is that of this machine."""
    return dtype.name if dtype.isnative and dtype.kind in "biufc" else dtype.str


def _type_name(dtype: _DType, order: str) -> str:
    """The type of a channel of arrays. The shape is in each publication."""
    return f"{_TYPE}{dtype.descr if dtype.names else dtype.str} {order}"


_TYPE = "ndarray "


class Frame:
    """The next state of an array writer, to be filled in a ``with`` block.

    >>> camera = fleet.array_writer("camera", (2, 3), "uint8")
    >>> frame = camera.frame()
    >>> with frame as array:
    ...     array[...] = 7
    >>> frame.publication
    1
    """

    def __init__(self, writer: ArrayWriter, shape: _Shape) -> None:
        self._writer = writer
        self._shape = shape
        self._lent: tuple[Any, NDArray[Any]] | None = None
        #: The number of the publication, once the block has ended.
        self.publication: int | None = None

    def __enter__(self) -> NDArray[Any]:
        writer = self._writer
        head = _head(writer.dtype, self._shape, writer.order)
        slot: Any = writer._native._lend(head, writer.dtype.itemsize * _count(self._shape))
        array: NDArray[Any] = numpy.ndarray(self._shape, writer.dtype, slot, order=writer.order)
        self._lent = slot, array
        return array

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self._lent is None:
            raise ClosedError("this frame is not being filled: use it in a `with` block")
        (slot, array), self._lent = self._lent, None
        # What is stored there from now on would tear what readers have.
        array.flags.writeable = False
        if kind is None:
            self.publication = self._writer._native._publish_lent(slot)
        else:
            self._writer._native._give_back(slot)


def _check_numbers(given: NDArray[Any], dtype: _DType) -> None:
    """Refuses numbers that NumPy would change: fractions, and, before NumPy 2, those that are too large."""
    if dtype.kind in "iub" and given.dtype.kind in "fc" and given.size > 0:
        raise TypeError("some have fractions")
    if dtype.kind in "iu" and given.dtype.kind in "iu" and given.size > 0:
        limits = numpy.iinfo(dtype)
        if given.min() < limits.min or given.max() > limits.max:
            raise OverflowError(f"numbers from {limits.min} to {limits.max} fit")


class ArrayWriter:
    """A writer of a channel whose states are arrays of one type: made by `Namespace.array_writer`.

    It belongs to the process that opened it: a fork gets `ForkedError`. Publishing never waits for
    readers, and makes no system call, unless the array grows or a reader waits for it.

    >>> with fleet.array_writer("camera", (480, 640, 3), "uint8") as camera:
    ...     with camera.frame() as frame:
    ...         frame[...] = 7
    ...     reader = fleet.array_reader("camera")
    ...     with reader.view() as seen:
    ...         print(seen.mean(), seen.shape)
    7.0 (480, 640, 3)
    """

    def __init__(self, native: _tearless.Writer, shape: _Shape, dtype: _DType, order: Order) -> None:
        self._native = native
        #: The shape of the next frame, unless another one is given.
        self.shape: _Shape = shape
        #: The type of the elements.
        self.dtype: _DType = dtype
        #: ``"C"`` or ``"F"``.
        self.order: Order = order

    def frame(self, shape: Shape | None = None) -> Frame:
        """The next state, to be filled in place in a ``with`` block and published at its end.

        An exception in the block publishes nothing. The array holds what was there before, so fill
        all of it. Keep no array that was made of it: storing into it later would tear the state.
        Nothing is copied. Another shape than the last one makes the channel grow, if it is larger.

        Raises `InUseError` while another frame of this writer is being filled, and `LimitError`
        beyond `max_state_len`.
        """
        return Frame(self, self.shape if shape is None else _checked(shape, self.dtype, self.order)[0])

    def publish(self, array: ArrayLike) -> int:
        """Copies an array into the channel, and returns the number of the publication.

        An array of another shape is published, too. Numbers and lists are converted; an array of
        another type raises `TypeMismatchError`, and so does one with a mask. Raises `InUseError`
        while a frame is being filled. Other threads run while 64 KiB or more are copied.

        >>> thermometer = fleet.array_writer("thermometer", 3)
        >>> thermometer.publish([20.5, 21.0, 19.5])
        1
        """
        given: Any = array
        if isinstance(given, numpy.ma.MaskedArray):
            raise TypeMismatchError("a masked array would lose its mask: publish array.filled(…)")
        dtype: Any = getattr(given, "dtype", self.dtype)
        if dtype != self.dtype:
            raise TypeMismatchError(f"channel {self.channel!r} has elements of the type {self.dtype}, not "
                                    f"{dtype}: publish array.astype(writer.dtype)")
        try:
            if not hasattr(given, "dtype"):
                _check_numbers(numpy.asarray(given), self.dtype)
            array = numpy.asarray(array, self.dtype, order=self.order)
        except (ValueError, TypeError, OverflowError) as error:
            raise TypeMismatchError(f"a value of the type {type(given).__name__} is no array of {self.dtype} "
                                    f"({error}): publish an array, a number or lists of numbers") from error
        data = array.reshape(-1, order=self.order) if array.ndim != 1 else array
        return self._native._publish_parts(_head(self.dtype, array.shape, self.order), data.view(numpy.uint8))

    def touch(self) -> None:
        """Gives a heartbeat: the array is as it was, and this process works."""
        self._native.touch()

    def close(self, linger: bool | None = None) -> None:
        """Ends the channel, and removes it, unless it lingers. Again, it does nothing.

        Views of readers stay valid, and arrays that were made of frames keep their memory. With
        `linger`, the last array stays readable.
        """
        self._native.close(linger)

    @property
    def channel(self) -> str:
        """The channel's name."""
        return self._native.channel

    @property
    def publication(self) -> int:
        """The number of the last publication; 0 before the first."""
        return self._native.publication

    def __enter__(self) -> ArrayWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<ArrayWriter {self.channel!r}: {self.dtype} {self.shape}>"


class ArrayView:
    """A publication of an array in place, for a ``with`` block, or as long as `array` is kept.

    The array is read-only, and so is every array made of it: ``array.copy()`` can be changed.

    >>> camera = fleet.array_writer("camera", (480, 640), "uint8")
    >>> camera.publish(numpy.full((480, 640), 7, "uint8"))
    1
    >>> view = fleet.array_reader("camera").view()
    >>> view.publication, view.is_in_place, view.array.flags.writeable
    (1, True, False)
    >>> camera.close()
    >>> int(view.array[0, 0])
    7
    """

    __slots__ = ("__weakref__", "_held")

    def __init__(self, view: _tearless.View, array: NDArray[Any]) -> None:
        self._held: tuple[_tearless.View, NDArray[Any]] | None = view, array

    def _open(self) -> tuple[_tearless.View, NDArray[Any]]:
        if self._held is None:
            raise ClosedError("the view has ended: take another one, or keep its array")
        return self._held

    @property
    def array(self) -> NDArray[Any]:
        """The array: read-only, and never changed by the writer. Arrays made of it keep the memory."""
        return self._open()[1]

    @property
    def publication(self) -> int:
        """The number of the publication."""
        return self._open()[0].publication

    @property
    def age(self) -> float | None:
        """Seconds since it was published."""
        return self._open()[0].age

    @property
    def is_in_place(self) -> bool:
        """Whether the array is the writer's memory. Otherwise it is a copy."""
        return self._open()[0].is_in_place

    @property
    def is_latest(self) -> bool:
        """Whether there is no later publication."""
        return self._open()[0].is_latest

    def close(self) -> None:
        """Ends the view. Its pin is given back when the last array that was made of it is gone."""
        self._held = None

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if dtype is not None and numpy.dtype(dtype) != self.array.dtype:
            return self.array.astype(dtype)
        return self.array.copy() if copy else self.array

    def __enter__(self) -> NDArray[Any]:
        return self.array

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._held is None:
            return "<ArrayView, ended>"
        how = "in place" if self.is_in_place else "a copy"
        return f"<ArrayView {self.publication}, {how}: {self.array.dtype} {self.array.shape}>"


class ArrayReader(_tearless.ArrayReaderBase):
    """A reader of a channel whose states are arrays: made by `Namespace.array_reader`.

    It may be used by several threads, and is pickled as its name. Reading has no effect on the
    writer, and works after its end, too.

    >>> thermometer = fleet.array_writer("thermometer", 3, "float32")
    >>> thermometer.publish(numpy.array([20.5, 21.0, 19.5], "float32"))
    1
    >>> reader = fleet.array_reader("thermometer", dtype="float32")
    >>> reader.snapshot().value
    array([20.5, 21. , 19.5], dtype=float32)
    >>> mine = numpy.empty(3, "float32")
    >>> reader.snapshot(out=mine).publication
    1
    """

    def __init__(self, reader: _tearless.Reader, shape: Shape | None, dtype: DTypeLike | None) -> None:
        native = self._native = reader
        self._wanted = None if shape is None else _checked(shape, dtype or "u1", "C")[0]
        self._dtype = None if dtype is None else _element_type(dtype)
        if not (native.codec == "bytes" and native.type_name.startswith(_TYPE)):
            raise TypeMismatchError(f"channel {self.channel!r} has states of the type {native.type_name!r} "
                                    f"({native.codec}), no arrays: read them by Namespace.reader")
        if self._dtype is not None:
            names = (_type_name(self._dtype, order) for order in "CF")
            if not any(name.startswith(native.type_name) for name in names):
                found = native.type_name[len(_TYPE):].rpartition(" ")[0]
                found = found if found.startswith("[") else _named(numpy.dtype(found))
                raise TypeMismatchError(f"channel {self.channel!r} has elements of the type {found}, not "
                                        f"{self._dtype.descr if self._dtype.names else _named(self._dtype)}: open the "
                                        "reader with that type, or without a dtype")

    def _layout(self, view: _tearless.View) -> _tearless.Layout:
        """What the header of a view says, if it is an array that is wanted."""
        head, dtype, shape, order = _split(memoryview(view), self.channel)
        if self._wanted is not None and shape != self._wanted:
            raise TypeMismatchError(f"channel {self.channel!r} has an array of the shape {shape}, not "
                                    f"{self._wanted}: open the reader with that shape, or without one")
        if self._dtype is not None and dtype != self._dtype:
            raise TypeMismatchError(f"channel {self.channel!r} has elements of the type {dtype}, not {self._dtype}")
        return _tearless.Layout(head, len(view), dtype, shape, order == "F")

    def _misfit(self, out: Any, latest: NDArray[Any]) -> TypeMismatchError:
        """Why `out` can't have the latest array."""
        order: Order = "C" if latest.flags.c_contiguous else "F"
        wanted = f"numpy.empty({latest.shape}, {_named(latest.dtype)!r}, {order!r})"
        if not isinstance(out, numpy.ndarray):
            return TypeMismatchError(f"out is a {type(out).__name__}, no array: give {wanted}")
        if isinstance(out, numpy.ma.MaskedArray):
            return TypeMismatchError(f"out has a mask, under which elements would be hidden: give {wanted}")
        given = cast(NDArray[Any], out)
        if given.shape != latest.shape or given.dtype != latest.dtype or not given.flags[order]:
            orders = [order for order in ("C", "F") if given.flags[order]]
            kept = f"in order {orders[0]}" if orders else "not in one piece"
            return TypeMismatchError(f"channel {self.channel!r} has an array {latest.dtype} {latest.shape} in order "
                                     f"{order}, and out is {given.dtype} {given.shape} {kept}: give {wanted}")
        return TypeMismatchError("out is read-only: give an array that can be written to")

    def view(self) -> ArrayView:
        """The latest array in place, if the writer has pins, else a copy of it.

        It takes a few microseconds for any size. The writer never waits for a view: it takes other
        memory meanwhile. A view holds one of the writer's `pins` until the last array that was made
        of it is gone; while none is free, and below 4 KiB, it is a copy (`ArrayView.is_in_place`).

        Raises what `snapshot` does.
        """
        return ArrayView(*self._view())

    def changed(self, timeout: float | None = None) -> bool:
        """Waits for a later array than the last one that was read; false after `timeout` seconds.

        Without a `timeout` it waits for ever. Other threads run, and Ctrl-C ends it. Raises
        `ClosedError` when the channel has ended.
        """
        return self._native.changed(timeout)

    def changes(self) -> Changes[_tearless.Snapshot]:
        """The latest array and every later one, as copies, for ``async for``: see `Changes`.

        The loop is woken. To view instead of copying, use ``changed`` in a thread.
        """
        return Changes(self._native)

    def has_changed(self) -> bool:
        """Whether there is a later array than the last one that was read."""
        return self._native.has_changed()

    def writer_state(self) -> _ProcessState:
        """``alive``, ``stopped``, ``dead``, ``exited``, ``closed`` or ``unknown``."""
        return self._native.writer_state()

    @property
    def channel(self) -> str:
        """The channel's name."""
        return self._native.channel

    @property
    def publication(self) -> int:
        """The number of the latest publication; 0 if there is none."""
        return self._native.publication

    def __enter__(self) -> ArrayReader:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __reduce__(self) -> Any:
        return ArrayReader, (self._native, self._wanted, self._dtype)

    def __repr__(self) -> str:
        return f"<ArrayReader of {self.channel!r}: {self._native.type_name}>"


def _label(dtype: _DType, shape: _Shape, order: str) -> str:
    return f"ndarray {npy.dtype_to_descr(dtype)!r} {shape!r} {order}"


def _layout_of(label: str, name: str) -> tuple[_DType, _Shape, Order]:
    try:
        if not label.startswith("ndarray "):
            raise ValueError
        described, order = label[len("ndarray "):].rsplit(" ", 1)
        split = described.rindex("(")
        dtype = npy.descr_to_dtype(ast.literal_eval(described[:split].strip()))
        shape = ast.literal_eval(described[split:])
        shape, dtype, order = _checked(shape, dtype, order)
        return dtype, shape, order
    except (ValueError, SyntaxError, TypeError) as error:
        raise TypeMismatchError(f"block {name!r} holds no array (its label is {label!r}): "
                                "open it from the program that made it") from error


class SharedArray(numpy.ndarray[_Shape, _DType]):
    """An array in memory that processes share, under a name: made by `Namespace.alloc`.

    It behaves as any array. It is pickled as its name, and so are slices of it, whatever their size.
    All processes may write to it; nothing keeps them apart but what they agree on.

    >>> with fleet.alloc("results", 1000) as results:
    ...     there = fleet.array("results")          # in another process
    ...     there[3] = 7.5
    ...     print(results[3], results.sum(), results.is_owner, there.is_owner)
    7.5 7.5 True False
    """

    _block: _tearless.Block | None
    _namespace: Namespace | None

    def __array_finalize__(self, origin: Any) -> None:
        block = getattr(origin, "_block", None)
        if block is not None and not _lies_in(self, block):
            block = None
        self._block = block
        self._namespace = getattr(origin, "_namespace", None) if block is not None else None

    def __array_wrap__(self, array: NDArray[Any], context: Any = None, return_scalar: bool = False) -> Any:
        array = super().__array_wrap__(array, context)
        if self is array or (isinstance(array, SharedArray) and array._block is not None):
            return array
        return array[()] if return_scalar or array.shape == () else array.view(numpy.ndarray)

    def __getitem__(self, index: Any) -> Any:
        part = super().__getitem__(index)
        # A copy, by an index of numbers or truth values, is an array like any other.
        if isinstance(part, SharedArray) and part._block is None:
            return part.view(numpy.ndarray)
        return part

    def __reduce_ex__(self, protocol: Any) -> Any:
        block = self._block
        if block is None:
            return numpy.asarray(self).__reduce_ex__(protocol)
        offset = self.__array_interface__["data"][0] - block.address
        layout = (offset, self.shape, self.strides, npy.dtype_to_descr(self.dtype), bool(self.flags.writeable))
        return _open_part, (self._namespace, block.name, block.instance, block.is_read_only, *layout)

    def copy(self, order: Any = "C") -> Any:
        """An ordinary array."""
        return numpy.array(self, copy=True, order=order, subok=False)

    @property
    def name(self) -> str | None:
        """The name of its memory; None if it is a copy."""
        return self._block.name if self._block is not None else None

    @property
    def is_owner(self) -> bool:
        """Whether the memory's name goes when this process ends."""
        return self._block is not None and self._block.is_owner

    def owner_state(self) -> _ProcessState:
        """The state of the process that made it: ``alive``, ``stopped``, ``dead``, ``exited`` or ``closed``."""
        if self._block is None:
            raise ClosedError("the array is a copy: it has no owner")
        return self._block.owner_state()

    def close(self) -> None:
        """Removes the name, in the process that made the array. Arrays that are open stay usable."""
        if self._block is not None:
            self._block.close()

    def __enter__(self) -> SharedArray:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _lies_in(array: NDArray[Any], block: _tearless.Block) -> bool:
    start: int = array.__array_interface__["data"][0] - block.address
    return 0 <= start < len(block)


def _open_part(namespace: Namespace, name: str, instance: int, is_read_only: bool, offset: int, shape: _Shape,
               strides: _Shape, descr: Any, is_writable: bool) -> SharedArray:
    block: Any = namespace._block(name, instance, is_read_only)
    array = numpy.ndarray.__new__(SharedArray, shape, npy.descr_to_dtype(descr), block, offset, strides)
    array._block, array._namespace = block, namespace
    if not is_writable:
        array.flags.writeable = False
    return array


def shared_array(namespace: Namespace, block: _tearless.Block) -> SharedArray:
    """The array in a block."""
    dtype, shape, order = _layout_of(block.label, block.name)
    if dtype.itemsize * _count(shape) > len(block):
        raise TypeMismatchError(f"block {block.name!r} is smaller than its array {dtype} {shape}")
    memory: Any = block
    array = numpy.ndarray.__new__(SharedArray, shape, dtype, memory, order=order)
    array._block, array._namespace = block, namespace
    return array
