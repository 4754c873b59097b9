"""Every snippet of the pages on Python runs, each in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tearless import _namespace

REPOSITORY = Path(os.environ.get("TEARLESS_REPOSITORY", Path(__file__).parents[2]))
PAGES = ("python.md", "python-migration.md")
SNIPPETS = {
    f"{page}-{number}": snippet
    for page in PAGES
    for number, snippet in enumerate(re.findall(r"^```python\n(.*?)^```", (REPOSITORY / "docs" / page).read_text(),
                                                re.DOTALL | re.MULTILINE))
}
HAS_RAY = importlib.util.find_spec("ray") is not None


def test_there_are_snippets() -> None:
    of_pages = [sum(name.startswith(f"{page}-") for name in SNIPPETS) for page in PAGES]
    assert of_pages[0] >= 4 and of_pages[1] >= 11


@pytest.mark.parametrize("snippet", SNIPPETS.values(), ids=SNIPPETS)
def test_a_snippet_runs(snippet: str, name: str, tmp_path: Path) -> None:
    # Names of its own, so that two runs do not meet.
    snippet = re.sub(r'Namespace\("\w+"\)', f'Namespace("{name}")', snippet)
    script = tmp_path / "snippet.py"
    script.write_text(snippet)
    needs_ray = "import ray\n" in snippet
    if needs_ray and not HAS_RAY:
        compile(snippet, script, "exec")
        pytest.skip("Ray is not installed: the snippet was compiled only")
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    # Ray says there that it has started, and what it will do otherwise one day.
    assert ran.stderr == "" or needs_ray


def test_every_option_is_explained() -> None:
    page = (REPOSITORY / "docs" / "python.md").read_text()
    options = page[page.index("\n## Options\n"):page.index("\n## Errors\n")]
    of_namespace, of_writers = options.split("\nOf `writer`")
    for part, known in ((of_namespace, _namespace.NamespaceOptions), (of_writers, _namespace.WriterOptions)):
        explained = set(re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE)) - {"type_name"}
        assert explained == set(known.__annotations__) | (set(_namespace.ArrayWriterOptions.__annotations__)
                                                         if known is _namespace.WriterOptions else set())
