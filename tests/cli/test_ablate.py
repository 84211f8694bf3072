"""`kdharness ablate`: real runs on the digits, methods that declare nothing, and mistakes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from kdharness.cli.main import execute
from kdharness.planning.ablation import ablation_choices, terms_that_run
from kdharness.planning.asked import ask
from kdharness.planning.compatibility import on_meta_device
from kdharness.planning.expand import expand
from kdharness.planning.resolve import resolve
from kdharness.planning.selection import MethodChoice, Selection
from kdharness.protocol.benchmark import load
from kdharness.registry.manager import Registry

# What declares no terms; `hint` appears in its second phase only.
UNDECLARED = '''
import torch.nn.functional as F
from kdharness.api import Method, MethodSpec, Phase, hookimpl

class Quiet(Method):
    """Soft targets, then a hint."""
    name = "quiet"
    broken: bool = False

    def phases(self):
        return [Phase("first", fraction=0.5), Phase("second", fraction=0.5)]

    def losses(self, batch, student, teacher):
        if self.broken:
            raise ValueError("no such stage")
        terms = {"ce": F.cross_entropy(student.logits, batch.targets)}
        if batch.step.phase == "second":
            terms["far"] = F.mse_loss(student.logits, teacher.logits)
        return terms

    def curves(self):
        return {"distance": 1.0}

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(Quiet)]
'''
# The terms of MEAL follow from these parameters: a label term that is left out, no discriminators for one of the pairs.
TAKEN_APART = """
datasets = ["digits"]
pairs = ["conv32:conv16", "conv64:conv16"]
seeds = "0"

[recipe]
epochs = 1

[methods.meal]
hard_label_weight = 0.3
without = "ce"

[methods.meal.pairs."conv64:conv16"]
adv_mode = "none"
"""
SHORT = ["--epochs", "2", "--seeds", "0-1", "--executor", "inline", "--device", "cpu"]


@pytest.fixture
def quiet(tmp_path: Path) -> Path:
    path = tmp_path / "quiet.py"
    path.write_text(UNDECLARED, encoding="utf-8")
    return path


def ablate(out: Path, *arguments: str) -> int:
    return execute(["ablate", *arguments, *SHORT, "--out", str(out)])


def ran(out: Path, benchmark: str = "digits") -> set[str]:
    """The student variants in results.csv."""
    frame = pd.read_csv(out / benchmark / "results.csv", keep_default_na=False)
    rows = frame[frame["role"] == "student"]
    return {f"{m}[{v}]" if v else m for m, v in zip(rows["method"], rows["variant"], strict=True)}


def test_kd_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert ablate(out, "kd") == 0
    assert ran(out) == {"vanilla", "kd", "kd[without=ce]", "kd[without=kd]"}
    text = capsys.readouterr().out
    assert "what the parts of kd do · digits" in text
    assert "deviates from the benchmark: recipe.epochs=2" in text
    for part in ("kd without ce", "kd without kd", "vanilla"):
        assert part in text
    effects = pd.read_csv(out / "digits" / "ablation.csv").set_index("part")
    results = pd.read_csv(out / "digits" / "results.csv", keep_default_na=False)
    top1 = results[results["role"] == "student"].astype({"top1": float}).groupby(["method", "variant"])["top1"].mean()
    assert effects.loc["kd without kd", "effect"] == pytest.approx(top1["kd", ""] - top1["kd", "without=kd"])
    assert effects.loc["kd without kd", "n"] == 2
    # Ordinary cells: an ordinary run keeps them, and its report has the parts too.
    assert execute(["run", "--methods", "kd,vanilla", *SHORT, "--out", str(out)]) == 0
    assert ran(out) == {"vanilla", "kd", "kd[without=ce]", "kd[without=kd]"}
    captured = capsys.readouterr()
    assert "what the parts of kd do" in captured.out
    assert "] ok" not in captured.err  # nothing was trained again


def test_dropping_the_only_term_is_skipped_with_a_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ablate(tmp_path, "vanilla") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "vanilla without ce was not measured: without ce no loss term is left to train by" in text
    frame = pd.read_csv(tmp_path / "digits" / "results.csv", keep_default_na=False)
    assert set(frame[frame["variant"] == "without=ce"]["status"]) == {"skipped"}


def test_terms_that_are_not_declared_are_found(
    tmp_path: Path, quiet: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")  # narrower, and names may fold
    assert ablate(tmp_path, "quiet", "--plugin", str(quiet), "--methods", "vanilla") == 0
    assert ran(tmp_path) == {"vanilla", "quiet", "quiet[without=ce]", "quiet[without=far]"}
    assert "quiet without far" in capsys.readouterr().out


def test_a_term_that_no_phase_has_is_an_error(tmp_path: Path, quiet: Path) -> None:
    arguments = ["run", "--methods", "quiet", "--plugin", str(quiet), "--set", "quiet.without=fat"]
    assert execute([*arguments, *SHORT, "--out", str(tmp_path)]) == 1
    frame = pd.read_csv(tmp_path / "digits" / "results.csv", keep_default_na=False)
    (message,) = set(frame[frame["method"] == "quiet"]["error_message"])
    assert message == "without names the term 'fat', which 'quiet' lacks (it has ce, far)"


def test_when_they_cannot_be_found_ablations_and_references_run(
    tmp_path: Path, quiet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ablate(tmp_path, "quiet", "--plugin", str(quiet), "--set", "quiet.broken=true") == 1
    err = capsys.readouterr().err
    assert "declares no loss terms, and a step to find them failed (ValueError: no such stage); none is dropped" in err
    assert ran(tmp_path) == {"vanilla", "kd", "quiet[broken=True]"}


def test_beside_it_run_the_methods_that_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ablate(tmp_path, "kd", "--methods", "at,fitnet", "--skip", "fitnet", "--dry-run") == 0
    out = capsys.readouterr().out
    assert " at " in out
    assert " fitnet " not in out
    assert "kd[without=ce]" in out.replace("\n", "")
    assert not (tmp_path / "digits").exists()


def test_declared_ablations_run_under_their_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plugin = tmp_path / "declared.py"
    declared = """    broken: bool = False
    terms = {"ce": "task", "far": "distill"}
    ablations = {"one_more": {"more": 1.0}}
    more: float = 0.0
"""
    plugin.write_text(UNDECLARED.replace("    broken: bool = False\n", declared), encoding="utf-8")
    assert ablate(tmp_path, "quiet", "--plugin", str(plugin), "--methods", "vanilla") == 0
    assert "quiet[more=1]" in ran(tmp_path)
    assert "quiet[one_more]" in capsys.readouterr().out


def parts(out: Path, *arguments: str) -> set[str]:
    """What the plan of an ablation compares, by the names that it gives them."""
    assert ablate(out, *arguments) == 0
    plans = [json.loads(path.read_text(encoding="utf-8")) for path in (out / "digits").rglob("*.json")]
    (found,) = [plan["parts"] for plan in plans if "parts" in plan]
    return {name for names in found.values() for name in names}


def test_the_terms_are_those_of_the_parameters_that_run(tmp_path: Path) -> None:
    settings = ["--set", "meal.adv_mode=none", "--set", "meal.hard_label_weight=0.3"]
    found = parts(tmp_path, "meal", *settings, "--methods", "vanilla")
    assert {name for name in found if " without " in name} == {"meal without similarity", "meal without ce"}


def test_the_benchmark_has_a_say_in_the_terms(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(TAKEN_APART, encoding="utf-8")
    benchmark, registry = load(str(path)), Registry.load()
    terms = terms_that_run(resolve(ask(benchmark, Selection(choices=(MethodChoice("meal"),))), registry), "meal")
    assert terms == ("similarity", "adversarial")
    choices = ablation_choices("meal", registry.get("method", "meal").spec.factory, terms, ())
    resolved = resolve(ask(benchmark, Selection(choices=choices)), registry)
    found = expand(resolved, on_meta_device(resolved))
    dropped = {(p.cell.teacher, p.cell.variant) for p in found.cells if "adversarial" in p.cell.variant}
    assert dropped == {("conv32", "without=adversarial,without=ce")}  # the other pair has no such part


def test_what_is_the_same_as_the_whole_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ablate(tmp_path, "rkd", "--set", "rkd.angle_weight=0", "--methods", "vanilla") == 0
    assert "the same as the whole" in capsys.readouterr().out
    words = pd.read_csv(tmp_path / "digits" / "ablation.csv").set_index("part")["effect_in_words"]
    assert words["rkd[distance_only]"] == "the same as the whole"
    assert words["rkd[angle_only]"] != "the same as the whole"


def test_it_runs_where_the_method_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ablate(tmp_path, "rona", "--methods", "vanilla,dkd", "--dry-run") == 0
    out = capsys.readouterr().out
    assert "split10" in out
    assert "few100" not in out
    assert " dkd " in out


def test_declared_ablations_have_one_spelling(registry: Registry) -> None:
    labels = [label for found in registry.methods.values() for label in found.spec.factory.ablations]
    assert labels
    assert [label for label in labels if not re.fullmatch("[a-z0-9]+(_[a-z0-9]+)*", label)] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["kx"], "error: unknown method 'kx' (ablate); did you mean 'kd'?"),
        (["kd", "digit"], "error: unknown benchmark 'digit'"),
        (["kd", "--methods", "vanila"], "error: unknown method 'vanila' (--methods); did you mean 'vanilla'?"),
        (["kd", "--skip", "vanila"], "error: unknown method 'vanila' (--skip); did you mean 'vanilla'?"),
        (["kd", "--rerun", "some"], "error: unknown value 'some' (--rerun)"),
        (["kd", "--seeds", "x"], "error: --seeds: 'x' is neither a seed nor a range like 0-4"),
        ([], "error: kdharness ablate: missing argument 'METHOD'"),
    ],
)
def test_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert execute(["ablate", *arguments, "--out", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert err.startswith(message)
    assert err.count("\n") == 1


def test_it_takes_the_options_of_run(capsys: pytest.CaptureFixture[str]) -> None:
    options = []
    for verb in ("run", "ablate"):
        assert execute([verb, "--help"]) == 0
        text = capsys.readouterr().out
        options.append({word for word in text.split() if word.startswith("--")})
    assert options[0] == options[1]
    assert "--set" in options[0]


def test_a_combination_is_taken_apart_term_by_term(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["ablate", "at+kd", "--out", str(tmp_path), "--seeds", "0", "--epochs", "1", "--executor", "inline"]
    assert execute([*arguments, "--methods", "kd", "--pairs", "conv32:conv16", "--workers", "1"]) == 0
    found = pd.read_csv(tmp_path / "digits" / "ablation.csv")
    assert set(found["part"]) == {"at+kd", "at+kd without ce", "at+kd without at.at", "at+kd without kd.kd", "kd"}
    assert set(found["method"]) == {"at+kd"}
    assert found["top1_mean"].notna().all()
    assert "at+kd without kd.kd" in capsys.readouterr().out
