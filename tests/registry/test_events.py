"""Loggers are plugins; one that raises is switched off."""

from __future__ import annotations

import sys

import pytest

from kdharness.api import CellInfo
from kdharness.errors import UserError
from kdharness.registry.manager import Registry

CELL = CellInfo("key", "digits", "digits", "clean", "student", "kd", "", "conv32", "conv16", 0)

LOGGER = """
from kdharness.api import hookimpl
seen = []

@hookimpl
def kdharness_cell_started(cell):
    seen.append(cell.method)

@hookimpl
def kdharness_epoch_finished(epoch, values):
    seen.append((epoch, dict(values)))
    values.clear()

@hookimpl
def kdharness_cell_finished(record):
    seen.append(record["status"])
"""

FAILING = """
from kdharness.api import hookimpl
calls = []

@hookimpl
def kdharness_cell_started(cell):
    calls.append(1)
    raise SystemExit("the logger's server is away")

@hookimpl
def kdharness_cell_finished(record):
    calls.append(2)
"""


RAISES = 'raise SystemExit("the logger\'s server is away")'


def module_of(registry: Registry, name: str):
    return sys.modules[next(p.source.module for p in registry.plugins if p.name == name)]


def test_every_logger_hears_everything(write):
    registry = Registry.load([write("a.py", LOGGER), write("b.py", LOGGER)])
    values = {"ce": 1.5}
    assert registry.fire("cell_started", cell=CELL) == []
    assert registry.fire("epoch_finished", cell=CELL, epoch=1, values=values) == []
    assert registry.fire("cell_finished", record={"status": "ok"}) == []
    expected = ["kd", (1, {"ce": 1.5}), "ok"]
    assert module_of(registry, "a.py").seen == expected
    assert module_of(registry, "b.py").seen == expected  # a.py emptied a dict of its own
    assert values == {"ce": 1.5}


def test_a_logger_that_raises_is_switched_off_and_told_once(write):
    registry = Registry.load([write("bad.py", FAILING), write("good.py", LOGGER)])
    (line,) = registry.fire("cell_started", cell=CELL)
    assert "bad.py" in line
    assert "the logger's server is away" in line
    assert "switched off" in line
    assert registry.fire("cell_started", cell=CELL) == []
    assert registry.fire("cell_finished", record={"status": "ok"}) == []
    assert module_of(registry, "bad.py").calls == [1]
    assert module_of(registry, "good.py").seen == ["kd", "kd", "ok"]
    assert [b.hook for b in registry.broken] == ["kdharness_cell_started"]


def test_a_logger_cannot_hold_off_an_interrupt(write):
    registry = Registry.load(
        [write("stop.py", FAILING.replace('SystemExit("the logger\'s server is away")', "KeyboardInterrupt"))]
    )
    with pytest.raises(KeyboardInterrupt):
        registry.fire("cell_started", cell=CELL)


@pytest.mark.parametrize("raised", ["error", "ValueError('could not log')"])
def test_a_logger_that_finds_the_disk_full_stops_the_run(write, raised):
    """Also where it says so in words of its own."""
    full = "raise OSError(28, 'No space left on device')"
    body = f"try:\n        {full}\n    except OSError as error:\n        raise {raised}"
    registry = Registry.load([write("full.py", FAILING.replace(RAISES, body))])
    with pytest.raises(UserError, match=r"nothing more can be written: .* \(plugin 'full.py' of .*full.py\)"):
        registry.fire("cell_started", cell=CELL)
    assert registry.broken == ()


def test_an_event_without_its_values_is_a_bug_of_the_caller(write):
    registry = Registry.load([write("a.py", LOGGER)])
    with pytest.raises(KeyError):
        registry.fire("cell_started")


def test_whether_anybody_listens(write):
    registry = Registry.load([write("bad.py", FAILING)])
    assert [registry.listens(event) for event in ("cell_started", "cell_finished")] == [True, True]
    assert not registry.listens("epoch_finished")
    registry.fire("cell_started", cell=CELL)
    assert not registry.listens("cell_finished")  # it is switched off
