"""Plugins that leave in every way that Python knows, wherever they are asked: their own cells end, nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kdharness.cli.main import BUG, USAGE, execute

HEAD = """
import numpy as np
import torch.nn.functional as F
from kdharness.api import *

class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no")

class NoText(Exception):
    def __str__(self):
        return None

class Quit(BaseException):
    pass

class Sound(Method):
    "Trains on labels."
    def losses(self, batch, student, teacher=None):
        return {"ce": F.cross_entropy(student.logits, batch.targets)}

def leave(error):
    raise error

"""

# By the place of the fault: the body of a method's class, and why its cell is skipped (None: it is planned).
PLACES = {
    "init": ("def __init__(self, **values): leave(SystemExit(0))", "cannot be made: SystemExit: 0"),
    "reads": ("reads = property(lambda self: leave(Quit('bye')))", "cannot be made: Quit: bye"),
    "requires": ("def requires(self, pair): leave(SystemExit(0))", "failed in requires(): SystemExit: 0"),
    "names": (
        "def requires(self, pair): return ['conv32']",
        "failed in requires(): TypeError: it must give Requirements, and gave a str",
    ),
    "networks": (
        "def networks(self, pair): leave(Mute())",
        "failed in networks(): Mute: its message cannot be read",
    ),
    "optimizers": ("def optimizers(self, pair): leave(GeneratorExit())", "failed in optimizers(): GeneratorExit"),
    "skip": ("def skip(self, context): leave(SystemExit(0))", None),
    "phases": ("def phases(self): leave(NoText())", None),
}

METHODS = "".join(f"class {w.title()}(Sound):\n    name = 'in_{w}'\n    {body}\n\n" for w, (body, _) in PLACES.items())
HOOK = f"""
@hookimpl
def kdharness_methods():
    return [MethodSpec.of(each) for each in ({"".join(f"{w.title()}, " for w in PLACES)})]
"""


def hostile(folder: Path, source: str) -> str:
    path = folder / "hostile.py"
    path.write_text(HEAD + source)
    return str(path)


def test_every_method_is_skipped_with_its_own_reason(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    methods = ",".join(["vanilla", *(f"in_{where}" for where in PLACES)])
    options = ["--methods", methods, "--seeds", "0", "--dry-run", "--out", str(tmp_path / "out")]
    assert execute(["run", "digits", "--plugin", hostile(tmp_path, METHODS + HOOK), *options]) == 0
    # The table folds its cells.
    shown = capfd.readouterr().out
    told = "".join("".join(line.split("│")[-2].split()) for line in shown.splitlines() if line.startswith("│"))
    for where, (_, reason) in PLACES.items():
        if reason is not None:
            assert "".join(f"skip: method 'in_{where}' {reason}".split()) in told
    assert f"{len(PLACES) + 2} cells: 4 to run, 0 done, 6 skipped" in shown


@pytest.mark.parametrize("kind", [None, "methods"])
def test_what_is_listed_lists_the_others_too(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], kind: str | None
) -> None:
    plugin = hostile(tmp_path, METHODS + HOOK + "@hookimpl\ndef kdharness_models():\n    leave(SystemExit(0))\n")
    assert execute(["list", *([kind] if kind else []), "--plugin", plugin, "--json"]) == 0
    shown = capfd.readouterr()
    assert len(json.loads(shown.out)) > 1
    if kind == "methods":
        assert {"kd", "in_init", "in_reads"} <= {row["name"] for row in json.loads(shown.out)}
    else:
        assert "hostile.py failed in kdharness_models: SystemExit: 0" in shown.err


DATASET = """
@hookimpl
def kdharness_datasets():
    return [DatasetSpec("hostile", describe=lambda request: {describe}, load=lambda request: {load})]
"""


@pytest.mark.parametrize(
    ("describe", "told"),
    [
        ("leave(SystemExit(0))", "its describe() failed: SystemExit: 0"),
        ("leave(Mute())", "its describe() failed: Mute: its message cannot be read"),
        ("leave(DatasetMissing('hostile: put it there'))", "put it there"),
        ("None", "its describe() failed: TypeError: it must give a DatasetInfo with an identity, and gave a NoneType"),
    ],
)
def test_a_dataset_that_cannot_be_described_is_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], describe: str, told: str
) -> None:
    plugin = hostile(tmp_path, DATASET.format(describe=describe, load="None"))
    command = ["run", "digits", "--plugin", plugin, "--datasets", "hostile", "--out", str(tmp_path / "out")]
    assert execute(command) == USAGE
    assert capfd.readouterr().err == f"error: dataset 'hostile': {told}\n"


def test_a_dataset_whose_load_leaves_fails_its_own_cells(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    info = "DatasetInfo('x', 10, (1, 8, 8), 1000)"
    plugin = hostile(tmp_path, DATASET.format(describe=info, load="leave(SystemExit(0))"))
    options = ["--methods", "vanilla", "--seeds", "0", "--epochs", "1", "--executor", "inline", "--device", "cpu"]
    command = ["run", "digits", "--plugin", plugin, "--datasets", "hostile,digits", *options]
    assert execute([*command, "--out", str(tmp_path / "out")]) == 1
    shown = capfd.readouterr().err
    assert "failed vanilla conv16 hostile few100 seed 0  SystemExit: it called sys.exit(0)" in shown
    assert "ok vanilla conv16 digits few100 seed 0" in shown


@pytest.mark.parametrize(
    ("load", "told"),
    [
        ("leave(SystemExit(0))", "SystemExit: 0"),
        ("leave(ValueError('hostile: 3.png is broken'))", "hostile: 3.png is broken"),
        ("None", "AttributeError: 'NoneType' object has no attribute 'splits'"),
    ],
)
def test_a_dry_run_says_which_data_cannot_be_loaded(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], load: str, told: str
) -> None:
    info = "DatasetInfo('x', 10, (1, 8, 8), 1000)"
    plugin = hostile(tmp_path, DATASET.format(describe=info, load=load))
    options = ["--methods", "vanilla,kd", "--seeds", "0-1", "--dry-run", "--device", "cpu"]
    command = ["run", "digits", "--plugin", plugin, "--datasets", "hostile,digits", *options]
    assert execute([*command, "--out", str(tmp_path / "out")]) == 1
    shown = capfd.readouterr()
    lines = [line for line in shown.err.splitlines() if "would fail" in line]
    assert lines == [f"warning: its cells would fail: dataset 'hostile' cannot be loaded: {told}"]
    assert "10 cells: 10 to run" in shown.out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("error", ["SystemExit(0)", "EOFError()", "Quit('bye')"])
def test_what_nobody_expected_ends_with_its_traceback(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    class Quit(BaseException):
        pass

    def understand(*of_the_command: object) -> None:
        raise eval(error, {"Quit": Quit})

    monkeypatch.setattr("kdharness.cli.session.understand", understand)
    monkeypatch.setattr("kdharness.cli.run.understand", understand, raising=False)
    assert execute(["run", "digits", "--out", str(tmp_path)]) == BUG
    shown = capfd.readouterr().err
    assert "in understand" in shown
    assert "error: this is a bug in kdharness" in shown


EXECUTOR = """
@hookimpl
def kdharness_executors():
    return [ExecutorSpec("hostile", lambda settings: leave(SystemExit(0)))]
"""


@pytest.mark.parametrize("dry", [[], ["--dry-run"]], ids=["run", "dry run"])
def test_an_executor_that_does_not_start_is_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], dry: list[str]
) -> None:
    plugin = hostile(tmp_path, EXECUTOR)
    command = ["run", "digits", "--methods", "vanilla", "--plugin", plugin, "--executor", "hostile", *dry]
    assert execute([*command, "--out", str(tmp_path / "out")]) == USAGE
    assert capfd.readouterr().err == f"error: executor 'hostile' of {plugin} does not start: SystemExit: 0\n"


def test_a_dry_run_refuses_an_executor_that_there_is_not(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    command = ["run", "digits", "--methods", "vanilla", "--executor", "inlin", "--dry-run", "--out", str(tmp_path)]
    assert execute(command) == USAGE
    assert capfd.readouterr().err == "error: unknown executor 'inlin' (--executor); did you mean 'inline'?\n"
