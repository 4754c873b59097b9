"""Each test has a namespace of its own, and leaves nothing behind."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Iterator

import pytest
import tearless

_numbers = itertools.count()


@pytest.fixture
def name() -> str:
    return f"py-{os.getpid()}-{next(_numbers)}"


@pytest.fixture
def fleet(name: str) -> Iterator[tearless.Namespace]:
    namespace = tearless.Namespace(name)
    yield namespace
    namespace.cleanup()


def objects() -> set[str]:
    return set(os.listdir("/dev/shm"))


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = objects()
    yield
    left = {entry for entry in objects() - before if not entry.startswith("tl_r")}
    # The registries of the tests' namespaces are small and stay; what is left of them is removed.
    for entry in objects() - before:
        Path("/dev/shm", entry).unlink()
    assert not left
