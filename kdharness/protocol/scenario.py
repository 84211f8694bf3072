"""Scenarios: what is done to the data. A name stands for a definition, which alone enters a cell's key."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from kdharness.api.parameters import Neutral
from kdharness.errors import UnknownName
from kdharness.protocol.seeds import Seed


class _Scenario(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Clean(_Scenario):
    """All labelled training data, for teachers and students."""

    kind: Literal["clean"] = "clean"


class Few(_Scenario):
    """The student sees `images` labelled images, spread evenly over the classes; its teacher sees all."""

    kind: Literal["few"]
    images: int = Field(ge=1)
    seed: Seed = 0


class Small(_Scenario):
    """The training set is small: teachers and student see the same `images` labelled images, those of `few`."""

    kind: Literal["small"]
    images: int = Field(ge=1)
    seed: Seed = 0


class Noise(_Scenario):
    """A share of the training labels is wrong: another class uniformly (symmetric), or the next one (asymmetric)."""

    kind: Literal["noise"]
    ratio: float = Field(ge=0, lt=1)
    type: Literal["symmetric", "asymmetric"] = "symmetric"
    seed: Seed = 0


class Split(_Scenario):
    """The student sees the public share of the training data; teachers see all of it, or its public part.

    statistics: what networks normalise by. "all": the dataset's mean and std, private images included; "public": those
    of the public images; "public_pixels": the mean of the public images, pixel by pixel, without a std.
    candidates: the share of the private images whose membership is a coin: teachers train on about half of them, nobody
    on the others. canaries: how many of these have a wrong label, whoever trains on them; at most all.
    coin: the seed of the coins. Where each student seed has a draw of its own, it alone moves, and `seed` stays.
    """

    kind: Literal["split"]
    public: float = Field(0.8, gt=0, lt=1)
    seed: Seed = 0
    statistics: Annotated[Literal["all", "public", "public_pixels"], Neutral("all")] = "all"
    candidates: Annotated[float, Field(ge=0, le=1), Neutral(0.0)] = 0.0
    canaries: Annotated[int, Field(ge=0), Neutral(0)] = 0
    coin: Annotated[Seed, Neutral(0)] = 0

    @model_validator(mode="after")
    def _has_candidates(self) -> Split:
        if not self.candidates and (self.canaries or self.coin):
            field = "canaries" if self.canaries else "coin"
            raise ValueError(f"{field} means nothing without candidates: these are the images that it is about")
        return self


Scenario = Clean | Few | Small | Noise | Split

_PATTERNS: tuple[tuple[re.Pattern[str], Any], ...] = (
    (re.compile(r"clean\Z"), lambda: Clean()),
    (re.compile(r"few(\d+)\Z"), lambda n: Few(kind="few", images=int(n))),
    (re.compile(r"small(\d+)\Z"), lambda n: Small(kind="small", images=int(n))),
    (re.compile(r"noise(\d\d?)\Z"), lambda n: Noise(kind="noise", ratio=int(n) / 100)),
    (re.compile(r"asym(\d\d?)\Z"), lambda n: Noise(kind="noise", ratio=int(n) / 100, type="asymmetric")),
    (re.compile(r"split(\d\d)\Z"), lambda n: Split(kind="split", public=int(n) / 100)),
)

# The test split and the subsets that some scenario makes of the training split; what some scenario hides from training.
SPLITS = ("test", "train", "teacher", "public", "private", "candidates", "validation", "teacher_validation")
HIDDEN = ("clean_targets", "corrupted", "private", "canary")

# One name of each form.
GENERAL = ("clean", "few100", "small100", "noise40", "asym40", "split80")


def find_scenario(name: str, defined: Mapping[str, Scenario], where: str = "") -> Scenario:
    """The scenario called `name`: one that the benchmark defines, or a general one, as GENERAL shows them."""
    if name in defined:
        return defined[name]
    for pattern, make in _PATTERNS:
        match = pattern.match(name)
        if match and all(int(group) > 0 for group in match.groups()):
            scenario: Scenario = make(*match.groups())
            return scenario
    raise UnknownName("scenario", name, {*defined, *GENERAL}, where)


def find_like(needed: str, names: Iterable[str], defined: Mapping[str, Scenario], where: str) -> tuple[str, Scenario]:
    """The first of `names`, which come from `where`, whose kind is that of the needed scenario; else that one."""
    wanted = find_scenario(needed, defined, "needs_scenario")
    for name in names:
        scenario = find_scenario(name, defined, where)
        if scenario.kind == wanted.kind:
            return name, scenario
    return needed, wanted
