"""A fleet of worker processes, and a main process that reads all their states without asking them.

    python fleet.py --workers 4 --seconds 5

Each worker counts the processes of this host, and publishes what that takes it. Half-way, one worker
is killed: its last state stays readable.
"""

import argparse
import multiprocessing
import os
import signal
import sys
import time

import psutil
import tearless


def work(namespace: str, number: int) -> None:
    """The worker. SIGTERM ends it in order: its channel is then removed."""
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit())
    process, main, rounds = psutil.Process(), os.getppid(), 0
    with tearless.Namespace(namespace).writer(f"worker-{number}", heartbeat_interval=0.1) as writer:
        while os.getppid() == main:
            rounds += 1
            times = process.cpu_times()
            writer.publish({"rounds": rounds, "processes": len(psutil.pids()),
                            "cpu_seconds": times.user + times.system, "resident": process.memory_info().rss})
            time.sleep(0.02 * number)


def main() -> None:
    """Starts the workers, queries them, kills one, and shows all."""
    parser = argparse.ArgumentParser(description="A fleet of workers that publish their figures.")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--namespace", default="fleet-py")
    options = parser.parse_args()

    fleet = tearless.Namespace(options.namespace)
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=work, args=(options.namespace, number)) for number in range(1, options.workers + 1)]
    for worker in workers:
        worker.start()
    try:
        hub, queries = fleet.hub(), 0
        watch = hub.watch("worker-*")
        while sum(isinstance(state, tearless.Snapshot) for _, state in hub.all("worker-*")) < len(workers):
            watch.wait_any(timeout=1)
        begin, is_killed = time.monotonic(), False
        while (elapsed := time.monotonic() - begin) < options.seconds:
            queries += len(hub.all("worker-*"))
            if elapsed > options.seconds / 2 and not is_killed:
                workers[0].kill()
                is_killed = True
        print(f"{queries / options.seconds:,.0f} states a second, while the workers work:")
        for name, state in hub.all("worker-*"):
            print(f"{name}: {hub.status(name).health}, {state}")
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()
        # The channel of the one that was killed stays until it is removed, or has another writer.
        for name in fleet.channels():
            fleet.remove(name)


if __name__ == "__main__":
    main()
