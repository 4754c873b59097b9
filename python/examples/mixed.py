"""Rust and Python in one fleet: each reads what the other publishes, as it is.

    python mixed.py --seconds 2            needs cargo, and a clone of the repository

First a worker in Rust publishes (`cargo run --release --example publish`), and Python reads it, by the fields of
its struct. Then Python publishes states of that type, and a program in Rust reads them (`query`).
"""

import argparse
import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path

import tearless

REPOSITORY = Path(os.environ.get("TEARLESS_REPOSITORY", Path(__file__).parents[2]))


@dataclasses.dataclass
class Conversation:
    """The struct of the examples in Rust: the same names and types of fields, in the same order."""

    pid: int
    ticks: int
    said: list[str]


def example(name: str) -> subprocess.Popen[str]:
    """Starts an example in Rust."""
    command = ["cargo", "run", "--quiet", "--release", "--example", name]
    return subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def main() -> None:
    """Rust to Python, then Python to Rust."""
    parser = argparse.ArgumentParser(description="A worker in Rust and one in Python.")
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    # The name that the examples in Rust have, too.
    fleet = tearless.Namespace("examples")
    build = ["cargo", "build", "--quiet", "--release", "--example", "publish", "--example", "query"]
    subprocess.run(build, cwd=REPOSITORY, check=True)

    with example("publish") as rust:
        assert rust.stdin is not None
        reader = fleet.reader("conversation", timeout=60)
        reader.changed(timeout=60)
        print(f"the worker in Rust: {reader}", flush=True)
        rust.stdin.write(f"Hello from process {os.getpid()}, in Python {sys.version_info.major}\n")
        rust.stdin.flush()
        end, state = time.monotonic() + options.seconds, Conversation(0, 0, [])
        while time.monotonic() < end and reader.changed(timeout=1):
            state = Conversation(**reader.snapshot().value)
        print(f"Python reads: {state}", flush=True)
        rust.communicate("\n")

    with fleet.writer("conversation", type_name="Conversation") as writer, example("query") as rust:
        assert rust.stdout is not None
        ticks, lines = 0, list[str]()
        writer.publish(Conversation(os.getpid(), ticks, []))
        lines += rust.stdout.readline(), rust.stdout.readline()
        # It looks once a second.
        end = time.monotonic() + max(options.seconds, 1.5)
        while time.monotonic() < end:
            ticks += 1
            writer.publish(Conversation(os.getpid(), ticks, ["Hello", "from Python"]))
            time.sleep(0.02)
        writer.close()
        lines += rust.stdout.readlines()
        print(f"Rust reads: {lines[-2].strip()}")


if __name__ == "__main__":
    main()
