"""What a query costs in Python, beside what people use: all in one run, between real processes.

    python benches/peers.py [--quick]

A worker process publishes; this process reads. Each figure is the median over rounds that take turns, in
nanoseconds for one operation, with the 10th and 90th percentile of the rounds.
"""

from __future__ import annotations

import argparse
import ctypes
import functools
import multiprocessing
import os
import platform
import socket
import statistics
import struct
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing import shared_memory
from typing import Any

import msgpack
import numpy
import tearless

try:
    import iceoryx2
except ImportError:
    iceoryx2 = None

STATE = {"jobs_done": 3, "queue": ["a job", "another"], "load": 0.5, "phase": "running"}
NAME = f"py-bench-{os.getpid()}"
NAME_OF_BLACKBOARD = "tearless-benchmark"
VIEWED = 8 << 20


class Seqlock:
    """Eight bytes of a counter, then an array: what people write by hand. Without fences, for x86 only."""

    def __init__(self, memory: shared_memory.SharedMemory, count: int) -> None:
        self.counter = numpy.ndarray(1, "u8", memory.buf)
        self.data = numpy.ndarray(count, "u1", memory.buf, 8)

    def write(self, array: numpy.ndarray) -> None:
        self.counter[0] += 1
        self.data[:] = array
        self.counter[0] += 1

    def read(self, out: numpy.ndarray) -> None:
        while True:
            before = self.counter[0]
            if before % 2 == 0:
                out[:] = self.data
                if self.counter[0] == before:
                    return


class Small(ctypes.Structure):
    """What the blackboard of iceoryx2 holds."""

    _fields_ = [("words", ctypes.c_uint64 * 8)]


def blackboard(is_writer: bool) -> Any:
    """The entry of a blackboard, and what keeps it. It compares no generation, and every read is a copy."""
    node = iceoryx2.NodeBuilder.new().create(iceoryx2.ServiceType.Ipc)
    builder = node.service_builder(iceoryx2.ServiceName.new(NAME_OF_BLACKBOARD))
    key = ctypes.c_uint64(0)
    if is_writer:
        service = builder.blackboard_creator(ctypes.c_uint64).add(key, Small()).create()
        port = service.writer_builder().create()
    else:
        service = builder.blackboard_opener(ctypes.c_uint64).open()
        port = service.reader_builder().create()
    return port.entry(key, Small), (node, service, port)


def worker(name: str, memory_name: str, path: str, shared: Any, queue: Any, ready: Any, stop: Any) -> None:
    """Holds one state for every peer."""
    fleet = tearless.Namespace(name)
    writer = fleet.writer("state")
    writer.publish(STATE)
    small = fleet.array_writer("small", 64, "u1")
    small.publish(numpy.ones(64, "u1"))
    large = fleet.array_writer("large", VIEWED, "u1")
    large.publish(numpy.ones(VIEWED, "u1"))
    kept = None if iceoryx2 is None else blackboard(is_writer=True)
    memory = shared_memory.SharedMemory(memory_name)
    Seqlock(memory, 64).write(numpy.ones(64, "u1"))
    shared.update(STATE)
    shared["array"] = numpy.ones(64, "u1")
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(path)
    server.listen()

    def answer() -> None:
        client, _ = server.accept()
        with client:
            while client.recv(1):
                packed = msgpack.packb(STATE)
                client.sendall(struct.pack("<I", len(packed)) + packed)

    def feed() -> None:
        while not stop.is_set():
            queue.put(STATE)

    threads = [threading.Thread(target=answer, daemon=True), threading.Thread(target=feed, daemon=True)]
    for thread in threads:
        thread.start()
    ready.set()
    stop.wait()
    for closing in (writer, small, large):
        closing.close()
    del kept
    queue.cancel_join_thread()


def receive(client: socket.socket, count: int) -> bytes:
    parts = b""
    while len(parts) < count:
        parts += client.recv(count - len(parts))
    return parts


def ask(client: socket.socket) -> Any:
    client.sendall(b"?")
    (length,) = struct.unpack("<I", receive(client, 4))
    return msgpack.unpackb(receive(client, length))


def measure(operations: dict[str, Callable[[], Any]], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Nanoseconds of each operation, a list of rounds each."""
    counts = {}
    for name, operation in operations.items():
        operation()
        begin, count = time.perf_counter(), 0
        while time.perf_counter() - begin < seconds:
            operation()
            count += 1
        counts[name] = max(count, 1)
    figures: dict[str, list[float]] = {name: [] for name in operations}
    for _ in range(rounds):
        for name, operation in operations.items():
            repeated = range(counts[name])
            begin = time.perf_counter_ns()
            for _ in repeated:
                operation()
            figures[name].append((time.perf_counter_ns() - begin) / counts[name])
    return figures


def passed(connection: Any) -> None:
    """A worker that says when it has an array."""
    while (given := connection.recv()) is not None:
        connection.send(float(given[-1]))


def passing(fleet: tearless.Namespace, context: Any, size: int, rounds: int) -> dict[str, list[float]]:
    """Nanoseconds to hand an array of that many bytes to a worker, by its name and by a copy."""
    here, there = context.Pipe()
    process = context.Process(target=passed, args=(there,))
    process.start()
    figures: dict[str, list[float]] = {"as a name": [], "pickled": []}
    with fleet.alloc("passed", size, "u1") as managed:
        managed[-1] = 7
        copy = numpy.ones(size, "u1")
        for how, array, times in (("as a name", managed, rounds * 10), ("pickled", copy, rounds)):
            for _ in range(times):
                begin = time.perf_counter_ns()
                here.send(array)
                here.recv()
                figures[how].append(time.perf_counter_ns() - begin)
    here.send(None)
    process.join()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="for a moment, to see that it works")
    quick = parser.parse_args().quick
    rounds, seconds, gigabyte = (2, 0.005, 1 << 20) if quick else (25, 0.02, 1 << 30)

    before = set(os.listdir("/dev/shm"))
    context = multiprocessing.get_context("spawn")
    manager = context.Manager()
    shared, queue = manager.dict(), context.Queue(1)
    memory = shared_memory.SharedMemory(create=True, size=8 + 64)
    path = f"\0{NAME}"
    ready, stop = context.Event(), context.Event()
    process = context.Process(target=worker, args=(NAME, memory.name, path, shared, queue, ready, stop))
    process.start()
    ready.wait()

    fleet = tearless.Namespace(NAME)
    reader, small = fleet.reader("state"), fleet.array_reader("small")
    large = fleet.array_reader("large")
    publisher, arrays = fleet.writer("mine"), fleet.array_writer("mine-array", 64, "u1")
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.connect(path)
    packed = msgpack.packb(STATE)
    out, array = numpy.empty(64, "u1"), numpy.ones(64, "u1")
    lock = Seqlock(memory, 64)
    operations: dict[str, Callable[[], Any]] = {
        "msgpack.unpackb": functools.partial(msgpack.unpackb, packed),
        "tearless snapshot": reader.snapshot,
        "msgpack.packb": functools.partial(msgpack.packb, STATE),
        "tearless publish": functools.partial(publisher.publish, STATE),
        "Manager().dict() copy": shared.copy,
        "Manager().dict() array": lambda: shared["array"],
        "Queue get": queue.get,
        "socket, msgpack": functools.partial(ask, client),
        "shared_memory, by hand, read": functools.partial(lock.read, out),
        "shared_memory, by hand, write": functools.partial(lock.write, array),
        "tearless array snapshot": small.snapshot,
        "tearless array snapshot(out)": functools.partial(small.snapshot, out),
        "tearless array publish": functools.partial(arrays.publish, array),
        "tearless view of 8 MiB": large.view,
    }
    kept: list[Any] = []
    if iceoryx2 is not None:
        kept.extend(blackboard(is_writer=False))
        operations["iceoryx2 blackboard, 64 B, get"] = lambda: kept[0].get().decode_as(Small)
    figures = measure(operations, rounds, seconds)
    operations.clear()
    kept.clear()
    stop.set()
    process.join()
    handed = passing(fleet, context, gigabyte, 1 if quick else 5)

    print(f"CPython {platform.python_version()}, NumPy {numpy.__version__}, msgpack {'.'.join(map(str, msgpack.version))}, "
          f"{os.cpu_count()} processors, Linux {platform.release()}, load {os.getloadavg()[0]:.1f}\n")
    print(f"{'ns for one':<32} {'p10':>10} {'median':>10} {'p90':>10}")
    median = {}
    for name, taken in (figures | {f"1 GiB {how}": taken for how, taken in handed.items()}).items():
        deciles = statistics.quantiles(taken, n=10, method="inclusive") if len(taken) > 1 else [taken[0]] * 9
        median[name] = statistics.median(taken)
        print(f"{name:<32} {deciles[0]:>10.0f} {median[name]:>10.0f} {deciles[8]:>10.0f}")

    def goal(text: str, value: float, wanted: float, is_at_least: bool) -> None:
        is_met = value >= wanted if is_at_least else value <= wanted
        sign = ">=" if is_at_least else "<="
        print(f"{'met' if is_met else 'MISSED':<8} {text}: {value:.4g}, wanted {sign} {wanted:g}")

    print()
    goal("snapshot of a dict, in unpackb", median["tearless snapshot"] / median["msgpack.unpackb"], 1.5, False)
    goal("publish of a dict, in packb", median["tearless publish"] / median["msgpack.packb"], 1.5, False)
    goal("snapshot of 64 B into an array, ns", median["tearless array snapshot(out)"], 300, False)
    goal("view of 8 MiB, ns", median["tearless view of 8 MiB"], 2000, False)
    goal("query of a dict, Manager over tearless", median["Manager().dict() copy"] / median["tearless snapshot"], 40, True)
    goal("query of an array, Manager over tearless",
         median["Manager().dict() array"] / median["tearless array snapshot(out)"], 200, True)
    goal("1 GiB to a worker, pickled over named", median["1 GiB pickled"] / median["1 GiB as a name"], 1000, True)

    for closing in (publisher, arrays):
        closing.close()
    client.close()
    memory.close()
    memory.unlink()
    manager.shutdown()
    fleet.cleanup()
    # iceoryx2 keeps a file for all its nodes.
    for left in set(os.listdir("/dev/shm")) - before:
        if left.startswith("iox2_"):
            os.unlink(f"/dev/shm/{left}")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
