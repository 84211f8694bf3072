"""A file with several state dicts that fit: which is taken is said, or the user says it. What stands among tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_layouts import OTHER, W, staged, under, weights
from torch import Tensor

from kdharness.errors import UserError
from kdharness.weights.choice import split_choice
from kdharness.weights.fitting import check_fit, fill
from kdharness.weights.reading import INITIAL_FILE, TEACHER_FILE, load_weights

THIRD = weights(2)


def filled(path: Path, content: object, what: str = TEACHER_FILE, chosen: str = "") -> dict[str, Tensor]:
    torch.save(content, path)
    model = staged()
    fill(model, load_weights(path, what, chosen))
    return model.network.state_dict()


def is_from(state: dict[str, Tensor], source: dict[str, Tensor]) -> bool:
    return all(torch.equal(tensor, source[name]) for name, tensor in state.items())


@pytest.mark.parametrize(
    ("content", "what", "taken", "rest"),
    [
        ({"model_s": OTHER, "model_t": W}, TEACHER_FILE, "'model_t'", "'model_s'"),
        ({"model": OTHER, "teacher": W}, TEACHER_FILE, "'teacher'", "'model'"),
        ({"teacher": OTHER, "model": W}, INITIAL_FILE, "'model'", "'teacher'"),
        ({"model_ema": OTHER, "state_dict": W}, TEACHER_FILE, "'state_dict'", "'model_ema'"),
        ({"best": OTHER, "model": W}, TEACHER_FILE, "'model'", "'best'"),
        (under("student.", OTHER) | under("teacher.", W), TEACHER_FILE, "'teacher'", "'student'"),
        (under("online_model.", W) | under("ema_model.", OTHER), TEACHER_FILE, "'online_model'", "'ema_model'"),
        (
            {"model": under("module.student.", OTHER) | under("module.teacher.", W)},
            TEACHER_FILE, "'model.teacher'", "'model.student'",
        ),
        ({"a": OTHER, "b": THIRD, "net": W}, TEACHER_FILE, "'net'", "'a' and 'b'"),
    ],
)  # fmt: skip
def test_the_likeliest_is_taken_and_the_others_are_said(
    tmp_path: Path, content: object, what: str, taken: str, rest: str
) -> None:
    path = tmp_path / "file.pt"
    assert is_from(filled(path, content, what), W)
    (line,) = check_fit(staged("meta"), load_weights(path, what))
    assert line == f"{what} {path} holds several state dicts that fit: {taken} is taken, not {rest} (FILE#KEY chooses)"


@pytest.mark.parametrize(
    ("content", "first", "second"),
    [({"last": OTHER, "best": W}, "last", "best"), ({"runs": {"a": OTHER, "b": W}}, "runs.a", "runs.b")],
)
def test_equally_likely_ones_are_refused_until_one_is_named(
    tmp_path: Path, content: dict[str, Any], first: str, second: str
) -> None:
    path = tmp_path / "file.pt"
    with pytest.raises(UserError) as caught:
        filled(path, content)
    several = f"teacher file {path} holds several state dicts that fit model 'net'"
    assert str(caught.value) == f"{several}: '{first}', '{second}'; FILE#KEY chooses"
    for chosen, source in ((first, OTHER), (second, W)):
        assert is_from(filled(path, content, chosen=chosen), source)
        assert check_fit(staged(), load_weights(path, chosen=chosen)) == ()


def test_copies_of_the_same_weights_are_nothing_to_choose_from(tmp_path: Path) -> None:
    content = {"last": W, "best": {name: tensor.clone() for name, tensor in W.items()}}
    assert is_from(filled(tmp_path / "file.pt", content), W)
    assert check_fit(staged(), load_weights(tmp_path / "file.pt")) == ()


def test_a_choice_that_is_not_there_is_told_with_what_is(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown state dict 'bets' \(teacher file .*\); did you mean 'best'"):
        filled(tmp_path / "file.pt", {"last": OTHER, "best": W}, chosen="bets")


def test_a_file_that_is_called_so_is_itself(tmp_path: Path) -> None:
    for name in ("a.pt", "b#1.pt"):
        (tmp_path / name).touch()
    assert split_choice(f"{tmp_path}/a.pt#best") == (tmp_path / "a.pt", "best")
    assert split_choice(f"{tmp_path}/b#1.pt") == (tmp_path / "b#1.pt", "")
    assert split_choice(f"{tmp_path}/b#1.pt#model.x") == (tmp_path / "b#1.pt", "model.x")
    assert split_choice(f"{tmp_path}/a.pt") == (tmp_path / "a.pt", "")


(BATCHES,) = [name for name in W if name.endswith("num_batches_tracked")]


@pytest.mark.parametrize(
    "content",
    [
        {"model": W | {"_extra_state": None}},
        W | {"model.0._extra_state": {"scale": 1}},
        W | {"_extra_state": torch.zeros(0)},
        W | {"total_ops": 3, "fc.total_params": 7.5},
        W | {BATCHES: int(W[BATCHES])},
        W | {BATCHES: np.int64(W[BATCHES])},
        {"state_dict": {name: tensor.numpy() for name, tensor in W.items()}},
        W | {"fc.bias": W["fc.bias"].numpy().astype(">f4")},
    ],
)
def test_bookkeeping_is_passed_over_and_arrays_are_read(tmp_path: Path, content: object) -> None:
    assert is_from(filled(tmp_path / "file.pt", content), W)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"epoch": 3}, "'epoch' is of type int, and no tensor"),
        ({"extra": None}, "'extra' is None, and no tensor"),
        ({"fc.bias": [0.0, 1.0, 2.0]}, "it lacks 'fc.bias' and 1 more"),
        ({"names": np.array(["a", "b"])}, "'names' is an array of <U1, and no tensor"),
        ({"optimizer": {"state": {}}}, "'optimizer' is of type dict, and no tensor"),
    ],
)
@pytest.mark.parametrize("key", ["", "model"])
def test_what_is_no_tensor_is_named_with_its_type(tmp_path: Path, more: dict[str, object], says: str, key: str) -> None:
    content = W | more
    with pytest.raises(UserError) as caught:
        filled(tmp_path / "file.pt", {key: content} if key else content)
    assert says in str(caught.value)
    assert f"under '{key}'" in str(caught.value) or not key


@pytest.mark.parametrize("kind", [torch.int8, torch.uint8, torch.bool, torch.float8_e4m3fn, torch.int64])
@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("what", [TEACHER_FILE, INITIAL_FILE])
def test_quantised_numbers_are_refused_by_name(tmp_path: Path, kind: torch.dtype, device: str, what: str) -> None:
    torch.save({name: t.to(kind) if t.is_floating_point() else t for name, t in W.items()}, tmp_path / "file.pt")
    with pytest.raises(UserError) as caught:
        check_fit(staged(device), load_weights(tmp_path / "file.pt", what))
    name = str(kind).removeprefix("torch.")
    assert f"' holds {name}, not float32: quantised weights are not read and " in str(caught.value)


def test_complex_numbers_are_refused(tmp_path: Path) -> None:
    torch.save(W | {"fc.bias": W["fc.bias"].to(torch.complex64)}, tmp_path / "file.pt")
    with pytest.raises(UserError, match=r"'fc\.bias' is sparse, quantised or complex"):
        check_fit(staged(), load_weights(tmp_path / "file.pt"))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_numbers_of_another_width_are_read_as_the_models_and_said_once(tmp_path: Path, kind: torch.dtype) -> None:
    state = filled(tmp_path / "file.pt", {n: t.to(kind) if t.is_floating_point() else t for n, t in W.items()})
    assert all(torch.equal(t, W[n].to(kind).to(t.dtype)) for n, t in state.items())
    (line,) = check_fit(staged("meta"), load_weights(tmp_path / "file.pt"))
    assert line.endswith(f"file.pt holds {str(kind).removeprefix('torch.')}, which is read as float32")


def test_a_counter_of_batches_may_be_a_floating_number(tmp_path: Path) -> None:
    state = filled(tmp_path / "file.pt", {name: tensor.float() for name, tensor in W.items()})
    assert is_from(state, W)
    assert check_fit(staged(), load_weights(tmp_path / "file.pt")) == ()
