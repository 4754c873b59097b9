"""Every snippet of docs/python.md runs, each in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(os.environ.get("TEARLESS_REPOSITORY", Path(__file__).parents[2]))
PAGE = REPOSITORY / "docs" / "python.md"
SNIPPETS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def test_there_are_snippets() -> None:
    assert len(SNIPPETS) >= 9


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_a_snippet_runs(snippet: str, name: str, tmp_path: Path) -> None:
    # Names of its own, so that two runs do not meet.
    snippet = re.sub(r'Namespace\("\w+"\)', f'Namespace("{name}")', snippet)
    snippet = snippet.replace("table-of-the-docs", name)
    script = tmp_path / "snippet.py"
    script.write_text(snippet)
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
