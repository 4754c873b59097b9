"""Threads that share a reader, a writer and a hub; waits, and Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import numpy
import pytest
import tearless
from tearless import _namespace


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Calls `work` with 0, 1, … in threads that begin together."""
    begin, failures = threading.Barrier(count), []

    def one(number: int) -> None:
        try:
            begin.wait()
            work(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    assert failures == []


@pytest.mark.parametrize("size", [10, 200_000])
def test_one_writer_and_one_reader_for_all(fleet: tearless.Namespace, size: int) -> None:
    """Small states keep the interpreter, large ones let go of it."""
    with fleet.writer("w", capacity=2 * size + 100) as writer, fleet.array_writer("a", size, "uint8") as arrays:
        writer.publish([bytes(size), bytes(size)])
        arrays.publish(numpy.zeros(size, "uint8"))
        reader, array_reader, numbers = fleet.reader("w"), fleet.array_reader("a"), []

        def work(number: int) -> None:
            out = numpy.empty(size, "uint8")
            last = 0
            for step in range(100):
                mark = (number * 100 + step) % 256
                numbers.append(writer.publish([bytes([mark]) * size] * 2))
                arrays.publish(numpy.full(size, mark, "uint8"))
                snapshot = reader.snapshot()
                assert snapshot.value[0] == snapshot.value[1] and len(snapshot.value[0]) == size
                assert snapshot.publication >= last
                last = snapshot.publication
                for array in (array_reader.snapshot(out).value, array_reader.snapshot().value, array_reader.view().array):
                    assert (array == array[0]).all()
                reader.has_changed()
                reader.history()

        in_threads(8, work)
        assert sorted(numbers) == list(range(2, 802))
        assert writer.publication == 801


def test_a_wait_keeps_no_other_thread_waiting(fleet: tearless.Namespace) -> None:
    with fleet.writer("w") as writer:
        writer.publish(0)
        reader, watch = fleet.reader("w"), fleet.hub().watch()
        reader.snapshot()
        watch.wait_any(0)
        woken: list[object] = []
        threads = [threading.Thread(target=lambda: woken.append(reader.changed(60))) for _ in range(4)]
        threads.append(threading.Thread(target=lambda: woken.append(watch.wait_any(60))))
        for thread in threads:
            thread.start()
        for _ in range(1000):
            assert reader.snapshot().value == 0
        assert woken == []
        writer.publish(1)
        for thread in threads:
            thread.join(60)
        assert sorted(map(str, woken)) == ["True"] * 4 + ["['w']"]


def test_a_thread_may_close_what_others_use(fleet: tearless.Namespace) -> None:
    for _ in range(20):
        writer, camera = fleet.writer("w"), fleet.array_writer("a", 100_000, "uint8")
        writer.publish(0)

        def work(number: int) -> None:
            if number == 0:
                time.sleep(0.001)
                writer.close()
                camera.close()
                return
            try:
                while True:
                    writer.publish(number)
                    with camera.frame() as frame:
                        frame[...] = 1
            except tearless.ClosedError:
                pass

        # One thread each: a frame is one at a time.
        in_threads(2, work)
    assert fleet.channels() == []


def test_a_wait_for_a_channel(fleet: tearless.Namespace) -> None:
    opened: list[tearless.Reader] = []
    waiting = threading.Thread(target=lambda: opened.append(fleet.reader("w", timeout=60)))
    waiting.start()
    with fleet.writer("w") as writer:
        waiting.join(60)
        writer.publish(1)
        assert opened[0].snapshot().value == 1
    begin = time.monotonic()
    with pytest.raises(tearless.NotFoundError):
        fleet.reader("w", timeout=0.05)
    assert time.monotonic() - begin >= 0.05


WAITS = {
    "a reader": "reader.changed()",
    "an array reader": "arrays.changed()",
    "a watch": "watch.wait_any()",
    "a channel": "fleet.reader('nobody', timeout=600)",
    "an array": "fleet.array('nobody', timeout=600)",
    "a loop": "asyncio.run(follow())",
}


@pytest.mark.parametrize("wait", WAITS)
def test_ctrl_c_ends_a_wait(fleet: tearless.Namespace, wait: str) -> None:
    program = f"""
import asyncio, signal, sys, tearless
# A shell starts what runs in the background so that it ignores it.
signal.signal(signal.SIGINT, signal.default_int_handler)
fleet = tearless.Namespace(sys.argv[1])
writer = fleet.writer("w"); writer.publish(1); reader = fleet.reader("w"); reader.snapshot()
camera = fleet.array_writer("a", 3); camera.publish([1.0, 2.0, 3.0]); arrays = fleet.array_reader("a"); arrays.snapshot()
watch = fleet.hub().watch(); watch.wait_any(0); watch.wait_any(0)
async def follow():
    async for state in reader.changes(): print("ready", flush=True)
try:
    print("ready", flush=True)
    {WAITS[wait]}
except KeyboardInterrupt:
    sys.exit(33)
"""
    process = subprocess.Popen([sys.executable, "-c", program, fleet.name], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 33
    process.stdout.close()


def test_a_handler_of_signals_may_do_anything(fleet: tearless.Namespace) -> None:
    """It runs in the middle of other calls, in the same thread."""
    with fleet.writer("w") as writer, fleet.bytes_writer("b", capacity=1 << 20) as large:
        value = {(1, number): number for number in range(300)}
        writer.publish(value)
        reader, big, hub = fleet.reader("w"), fleet.reader("b"), fleet.hub()
        large.publish(bytes(1 << 20))
        handled = 0

        def handle(*_: object) -> None:
            nonlocal handled
            handled += 1
            writer.publish(value)
            large.publish(bytes(1 << 20))
            reader.snapshot()
            big.snapshot()
            hub.states()
            signal.setitimer(signal.ITIMER_REAL, 0.002)

        before = signal.signal(signal.SIGALRM, handle)
        signal.setitimer(signal.ITIMER_REAL, 0.002)
        try:
            end = time.monotonic() + 1
            while time.monotonic() < end:
                assert reader.snapshot().value == {tuple(key): number for key, number in value.items()}
                writer.publish(value)
                large.publish(bytes(1 << 20))
                big.snapshot()
                hub.states()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert handled > 5


def test_what_is_kept_for_the_end_is_not_kept_alive(fleet: tearless.Namespace) -> None:
    with fleet.writer("w") as writer:
        assert writer in _namespace._open
    del writer
    writer = fleet.writer("w")
    del writer
    assert fleet.channels() == [] and os.getpid()


@pytest.mark.parametrize("read", ["snapshot", "snapshot_at", "history", "changes"])
def test_other_threads_run_while_large_states_are_copied(fleet: tearless.Namespace, read: str) -> None:
    """Also when it is the first that a reader reads. Memory that is new to it has to be mapped, so
    that the copy takes tens of milliseconds."""
    size = 64 << 20
    with fleet.bytes_writer("w", capacity=size, slots=2) as writer:
        writer.publish(bytes(size))
        reader = fleet.reader("w")
        call = {"snapshot": reader.snapshot, "snapshot_at": lambda: reader.snapshot_at(1), "history": reader.history,
                "changes": reader._stream().next}[read]
        rounds, stop, begun = 0, threading.Event(), threading.Event()

        def count() -> None:
            nonlocal rounds
            while not stop.is_set():
                rounds += 1
                begun.set()
                # Gives up the interpreter, and takes it again.
                time.sleep(0.0001)

        counting = threading.Thread(target=count)
        counting.start()
        interval = sys.getswitchinterval()
        begun.wait()
        # The thread that copies is not asked to let go of the interpreter.
        sys.setswitchinterval(100)
        try:
            before = rounds
            call()
            assert rounds > before
        finally:
            sys.setswitchinterval(interval)
            stop.set()
            counting.join(60)
