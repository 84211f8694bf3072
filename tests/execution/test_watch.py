"""How long a cell may give no sign."""

from __future__ import annotations

import pytest

from kdharness.execution import local


def test_a_long_wait_counts_for_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the parent was stopped, so were its workers: nobody is to be killed for it."""
    now = [100.0]
    monkeypatch.setattr(local.time, "monotonic", lambda: now[0])
    watch = local._Watch(limit_seconds=12.0)
    assert not watch.hung(0, 1.0)
    answers = []
    for wait in (3600.0, 4.0, 4.0):
        now[0] += wait
        answers.append(watch.hung(0, 1.0))
    assert answers == [False, False, True]
    assert not watch.hung(0, 2.0), "it gave a sign"
