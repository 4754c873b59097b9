"""Each test has a namespace of its own, and leaves nothing behind."""

from __future__ import annotations

import gc
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tearless
from tearless import _namespace

SHARED = Path("/dev/shm")

_numbers = itertools.count()


def left_of(prefix: str) -> list[str]:
    """The objects of the channels and blocks of a namespace.

    Its registry and the page of its waiters, whose names are short, are small and stay after the
    last channel: a process may be about to add one.
    """
    registry = re.compile(re.escape(prefix) + r"[a-z]\d{0,3}")
    return [entry for entry in os.listdir(SHARED) if entry.startswith(prefix) and not registry.fullmatch(entry)]


def remove(prefix: str) -> None:
    """Removes all objects of a namespace."""
    for entry in os.listdir(SHARED):
        if entry.startswith(prefix):
            (SHARED / entry).unlink(missing_ok=True)


@pytest.fixture
def name() -> Iterator[str]:
    """The name of a namespace that nothing else uses."""
    unique = f"py-{os.getpid()}-{next(_numbers)}"
    namespace = tearless.Namespace(unique)
    prefix = namespace._object_prefix()
    yield unique
    gc.collect()
    # Blocks and states that processes have left which the test has killed.
    namespace.cleanup(keep=0)
    left = left_of(prefix)
    remove(prefix)
    open_here = [repr(one) for one in list(_namespace._open) if not getattr(one, "is_closed", True)]
    assert not left, f"{left} are left in /dev/shm; open in this process: {open_here}"


@pytest.fixture
def fleet(name: str) -> tearless.Namespace:
    """A namespace of its own."""
    return tearless.Namespace(name)


@pytest.fixture
def run() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a program in a Python process of its own, which has to be silent."""

    def run(program: str, *arguments: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            # Python warns of each fork with threads.
        [sys.executable, "-X", "faulthandler", "-W", "ignore:This process:DeprecationWarning", "-c", program, *arguments],
            capture_output=True, text=True, timeout=300, check=False,
        )
        assert code is None or done.returncode == code, done.stderr
        assert done.stderr == ""
        return done

    return run
