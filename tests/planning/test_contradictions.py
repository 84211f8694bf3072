"""Fields of a recipe that have no meaning beside each other: one line, whoever says them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kdharness.cli.main import execute
from kdharness.errors import UserError
from kdharness.planning import make_plan
from kdharness.planning.plan import Plan
from kdharness.planning.selection import Selection
from kdharness.protocol.benchmark import parse
from kdharness.registry.manager import Registry

REGISTRY = Registry.load()
CONTENT: dict[str, Any] = {
    "name": "fields",
    "datasets": ["digits"],
    "pairs": ["conv16:conv8"],
    "seeds": [0],
    "recipe": {"epochs": 4, "lr": 0.1},
}


def plan_of(settings: tuple[str, ...] = (), epochs: int | None = None, **changes: Any) -> Plan:
    selection = Selection(("kd",), settings=settings, epochs=epochs)
    return make_plan(parse({**CONTENT, **changes}, "fields.toml"), selection, REGISTRY)


@pytest.mark.parametrize(
    ("settings", "changes", "says"),
    [
        (("recipe.min_lr=5",), {}, "recipe: min_lr = 5 is above lr = 0.1"),
        ((), {"recipe": {"epochs": 4, "lr": 0.1, "min_lr": 0.2}}, "recipe: min_lr = 0.2 is above lr = 0.1"),
        (("recipe.lr=0.01",), {"recipe": {"epochs": 4, "min_lr": 0.02}}, "recipe: min_lr = 0.02 is above lr = 0.01"),
        ((), {"teacher": {"min_lr": 0.2}}, "recipe of teacher 'conv16': min_lr = 0.2 is above lr = 0.1"),
        ((), {"models": {"conv8": {"min_lr": 0.2}}}, "recipe of teacher 'conv8': min_lr = 0.2 is above lr = 0.1"),
        (("conv8.min_lr=0.2",), {}, "recipe of teacher 'conv8': min_lr = 0.2 is above lr = 0.1"),
        (("student.min_lr=0.2",), {}, "recipe 'standard' of student 'conv16': min_lr = 0.2 is above lr = 0.1"),
        ((), {"recipes": {"low": {"lr": 1e-3, "min_lr": 0.01}}}, "recipe 'low' of student 'conv16': min_lr"),
        (("recipe.warmup_epochs=5",), {}, "recipe: warmup_epochs = 5 is longer than the run, which has epochs = 4"),
        ((), {"recipe": {"epochs": 4, "warmup_epochs": 4.5}}, "recipe: warmup_epochs = 4.5 is longer than the run"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_refused(settings: tuple[str, ...], changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError) as caught:
        plan_of(settings, **changes)
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize(
    "settings",
    [("recipe.min_lr=0.1",), ("recipe.warmup_epochs=4",), ("recipe.schedule=cosine", "recipe.min_lr=0.01")],
)
def test_equal_ones_have_a_meaning(settings: tuple[str, ...]) -> None:
    assert not plan_of(settings).warnings


def test_a_run_that_is_shortened_for_a_trial_is_warned_of_its_warm_up() -> None:
    recipe = {"epochs": 4, "warmup_epochs": 3}
    warnings = plan_of(epochs=2, recipe=recipe).warnings
    assert "recipe: warmup_epochs = 3 is longer than the run, which has epochs = 2" in warnings
    with pytest.raises(UserError, match="longer than the run"):
        plan_of(("recipe.warmup_epochs=3",), epochs=2)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("recipe.milestones=5,-3", "milestones"),
        ("recipe.milestones=0.75,0.5", "milestones come in their order"),
        ("recipe.min_lr=5", "min_lr = 5 is above lr"),
        ("recipe.lr=1e308", "lr = '1e308'"),
        ("recipe.gamma=-1", "gamma"),
        ("recipe.gamma=2", "gamma"),
        ("recipe.ema_decay=1", "ema_decay"),
        ("recipe.clip_norm=-1", "clip_norm"),
        ("recipe.repeats=100000000", "repeats"),
        ("recipe.warmup_epochs=100000", "warmup_epochs = 100000 is longer than the run"),
        ("recipe.weight_decay=1e40", "weight_decay"),
        ("student.lr=1e308", "lr"),
        ("conv32.lr=1e308", "lr"),
        ("adam.betas=1.5,0.9", "betas"),
        ("adam.betas=0.9", "betas"),
    ],
)
def test_it_is_one_line_on_the_command_line(
    tmp_path: Path, setting: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert execute(["run", "--methods", "kd", "--dry-run", "--set", setting, "--out", str(out)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
    assert not out.exists()
