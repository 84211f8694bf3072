"""Files of RepDistiller and mdistiller hold our networks under other names.

tests/vectors/others_modules.json has the modules of their networks that hold tensors, in the order of their state
dicts: both repositories' networks were made and their names written down. Loaded so, ours gave their logits.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from kdharness_plugins.models import kdharness_models
from torch import Tensor

from kdharness.api.staged import StagedModel
from kdharness.errors import UserError
from kdharness.weights.fitting import check_fit, fill
from kdharness.weights.reading import load_weights

SHAPE = (3, 32, 32)
SPECS = {spec.name: spec for spec in kdharness_models()}
MODULES: dict[str, list[str]] = json.loads((Path(__file__).parents[2] / "vectors" / "others_modules.json").read_text())


def made(name: str, seed: int) -> StagedModel:
    torch.manual_seed(seed)
    return StagedModel(SPECS[name].factory(100, SHAPE), SPECS[name], SHAPE)


def as_others_have_it(name: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under the others' names: module by module, in the order of both."""
    own = list(dict.fromkeys(tensor.rpartition(".")[0] for tensor in tensors))
    theirs = dict(zip(own, MODULES[name], strict=True))
    return {f"{theirs[k.rpartition('.')[0]]}.{k.rpartition('.')[2]}": value for k, value in tensors.items()}


@pytest.mark.parametrize("key", ["model", "state_dict"])
@pytest.mark.parametrize("name", sorted(MODULES))
def test_their_files_are_read(tmp_path: Path, name: str, key: str) -> None:
    source, model, path = made(name, 1), made(name, 2), tmp_path / f"{name}_best.pth"
    state = source.network.state_dict()
    others = as_others_have_it(name, state)
    assert (set(others) == set(state)) == (name == "resnet32x4")
    torch.save({"epoch": 240, key: others, "best_acc": torch.tensor(75.6)}, path)
    assert check_fit(model, load_weights(path)) == ()
    fill(model, load_weights(path))
    found = model.network.state_dict()
    assert all(torch.equal(found[tensor], value) for tensor, value in state.items())


def test_behind_the_prefix_of_several_devices(tmp_path: Path) -> None:
    source, model = made("vgg8", 1), made("vgg8", 2)
    others = as_others_have_it("vgg8", source.network.state_dict())
    torch.save({"model": {f"module.{name}": value for name, value in others.items()}}, tmp_path / "t.pth")
    fill(model, load_weights(tmp_path / "t.pth"))
    assert torch.equal(model.network.state_dict()["fc.weight"], source.network.state_dict()["fc.weight"])


def test_a_file_of_another_depth_still_does_not_fit(tmp_path: Path) -> None:
    others = as_others_have_it("vgg13", made("vgg13", 1).network.state_dict())
    torch.save({"model": others}, tmp_path / "t.pth")
    with pytest.raises(UserError, match=r"does not fit model 'vgg8': 'stage1.conv2.bias' is not part of it"):
        check_fit(made("vgg8", 2), load_weights(tmp_path / "t.pth"))


def test_a_rule_that_fails_leaves_names_as_they_are(tmp_path: Path) -> None:
    def fails(tensor: str) -> str:
        raise KeyError(tensor)

    model = made("vgg8", 2)
    broken = StagedModel(model.network, replace(model.spec, renamed=fails), SHAPE)
    torch.save({"model": as_others_have_it("vgg8", model.network.state_dict())}, tmp_path / "t.pth")
    with pytest.raises(UserError, match=r"does not fit model 'vgg8': it lacks 'fc.bias'"):
        check_fit(broken, load_weights(tmp_path / "t.pth"))
