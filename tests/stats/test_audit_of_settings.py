"""Audits of a table's rows: whose networks, which coins, what was promised."""

from __future__ import annotations

import math

import fabricate
import numpy as np
import pandas as pd
import pytest

from kdharness.results.audits import Audit
from kdharness.results.record import Record
from kdharness.stats.audit import AUDIT_COLUMNS, ONE_DRAW, audit_frame, audits_of
from kdharness.stats.epsilon_bounds import best_bound, probability

DRAWS, IMAGES, CANARIES = 6, 120, 40
GUARD = {"x_guard_epsilon": 0.5, "x_guard_delta": 1e-6}


def audit(seed: int, leak: float, coin: int, teachers: float | None = 3.0) -> Audit:
    generator = np.random.default_rng([seed, coin])
    members = np.random.default_rng(coin).random(IMAGES) < 0.5
    noise = generator.normal(size=(2, IMAGES))
    taught = None if teachers is None else noise[1] + teachers * members
    canaries = np.arange(IMAGES) < CANARIES
    return Audit(np.arange(IMAGES), members, canaries, noise[0] + leak * members, taught)


def world(one_coin: bool = False) -> tuple[pd.DataFrame, dict[str, Audit]]:
    """`guard` promises 0.5 and leaks, `kd` promises nothing, `vanilla` leaks nothing."""
    records: list[Record] = []
    audits: dict[str, Audit] = {}
    for method, leak in (("vanilla", 0.0), ("kd", 1.0), ("guard", 2.0)):
        for seed in range(DRAWS):
            seeding = "student+teacher+data"
            teacher = None if method == "vanilla" else fabricate.TeacherSource("conv32", f"teacher{seed}")
            cell = fabricate.cell(method, seed, teacher, scenario="split80", seeding=seeding)
            records.append(fabricate.record(cell, **(GUARD if method == "guard" else {})))
            coin = 0 if one_coin else seed
            audits[cell.key] = audit(len(audits), leak, coin, None if method == "vanilla" else 3.0)
    return fabricate.table_of(records), audits


def test_each_competitor_and_the_teachers() -> None:
    (setting,) = audits_of(*world())
    networks = {each.name: each for each in setting.networks}
    assert list(networks) == ["guard", "kd", "vanilla", "teacher"]
    assert {each.draws for each in setting.networks} == {DRAWS}
    aucs = {name: each.lira.auc.value for name, each in networks.items()}
    assert aucs["vanilla"] < 0.6 < aucs["kd"] < aucs["guard"] < aucs["teacher"]
    natural = networks["kd"].threshold
    assert natural.members + natural.others == DRAWS * (IMAGES - CANARIES), "canaries are in no rate"
    assert [each.is_broken for each in setting.networks] == [True, False, False, False]


def test_the_bound_is_of_canaries_alone_with_and_without_their_mean() -> None:
    frame, audits = world()
    (setting,) = audits_of(frame, audits)
    guard = setting.networks[0]
    cells = frame[frame["method"] == "guard"].sort_values("seed")["cell"]
    confidence = np.stack([audits[cell].confidence[:CANARIES] for cell in cells])
    members = np.stack([audits[cell].members[:CANARIES] for cell in cells])
    centred = confidence - confidence.mean(axis=0)
    assert guard.bound == best_bound([confidence.ravel(), centred.ravel()], members.ravel(), 1e-6)
    assert guard.bound is not None
    assert (guard.bound.coins, guard.bound.delta) == (DRAWS * CANARIES, 1e-6)
    assert guard.bound.epsilon > 0.5


def test_coins_that_were_tossed_once_count_once_and_have_no_shadows() -> None:
    (setting,) = audits_of(*world(one_coin=True))
    for each in setting.networks:
        assert each.bound is not None
        assert each.bound.coins == CANARIES
        assert each.lira.members == 0
        assert each.threshold.members > 0
    frame = audit_frame([setting])
    assert set(frame[frame["attack"] == "lira"]["reason"]) == {ONE_DRAW}


def test_what_is_broken_is_judged_over_all_promises() -> None:
    """`guard` and `vanilla`, with 0, promise something."""
    (setting,) = audits_of(*world())
    guard, kd, vanilla, teacher = setting.networks
    assert guard.bound is not None
    tail = probability(guard.bound.guesses, guard.bound.right, guard.bound.coins, 0.5, 1e-6)
    assert guard.p == pytest.approx(8 * tail)
    assert math.isnan(kd.p)
    assert math.isnan(teacher.p)
    assert vanilla.p == 1
    frame, audits = world()
    frame["epsilon"] = frame["epsilon"].where(frame["method"] != "guard", guard.bound.epsilon - 0.02)
    again = audits_of(frame, audits)[0].networks[0]
    assert 0.025 < again.p < 0.05, "alone it would be an alarm"
    assert not again.is_broken


def test_its_table() -> None:
    frame = audit_frame(audits_of(*world()))
    assert tuple(frame.columns) == AUDIT_COLUMNS
    assert len(frame) == 3 * 4
    assert len(audit_frame([])) == 0
    assert ",240," in frame.to_csv(), "counts are whole numbers"
    kd = frame[frame["method"] == "kd"].set_index("attack")
    assert 0.5 < kd.loc["lira", "auc_low"] < kd.loc["lira", "auc"] < kd.loc["lira", "auc_high"] < 1
    assert 1 < kd.loc["lira", "tpr_at_fpr_1"] <= 100, "percent"
    assert math.isnan(kd.loc["lira", "tpr_at_fpr_0_1"])
    assert "non-members are too few for 0.1 %" in kd.loc["lira", "reason"]
    assert kd.loc["coins", "epsilon"] == math.inf
    assert list(frame[frame["broken"] == True]["method"]) == ["guard"]  # noqa: E712 - empty for attacks
    assert set(frame[frame["network"] == "teacher"]["method"]) == {""}


@pytest.mark.parametrize("left", [0, 1])
def test_cells_without_an_audit_are_left_out(left: int) -> None:
    frame, audits = world()
    kept = dict(list(audits.items())[:left])
    assert [each.draws for setting in audits_of(frame, kept) for each in setting.networks] == [1] * left
