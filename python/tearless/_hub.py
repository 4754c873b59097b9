"""What a hub shows of itself in a notebook."""

from __future__ import annotations

import html
from typing import Any

from ._tearless import Hub


def table(hub: Hub) -> str:
    """The channels, their health and their states, as HTML."""
    rows: list[str] = []
    for channel, state in hub.all():
        try:
            health: str = hub.status(channel).health
        except Exception as error:
            health = type(error).__name__
        if isinstance(state, Exception):
            cells = [channel, health, "", "", str(state)]
        else:
            age = "" if state.age is None else f"{state.age:.3g} s"
            cells = [channel, health, str(state.publication), age, _short(state.value)]
        rows.append("".join(f"<td>{html.escape(cell)}</td>" for cell in cells))
    head = "".join(f"<th>{name}</th>" for name in ("channel", "health", "publication", "age", "state"))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(f'<tr>{row}</tr>' for row in rows)}</tbody></table>"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:99]}…"
