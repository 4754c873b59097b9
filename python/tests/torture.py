"""Writers and readers of dicts, arrays and views that are killed again and again: ``torture.py --kills 1000``.

Each state says of itself whether it is torn: all its parts have the same number. Prints a line of JSON,
and fails if a state was torn, if something is left in /dev/shm, or if a process doesn't get on.

Workers are forks of this process, which has imported everything and has nothing open, so that a new
one is at work within milliseconds. None of them outlives it, whatever ends it.
"""

from __future__ import annotations

import argparse
import collections
import ctypes
import json
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

# A thread of it would make forks of this process unsafe.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy
import tearless

WRITERS, READERS = 4, 4
# Elements of the arrays: their copies take long enough to be caught in the middle.
LENGTH = 40_000
# Workers report their progress once in so many rounds.
TOLD = 20

_prctl = ctypes.CDLL(None).prctl
PR_SET_PDEATHSIG = 1


def write(fleet: tearless.Namespace, which: int) -> None:
    """Publishes for ever."""
    writer = fleet.writer(f"dict-{which}")
    camera = fleet.array_writer(f"array-{which}", LENGTH, "uint64", pins=4)
    tell("ready")
    number = max(writer.publication, camera.publication)
    while True:
        number += 1
        writer.publish({"number": number, "parts": [number] * (number % 300), "text": str(number) * (number % 50)})
        with camera.frame(LENGTH - number % 3) as frame:
            frame[...] = number
        if number % 20 == 0:
            with fleet.alloc(f"block-{which}", 1000, "uint64") as block:
                block[...] = number
        tell_progress(number)


def read(fleet: tearless.Namespace) -> None:
    """Reads all channels for ever, by readers that are kept and by new ones."""
    tell("ready")
    readers: dict[str, Any] = {}
    held: collections.deque[tuple[tearless.ArrayView, int]] = collections.deque(maxlen=3)
    hub, rounds = fleet.hub(), 0
    out = numpy.empty(LENGTH, "uint64")
    while True:
        rounds += 1
        for which in range(WRITERS):
            try:
                if rounds % 10 == 0 or which not in readers:
                    readers[which] = (fleet.reader(f"dict-{which}"), fleet.array_reader(f"array-{which}"))
                values, arrays = readers[which]
                check_value(values.snapshot().value)
                check_array(arrays.snapshot().value)
                try:
                    check_array(arrays.snapshot(out).value)
                except tearless.TypeMismatchError:
                    # It has another length.
                    pass
                view = arrays.view()
                held.append((view, check_array(view.array)))
                check_value(hub.get(f"dict-{which}").value)
            except (tearless.NotFoundError, tearless.EmptyError, tearless.ClosedError):
                readers.pop(which, None)
        for view, number in held:
            # Views of the past don't change.
            if check_array(view.array) != number:
                tell("torn")
        hub.states()
        tell_progress(rounds)


def check_value(state: dict[str, Any]) -> None:
    number = state["number"]
    if set(state["parts"]) - {number} or len(state["parts"]) != number % 300 or state["text"] != str(number) * (number % 50):
        tell("torn")


def check_array(array: numpy.ndarray) -> int:
    first = int(array[0])
    if not (array == first).all() or len(array) != LENGTH - first % 3:
        tell("torn")
    return first


# The pipe to the parent, in a worker.
_parent = -1


def tell(word: str) -> None:
    """Says it to the parent, which reads lines."""
    os.write(_parent, f"{word}\n".encode())


def tell_progress(number: int) -> None:
    if number % TOLD == 0:
        tell("on")


class Worker:
    """A process that is started again when it was killed."""

    def __init__(self, name: str, role: str, which: int) -> None:
        self.name, self.role, self.which = name, role, which
        self.torn = self.told = 0
        self.slowest = 0.0
        self.failed: list[str] = []
        self.start()

    def start(self) -> None:
        self.pipe, there = os.pipe()
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            self.work(there, parent)
        os.close(there)
        os.set_blocking(self.pipe, False)
        self.started = self.last = time.monotonic()
        # How often it has said something since it was started.
        self.said = 0

    def work(self, pipe: int, parent: int) -> None:
        """In the worker: never returns."""
        global _parent
        _parent = pipe
        try:
            # The kernel kills this process when its parent ends, also if it hangs. It may have ended before.
            _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                return
            fleet = tearless.Namespace(self.name)
            write(fleet, self.which) if self.role == "write" else read(fleet)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)

    def look(self) -> None:
        """Takes what it has told."""
        while True:
            try:
                said = os.read(self.pipe, 65536)
            except BlockingIOError:
                return
            if not said:
                return
            now = time.monotonic()
            if self.said == 0:
                self.slowest = max(self.slowest, now - self.started)
            self.torn += said.count(b"torn")
            self.said += said.count(b"\n")
            self.told += said.count(b"on\n")
            self.last = now

    def kill(self) -> None:
        """Kills it, if it has not ended."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            self.end(os.waitpid(self.pid, 0)[1])

    def end(self, status: int) -> None:
        # Its number may soon be that of another process.
        self.pid = 0
        self.look()
        os.close(self.pipe)
        code = os.waitstatus_to_exitcode(status)
        if code != -signal.SIGKILL:
            self.failed.append(f"{self.role} {self.which} ended by itself with {code}")

    def restart_if_ended(self) -> None:
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            self.end(status)
            self.start()


def torture(seconds: float, kills: int, patience: float = 60) -> dict[str, Any]:
    """Runs it all, at least for so long and with so many kills; returns what was seen."""
    name = f"py-torture-{os.getpid()}"
    fleet = tearless.Namespace(name)
    workers: list[Worker] = []
    try:
        for role, count in (("write", WRITERS), ("read", READERS)):
            for which in range(count):
                workers.append(Worker(name, role, which))
        took, killed, hung = run(workers, seconds, kills, patience)
    finally:
        for worker in workers:
            worker.kill()
        removed, left = clean_up(fleet)
    return {
        "seconds": round(took, 1),
        "kills": killed,
        "torn": sum(worker.torn for worker in workers),
        "left": left,
        "hung": hung,
        "failed": [failure for worker in workers for failure in worker.failed],
        "rounds": TOLD * sum(worker.told for worker in workers),
        "slowest_start": round(max(worker.slowest for worker in workers), 3),
        "removed": removed,
    }


def run(workers: list[Worker], seconds: float, kills: int, patience: float) -> tuple[float, int, int]:
    """Kills and starts workers; returns the seconds that took, the kills, and how often one did not get on."""
    pause = 2 * seconds / max(kills, 1)
    begin, killed, hung = time.monotonic(), 0, 0

    def look() -> None:
        nonlocal hung
        for worker in workers:
            worker.look()
            hung += time.monotonic() - worker.last > patience
            worker.restart_if_ended()

    while not hung and (killed < kills or time.monotonic() - begin < seconds):
        time.sleep(random.uniform(0, min(pause, 1)))
        look()
        if killed < kills:
            worker = random.choice(workers)
            worker.kill()
            killed += 1
            worker.start()
    took = time.monotonic() - begin
    # What a kill leaves may not keep any of them from its work: now they have time for it.
    before = [(worker.pid, worker.said) for worker in workers]
    while not hung and any(worker.pid != pid or worker.said < said + 2
                           for worker, (pid, said) in zip(workers, before, strict=True)):
        time.sleep(0.05)
        look()
        if any(worker.failed for worker in workers):
            break
    return took, killed, hung


def clean_up(fleet: tearless.Namespace) -> tuple[int, int]:
    """Removes everything; returns how many objects the library removed, and how many it left."""
    removed = fleet.cleanup(keep=0)
    shared, prefix = Path("/dev/shm"), fleet._object_prefix()
    left = [entry for entry in os.listdir(shared) if entry.startswith(prefix)]
    for entry in left:
        (shared / entry).unlink(missing_ok=True)
    # Its registry stays: these names are short.
    return len(removed), sum(len(entry) > len(prefix) + 3 for entry in left)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--kills", type=int, help="how many (default: 1000 in a minute)")
    arguments = parser.parse_args()
    kills = arguments.kills if arguments.kills is not None else round(arguments.seconds * 1000 / 60)
    seen = torture(arguments.seconds, kills)
    print(json.dumps(seen))
    return int(bool(seen["torn"] or seen["left"] or seen["hung"] or seen["failed"]))


if __name__ == "__main__":
    sys.exit(main())
