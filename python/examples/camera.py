"""A camera process fills frames in place, and displays look at them in place: nothing is copied.

    python camera.py --seconds 5 --size 1080x1920

The picture is a moving pattern with a bar for each processor of this host, as long as it is busy.
Each display checks that every frame is a whole one, and keeps some for a while: the camera then
takes other memory, and does not wait. Half-way, one display is killed while it holds a frame.
"""

import argparse
import multiprocessing
import os
import signal
import sys
import time

import numpy
import psutil
import tearless


def film(namespace: str, height: int, width: int) -> None:
    """The camera."""
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit())
    main, number = os.getppid(), 0
    pattern = numpy.add.outer(numpy.arange(height), numpy.arange(width)).astype("uint8")[..., None]
    with tearless.Namespace(namespace).array_writer("camera", (height, width, 3), "uint8", pins=8) as camera:
        while os.getppid() == main:
            number += 1
            with camera.frame() as frame:
                numpy.add(pattern, number % 256, out=frame, casting="unsafe")
                for at, percent in enumerate(psutil.cpu_percent(percpu=True)):
                    row = 2 + 4 * at
                    frame[row:row + 2, 1:1 + int(percent / 100 * (width - 2))] = (255, 64, 0)
            time.sleep(1 / 60)


def show(namespace: str, number: int, height: int, width: int) -> None:
    """A display: keeps the last few frames, and publishes what it has seen."""
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit())
    fleet, main = tearless.Namespace(namespace), os.getppid()
    # The corners of a whole frame differ by this, in whatever frame.
    span = (height + width - 2) % 256
    seen = {"frames": 0, "in_place": 0, "torn": 0, "brightness": 0.0}
    kept: list[tearless.ArrayView] = []
    camera = fleet.array_reader("camera", (height, width, 3), "uint8", timeout=30)
    with fleet.writer(f"display-{number}") as report:
        while os.getppid() == main:
            if not camera.changed(timeout=1):
                continue
            view = camera.view()
            frame = view.array
            seen["frames"] += 1
            seen["in_place"] += view.is_in_place
            seen["torn"] += (int(frame[-1, -1, 0]) - int(frame[0, 0, 0])) % 256 != span
            seen["brightness"] = float(frame[::16, ::16].mean())
            report.publish(seen)
            kept = [*kept[-1:], view]


def main() -> None:
    """Starts all, kills a display, and shows what the displays have seen."""
    parser = argparse.ArgumentParser(description="A camera and three displays, without a copy.")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--size", default="1080x1920", help="height and width of a frame")
    parser.add_argument("--namespace", default="camera-py")
    options = parser.parse_args()
    height, width = (int(length) for length in options.size.split("x"))

    fleet = tearless.Namespace(options.namespace)
    spawn = multiprocessing.get_context("spawn")
    camera = spawn.Process(target=film, args=(options.namespace, height, width))
    displays = [spawn.Process(target=show, args=(options.namespace, at, height, width)) for at in (1, 2, 3)]
    for process in (camera, *displays):
        process.start()
    try:
        for at in (1, 2, 3):
            fleet.reader(f"display-{at}", timeout=30).changed(timeout=30)
        time.sleep(options.seconds / 2)
        displays[0].kill()
        before = fleet.array_reader("camera").publication
        time.sleep(options.seconds / 2)
        after = fleet.array_reader("camera").snapshot()
        print(f"the camera went on from frame {before} to {after.publication}, {after.value.nbytes:,} bytes each")
        hub = fleet.hub()
        for name in hub.channels("display-*"):
            print(f"{name}: {hub.status(name).health}, {hub.get(name).value}")
    finally:
        for process in (*displays, camera):
            process.terminate()
            process.join()
        # The channel of the one that was killed stays until it is removed, or has another writer.
        for name in fleet.channels():
            fleet.remove(name)


if __name__ == "__main__":
    main()
