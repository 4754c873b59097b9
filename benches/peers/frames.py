"""Frames through multiprocessing.shared_memory, guarded by hand: two rows of `ci/peers frames`.

usage: frames.py lock|counter SECONDS HERTZ NAME

A camera copies each frame into one block, three displays copy the newest one out, a process each.

* lock: a Condition guards the block and wakes the displays. The displays copy one after the other,
  and the camera waits for them. One that is stopped or killed while it copies stops all others.
* counter: odd while the camera copies, and compared before and after a display's copy. Displays
  look for a change every millisecond. Python has no fences, so this relies on x86. A camera that is
  killed while it copies leaves no frame.

In both, a display that comes late gets the newest frame. There is no growth, no owner, and no
cleanup but by the program that has made the block.

Prints one line of JSON: frames, microseconds of processor time and KiB of private memory, of the
camera and of each display, without the first quarter of the time. Removes the block when the input
ends.
"""

import contextlib
import ctypes
import json
import multiprocessing
import struct
import sys
import time
from multiprocessing import shared_memory

BYTES = 8 << 20
PAGE = 4096
DISPLAYS = 3
# How long after its time a process ends by itself: its parent was killed.
GRACE = 60


def mark(number):
    """The byte that a frame is full of."""
    return number % 251


@contextlib.contextmanager
def opened(name):
    """The block's counter, and its frame."""
    block = shared_memory.SharedMemory(name)
    with block.buf[:8].cast("Q") as counter, block.buf[PAGE : PAGE + BYTES] as frame:
        yield counter, frame
    block.close()


def figures(frames, since):
    """What a process reports."""
    micros = (time.process_time() - since) * 1e6
    with open("/proc/self/status") as status:
        private = next(line for line in status if line.startswith("RssAnon"))
    return frames, micros, int(private.split()[1])


def film(way, name, seconds, hertz, changed, begin, end, results):
    mine = bytearray(BYTES)
    address = ctypes.addressof(ctypes.c_char.from_buffer(mine))

    def publish(number):
        ctypes.memset(address, mark(number), BYTES)
        struct.pack_into("Q", mine, 0, number)
        if way == "lock":
            with changed:
                frame[:] = mine
                counter[0] = 2 * number
                changed.notify_all()
        else:
            counter[0] = 2 * number - 1
            frame[:] = mine
            counter[0] = 2 * number

    with opened(name) as (counter, frame):
        number, counted = 1, None
        publish(number)
        begin.wait()
        began = tick = time.monotonic()
        last = began + seconds * 1.25 + GRACE
        # On a busy machine the displays may end before the camera has filmed anything.
        while not (end.is_set() and counted and number > counted[0]) and time.monotonic() < last:
            if counted is None and time.monotonic() >= began + seconds / 4:
                counted = number, time.process_time()
            number += 1
            publish(number)
            tick = max(tick + 1 / hertz, time.monotonic())
            time.sleep(max(tick - time.monotonic(), 0))
        results.put(figures(number - counted[0], counted[1]))


def show(way, name, seconds, changed, begin, results):
    mine = bytearray(BYTES)
    # A bytearray's own slices would copy the frame twice.
    copy = memoryview(mine)
    last = 0

    def look():
        nonlocal last
        if way == "lock":
            with changed:
                if not changed.wait_for(lambda: counter[0] != last, timeout=0.1):
                    return False
                copy[:] = frame
                last = counter[0]
        else:
            before = counter[0]
            if before == last or before % 2:
                time.sleep(0.001)
                return False
            copy[:] = frame
            if counter[0] != before:
                return False
            last = before
        (number,) = struct.unpack_from("Q", mine)
        whole = bytes([mark(number)]) * (BYTES // PAGE)
        assert mine[PAGE - 1 :: PAGE] == whole, "a frame is torn"
        return True

    with opened(name) as (counter, frame):
        begin.wait()
        began = time.monotonic()
        while time.monotonic() < began + seconds / 4:
            look()
        seen, before = 0, time.process_time()
        while time.monotonic() < began + seconds * 1.25:
            seen += look()
        results.put(figures(seen, before))


def main(way, seconds, hertz, name):
    seconds, hertz = float(seconds), float(hertz)
    context = multiprocessing.get_context("fork")
    changed, end, results = context.Condition(), context.Event(), context.Queue()
    begin = context.Barrier(DISPLAYS + 1)
    block = shared_memory.SharedMemory(name, create=True, size=PAGE + BYTES)
    try:
        camera = (way, name, seconds, hertz, changed, begin, end, results)
        processes = [context.Process(target=film, args=camera, daemon=True)]
        for _ in range(DISPLAYS):
            display = (way, name, seconds, changed, begin, results)
            processes.append(context.Process(target=show, args=display, daemon=True))
        for process in processes:
            process.start()
        patience = seconds * 1.25 + GRACE
        rows = [results.get(timeout=patience) for _ in range(DISPLAYS)]
        end.set()
        rows.insert(0, results.get(timeout=patience))
        frames, micros, private = zip(*rows)
        print(json.dumps({"frames": frames, "micros": micros, "private": private}), flush=True)
        for process in processes:
            process.join()
        sys.stdin.read()
    finally:
        block.close()
        block.unlink()


if __name__ == "__main__":
    main(*sys.argv[1:])
