"""Each test has a namespace of its own, and leaves nothing behind.

With ``--in-threads N``, each test runs in N threads at the same time, each with a namespace of its own,
but for the tests in `ALONE`.
"""

from __future__ import annotations

import faulthandler
import gc
import itertools
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

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


@contextmanager
def unique_name() -> Iterator[str]:
    unique = f"py-{os.getpid()}-{next(_numbers)}"
    namespace = tearless.Namespace(unique)
    prefix = namespace._object_prefix()
    try:
        yield unique
    finally:
        gc.collect()
        # Blocks and states that processes have left which the test has killed.
        namespace.cleanup(keep=0)
        left = left_of(prefix)
        remove(prefix)
    open_here = [repr(one) for one in list(_namespace._open) if not getattr(one, "is_closed", True)]
    assert not left, f"{left} are left in /dev/shm; open in this process: {open_here}"


@pytest.fixture
def name() -> Iterator[str]:
    """The name of a namespace that nothing else uses."""
    with unique_name() as unique:
        yield unique


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


# --- The same test in several threads

# Files and tests that change or measure the whole process, and why.
ALONE = {
    "test_processes.py": "forks, which copy what other threads are doing",
    "test_docs.py": "runs each program in a process of its own",
    "test_examples.py": "runs each example in a process of its own, some with the same names",
    "test_typing.py": "checks the same files",
    "test_no_descriptor_is_left": "counts the descriptors of the process",
    "test_a_loop_in_a_fork": "forks, which copy what other threads are doing",
    "test_values_fuzz.py": "has hundreds of examples, which several threads need minutes for",
    "test_dropped_syncers_end": "collects garbage, which a thread does not while another one does",
    "test_a_handler_of_a_signal_may_close_the_syncer": "only the main thread sets handlers of signals",
    "test_a_handler_of_signals_may_do_anything": "only the main thread sets handlers of signals",
    "test_other_threads_run_while_large_states_are_copied": "sets how often threads of the interpreter take turns",
}
# These fixtures change the whole process.
ALONE_FIXTURES = {"capfd", "caplog", "capsys", "monkeypatch", "recwarn"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--in-threads", type=int, default=1, metavar="N", help="run each test in N threads at the same time")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    names = {item.path.name for item in items} | {getattr(item, "originalname", "") for item in items}
    is_whole = names.issuperset(path.name for path in Path(__file__).parent.glob("test_*.py"))
    if is_whole and not any("::" in argument for argument in config.args) and (unknown := set(ALONE) - names):
        raise pytest.UsageError(f"conftest.py: ALONE names {sorted(unknown)}, and there are no such tests")
    if config.getoption("--in-threads") == 1:
        return
    for item in items:
        fixtures = ALONE_FIXTURES.intersection(getattr(item, "fixturenames", ()))
        alone = ALONE.get(item.path.name) or ALONE.get(getattr(item, "originalname", "")) or ", ".join(fixtures)
        if alone:
            item.add_marker(pytest.mark.skip(f"not in threads: {alone}"))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    count: int = pyfuncitem.config.getoption("--in-threads")
    if count == 1:
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    begin = threading.Barrier(count, timeout=60)
    failures: list[BaseException] = []

    def one(arguments: dict[str, Any]) -> None:
        try:
            begin.wait()
            pyfuncitem.obj(**arguments)
        except BaseException as error:
            failures.append(error)

    try:
        with ExitStack() as ending:
            threads = []
            for number in range(count):
                own = dict(arguments)
                unique = ending.enter_context(unique_name())
                own |= {"name": unique} if "name" in own else {}
                own |= {"fleet": tearless.Namespace(unique)} if "fleet" in own else {}
                if "tmp_path" in own:
                    own["tmp_path"] = own["tmp_path"] / str(number)
                    own["tmp_path"].mkdir()
                # The interpreter does not wait for one that hangs.
                threads.append(threading.Thread(target=one, args=(own,), daemon=True))
            for thread in threads:
                thread.start()
            end = time.monotonic() + 300
            for thread in threads:
                thread.join(max(0, end - time.monotonic()))
            if hung := sum(thread.is_alive() for thread in threads):
                faulthandler.dump_traceback(sys.__stderr__)
                raise TimeoutError(f"{hung} of {count} threads are not done after 300 seconds")
    except Exception as error:
        # Also what a namespace says of what is left in it.
        failures.append(error)
    if len(failures) > 1 and not all(isinstance(failure, pytest.skip.Exception) for failure in failures):
        raise BaseExceptionGroup(f"{len(failures)} failures in {count} threads", failures)
    if failures:
        raise failures[0]
    return True
