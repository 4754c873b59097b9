"""Forks: imported before anything else of the package.

Hooks run in the reverse order before a fork. Ours is to be the last: once it has run, other threads
wait for the fork. Those of `logging` and `concurrent.futures` wait for locks, and a thread that has
one may call this package.
"""

from __future__ import annotations

import os

from . import _tearless

os.register_at_fork(before=_tearless.before_fork,
                    after_in_parent=lambda: _tearless.after_fork(False),
                    after_in_child=lambda: _tearless.after_fork(True))
