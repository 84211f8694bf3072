"""Loggers that a command names: found, started, heard; one that does not work is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdharness.api import CellInfo, RunInfo
from kdharness.errors import UserError
from kdharness.registry.loggers import check_loggers, start_loggers
from kdharness.registry.manager import EVENTS, Registry

CELL = CellInfo("key", "digits", "digits", "clean", "student", "kd", "", "conv32", "conv16", 0)

LOGGERS = """
from kdharness.api import LoggerSpec, hookimpl

seen = []

class Counting:
    @hookimpl
    def kdharness_run_started(self, run):
        seen.append(run.benchmark)

    @hookimpl
    def kdharness_epoch_finished(self, epoch, values):
        seen.append((epoch, dict(values)))

    @hookimpl
    def kdharness_run_finished(self, counts):
        seen.append(counts)

class Failing:
    @hookimpl
    def kdharness_epoch_finished(self, epoch):
        raise OSError("the server is away")

class Unable:
    def __init__(self):
        raise RuntimeError("no key")

class Deaf:
    pass

class Overreaching:
    @hookimpl
    def kdharness_methods(self):
        return []

@hookimpl
def kdharness_loggers():
    for factory in (Counting, Failing, Unable, Deaf, Overreaching):
        yield LoggerSpec(factory.__name__.lower(), factory)
    yield LoggerSpec("elsewhere", Counting, needs=("json", "no_such_module"), install="pip install no-such")
    yield LoggerSpec("nowhere", Counting, needs=("no.such.module",))
"""


@pytest.fixture
def loggers(write) -> Registry:
    return Registry.load([write("loggers.py", LOGGERS)])


def seen(registry: Registry) -> list[object]:
    return registry.get("logger", "counting").spec.factory.kdharness_run_started.__globals__["seen"]


def test_a_logger_hears_only_where_it_is_named(loggers, tmp_path):
    assert not loggers.listens("run_started")
    run = RunInfo("digits", tmp_path, 1)
    loggers.fire("run_started", run=run)
    start_loggers(["counting", "counting"], loggers)
    assert loggers.listens("run_started")
    assert not loggers.listens("cell_started")
    assert loggers.fire("run_started", run=run) == []
    assert loggers.fire("epoch_finished", cell=CELL, epoch=2, values={"ce": 1.0}) == []
    assert loggers.fire("run_finished", counts={"ok": 1}) == []
    assert seen(loggers) == ["digits", (2, {"ce": 1.0}), {"ok": 1}]


def test_one_that_raises_is_named_once_and_the_others_of_its_file_go_on(loggers):
    start_loggers(["failing", "counting"], loggers)
    (line,) = loggers.fire("epoch_finished", cell=CELL, epoch=1, values={})
    assert "plugin 'failing' of " in line
    assert "OSError: the server is away; it is switched off for the rest of the run" in line
    assert loggers.fire("epoch_finished", cell=CELL, epoch=2, values={}) == []
    assert seen(loggers) == [(1, {}), (2, {})]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("contuing", r"unknown logger 'contuing' \(--log\); did you mean 'counting'\?"),
        ("kd", r"unknown logger 'kd' \(--log\); there is a method of this name"),
        ("elsewhere", r"^--log: logger 'elsewhere' needs no_such_module: pip install no-such$"),
        ("nowhere", r"^--log: logger 'nowhere' needs no.such.module$"),
        ("unable", r"logger 'unable' of .*loggers.py does not start: RuntimeError: no key"),
        ("deaf", r"logger 'deaf' of .* does not start: TypeError: it implements no event"),
        ("overreaching", r"does not start: TypeError: kdharness_methods is no event"),
    ],
)
def test_one_that_cannot_be_had(loggers, name, message):
    with pytest.raises(UserError, match=message):
        start_loggers([name], loggers)


def test_names_and_modules_are_looked_at_before_anything_starts(loggers):
    check_loggers(["counting", "unable"], loggers)
    with pytest.raises(UserError, match="needs no_such_module"):
        check_loggers(["counting", "elsewhere"], loggers)
    assert not loggers.listens("run_started")


def test_what_is_an_event():
    cell = ("kdharness_cell_started", "kdharness_epoch_finished", "kdharness_cell_finished")
    assert ("kdharness_run_started", *cell, "kdharness_run_finished") == EVENTS


def test_loggers_are_listed_with_what_they_need(loggers, capsys):
    from kdharness.cli.main import execute

    assert execute(["list", "loggers", "--plugin", str(Path(loggers.get("logger", "deaf").source.file))]) == 0
    said = capsys.readouterr().out
    assert "elsewhere" in said
    assert "needs json, no_such_module" in said
