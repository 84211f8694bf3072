"""Methods on the standard pairs: each runs, or says why not. No data is read."""

from __future__ import annotations

import json

import pytest

from kdharness.cli.main import execute
from kdharness.planning import matrix
from kdharness.planning.matrix import MethodOnPairs, standard_matrix
from kdharness.protocol.benchmark import load
from kdharness.registry.manager import Registry

# Of RepDistiller, for which every one of the thirteen pairs is published.
EVERYWHERE = ("kd", "fitnet", "at", "sp", "cc", "vid", "rkd", "pkt", "nst", "vanilla")


@pytest.fixture(scope="module")
def found() -> dict[str, MethodOnPairs]:
    return {each.method: each for each in standard_matrix(Registry.load(()))}


def test_every_method_runs_on_a_standard_pair_or_says_why_not(found: dict[str, MethodOnPairs]) -> None:
    pairs = [str(pair) for pair in load("cifar100").pairs]
    for name, each in found.items():
        assert list(each.skips) == pairs, name
        assert each.runs + sum(len(reason) > 10 for reason in each.skips.values()) == len(pairs), name


def test_what_papers_publish_for_all_pairs_runs_on_all(found: dict[str, MethodOnPairs]) -> None:
    assert {name: found[name].runs for name in EVERYWHERE} == dict.fromkeys(EVERYWHERE, 13)


def test_fsp_is_skipped_where_channels_differ(found: dict[str, MethodOnPairs]) -> None:
    """As in RepDistiller's table, which has no number of it for wrn_40_1 and across architectures."""
    fsp = found["fsp"].skips
    assert fsp["resnet56:resnet20"] == fsp["vgg13:vgg8"] == ""
    assert "compares channels one by one" in fsp["wrn_40_2:wrn_40_1"]
    assert "compares channels one by one" in fsp["resnet32x4:shuffle_v1"]


def test_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    given = (MethodOnPairs("fsp", {"a:b": "", "c:d": "other channels"}), MethodOnPairs("kd", {"a:b": "", "c:d": ""}))
    monkeypatch.setattr(matrix, "standard_matrix", lambda registry: given)
    assert execute(["list", "methods", "--pairs"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert shown == "fsp runs on 1 of 2 skipped on c:d: other channels kd runs on all 2"
    assert execute(["list", "methods", "--pairs", "--json"]) == 0
    first, _ = json.loads(capsys.readouterr().out)
    assert first == {"name": "fsp", "runs": 1, "pairs": {"a:b": "", "c:d": "other channels"}}
    assert execute(["list", "models", "--pairs"]) == 2
    assert "--pairs is about methods" in capsys.readouterr().err
