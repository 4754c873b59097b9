"""What docs/python-migration.md costs, before and now: one run, one table for each section of the page.

    python benches/migration.py [--quick]

Each figure is the median over rounds that take turns, for one operation, beside nothing else in this process. Ray
is measured where it is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing import shared_memory
from pathlib import Path
from typing import Any

import numpy
import tearless
from peers import measure

STATE = {"jobs_done": 3, "queue": ["a job", "another"], "load": 0.5, "phase": "running"}
SHAPE, COUNT = (480, 640), 480 * 640
# A row of a table: what is done, how it was done, how it is done now.
Rows = list[tuple[str, Callable[[], Any], Callable[[], Any]]]


def memory_rows(fleet: tearless.Namespace, ending: ExitStack) -> Rows:
    memory = shared_memory.SharedMemory(create=True, size=COUNT)
    table: Any = numpy.ndarray(SHAPE, "u1", memory.buf)
    array = numpy.ones(SHAPE, "u1")
    camera = ending.enter_context(fleet.array_writer("camera", SHAPE, "u1"))
    camera.publish(array)
    reader = fleet.array_reader("camera")

    def write() -> None:
        table[...] = array

    def frame() -> None:
        with camera.frame() as filled:
            filled[...] = array

    def attach() -> None:
        shared_memory.SharedMemory(memory.name).close()

    def create() -> None:
        made = shared_memory.SharedMemory(create=True, size=COUNT)
        made.close()
        made.unlink()

    def end() -> None:
        nonlocal table
        table = None
        memory.close()
        memory.unlink()

    ending.callback(end)
    return [
        ("write a frame of 300 KiB (now: whole or not at all)", write, frame),
        ("read it as a copy (now: never torn)", lambda: table.copy(), reader.snapshot),
        ("read it in place (now: never torn)", lambda: table[...], reader.view),
        ("open it", attach, lambda: fleet.array_reader("camera")),
        ("create and remove 300 KiB (now: `alloc`)", create, lambda: fleet.alloc("made", SHAPE, "u1").close()),
    ]


def manager_rows(fleet: tearless.Namespace, ending: ExitStack) -> Rows:
    manager = ending.enter_context(multiprocessing.get_context("spawn").Manager())
    states = manager.dict()
    writers = [ending.enter_context(fleet.writer(f"worker-{number}")) for number in range(8)]
    for number, writer in enumerate(writers):
        writer.publish(STATE)
        states[f"worker-{number}"] = STATE
    states["array"] = numpy.ones(SHAPE, "u1")
    camera = ending.enter_context(fleet.array_writer("managed", SHAPE, "u1"))
    camera.publish(numpy.ones(SHAPE, "u1"))
    reader, arrays, hub = fleet.reader("worker-7"), fleet.array_reader("managed"), fleet.hub()

    def write() -> None:
        states["worker-7"] = STATE

    return [
        ("write a `dict` of four fields", write, lambda: writers[7].publish(STATE)),
        ("read one", lambda: states["worker-7"], reader.snapshot),
        ("read those of 8 workers", lambda: [states[f"worker-{number}"] for number in range(8)],
         lambda: hub.states("worker-*")),
        ("read an array of 300 KiB", lambda: states["array"], arrays.snapshot),
    ]


def value_rows(fleet: tearless.Namespace, ending: ExitStack) -> Rows:
    done = multiprocessing.Value("q", 0)
    table = multiprocessing.Array("d", 1000)
    counts = ending.enter_context(fleet.alloc("done", 8, "int64"))
    values = ending.enter_context(fleet.alloc("table", 1000))

    def add() -> None:
        with done.get_lock():
            done.value += 1

    def add_now() -> None:
        counts[3] += 1

    return [
        ("add to a number (now: without a lock)", add, add_now),
        ("read a number", lambda: done.value, lambda: counts[3]),
        ("read 1,000 numbers", lambda: table[:], lambda: values[:]),
        ("the sum of 1,000 numbers", lambda: sum(table[:]), values.sum),
    ]


def ray_rows(fleet: tearless.Namespace, ending: ExitStack) -> Rows:
    import ray

    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, object_store_memory=1 << 30)
    ending.callback(ray.shutdown)

    @ray.remote
    class Worker:
        def state(self) -> dict[str, Any]:
            return STATE

    array = numpy.ones(64 << 20, "u1")
    put = ray.put(array)
    actor = Worker.remote()
    ray.get(actor.state.remote())
    writer = ending.enter_context(fleet.writer("actor"))
    writer.publish(STATE)
    large = ending.enter_context(fleet.array_writer("large", array.shape, "u1", slots=2, pins=1))
    large.publish(array)
    reader, arrays = fleet.reader("actor"), fleet.array_reader("large")
    return [
        ("put an array of 64 MiB (now: publish it)", lambda: ray.put(array), lambda: large.publish(array)),
        ("get it (now: a view)", lambda: ray.get(put), arrays.view),
        ("the state of an actor (now: of a worker)", lambda: ray.get(actor.state.remote()), reader.snapshot),
    ]


def file_rows(fleet: tearless.Namespace, ending: ExitStack) -> Rows:
    path = Path(ending.enter_context(tempfile.TemporaryDirectory())) / "state.json"
    in_memory = Path(ending.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm"))) / "state.json"
    writer = ending.enter_context(fleet.writer("file"))
    writer.publish(STATE)
    reader = fleet.reader("file")

    def write(path: Path) -> None:
        new = path.with_suffix(".new")
        new.write_text(json.dumps(STATE))
        os.replace(new, path)

    write(path)
    write(in_memory)
    return [
        ("write a state of four fields", lambda: write(path), lambda: writer.publish(STATE)),
        ("write it to a file in /dev/shm", lambda: write(in_memory), lambda: writer.publish(STATE)),
        ("read it", lambda: json.loads(path.read_text()), reader.snapshot),
    ]


SECTIONS = {"shared_memory": memory_rows, "Manager": manager_rows, "Value and Array": value_rows, "Ray": ray_rows,
            "files": file_rows}


def shown(nanoseconds: float) -> str:
    for unit, size in (("ms", 1e6), ("µs", 1e3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.3g} {unit}"
    return f"{nanoseconds:.3g} ns"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="for a moment, to see that it works")
    quick = parser.parse_args().quick
    fleet = tearless.Namespace(f"py-migration-{os.getpid()}")
    print(f"CPython {platform.python_version()}, NumPy {numpy.__version__}, {os.cpu_count()} processors, "
          f"Linux {platform.release()}, load {os.getloadavg()[0]:.1f}")
    for section, rows_of in SECTIONS.items():
        if rows_of is ray_rows and importlib.util.find_spec("ray") is None:
            continue
        with ExitStack() as ending:
            rows = rows_of(fleet, ending)
            operations = {f"{when} {what}": call for what, before, now in rows for when, call in (("before", before), ("now", now))}
            figures = measure(operations, *((2, 0.002) if quick else (15, 0.02)))
            operations.clear()
            # What they refer to ends before what it lies in.
            rows = [row[0] for row in rows]
            print(f"\n| {section} | before | now | ratio |\n|---|---:|---:|---:|")
            for what in rows:
                before, now = (statistics.median(figures[f"{when} {what}"]) for when in ("before", "now"))
                ratio = before / now
                print(f"| {what} | {shown(before)} | {shown(now)} | {ratio:.2g} |" if ratio < 10 else
                      f"| {what} | {shown(before)} | {shown(now)} | {float(f'{ratio:.2g}'):,.0f} |")
    fleet.cleanup(keep=0)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
