"""The types that are promised are those of the package: checked by mypy, by stubtest and by pyright."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tearless

PACKAGE = Path(__file__).parents[1]


def check(*command: str) -> str:
    """What a checker prints, which has to find nothing."""
    # pyright --verifytypes looks for packages by the Python that is first on PATH, whatever it is told.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    ran = subprocess.run([sys.executable, "-m", *command], cwd=PACKAGE, capture_output=True, text=True, timeout=600,
                         env={**os.environ, "PATH": path})
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def needs(*modules: str) -> pytest.MarkDecorator:
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)}: not installed")


@needs("mypy")
def test_the_stubs_are_those_of_the_module() -> None:
    check("mypy.stubtest", "tearless", "--allowlist", "tests/stubtest.allow", "--ignore-unused-allowlist")


@needs("mypy")
def test_mypy_finds_nothing_in_the_package() -> None:
    check("mypy", "-p", "tearless")


@needs("pyright", "psutil", "fastapi", "uvicorn")
def test_pyright_finds_nothing_in_the_package_and_its_examples() -> None:
    check("pyright", "--pythonpath", sys.executable)


@needs("pyright")
def test_all_that_is_public_has_a_type() -> None:
    check("pyright", "--verifytypes", "tearless", "--ignoreexternal", "--pythonpath", sys.executable)


@pytest.mark.parametrize("public", tearless.__all__)
def test_all_that_is_public_is_documented(public: str) -> None:
    of = getattr(tearless, public)
    assert of.__doc__
    undocumented = [
        name for name, member in vars(of).items()
        if not name.startswith("_") and not name.isupper() and (callable(member) or hasattr(member, "__get__"))
        and not getattr(member, "__doc__", None)
    ]
    assert not undocumented
