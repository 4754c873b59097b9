"""Each example runs as a user starts it, does what it says, ends by itself and leaves nothing behind."""

from __future__ import annotations

import asyncio
import doctest
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import tearless

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(example: str, *options: str, seconds: float = 2) -> str:
    """What an example prints."""
    ran = subprocess.run([sys.executable, EXAMPLES / example, "--seconds", str(seconds), *options],
                         capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    return ran.stdout


def is_empty(namespace: str) -> bool:
    fleet = tearless.Namespace(namespace)
    return not fleet.channels() and not fleet.blocks()


@pytest.mark.skipif(importlib.util.find_spec("psutil") is None, reason="the example needs psutil")
def test_a_killed_worker_of_the_fleet_is_still_readable(name: str) -> None:
    printed = run("fleet.py", "--workers", "3", "--namespace", name)
    killed = re.search(r"^worker-1: dead, <Snapshot (\d+) .*'rounds': (\d+)", printed, re.MULTILINE)
    assert killed is not None, printed
    assert killed[1] == killed[2]
    assert re.search(r"^worker-2: (?!dead)", printed, re.MULTILINE), printed
    assert is_empty(name)


@pytest.mark.skipif(importlib.util.find_spec("psutil") is None, reason="the example needs psutil")
def test_displays_see_whole_frames_and_do_not_stop_the_camera(name: str) -> None:
    printed = run("camera.py", "--size", "480x640", "--namespace", name)
    before, after = map(int, re.findall(r"from frame (\d+) to (\d+)", printed)[0])
    assert after > before
    seen = r"^display-(\d): (\w+), \{'frames': (\d+), 'in_place': (\d+), 'torn': 0,"
    displays = re.findall(seen, printed, re.MULTILINE)
    assert len(displays) == 3, printed
    assert displays[0][1] == "dead"
    assert all(int(in_place) > 0 for *_, in_place in displays)
    assert is_empty(name)


def test_the_learner_learns_from_the_replay_buffer(name: str) -> None:
    printed = run("replay.py", "--rows", "200000", "--namespace", name, seconds=4)
    first, last = map(float, re.findall(r"error of the model: ([\d.]+) at first, ([\d.]+) now", printed)[0])
    assert last < first / 2
    assert printed.count("'rows':") == 2
    assert is_empty(name)


def lacks(*modules: str) -> bool:
    return any(importlib.util.find_spec(module) is None for module in modules)


@pytest.mark.skipif(lacks("fastapi", "uvicorn", "psutil", "httpx"),
                    reason="the example needs fastapi, uvicorn and psutil; its test needs httpx")
def test_the_server_serves_states_as_json(name: str) -> None:
    import httpx

    command = [sys.executable, EXAMPLES / "api.py", "--namespace", name, "--seconds", "60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().strip()
            with httpx.Client(base_url=address.removesuffix("/workers"), timeout=30) as client:
                workers = client.get("/workers").json()
                assert [worker["name"] for worker in workers] == ["host"]
                assert workers[0]["state"]["processes"] > 0
                assert client.get("/workers/host").json()["publication"] >= workers[0]["publication"]
                lines = client.get("/workers/changes", params={"limit": 2}).text.splitlines()
                first, second = (json.loads(line)["publication"] for line in lines)
                assert second > first
                missing = client.get("/workers/nobody")
                assert missing.status_code == 404
                assert "nobody" in missing.json()["detail"]
        finally:
            server.terminate()
        server.wait(30)
    assert is_empty(name)


def can_be_built() -> bool:
    """Whether the repository's examples can be built: there is cargo, and the repository around."""
    repository = Path(os.environ.get("TEARLESS_REPOSITORY", EXAMPLES.parents[1]))
    return shutil.which("cargo") is not None and (repository / "examples" / "publish.rs").exists()


@pytest.mark.skipif(not can_be_built(), reason="there is no cargo, or no clone of the repository")
def test_rust_and_python_read_each_other() -> None:
    printed = run("mixed.py", seconds=3)
    in_python = r"^Python reads: Conversation\(pid=\d+, ticks=\d+, said=\['Hello from process"
    in_rust = r'^Rust reads: #\d+, .*Conversation .*said: \["Hello", "from Python"\]'
    assert re.search(in_python, printed, re.MULTILINE), printed
    assert re.search(in_rust, printed, re.MULTILINE), printed
    assert is_empty("examples")


def test_the_module_is_the_command(tmp_path: Path) -> None:
    command = tmp_path / "tearless"
    command.write_text('#!/bin/sh\necho "$@"\nexit 3\n')
    command.chmod(0o755)
    ran = subprocess.run([sys.executable, "-m", "tearless", "ls", "--json"], capture_output=True, text=True,
                         env={**os.environ, "PATH": f"{tmp_path}:/bin:/usr/bin"})
    assert (ran.returncode, ran.stdout, ran.stderr) == (3, "ls --json\n", "")


def test_without_the_command_the_module_says_how_to_get_it(tmp_path: Path) -> None:
    ran = subprocess.run([sys.executable, "-m", "tearless", "ls"], capture_output=True, text=True,
                         env={**os.environ, "PATH": str(tmp_path)})
    assert ran.returncode == 127
    assert "cargo install --path cli" in ran.stderr
    assert len(ran.stderr.splitlines()) == 2


def documented() -> dict[str, doctest.DocTest]:
    """Every docstring of the public interface with an example, also of the native classes."""
    found: dict[str, doctest.DocTest] = {}
    objects: dict[str, object] = {"tearless": tearless}
    for public in tearless.__all__:
        of = getattr(tearless, public)
        objects[public] = of
        objects.update({f"{public}.{name}": member for name, member in vars(of).items() if not name.startswith("_")})
    for name, of in objects.items():
        docstring = getattr(of, "__doc__", None) or ""
        if ">>>" in docstring:
            found[name] = doctest.DocTestParser().get_doctest(docstring, {}, name, None, 0)
    return found


DOCUMENTED = documented()


def test_the_main_classes_have_examples() -> None:
    missing = {"tearless", "Namespace", "Writer", "Reader", "Snapshot", "Hub", "Syncer", "ArrayWriter", "ArrayReader",
               "SharedArray", "Publisher", "Changes"} - DOCUMENTED.keys()
    assert not missing


@pytest.mark.parametrize("example", DOCUMENTED.values(), ids=DOCUMENTED.keys())
def test_an_example_of_a_docstring_runs(example: doctest.DocTest, fleet: tearless.Namespace) -> None:
    # The examples speak of a namespace `fleet`, as that of the package does.
    example.globs.update({"tearless": tearless, "numpy": numpy, "asyncio": asyncio, "fleet": fleet})
    printed: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=printed.append)
    assert result.attempted > 0
    assert result.failed == 0, "".join(printed)
