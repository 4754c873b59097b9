"""Processes: forked, spawned, killed, and ending in any order."""

from __future__ import annotations

import asyncio
import gc
import json
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy
import pytest
import tearless
from conftest import left_of

# A test forks on purpose while threads run.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

METHODS = ["fork", "spawn", "forkserver"]


def all_of(fleet: tearless.Namespace, reader: tearless.Reader, arrays: tearless.ArrayReader, hub: Any,
           replay: tearless.SharedArray) -> tuple[Any, ...]:
    """What a worker sees of everything it was given; it writes into the array."""
    replay[os.getpid() % len(replay)] = os.getpid()
    seen = (fleet.name, reader.snapshot().value, arrays.snapshot().value.tolist(), hub.get("w").value)
    return (*seen, os.getpid())


def in_child(child: Callable[[], None]) -> None:
    """Runs `child` in a fork of this process, which has to end well within two minutes."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.alarm(120)
            child()
            code = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.parametrize("method", METHODS)
def test_workers_are_given_everything_by_name(fleet: tearless.Namespace, method: str) -> None:
    with fleet.writer("w") as writer, fleet.array_writer("a", 3, "int64") as array_writer, \
            fleet.alloc("replay", 1000, "int64") as replay:
        writer.publish({"jobs_done": 3})
        array_writer.publish(numpy.arange(3))
        given = (fleet, fleet.reader("w"), fleet.array_reader("a"), fleet.hub(), replay)
        context = multiprocessing.get_context(method)
        with context.Pool(2) as pool:
            results = pool.starmap(all_of, [given] * 4)
            pool.close()
            pool.join()
        for *seen, pid in results:
            assert seen == [fleet.name, {"jobs_done": 3}, [0, 1, 2], {"jobs_done": 3}]
            assert replay[pid % 1000] == pid
        with ProcessPoolExecutor(2, mp_context=context) as executor:
            *seen, pid = executor.submit(all_of, *given).result()
        assert seen[0] == fleet.name and replay[pid % 1000] == pid
        # The workers have ended, and nothing of the parent with them.
        assert writer.publish(1) == 2 and fleet.blocks() == ["replay"]


def test_workers_of_joblib(fleet: tearless.Namespace) -> None:
    joblib = pytest.importorskip("joblib")
    with fleet.writer("w") as writer, fleet.array_writer("a", 3, "int64") as array_writer, \
            fleet.alloc("replay", 1_000_000, "int64") as replay:
        writer.publish(1)
        array_writer.publish(numpy.arange(3))
        given = (fleet, fleet.reader("w"), fleet.array_reader("a"), fleet.hub(), replay)
        # joblib saves large arrays to files of its own, but not those that are pickled by name.
        results = joblib.Parallel(n_jobs=2)(joblib.delayed(all_of)(*given) for _ in range(2))
        for *_, pid in results:
            assert replay[pid % len(replay)] == pid
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor().shutdown(wait=True)
        assert fleet.blocks() == ["replay"]


def test_a_writer_belongs_to_the_process_that_opened_it(fleet: tearless.Namespace) -> None:
    writer = fleet.writer("w")
    writer.publish("parent")
    camera = fleet.array_writer("a", (100, 100), "uint8")
    with camera.frame() as frame:
        frame[...] = 1
    syncer = fleet.syncer("s", {"n": 1}, interval=0.01)
    syncer.flush()
    replay = fleet.alloc("replay", 10)

    def child() -> None:
        for refused in (
            lambda: writer.publish(2), lambda: writer.publish_if_changed(2), writer.touch,
            lambda: camera.publish(frame), lambda: camera.frame().__enter__(), camera.touch, syncer.flush,
        ):
            with pytest.raises(tearless.ForkedError, match="fork"):
                refused()
        # Ending them ends nothing of the parent's.
        for one in (writer, camera, syncer, replay):
            one.close()
        assert fleet.reader("w").snapshot().value == "parent"
        with pytest.raises(tearless.InUseError):
            fleet.writer("w")
        # One of its own.
        with fleet.writer("child") as own:
            own.publish(os.getpid())
            assert fleet.reader("child").snapshot().value == os.getpid()

    in_child(child)
    assert writer.publish("again") == 2 and writer.publication == 2
    assert camera.publish(frame) == 2
    assert syncer.flush() == 1
    assert fleet.channels() == ["a", "s", "w"] and fleet.blocks() == ["replay"]
    for one in (writer, camera, syncer, replay):
        one.close()


def test_garbage_in_a_fork_ends_nothing(fleet: tearless.Namespace) -> None:
    writers: list[Any] = [fleet.writer("w"), fleet.array_writer("a", 100, "uint8"), fleet.syncer("s", 1),
                          fleet.alloc("replay", 10)]

    def child() -> None:
        writers.clear()
        gc.collect()

    in_child(child)
    assert fleet.channels() == ["a", "s", "w"] and fleet.blocks() == ["replay"]
    for one in writers:
        one.close()


def test_a_fork_within_a_frame(fleet: tearless.Namespace) -> None:
    with fleet.array_writer("a", 100_000, "uint8") as camera:
        reader = fleet.array_reader("a")

        def child() -> None:
            # The block ends here, too, and publishes nothing.
            with pytest.raises(tearless.ForkedError):
                block.__exit__(None, None, None)
            camera.close()
            with pytest.raises(tearless.EmptyError):
                reader.snapshot()

        block = camera.frame()
        with block as frame:
            frame[...] = 1
            in_child(child)
            frame[50:] = 2
        assert block.publication == 1
        assert reader.snapshot().value.sum() == 50 + 2 * 99_950
        # A frame that a fork leaves by an error is given back there only.
        block = camera.frame()
        with block as frame:
            frame[...] = 3
            in_child(lambda: block.__exit__(RuntimeError, RuntimeError(), None))
        assert reader.snapshot().value.sum() == 300_000


def test_a_fork_reads_the_views_of_its_parent(fleet: tearless.Namespace) -> None:
    with fleet.array_writer("a", 100_000, "uint8", pins=1) as camera:
        camera.publish(numpy.full(100_000, 7, "uint8"))
        reader = fleet.array_reader("a")
        view = reader.view()
        held: list[Any] = [view, view.array[10:]]
        assert view.is_in_place
        del view

        def child() -> None:
            view, array = held
            assert (array == 7).all() and (view.array == 7).all()
            view.close()
            del view, array
            held.clear()
            gc.collect()

        in_child(child)
        # The child has given back nothing: the writer does not reuse this memory, and no other view gets the only pin.
        for number in range(20):
            camera.publish(numpy.full(100_000, number, "uint8"))
        assert (held[1] == 7).all()
        assert not reader.view().is_in_place
        held.clear()
        assert reader.view().is_in_place


def test_a_fork_while_threads_read_and_publish(fleet: tearless.Namespace) -> None:
    """Whatever lock another thread has at that moment, the fork doesn't wait for it for ever."""
    large = bytes(4 << 20)
    with fleet.bytes_writer("large", capacity=len(large)) as writer, fleet.writer("small") as small, \
            fleet.array_writer("a", 1 << 20, "uint8") as camera, fleet.bytes_writer("other") as other:
        writer.publish(large)
        small.publish(1)
        camera.publish(numpy.zeros(1 << 20, "uint8"))
        reader, arrays, hub, few = fleet.reader("large"), fleet.array_reader("a"), fleet.hub(), fleet.reader("small")
        out = numpy.empty(1 << 20, "uint8")
        arrays.snapshot(out)
        watch, syncer = hub.watch(), fleet.syncer("s", {"n": 0}, interval=0.01)
        stop = threading.Event()

        def repeat(work: Callable[[], object]) -> None:
            while not stop.is_set():
                work()

        work: list[Callable[[], object]] = [
            reader.snapshot, lambda: writer.publish(large), lambda: arrays.snapshot(out), lambda: hub.status("large"),
            hub.channels, lambda: few.changed(0.01), lambda: watch.wait_any(0.01), fleet.channels,
            lambda: syncer.update(lambda state: {"n": state["n"] + 1}),
        ]
        threads = [threading.Thread(target=repeat, args=(one,), daemon=True) for one in work]
        for thread in threads:
            thread.start()

        def child() -> None:
            assert len(reader.snapshot().value) == len(large)
            assert arrays.snapshot(out).value.sum() == 0
            assert arrays.view().array.sum() == 0
            assert few.snapshot().value == 1
            assert "large" in hub.channels() and hub.status("large").health == "fresh"
            assert hub.get("small").value == 1
            watch.wait_any(0)
            fleet.channels()
            for forked in (writer, syncer):
                forked.close()
            with pytest.raises(tearless.ClosedError):
                writer.publish(large)
            with pytest.raises(tearless.ForkedError):
                other.publish(large)
            with fleet.writer("child") as own:
                own.publish(1)

        try:
            for _ in range(40):
                in_child(child)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        syncer.close()


HELD = """
import os, sys, time
import numpy, tearless
fleet = tearless.Namespace(sys.argv[1])
writer = fleet.writer("w"); writer.publish({"last": 1})
camera = fleet.array_writer("a", 100_000, "uint8"); camera.publish(numpy.full(100_000, 7, "uint8"))
view = fleet.array_reader("a").view()
replay = fleet.alloc("replay", 100_000, "uint8"); replay[...] = 5
syncer = fleet.syncer("s", {"n": 1}, interval=0.01); syncer.flush()
frame = camera.frame(); array = frame.__enter__(); array[:50_000] = 9
print("ready", flush=True)
time.sleep(600)
"""


def test_what_a_killed_process_leaves_is_removed(fleet: tearless.Namespace) -> None:
    worker = subprocess.Popen([sys.executable, "-c", HELD, fleet.name], stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None and worker.stdout.readline() == "ready\n"
    reader, arrays, hub = fleet.reader("w"), fleet.array_reader("a"), fleet.hub()
    view, replay, status = arrays.view(), fleet.array("replay"), hub.status("w")
    assert (status.health, status.writer_pid) == ("fresh", worker.pid)
    assert replay.owner_state() == "alive"
    worker.kill()
    worker.wait()
    worker.stdout.close()
    # The last state stays readable; the frame that was not published is none.
    assert reader.writer_state() == "dead" and hub.status("w").health == "dead"
    assert reader.snapshot().value == {"last": 1} and hub.get("s").value == {"n": 1}
    assert arrays.snapshot().value.tolist() == [7] * 100_000
    assert view.is_in_place and (view.array == 7).all()
    assert replay.owner_state() == "dead"
    # The next start takes over, and views still don't change.
    with fleet.writer("w") as writer, fleet.array_writer("a", 100_000, "uint8") as camera:
        assert writer.publish({"last": 2}) == 2
        assert reader.snapshot().value == {"last": 2}
        for number in range(20):
            camera.publish(numpy.full(100_000, number, "uint8"))
        assert arrays.snapshot().value[0] == 19 and (view.array == 7).all()
        with fleet.alloc("replay", 10) as again:
            assert again.sum() == 0 and (replay == 5).all()
    # What was neither taken over nor closed: the last state stays until it is removed.
    assert fleet.cleanup() == [] and fleet.channels() == ["s"]
    assert fleet.cleanup(keep=1000) == [] and fleet.cleanup(keep=0) == ["s"]
    assert left_of(fleet._object_prefix()) == []
    assert (view.array == 7).all() and (replay == 5).all()


def test_cleanup_after_a_kill(fleet: tearless.Namespace) -> None:
    worker = subprocess.Popen([sys.executable, "-c", HELD, fleet.name], stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None and worker.stdout.readline() == "ready\n"
    pickled = pickle.dumps(fleet.array("replay"))
    worker.kill()
    worker.wait()
    worker.stdout.close()
    assert fleet.remove("w") and not fleet.remove("w")
    assert "replay" in fleet.cleanup()
    with pytest.raises(tearless.NotFoundError, match="replay"):
        pickle.loads(pickled)
    for channel in fleet.channels():
        assert fleet.remove(channel)
    assert left_of(fleet._object_prefix()) == []


def kill_in_a_frame(fleet: tearless.Namespace) -> None:
    camera = fleet.array_writer("a", 100_000, "uint8")
    camera.publish(numpy.full(100_000, 1, "uint8"))
    with camera.frame() as frame:
        frame[...] = 2
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("method", METHODS)
def test_a_killed_process_of_multiprocessing(fleet: tearless.Namespace, method: str) -> None:
    process = multiprocessing.get_context(method).Process(target=kill_in_a_frame, args=(fleet,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    reader = fleet.array_reader("a")
    assert reader.snapshot().value.sum() == 100_000
    assert fleet.remove("a")


def terminate_me(fleet: tearless.Namespace, ready: Any) -> None:
    kept = [fleet.writer("w"), fleet.alloc("replay", 10), fleet.syncer("s", 1)]
    ready.set()
    time.sleep(600)
    del kept


def end_normally(fleet: tearless.Namespace) -> None:
    # A process of multiprocessing ends by os._exit, without atexit.
    global kept
    kept = [fleet.writer("w"), fleet.alloc("replay", 10), fleet.array_writer("a", 3)]


@pytest.mark.parametrize("method", METHODS)
def test_a_process_of_multiprocessing_ends_its_channels(fleet: tearless.Namespace, method: str) -> None:
    context = multiprocessing.get_context(method)
    process = context.Process(target=end_normally, args=(fleet,))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert fleet.channels() == [] and fleet.blocks() == []
    ready = context.Event()
    process = context.Process(target=terminate_me, args=(fleet, ready))
    process.start()
    assert ready.wait(60)
    process.terminate()
    process.join()
    for left in fleet.channels() + fleet.blocks():
        assert fleet.remove(left)


SHUTDOWNS = {
    "globals": """
view = arrays.view(); kept = view.array; part = replay[3:]; snapshot = reader.snapshot()
iterator = iter(reader.history()); next(iterator)
""",
    "an exception's frames": """
def fail():
    local = fleet.writer("local"); local.publish(1)
    raise ValueError("mine")
try: fail()
except ValueError as error: kept = error
""",
    "cycles": """
class Node: pass
node = Node(); node.me = node; node.kept = [writer, camera, reader, replay, fleet, syncer, hub]
""",
    "a frame that is open": """
frame = camera.frame(); array = frame.__enter__(); array[...] = 9
""",
    "a generator in a frame": """
def frames():
    with camera.frame() as array:
        array[...] = 9
        yield array
generator = frames(); next(generator)
""",
    "daemon threads": """
import threading
def read():
    while True: reader.snapshot(); hub.all()
def wait():
    while True: reader.changed()
def watch():
    watch = hub.watch()
    while True: watch.wait_any()
def publish():
    n = 0
    while True: n += 1; writer.publish({"n": n})
def update():
    while True: syncer.update(lambda state: {"n": state["n"] + 1})
def copy():
    out = numpy.empty(100_000, "uint8")
    while True: camera.publish(out); arrays.snapshot(out)
for target in (read, wait, watch, publish, update, copy):
    threading.Thread(target=target, daemon=True).start()
import time; time.sleep(0.2)
""",
    "sys.exit in a thread": """
import threading
threading.Thread(target=lambda: (reader.changed(0.05), sys.exit(3))).start()
""",
    "iterators of asyncio": """
import asyncio
async def main():
    global changes, others
    changes = reader.changes(); print((await anext(changes)).value)
    others = hub.changes(); await anext(others)
asyncio.run(main())
""",
    "a task that never ends": """
import asyncio
async def follow():
    async for state in reader.changes(): pass
async def main():
    global task
    task = asyncio.create_task(follow())
    await asyncio.sleep(0.05)
asyncio.run(main())
""",
    "atexit": """
import atexit
atexit.register(lambda: (reader.snapshot(), print("at the end")))
""",
    "__del__": """
class Late:
    def __del__(self):
        # Modules may be gone: whatever is here, it is an error of Python and no crash.
        try: reader.snapshot(); writer.publish(1); camera.frame().__enter__()
        except Exception: pass
late = Late()
import builtins; builtins.late = late
""",
    "an update that waits": """
import threading, time
threading.Thread(target=lambda: syncer.update(lambda state: time.sleep(600)), daemon=True).start()
time.sleep(0.1)
""",
    "os.fork": """
import os
pid = os.fork()
if pid == 0:
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert fleet.reader("w").writer_state() == "alive"
writer.publish(2)
""",
}


@pytest.mark.parametrize("order", SHUTDOWNS)
def test_the_end_of_the_interpreter_is_silent(fleet: tearless.Namespace, run: Any, order: str) -> None:
    begin = """
import sys
import numpy, tearless
fleet = tearless.Namespace(sys.argv[1])
writer = fleet.writer("w"); writer.publish({"n": 1}); reader = fleet.reader("w")
camera = fleet.array_writer("a", 100_000, "uint8"); camera.publish(numpy.ones(100_000, "uint8"))
arrays = fleet.array_reader("a"); replay = fleet.alloc("replay", 100); hub = fleet.hub()
syncer = fleet.syncer("s", {"n": 1}, interval=0.01)
"""
    run(begin + SHUTDOWNS[order], fleet.name)
    # A thread that is in the middle of a change is not waited for: its channel ends as by a kill.
    left = ["s"] if order == "an update that waits" else []
    assert fleet.channels() == left and fleet.blocks() == []
    assert fleet.cleanup(keep=0) == left
    assert left_of(fleet._object_prefix()) == []


def test_the_end_by_a_signal(fleet: tearless.Namespace) -> None:
    """SIGINT ends the program by KeyboardInterrupt, and so in order."""
    # A shell starts what runs in the background so that it ignores it.
    program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n" + HELD
    program = program.replace("time.sleep(600)", "reader = fleet.reader('w'); reader.snapshot(); reader.changed()")
    worker = subprocess.Popen([sys.executable, "-c", program, fleet.name], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
    assert worker.stdout is not None and worker.stdout.readline() == "ready\n"
    time.sleep(0.2)
    worker.send_signal(signal.SIGINT)
    _, said = worker.communicate(timeout=60)
    assert said.strip().endswith("KeyboardInterrupt")
    assert left_of(fleet._object_prefix()) == []


def test_warnings_of_the_resource_tracker_are_none(fleet: tearless.Namespace, run: Any) -> None:
    """The memory is none of `multiprocessing.shared_memory`, whose tracker removes what others use."""
    run("""
import multiprocessing, sys
import tearless
def work(replay): replay[0] = 1
fleet = tearless.Namespace(sys.argv[1])
replay = fleet.alloc("replay", 10)
process = multiprocessing.get_context("fork").Process(target=work, args=(replay,))
process.start(); process.join()
assert replay[0] == 1 and fleet.blocks() == ["replay"]
""", fleet.name)


def test_torture_in_short() -> None:
    # A process of its own, which forks, and sets the environment of NumPy.
    program = Path(__file__).with_name("torture.py")
    done = subprocess.run([sys.executable, program, "--seconds", "5", "--kills", "80"],
                          capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done
    seen = json.loads(done.stdout)
    assert seen["torn"] == seen["left"] == seen["hung"] == 0 and seen["failed"] == [], seen
    assert seen["kills"] >= 80 and seen["rounds"] > 0


LEAKS = """
import asyncio, collections, ctypes, gc, logging, os, pickle, sys
import numpy, tearless
logging.getLogger("tearless").disabled = True
fleet = tearless.Namespace(sys.argv[1])
writer = fleet.writer("w"); camera = fleet.array_writer("a", 100, "uint8"); hub = fleet.hub()
large = fleet.array_writer("l", 20_000, "uint8")
writer.publish({"n": 1, "text": "x" * 100}); camera.publish(numpy.ones(100, "uint8"))
large.publish(numpy.ones(20_000, "uint8"))
reader = fleet.reader("w"); arrays = fleet.array_reader("a"); views = fleet.array_reader("l"); watch = hub.watch()
out = numpy.empty(100, "uint8"); value = {"n": 1, "text": "x" * 100}
block = fleet.alloc("b", 100); pickled = pickle.dumps(block[3:]); pickled_reader = pickle.dumps(reader)
syncer = fleet.syncer("s", value, interval=60)
def frame():
    with large.frame() as array: array[0] = 1
def refused():
    try: writer.publish({1, 2})
    except tearless.EncodeError: pass
def missing():
    try: fleet.reader("nobody")
    except tearless.NotFoundError: pass
closed = fleet.writer("closed"); closed.close()
def closed_writer():
    try: closed.publish(1)
    except tearless.ClosedError: pass
def second_writer():
    try: fleet.writer("w")
    except tearless.InUseError: pass
def other_type():
    try: fleet.array_reader("a", dtype="float64")
    except tearless.TypeMismatchError: pass
def other_shape():
    try: arrays.snapshot(numpy.empty(7, "uint8"))
    except tearless.TypeMismatchError: pass
def failed_frame():
    try:
        with large.frame(): raise KeyError
    except KeyError: pass
def failed_update():
    try: syncer.update(lambda state: state["no"])
    except KeyError: pass
def failed_flush():
    syncer.state = {1, 2}
    try: syncer.flush()
    except tearless.EncodeError: syncer.state = value
def syncer_of_its_own():
    with fleet.syncer("short", value, interval=60) as short: short.state = {"n": 2}
loop = asyncio.new_event_loop()
async def follow():
    async for snapshot in reader.changes(): return snapshot
async def publish():
    async with fleet.publisher("published", lambda: value, interval=60): pass
def stream():
    changes = reader.changes(); changes._stream.next(); changes._stream.next()
def hub_stream():
    changes = hub.changes(); changes._stream.next(); changes._stream.next()
def open_and_close():
    with fleet.writer("other") as other: other.publish(1); fleet.reader("other").snapshot(); hub.get("other")
def alloc():
    with fleet.alloc("other", 100) as other: fleet.array("other")[3:]
OPERATIONS = {
    "publish": lambda: writer.publish(value), "unchanged": lambda: writer.publish_if_changed(value),
    "snapshot": lambda: reader.snapshot().value, "history": reader.history, "array": lambda: arrays.snapshot().value,
    "out": lambda: arrays.snapshot(out), "view": lambda: views.view().array[3:], "frame": frame,
    "get": lambda: hub.get("w"), "states": lambda: hub.states(), "status": lambda: hub.status("w"),
    "cut": lambda: hub.cut(["w", "a"]), "wait_any": lambda: (writer.touch(), watch.wait_any(0)),
    "changed": lambda: reader.changed(0), "refused": refused, "missing": missing,
    "unpickled array": lambda: pickle.loads(pickled), "unpickled reader": lambda: pickle.loads(pickled_reader),
    "stream": stream, "hub stream": hub_stream, "reader": lambda: fleet.reader("w").snapshot(),
    "array reader": lambda: fleet.array_reader("a").snapshot(), "hub": lambda: fleet.hub().get("w"),
    "update": lambda: syncer.update(lambda state: {**state}), "open and close": open_and_close, "alloc": alloc,
    "watch": lambda: hub.watch().wait_any(0), "namespace": lambda: tearless.Namespace(sys.argv[1]).channels(),
    "closed writer": closed_writer, "second writer": second_writer, "other type": other_type, "other shape": other_shape,
    "failed frame": failed_frame, "failed update": failed_update, "failed flush": failed_flush,
    "flush": syncer.flush, "changes": lambda: loop.run_until_complete(follow()),
    "table": hub._repr_html_, "snapshot at": lambda: reader.snapshot_at(reader.publication), "cleanup": fleet.cleanup,
}
OPERATIONS |= {"publisher": lambda: loop.run_until_complete(publish()), "syncer": syncer_of_its_own}
# They make many system calls, or start a thread: a tenth of the times.
SLOW = {"publisher", "syncer", "alloc", "missing", "open and close", "unpickled array", "cleanup", "table"}
def resident():
    with open("/proc/self/statm") as file: return int(file.read().split()[1]) * 4096
def descriptors(): return len(os.listdir("/proc/self/fd"))
def mappings():
    with open("/proc/self/maps") as file: return sum(1 for _ in file)
class Mallinfo(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]
libc = ctypes.CDLL(None); libc.malloc.argtypes = [ctypes.c_size_t]; libc.malloc.restype = ctypes.c_void_p
mallinfo = getattr(libc, "mallinfo2", None)
if mallinfo: mallinfo.restype = Mallinfo
def allocated():
    # Of malloc, in bytes: what the library has, and what is too large for Python's own allocator.
    info = mallinfo() if mallinfo else Mallinfo()
    return info.uordblks + info.hblkhd
def objects(): return collections.Counter(type(one).__name__ for one in gc.get_objects())
# The interpreter keeps up to 4,096 names of attributes that it has read.
clear_names = getattr(sys, "_clear_internal_caches", None) or sys._clear_type_cache
def look():
    gc.collect(); clear_names()
    # All of Python's own allocator, also what the garbage collector does not know: numbers, bytes, arrays.
    return resident(), descriptors(), mappings(), sys.getallocatedblocks(), allocated()
kept = []
# The first call makes objects that stay.
objects(); look()
if len(sys.argv) > 3: OPERATIONS = {"kept": lambda: kept.append(eval(sys.argv[3]))}
for name, operation in OPERATIONS.items():
    times = int(sys.argv[2]) // (10 if name in SLOW else 1)
    for _ in range(max(times // 10, 20)): operation()
    gc.collect(); made = objects()
    before = look()
    for _ in range(times): operation()
    after = look()
    made = objects() - made
    grown = [b - a for a, b in zip(before, after)]
    # One leak in ten rounds is found, of a block of Python or of bytes of malloc. The resident memory grows in
    # steps: it is for what neither of them has, such as mappings that are longer than before.
    limits = [500_000 + 50 * times, 2, 20, times / 10, 4096 + 10 * times]
    if any(one > limit for one, limit in zip(grown, limits)):
        print(name, "leaks:", grown, "allowed:", limits)
    if any(count > times / 10 for count in made.values()):
        print(name, "leaks objects:", made.most_common(3))
"""


def test_nothing_leaks(fleet: tearless.Namespace, run: Any) -> None:
    times = os.environ.get("TEARLESS_LEAK_TIMES", "2000")
    assert run(LEAKS, fleet.name, times).stdout == ""


@pytest.mark.parametrize("kept, says", [
    ("bytearray(200)", "kept leaks: ["), ("reader.snapshot()", "kept leaks: ["), ("[1]", "('list', "),
    ("fleet.array('b')", "('SharedArray', "), ("numpy.empty(0)", "kept leaks: ["), ("bytes(20)", "kept leaks: ["),
    ("bytes(1000)", "kept leaks: ["), ("libc.malloc(100)", "kept leaks: ["),
    ("len(kept) % 20 or os.open('/', os.O_RDONLY)", "kept leaks: ["),
])
@pytest.mark.parametrize("times", ["2000", "200"])
def test_a_leak_is_found(fleet: tearless.Namespace, run: Any, kept: str, says: str, times: str) -> None:
    """The check above finds what is kept on purpose, in its rounds of quick operations and of slow ones."""
    assert says in run(LEAKS, fleet.name, times, kept).stdout


def resources() -> tuple[int, int, int]:
    """Bytes of private memory, the process's share of all its memory, and those of shared memory that it has mapped."""
    with open("/proc/self/smaps_rollup") as file:
        kib = {line.split(":")[0]: int(line.split()[1]) for line in file if line.endswith("kB\n")}
    return (kib["Private_Clean"] + kib["Private_Dirty"]) << 10, kib["Pss"] << 10, kib["Pss_Shmem"] << 10


def look_at(connection: Any) -> None:
    """A worker that reads the whole array it is given."""
    connection.send(resources())
    array = connection.recv()
    connection.send(float(array[::4096].sum()))
    connection.send(resources())
    # While the other process looks at its own.
    connection.recv()


def test_a_pair_of_processes_has_one_copy_of_an_array(fleet: tearless.Namespace) -> None:
    size = int(os.environ.get("TEARLESS_PAIR_BYTES", 128 << 20))
    slack = 24 << 20

    def in_dev_shm() -> int:
        """What the objects of the namespace take there. Other programs use it at the same time."""
        prefix = fleet._object_prefix()
        return sum(entry.stat().st_blocks * 512 for entry in os.scandir("/dev/shm") if entry.name.startswith(prefix))

    free = shutil.disk_usage("/dev/shm").free
    if free < 2 * size:
        pytest.skip(f"/dev/shm has {free:,} bytes: too few for an array of {size:,}")
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    worker = context.Process(target=look_at, args=(there,), daemon=True)
    worker.start()
    # So that the end of the worker is seen here.
    there.close()
    try:
        before, in_worker_before, objects_before = resources(), here.recv(), in_dev_shm()
        with fleet.alloc("large", size, "uint8") as large:
            large[:] = 1
            here.send(large)
            assert here.recv() == len(range(0, size, 4096))
            in_worker, after, grown = here.recv(), resources(), in_dev_shm() - objects_before
            here.send(None)
            worker.join()
        assert worker.exitcode == 0
    finally:
        worker.kill()
        worker.join()
        here.close()
    assert size <= grown < size + (1 << 20), grown
    # Each has its part of the pages that both have mapped.
    both = after[1] - before[1] + in_worker[1] - in_worker_before[1]
    shared = after[2] - before[2] + in_worker[2] - in_worker_before[2]
    private = after[0] - before[0], in_worker[0] - in_worker_before[0]
    print(f"{size:,} bytes: /dev/shm {grown:,}, both {both:,}, of it shared {shared:,}, private {private}")
    assert abs(both - size) < slack and abs(shared - size) < slack, (both, shared)
    assert max(private) < slack, private


@pytest.mark.parametrize("size", [10, 300_000])
def test_forks_while_threads_wait_for_the_same_objects(run: Any, fleet: tearless.Namespace, size: int) -> None:
    """No fork is made while a thread that waited for a lock has it and not yet the interpreter."""
    run("""
import os, signal, sys, threading, tearless
signal.alarm(280)
sys.setswitchinterval(1e-5)
fleet, size = tearless.Namespace(sys.argv[1]), int(sys.argv[2])
values, plain = fleet.writer("w", capacity=2 * size + 1000), fleet.bytes_writer("b", capacity=size + 1000)
value, payload = [bytes(size)], bytes(size)
values.publish(value); plain.publish(payload)
readers, hub, stop = [fleet.reader("w"), fleet.reader("b")], fleet.hub(), threading.Event()

def touch():
    for reader in readers:
        reader.snapshot(); reader.history(); reader.has_changed()
    for writer in (values, plain):
        try:
            writer.publish(value if writer is values else payload)
        except tearless.ForkedError:
            pass
    hub.get("w"); hub.get("b"); hub.channels()

def work():
    while not stop.is_set():
        touch()

threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for _ in range(30):
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        touch()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "a child was stuck"
stop.set()
for thread in threads: thread.join()
values.close(); plain.close()
""", fleet.name, str(size))


def test_a_process_that_was_stopped_in_the_middle_of_a_fork(run: Any, fleet: tearless.Namespace) -> None:
    """As when a machine sleeps: threads that wait for the fork don't take it for one that never comes."""
    run("""
import os, signal, subprocess, sys, threading
signal.alarm(280)

# It is called after tearless's own hook, since it was registered before that.
def stop():
    pid = os.getpid()
    subprocess.Popen(["sh", "-c", f"sleep 1.2; kill -CONT {pid}"], start_new_session=True)
    os.kill(pid, signal.SIGSTOP)
    for _ in range(10_000):
        pass

waits = [False]
os.register_at_fork(before=lambda: stop() if waits[0] else None)
import tearless
sys.setswitchinterval(1e-5)
fleet, payload, is_over = tearless.Namespace(sys.argv[1]), bytes(300_000), threading.Event()
writer = fleet.bytes_writer("b", capacity=1_000_000)
writer.publish(payload)
reader = fleet.reader("b")

def work():
    while not is_over.is_set():
        reader.snapshot()

threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for _ in range(4):
    waits[0] = True
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        reader.snapshot()
        os._exit(0)
    waits[0] = False
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "a child was stuck"
is_over.set()
for thread in threads: thread.join()
writer.close()
""", fleet.name)


@pytest.mark.parametrize("order", ["tearless, logging", "logging, tearless"])
def test_forks_while_a_thread_that_logs_reads(run: Any, fleet: tearless.Namespace, order: str) -> None:
    """A fork waits for the lock of `logging`, too, whose holder may wait for the fork."""
    run(f"""
import {order}, os, signal, sys, threading
signal.alarm(280)
fleet = tearless.Namespace(sys.argv[1])
writer = fleet.bytes_writer("w", capacity=1 << 20); writer.publish(bytes(1 << 20))
reader, stop = fleet.reader("w"), threading.Event()
reader.snapshot()

def work():
    while not stop.is_set():
        with logging._lock:
            reader.snapshot()

threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads: thread.start()
for _ in range(3):
    child = os.fork()
    if child == 0:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
for thread in threads: thread.join()
writer.close()
""", fleet.name)


@pytest.mark.parametrize("of", ["reader", "hub"])
def test_changes_belong_to_the_process_that_follows_them(fleet: tearless.Namespace, of: str) -> None:
    async def first(changes: Any) -> Any:
        found = await anext(changes)
        return found.value if of == "reader" else found[1].value

    with fleet.writer("w") as writer:
        writer.publish(1)
        followed: Any = fleet.reader("w") if of == "reader" else fleet.hub()
        changes = followed.changes()
        assert asyncio.run(first(changes)) == 1
        writer.publish(2)

        def child() -> None:
            nonlocal changes
            with pytest.raises(tearless.ForkedError, match="changes"):
                asyncio.run(first(changes))
            del changes
            gc.collect()
            assert asyncio.run(first(followed.changes())) == 2

        in_child(child)
        # The child has taken nothing of it.
        assert asyncio.run(first(changes)) == 2
