"""Writers and readers of dicts, arrays and views that are killed again and again: ``torture.py --seconds 60``.

Each state says of itself whether it is torn: all its parts have the same number. Prints a line of JSON,
and fails if a state was torn, if something is left in /dev/shm, or if a process doesn't get on.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy
import tearless

WRITERS, READERS = 4, 4
# Elements of the arrays: their copies take long enough to be caught in the middle.
LENGTH = 40_000


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


def tell(word: str) -> None:
    """Says it to the parent, which reads lines."""
    os.write(1, f"{word}\n".encode())


def tell_progress(number: int) -> None:
    if number % 50 == 0:
        tell("on")


class Worker:
    """A process that is started again when it was killed."""

    def __init__(self, name: str, role: str, which: int) -> None:
        self.arguments = (name, role, str(which))
        self.is_writer = role == "write"
        self.torn = self.told = self.kills = 0
        self.failed: list[str] = []
        self.start()

    def start(self) -> None:
        command = [sys.executable, __file__, "--worker", *self.arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        self.last = time.monotonic()

    def look(self) -> None:
        """Takes what it has told."""
        assert self.process.stdout is not None
        while said := self.process.stdout.read():
            self.torn += said.count(b"torn")
            self.told += said.count(b"\n")
            self.last = time.monotonic()

    def kill(self) -> None:
        self.process.kill()
        self.kills += 1
        self.end()

    def end(self) -> None:
        code = self.process.wait()
        self.look()
        assert self.process.stdout is not None
        self.process.stdout.close()
        if code != -signal.SIGKILL:
            self.failed.append(f"{self.arguments} ended by itself with {code}")


def torture(seconds: float, patience: float = 60) -> dict[str, Any]:
    """Runs it all; returns what was seen."""
    name = f"py-torture-{os.getpid()}"
    fleet = tearless.Namespace(name)
    prefix = fleet._object_prefix()
    workers = [Worker(name, "write", which) for which in range(WRITERS)]
    workers += [Worker(name, "read", which) for which in range(READERS)]
    end, hung = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        time.sleep(random.uniform(0, 0.1))
        for worker in workers:
            worker.look()
            hung += time.monotonic() - worker.last > patience
            if worker.process.poll() is not None:
                worker.end()
                worker.start()
        if hung:
            break
        # Those that are on: a worker that has not begun has nothing to leave.
        on = [worker for worker in workers if worker.told]
        if on and random.random() < 0.5:
            worker = random.choice(on)
            worker.kill()
            worker.start()
    for worker in workers:
        worker.kill()
    removed = fleet.cleanup(keep=0)
    shared = Path("/dev/shm")
    left = [entry for entry in os.listdir(shared) if entry.startswith(prefix)]
    # Its registry stays: these names are short.
    registry = [entry for entry in left if len(entry) <= len(prefix) + 3]
    for entry in left:
        (shared / entry).unlink(missing_ok=True)
    return {
        "seconds": seconds,
        "torn": sum(worker.torn for worker in workers),
        "left": len(left) - len(registry),
        "hung": hung,
        "kills": sum(worker.kills for worker in workers) - len(workers),
        "failed": [failure for worker in workers for failure in worker.failed],
        "rounds": 50 * sum(worker.told for worker in workers),
        "removed": len(removed),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--worker", nargs=3, metavar=("NAMESPACE", "ROLE", "NUMBER"))
    arguments = parser.parse_args()
    if arguments.worker is not None:
        name, role, which = arguments.worker
        fleet = tearless.Namespace(name)
        if role == "write":
            write(fleet, int(which))
        else:
            read(fleet)
    seen = torture(arguments.seconds)
    print(json.dumps(seen))
    return int(bool(seen["torn"] or seen["left"] or seen["hung"] or seen["failed"]))


if __name__ == "__main__":
    sys.exit(main())
