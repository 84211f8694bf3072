"""How --teacher and a model's weights name a file, and a state dict in it; what a run and a dry run say of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from kdharness.api.preprocessing import Preprocessing
from kdharness.api.staged import StagedModel
from kdharness.cli.main import execute
from kdharness.errors import UnknownName
from kdharness.planning.seeding import Seeding
from kdharness.planning.teacher_files import teacher_files
from kdharness.registry.manager import Registry
from kdharness.testing import Lab

MODELS = ("conv32", "conv16")


@pytest.fixture(scope="module")
def states() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Of two networks of conv32 that nobody trained."""
    spec = Registry.load().models["conv32"].spec
    found = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        found.append(StagedModel(spec.factory(10, (1, 8, 8)), spec, (1, 8, 8), Preprocessing()).network.state_dict())
    return found[0], found[1]


@pytest.mark.parametrize("name", ["epoch=3-step=100.ckpt", "lr=0.1/best.pt", "conv32=x.pt", "a#b=1.pt", "=.pt"])
def test_an_equals_sign_in_a_path_names_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"x")
    for given in (name, f"conv32={name}", str(tmp_path / name), f"conv32={tmp_path / name}"):
        (file,) = teacher_files((given,), ["conv32"], Seeding()).values()
        assert (file.path, file.chosen) == (str(tmp_path / name), "")
    (file,) = teacher_files((f"{name}#best.model",), ["conv32"], Seeding()).values()
    assert (file.path, file.chosen) == (str(tmp_path / name), "best.model")


def test_a_file_beside_one_that_is_called_like_the_option_is_the_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("conv32=x.pt", "x.pt"):
        (tmp_path / name).write_bytes(name.encode())
    assert teacher_files(("conv32=x.pt",), MODELS, Seeding())["conv32"].path == str(tmp_path / "x.pt")
    with pytest.raises(UnknownName, match="unknown teacher model 'conv64'"):
        teacher_files(("conv64=x.pt",), MODELS, Seeding())


def run(tmp_path: Path, *options: str) -> int:
    out = str(tmp_path / "out")
    return execute(["run", "--methods", "kd", "--seeds", "0", "--dry-run", "--device", "cpu", "--out", out, *options])


@pytest.mark.parametrize("option", ["--teacher", "--set"])
def test_which_one_is_taken_is_said_by_a_dry_run(
    tmp_path: Path, states: tuple[dict[str, Tensor], ...], capsys: pytest.CaptureFixture[str], option: str
) -> None:
    path = tmp_path / "both.pt"
    torch.save({"model_ema": states[0], "model": states[1]}, path)
    given = str(path) if option == "--teacher" else f"conv32.weights={path}"
    run(tmp_path, option, given)
    said = capsys.readouterr().err
    assert f"{path} holds several state dicts that fit: 'model' is taken, not 'model_ema' (FILE#KEY chooses)" in said
    run(tmp_path, option, f"{given}#model_ema")
    assert "several state dicts" not in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--teacher", "--set"])
def test_an_ambiguous_file_is_refused_before_anything_is_written(
    tmp_path: Path, states: tuple[dict[str, Tensor], ...], capsys: pytest.CaptureFixture[str], option: str
) -> None:
    path = tmp_path / "both.pt"
    torch.save({"last": states[0], "best": states[1]}, path)
    given = str(path) if option == "--teacher" else f"conv32.weights={path}"
    assert run(tmp_path, option, given) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("holds several state dicts that fit model 'conv32': 'last', 'best'; FILE#KEY chooses")
    assert run(tmp_path, option, f"{given}#bets") == 2
    assert "did you mean 'best'?" in capsys.readouterr().err


def test_another_state_dict_of_a_file_is_another_teacher(tmp_path: Path, states: tuple[dict[str, Tensor], ...]) -> None:
    """Its cells have another key, and learn from it."""
    path = tmp_path / "both.pt"
    torch.save({"last": states[0], "best": states[1]}, path)
    lab = Lab(tmp_path / "lab")
    cells = {
        chosen: lab.plan(methods=("kd",), scenarios=("few100",), teachers=(f"{path}#{chosen}",)).cells[-1].cell
        for chosen in ("last", "best")
    }
    assert cells["last"].key != cells["best"].key
    for chosen, cell in cells.items():
        assert cell.document["teachers"][0]["source"] == f"{cell.teachers[0].sha256}#{chosen}"
        assert cell.deviations.endswith(f"teacher conv32 from file {cell.teachers[0].sha256[:12]}#{chosen}")


def test_a_worker_loads_what_was_chosen(tmp_path: Path, states: tuple[dict[str, Tensor], ...]) -> None:
    from kdharness.device.door import open_device
    from kdharness.engine.world import World

    path = tmp_path / "both.pt"
    torch.save({"last": states[0], "best": states[1]}, path)
    lab = Lab(tmp_path / "lab")
    world = World(lab.registry, lab.folder, lab.path, open_device("cpu"), teacher_top1_floor=0.0)
    for chosen, state in (("best", states[1]), ("last", states[0])):
        plan = lab.plan(methods=("kd",), scenarios=("few100",), teachers=(f"{path}#{chosen}",))
        cell = plan.cells[-1].cell
        (teacher,) = world.teachers.of(cell, world.data.of(cell))
        assert all(torch.equal(t, state[name]) for name, t in teacher.model.network.state_dict().items())
