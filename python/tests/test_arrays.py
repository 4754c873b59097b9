"""Arrays: copied, viewed in place, managed."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import pickle
import threading
from typing import Any

import numpy
import pytest
import tearless

STRUCTURED = numpy.dtype([("id", "<u4"), ("pos", "<f8", 3)])


@pytest.mark.parametrize("dtype", ["uint8", "float32", "<i8", ">i2", "bool", "complex64", "S5", "U3", "datetime64[ns]", STRUCTURED])
@pytest.mark.parametrize("shape", [(), (0,), (5,), (3, 4), (2, 3, 4)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_arrive_as_they_were(fleet: tearless.Namespace, dtype: object, shape: tuple[int, ...], order: str) -> None:
    dtype = numpy.dtype(dtype)
    count = int(numpy.prod(shape)) * dtype.itemsize
    # No byte above 0x0f: valid characters.
    array = numpy.frombuffer(bytes(at % 2 for at in range(count)), dtype).reshape(shape, order=order)
    with fleet.array_writer("a", shape, dtype, order=order) as writer:
        assert writer.publish(array) == 1
        reader = fleet.array_reader("a", shape, dtype)
        for read in (reader.snapshot().value, reader.view().array, reader.snapshot(numpy.empty(shape, dtype, order)).value):
            assert read.dtype == dtype and read.shape == shape
            assert read.tobytes() == array.tobytes()
        with writer.frame() as frame:
            frame[...] = array
        assert reader.snapshot().value.tobytes() == array.tobytes()


def test_a_frame_is_published_at_the_end_of_its_block(fleet: tearless.Namespace) -> None:
    with fleet.array_writer("camera", (4, 4), "uint8") as camera:
        reader = fleet.array_reader("camera")
        with camera.frame() as frame:
            frame[...] = 1
            with pytest.raises(tearless.EmptyError):
                reader.snapshot()
        assert reader.snapshot().value.sum() == 16
        # Too late: readers have it.
        with pytest.raises(ValueError, match="read-only"):
            frame[0, 0] = 9
        with pytest.raises(RuntimeError, match="mine"), camera.frame() as frame:
            frame[...] = 5
            raise RuntimeError("mine")
        assert reader.snapshot().value.sum() == 16
        with camera.frame() as frame:
            frame[...] = 6
            # Nothing else uses the writer meanwhile, and nothing ends the frame.
            with pytest.raises(tearless.InUseError, match="end its block"), camera.frame():
                pass
            with pytest.raises(tearless.InUseError, match="end its block"):
                camera.publish(frame)
            assert camera.publication == 1
        assert reader.snapshot().value.sum() == 96 and camera.publication == 2
        ended = camera.frame()
        with pytest.raises(tearless.ClosedError, match="with"):
            ended.__exit__(None, None, None)


def test_a_view_does_not_change(fleet: tearless.Namespace) -> None:
    with fleet.array_writer("camera", 8192, "uint8", pins=2) as camera:
        camera.publish(numpy.full(8192, 1, "uint8"))
        view = fleet.array_reader("camera").view()
        assert view.is_in_place and view.is_latest
        with pytest.raises(ValueError):
            view.array[0] = 2
        for number in range(2, 50):
            camera.publish(numpy.full(8192, number, "uint8"))
        assert not view.is_latest and view.publication == 1
        assert (view.array == 1).all()


def test_memory_lives_as_long_as_any_array_of_it(fleet: tearless.Namespace) -> None:
    camera = fleet.array_writer("camera", 100_000, "uint8")
    with camera.frame() as frame:
        frame[...] = 3
    reader = fleet.array_reader("camera")
    with reader.view() as array:
        part = array[10:20].reshape(2, 5)[1]
    del array, reader
    frame_part = frame[5:]
    del frame
    camera.close()
    del camera
    gc.collect()
    assert part.tolist() == [3] * 5
    assert frame_part.sum() == 3 * 99_995
    memory = memoryview(part)
    del part
    gc.collect()
    assert bytes(memory) == b"\3" * 5


def test_into_an_array_again_and_again(fleet: tearless.Namespace) -> None:
    for dtype in ("datetime64[ns]", "float32", STRUCTURED):
        for order in "CF":
            out = numpy.zeros((3, 4), dtype, order)
            with fleet.array_writer("a", (3, 4), dtype, order=order) as writer:
                reader = fleet.array_reader("a")
                for number in range(1, 4):
                    array = numpy.frombuffer(bytes([number] * out.nbytes), dtype).reshape((3, 4), order=order)
                    writer.publish(array)
                    assert reader.snapshot(out).publication == number
                    assert out.tobytes() == array.tobytes()


@pytest.mark.parametrize("count", [16, 1 << 16])
def test_an_array_is_looked_at_each_time_it_is_given(fleet: tearless.Namespace, count: int) -> None:
    with fleet.array_writer("a", (2, count), "float32") as writer:
        latest = numpy.arange(2 * count, dtype="float32").reshape(2, count)
        writer.publish(latest)
        reader = fleet.array_reader("a")
        mine = numpy.zeros((2, count), numpy.dtype("float32", metadata={"another": "object of the same type"}))
        other = numpy.zeros((count, 2), "float32")
        for _ in range(2):
            assert reader.snapshot(mine).value is mine and numpy.array_equal(mine, latest)
            mine[...] = 0
            # It was given before, and fits no more.
            mine.flags.writeable = False
            with pytest.raises(tearless.TypeMismatchError, match="out is read-only"):
                reader.snapshot(mine)
            mine.flags.writeable = True
            for misfit in (other, mine[:, ::-1], mine.T, mine.view("int32"), mine.astype(">f4"), mine[0], mine[:, :-1]):
                with pytest.raises(tearless.TypeMismatchError, match=rf"give numpy.empty\(\(2, {count}\), 'float32', 'C'\)"):
                    reader.snapshot(misfit)
            for misfit in ([0.0] * count, b"", memoryview(mine)):
                with pytest.raises(tearless.TypeMismatchError, match=r"out is a \w+, no array"):
                    reader.snapshot(misfit)  # type: ignore[arg-type]
            assert not mine.any() and not other.any()
        # Memory that it had before is not written to.
        mine.resize((2, 0), refcheck=False)
        with pytest.raises(tearless.TypeMismatchError, match="float32 \\(2, 0\\)"):
            reader.snapshot(mine)
        mine.resize((2, count), refcheck=False)
        assert numpy.array_equal(reader.snapshot(mine).value, latest)


def test_times_and_parts_of_arrays_can_be_given(fleet: tearless.Namespace) -> None:
    times = numpy.array(["2026-11-30", "NaT"], "datetime64[s]")
    with fleet.array_writer("times", 2, times.dtype) as writer:
        writer.publish(times)
        many = numpy.zeros((3, 2), times.dtype)
        for row in many:
            assert fleet.array_reader("times").snapshot(out=row).publication == 1
        assert many.tobytes() == times.tobytes() * 3


def test_no_array_of_a_view_can_be_made_writable(fleet: tearless.Namespace) -> None:
    with fleet.array_writer("a", (64, 64), "uint8") as writer:
        writer.publish(numpy.full((64, 64), 7, "uint8"))
        view = fleet.array_reader("a").view()
        assert view.is_in_place
        for array in (view.array, view.array[1:], view.array.reshape(-1), numpy.asarray(view.array)):
            with pytest.raises(ValueError, match="WRITEABLE"):
                array.flags.writeable = True
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0
        base: Any = view.array.base
        with pytest.raises((BufferError, TypeError)):
            ctypes.c_char.from_buffer(base)


def test_threads_read_arrays_whose_shape_changes(fleet: tearless.Namespace) -> None:
    with fleet.array_writer("a", 10, "int64", capacity=100_000) as writer:
        writer.publish(numpy.full(10, 10))
        reader, stop, wrong = fleet.array_reader("a"), threading.Event(), []

        def read() -> None:
            while not stop.is_set():
                for array in (reader.snapshot().value, reader.view().array):
                    if not (array == len(array)).all():
                        wrong.append(array)

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for number in range(2000):
            length = 10 + number * 7 % 3000
            writer.publish(numpy.full(length, length))
        stop.set()
        for thread in threads:
            thread.join()
        assert not wrong


def test_what_is_given_wrong_is_explained(fleet: tearless.Namespace) -> None:
    assert fleet.alloc("by-numpy", numpy.prod((3, 4))).shape == (12,)
    for shape in (3.5, "480x640", (3, None)):
        with pytest.raises(tearless.ArgumentError, match="is no shape"):
            fleet.array_writer("a", shape)  # type: ignore[arg-type]
    with pytest.raises(tearless.ArgumentError, match="longer shape"):
        fleet.array_writer("a", 5, ("f4", 3))
    swapped = numpy.dtype({"names": ["a", "b"], "formats": ["u1", "u1"], "offsets": [1, 0]})
    many = numpy.dtype([(f"a_long_name_of_field_{number}", "u1") for number in range(500)])
    for dtype in (swapped, many, numpy.dtype([("数", "u1")])):
        with pytest.raises(tearless.TypeMismatchError, match="can't be described"):
            fleet.array_writer("a", 5, dtype)
    for sizeless in ("S", "U", "V"):
        with pytest.raises(tearless.ArgumentError, match="have no size"):
            fleet.array_writer("a", 5, sizeless)
    for unknown in ("floot32", "1u", [("a",)]):
        with pytest.raises(tearless.ArgumentError, match="is no type of elements"):
            fleet.array_writer("a", 5, unknown)  # type: ignore[arg-type]
    with fleet.array_writer("a", 3, "uint8") as writer:
        for value in ("text", [[1, 2], [3]], {"a": 1}, None, [1.5], 2.5, [300], [1j]):
            with pytest.raises(tearless.TypeMismatchError, match="is no array of uint8"):
                writer.publish(value)  # type: ignore[arg-type]
        with pytest.raises(tearless.ArgumentError, match="is no type of elements"):
            fleet.array_reader("a", dtype="floot32")
        assert writer.publish([1, 2, 3]) == 1
        with pytest.raises(tearless.TypeMismatchError, match="mask"):
            writer.publish(numpy.ma.masked_array([1, 2, 3], [0, 1, 0], "uint8"))
        view = fleet.array_reader("a").view()
        with view as array:
            assert array.tolist() == [1, 2, 3]
        with pytest.raises(tearless.ClosedError, match="has ended"):
            view.array  # noqa: B018
        view.close()
    with fleet.bytes_writer("bytes") as writer, pytest.raises(tearless.TypeMismatchError, match="ascontiguousarray"):
        writer.publish(numpy.ones((2, 3), "u1").T)


HEADERS = ["(((", "{[]: 1}", "-" * 9000, "{'descr': (), 'fortran_order': False, 'shape': (1,)}",
           *(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}" for descr, shape in [
               ("('<f4',)", (1,)), ("'<f4'", (-2, -3)), ("'<f4'", (0, 10**20)), ("'<f4'", (1,) * 70), ("('<f4', (3,))", (2,)),
               ("'|O'", (1,)), ("'|V0'", (3,)), ("'<U0'", (3,)), ("'<f4'", (2,)), ("'<f4'", (2.0,)), ("'<f4'", (2**62, 4))])]


@pytest.mark.parametrize("header", HEADERS)
def test_a_payload_that_is_no_array_is_an_error(fleet: tearless.Namespace, header: str) -> None:
    text = header.encode()
    with fleet.bytes_writer("a", type_name="ndarray <f4 C") as writer:
        for elements in (b"", b"\0" * 4, b"\0" * 24):
            writer.publish(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + elements)
            reader = fleet.array_reader("a")
            for read in (reader.snapshot, lambda reader=reader: reader.snapshot(numpy.zeros(2, "f4")), reader.view):
                with pytest.raises(tearless.DecodeError, match="is no array"):
                    read()


def test_a_layout_of_another_length_is_refused(fleet: tearless.Namespace) -> None:
    head = tearless._arrays._head(numpy.dtype("u1"), (12,), "C")
    for wrong in ((head, len(head) + 11, (12,)), (head, len(head) + 12, (13,)), (head, len(head), (2**63 - 1,))):
        with pytest.raises(tearless.DecodeError, match="does not match"):
            tearless._tearless.Layout(wrong[0], wrong[1], numpy.dtype("u1"), wrong[2], False)
    with fleet.array_writer("a", 12, "uint8") as writer:
        writer.publish(numpy.ones(12, "uint8"))

        class Shorter(tearless.ArrayReader):
            def _layout(self, view: Any) -> Any:
                return tearless._tearless.Layout(head, len(head) + 4, numpy.dtype("u1"), (4,), False)

        reader = Shorter(fleet._open_reader("a"), None, None)
        for read in (reader.snapshot, reader.view):
            with pytest.raises(tearless.DecodeError, match="has changed"):
                read()


def test_other_arrays_are_filled(fleet: tearless.Namespace) -> None:
    with fleet.array_writer("a", 5, "uint8") as writer, fleet.alloc("mine", 5, "uint8") as shared:
        writer.publish(numpy.arange(5, dtype="uint8"))
        reader = fleet.array_reader("a")
        masked = numpy.ma.masked_array(numpy.zeros(5, "uint8"), [0, 1, 0, 0, 0])
        for _ in range(2):
            for out in (shared, numpy.zeros(5, "uint8").view(numpy.recarray), numpy.zeros((2, 5), "uint8")[1]):
                out[...] = 0
                assert reader.snapshot(out).value is out and out.tolist() == [0, 1, 2, 3, 4]
            with pytest.raises(tearless.TypeMismatchError, match="has a mask"):
                reader.snapshot(masked)
        for shape in ((), (0,), (3, 0)):
            writer.publish(numpy.full(shape, 7, "uint8"))
            out = numpy.zeros(shape, "uint8")
            for _ in range(3):
                assert reader.snapshot(out).value is out and out.tolist() == numpy.full(shape, 7).tolist()


def test_hubs_and_streams_have_arrays(fleet: tearless.Namespace) -> None:
    async def first(changes: tearless.Changes[Any]) -> Any:
        async for found in changes:
            return found

    latest = numpy.arange(6, dtype="float32").reshape((2, 3), order="F")
    with fleet.array_writer("a", (2, 3), "float32", order="F") as writer, fleet.bytes_writer("b") as other:
        writer.publish(latest)
        other.publish(b"bytes")
        hub = fleet.hub()
        reader = fleet.array_reader("a")
        found = [hub.get("a"), hub.states("*")["a"], hub.cut(["a"]).states["a"], fleet.reader("a").snapshot(),
                 asyncio.run(first(reader.changes())), asyncio.run(first(hub.changes("a")))[1]]
        for snapshot in found:
            assert snapshot.publication == 1 and snapshot.value.dtype == latest.dtype
            assert snapshot.value.tolist() == latest.tolist() and snapshot.value.flags.f_contiguous
            snapshot.value[...] = 0
        assert fleet.reader("a", raw=True).snapshot().value[:6] == b"\x93NUMPY"
        assert hub.get("b").value == b"bytes"
        assert "without nobody" in repr(hub.cut(["a", "nobody"]))


def test_other_shapes_and_types(fleet: tearless.Namespace) -> None:
    with fleet.array_writer("a", (2, 3), "float32") as writer:
        writer.publish(numpy.ones((2, 3), "float32"))
        reader = fleet.array_reader("a")
        out = numpy.empty((2, 3), "float32")
        assert reader.snapshot(out).value is out
        writer.publish(numpy.ones((50, 70), "float32"))
        with pytest.raises(tearless.TypeMismatchError, match=r"\(50, 70\)"):
            reader.snapshot(out)
        assert reader.snapshot().value.shape == (50, 70)
        with pytest.raises(tearless.TypeMismatchError, match="astype"):
            writer.publish(numpy.ones(3))
        with pytest.raises(tearless.TypeMismatchError, match="float32|<f4"):
            fleet.array_reader("a", dtype="float64")
        with pytest.raises(tearless.TypeMismatchError, match="shape"):
            fleet.array_reader("a", (2, 3)).snapshot()
        read_only = numpy.ones((50, 70), "float32")
        read_only.flags.writeable = False
        with pytest.raises(tearless.TypeMismatchError, match="read-only"):
            reader.snapshot(read_only)
        with pytest.raises(tearless.TypeMismatchError, match="order C, and out .* not in one piece"):
            reader.snapshot(numpy.ones((50, 140), "float32")[:, ::2])
        with pytest.raises(tearless.TypeMismatchError, match="order C, and out .* in order F"):
            reader.snapshot(numpy.ones((50, 70), "float32", "F"))
    with fleet.writer("values") as values, pytest.raises(tearless.TypeMismatchError, match="no arrays"):
        values.publish(1)
        fleet.array_reader("values")
    with pytest.raises(tearless.TypeMismatchError, match="Python objects"):
        fleet.array_writer("o", 3, object)


def test_a_managed_array_is_one_memory(fleet: tearless.Namespace) -> None:
    with fleet.alloc("replay", (100, 4), "float32") as replay:
        assert replay.sum() == 0 and replay.is_owner
        other = fleet.array("replay")
        other[3, 1] = 7
        assert replay[3, 1] == 7 and not other.is_owner
        with pytest.raises(tearless.InUseError):
            fleet.alloc("replay", 3)
        assert fleet.array("replay", read_only=True).flags.writeable is False
        assert type(replay + 1) is numpy.ndarray and type(replay.mean()) is numpy.float32
        assert type(replay[[1, 2]]) is numpy.ndarray
    assert fleet.blocks() == []
    # The memory stays as long as it is used.
    other[0, 0] = 2
    assert replay[0, 0] == 2


def test_a_managed_array_is_pickled_as_its_name(fleet: tearless.Namespace) -> None:
    with fleet.alloc("replay", (1000, 1000), "float64") as replay:
        for part in (replay, replay[10:20, ::3], replay[::-1], replay.T, replay[5], replay.reshape(-1)[7:]):
            pickled = pickle.dumps(part)
            assert len(pickled) < 1000
            again = pickle.loads(pickled)
            assert again.shape == part.shape and again.strides == part.strides
            again.flat[0] = part.flat[0] + 1
            assert again.flat[0] == part.flat[0]
        fixed = replay[:3]
        fixed.flags.writeable = False
        assert pickle.loads(pickle.dumps(fixed)).flags.writeable is False
        copy = replay[:10].copy()
        assert type(copy) is numpy.ndarray
        assert len(pickle.dumps(copy)) > 10 * 1000 * 8
        assert (pickle.loads(pickle.dumps(copy)) == copy).all()
        gone = pickle.dumps(replay)
    with pytest.raises(tearless.NotFoundError):
        pickle.loads(gone)


def test_everything_in_the_wrong_order(name: str) -> None:
    fleet = tearless.Namespace(name)
    camera = fleet.array_writer("camera", (64, 64), "uint8")
    frame = camera.frame()
    array = frame.__enter__()
    camera.close()
    array[...] = 1
    with pytest.raises(tearless.ClosedError):
        frame.__exit__(None, None, None)
    camera.close()
    with pytest.raises(tearless.ClosedError):
        camera.publish(array)
    block = fleet.alloc("block", 1000)
    part = block[3:]
    block.close()
    block.close()
    part[0] = 1
    del block, fleet, camera, frame
    gc.collect()
    assert array.sum() == 64 * 64 and part.sum() == 1
    fleet = tearless.Namespace(name)
    writer = fleet.array_writer("camera", (64, 64), "uint8")
    writer.publish(numpy.ones((64, 64), "uint8"))
    view = fleet.array_reader("camera").view()
    kept = view.array
    writer.close()
    del writer, view, fleet
    gc.collect()
    assert kept.sum() == 64 * 64
