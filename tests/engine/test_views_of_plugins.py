"""Views out of a single file: they train, and what is wrong with one reaches nobody who does not read it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kdharness.cli.main import execute
from kdharness.protocol.benchmark import Benchmark, parse
from kdharness.results.record import Status
from kdharness.testing import Lab

PLUGIN = '''
import random
import numpy as np
import torch
from torch.nn import functional as F
from kdharness.api import *

def draws(n, generator):
    return {"shade": torch.randint(0, 9, (n,), generator=generator)}

def darker(images, draws, info):
    """Takes the same off every pixel, in the batch that it is given."""
    images.clamp_(min=9).sub_(draws["shade"].view(-1, 1, 1, 1).to(torch.uint8))
    return images

def greedy(images, draws, info):
    return images + torch.randint(0, 3, images.shape, dtype=torch.uint8, device=images.device)

def numpys(images, draws, info):
    return images + np.random.randint(2)

def pythons(images, draws, info):
    return images + random.randrange(2)

def of_default(n, generator):
    return {"shade": torch.randint(0, 9, (n,))}

def of_float(images, draws, info):
    return images.float()

def too_small(images, draws, info):
    return images[:, :, 1:]

def elsewhere(images, draws, info):
    return images.to("meta")

def hasty(images, draws, info):
    draws["shade"].zero_()
    return images

def few(n, generator):
    return {"shade": torch.zeros(n - 1)}

class Reader(Method):
    """The label, and a view."""
    reads = Reads(teachers="none", views=("recipe", "darker"))

    def losses(self, batch, student, teacher):
        return {"ce": sum(F.cross_entropy(view.logits, batch.targets) for view in student.views)}

FAULTY = {
    "greedy": greedy, "numpys": numpys, "pythons": pythons,
    "of_float": of_float, "too_small": too_small, "elsewhere": elsewhere, "hasty": hasty,
}
READERS = [
    type(name, (Reader,), {"name": f"reads_{name}", "reads": Reads(teachers="none", views=("recipe", name))})
    for name in ("darker", *FAULTY, "undrawn", "default_drawn", "unknwon")
]

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(reader) for reader in READERS]

@hookimpl
def kdharness_views():
    yield ViewSpec("darker", draws, darker, summary="every pixel a little darker")
    for name, apply in FAULTY.items():
        yield ViewSpec(name, draws, apply)
    yield ViewSpec("undrawn", few, darker)
    yield ViewSpec("default_drawn", of_default, darker)
    yield ViewSpec("unknown", draws, darker)
'''

DRAWS = "apply() draws from a default generator: what is random belongs in draws()"
MESSAGES = {
    "greedy": f"view 'greedy': {DRAWS}",
    "numpys": f"view 'numpys': {DRAWS}",
    "pythons": f"view 'pythons': {DRAWS}",
    "default_drawn": "view 'default_drawn': draws() draws from a default generator, and not from the one it is given",
    "of_float": "view 'of_float': apply() must give uint8 [50, 1, 8, 8], got float32 [50, 1, 8, 8]",
    "too_small": "view 'too_small': apply() must give uint8 [50, 1, 8, 8], got uint8 [50, 1, 7, 8]",
    "elsewhere": "view 'elsewhere': apply() must give images on cpu, got meta",
    "hasty": "view 'hasty': apply() changes its draws in place",
    "undrawn": "view 'undrawn': draws()['shade'] must have one row for each of 100 samples, got float32 [99]",
}


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "views.py"
    path.write_text(PLUGIN)
    return path


@pytest.fixture
def make(tmp_path: Path, plugin: Path) -> Callable[..., Lab]:
    return lambda name="lab": Lab(tmp_path / name, plugin_files=(plugin,), metrics=())


def benchmark(*methods: str) -> Benchmark:
    content = {"name": "small", "datasets": ["digits"], "pairs": ["conv4:conv4"], "scenarios": ["few100"]}
    recipe = {"epochs": 2, "batch_size": 50}
    return parse({**content, "run": list(methods), "seeds": [0], "recipe": recipe}, "test")


def test_what_is_wrong_with_a_view_fails_its_readers_alone(make: Callable[..., Lab]) -> None:
    alone, lab = make("alone"), make()
    readers = [f"reads_{name}" for name in MESSAGES]
    sound = ("vanilla", "reads_darker")
    expected = {name: alone.plan(benchmark(name)).cells[0].cell for name in sound}
    for cell in expected.values():
        alone.train([cell], alone=True)
    plan = lab.plan(benchmark(*readers, "vanilla", "reads_darker", "reads_unknwon"))
    reasons = {p.cell.method: p.skip for p in plan.cells if p.skip}
    assert set(reasons) == {"reads_unknwon"}
    assert "requires what there is not: unknown view 'unknwon'; did you mean 'unknown'" in reasons["reads_unknwon"]
    records = {r.cell.method: r for r in lab.train([p.cell for p in plan.cells if not p.skip]).values()}
    assert {name.removeprefix("reads_"): records[name].error_message for name in readers} == MESSAGES
    assert {records[name].error_type for name in readers} == {"ViewError"}
    for name, cell in expected.items():
        assert records[name].status is Status.OK
        assert lab.bits(cell.key) == alone.bits(cell.key), name


def test_a_recipe_names_a_view_of_a_file(plugin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--methods", "vanilla", "--epochs", "1", "--seeds", "0", "--pairs", "conv4:conv4"]
    where = ["--out", str(tmp_path / "out"), "--device", "cpu", "--executor", "inline", "--plugin", str(plugin)]
    assert execute(["run", *common, "--set", "recipe.augmentation=darker", *where]) == 0
    capsys.readouterr()
    records = [json.loads(path.read_text()) for path in tmp_path.glob("out/**/record.json")]
    (document,) = [r["document"] if "document" in r else r["cell"]["document"] for r in records]
    assert document["recipe"]["augmentation"] == "darker"
    assert set(document["views"]) == {"darker"}
    assert set(document["views"]["darker"]) == {"digest"}


@pytest.mark.parametrize("run", ["run", "run --dry-run"])
def test_an_unknown_view_of_a_recipe_is_told(run: str, plugin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute([*run.split(), "--set", "recipe.augmentation=darkr", "--plugin", str(plugin)]) == 2
    told = capsys.readouterr().err
    assert "unknown view 'darkr' (--set recipe.augmentation); did you mean 'darker'?" in told


def test_views_are_listed(plugin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["list", "views", "--json", "--plugin", str(plugin)]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert (rows["darker"]["summary"], rows["darker"]["file"]) == ("every pixel a little darker", str(plugin))
    assert rows["standard"]["revision"] == 1
