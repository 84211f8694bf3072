"""Reference results: what may become one, and that words and tables cannot part."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fabricate
import pytest

from kdharness.errors import UserError
from kdharness.protocol.claim import Claim
from kdharness.report.leaderboard import write_tables
from kdharness.results.record import Record, Status

RESULTS = Path(__file__).parents[2] / "results"
sys.path.insert(0, str(RESULTS))
import reference  # noqa: E402  (scripts, not a package)
import sentences  # noqa: E402
import tables  # noqa: E402

NAME = "meal-small"
SCORES: dict[str, list[float | None]] = {
    "vanilla": [88.0, 88.5, 87.9, 88.2, 88.4],
    "kd": [91.0, 91.4, 90.9, 91.3, 91.2],
    "wild": [95.0, 90.0, 94.0, 89.0, 91.0],
}
CLAIMS = tuple(
    Claim(text=text, paper="Somebody 2020", better=better, than=than, smaller=False, equal_within=0.2)
    for text, better, than in (
        ("Soft targets help.", "kd", "vanilla"),
        ("Labels alone are better.", "vanilla", "kd"),
        ("Wildness helps.", "wild", "kd"),
        ("So does magic.", "magic", "kd"),
    )
)
WORDS = """Soft targets reach {{ number("kd") }} % (`kd`, of `2014`), {{ difference("Soft targets help") }} points
{{ says("Soft targets help", holds="above", fails="not above", undecided="perhaps above") }} labels."""


@pytest.fixture(autouse=True)
def committed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "uncommitted", list)


def records(**changes: Any) -> list[Record]:
    return fabricate.records_of(SCORES, benchmark=NAME, **changes)


def run_of(path: Path, made: list[Record], **changes: Any) -> Path:
    """A finished run's folder."""
    cells = [each.cell for each in made]
    plan = {"benchmark": NAME, "claims": CLAIMS, "summary": "MEAL on digits", **changes}
    folder = fabricate.write(path / NAME, cells, made, **plan)
    write_tables(folder.load())
    return path / NAME


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A results folder with one reference, its words, and the README.md that follows from them."""
    root = tmp_path / "results"
    tables.keep(run_of(tmp_path / "run", records()), root / "reference")
    (root / "words").mkdir()
    (root / "words" / f"{NAME}.md").write_text(WORDS, encoding="utf-8")
    (root / "README.md").write_text(f"# Before\n\n{reference.BEGIN}\n{reference.END}\nAfter\n", encoding="utf-8")
    reference.write(root, root / "words")
    return root


def faults(root: Path) -> list[str]:
    return list(reference.faults(root, root / "words"))


def test_words_of_this_tree_are_those_of_its_tables() -> None:
    assert list(reference.faults()) == []


def test_the_section_says_what_the_tables_say(root: Path) -> None:
    text = (root / "README.md").read_text(encoding="utf-8")
    assert faults(root) == []
    assert text.startswith("# Before\n")
    assert text.endswith("\nAfter\n")
    assert (
        "### meal-small\n\nMEAL on digits. 15 cells; seeds 0-4, each draws anew: student. kdharness 0.1.0, cpu-abc."
        in text
    )
    assert "Soft targets reach 91.2 % (`kd`, of `2014`), +3.0 ± 0.1 points above labels." in text
    holds, fails, undecided, unmeasured = (
        text.split(f"**{title}**\n\n")[1].split("\n\n")[0]
        for title in ("Holds", "Does not hold", "Undecided", "Not measured")
    )
    assert holds.startswith(
        "- Soft targets help. (Somebody 2020): `kd vs vanilla`, difference +2.96 ±0.14, over 5 students, one teacher, "
        "p 0.062, p Holm <0.001."
    )
    assert fails.startswith("- Labels alone are better.")
    assert undecided.startswith("- Wildness helps. (Somebody 2020): undecided (about ")
    assert unmeasured == "- So does magic. (magic was not planned)"
    assert "corrected together over all claims of the benchmark, settings counted apart: 3 tests." in text
    assert "Not run yet: `byot-small`, `meal-noise`, `rona-small`" in text


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new"),
    [("reach 91.2 %", "reach 91.9 %"), ("above labels", "not above labels"), ("**Holds**", "**Does not hold**")],
)
def test_words_that_part_from_the_tables_are_told(root: Path, old: str, new: str) -> None:
    edit(root / "README.md", old, new)
    (line,) = faults(root)
    assert line.startswith("README.md, line ")
    reference.write(root, root / "words")
    assert faults(root) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("claims.csv", "undecided", "holds", "claims.csv is not what results.csv and metrics.csv give"),
        ("leaderboard.csv", "91.16", "91.26", "leaderboard.csv is not what"),
        ("results.csv", ",91.4,", ",95.4,", "leaderboard.csv is not what"),
        ("results.csv", "cpu-abc", "cpu-def", ""),
    ],
)
def test_a_table_that_was_edited_is_told(root: Path, file: str, old: str, new: str, told: str) -> None:
    edit(root / "reference" / NAME / file, old, new)
    assert told in faults(root)[0]


def test_tables_that_follow_from_others_are_made_anew(root: Path) -> None:
    edit(root / "reference" / NAME / "leaderboard.csv", "91.16", "91.26")
    edit(root / "reference" / NAME / "claims.csv", "undecided", "holds")
    for each in tables.references(root / "reference"):
        each.derive()
    assert faults(root) == []


AUDIT = """network,attack,auc,auc_low,auc_high
teacher,lira,0.624,{low},0.65
student,lira,0.50,0.48,0.52
student,lira,0.52,0.496,0.55
"""
ATTACKED = (
    """{{ attacked("teacher", told="told", untold="safe") }}; {{ attacked("student", told="told", untold="safe") }}"""
)


@pytest.mark.parametrize(("low", "teacher"), [(0.6, "told"), (0.49, "safe")])
def test_what_an_attack_tells_is_said_from_its_table(root: Path, low: float, teacher: str) -> None:
    (root / "reference" / NAME / "audit.csv").write_text(AUDIT.format(low=low), encoding="utf-8")
    template = root / "words" / "attacks.md"
    template.write_text(ATTACKED, encoding="utf-8")
    (kept,) = tables.references(root / "reference")
    assert sentences.filled(template, kept) == f"{teacher} (area 0.62); safe (area 0.50 to 0.52)"


def test_an_attack_that_nobody_made_is_told(root: Path) -> None:
    template = root / "words" / "attacks.md"
    template.write_text(ATTACKED, encoding="utf-8")
    (kept,) = tables.references(root / "reference")
    with pytest.raises(UserError, match=r"meal-small has no audit\.csv"):
        sentences.filled(template, kept)


def test_numbers_that_differ_by_rounding_alone_are_the_same(root: Path) -> None:
    edit(root / "reference" / NAME / "leaderboard.csv", "91.16", "91.160000001")
    assert faults(root) == []


def test_several_fingerprints_are_told_though_they_were_put_there_by_hand(root: Path) -> None:
    path = root / "reference" / NAME / "results.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("cpu-abc", "cpu-def", 3), encoding="utf-8")
    assert "it must have one of fingerprints, and has 2: cpu-abc, cpu-def" in faults(root)[0]


def test_what_does_not_belong_there_and_what_lacks_is_told(root: Path) -> None:
    folder = root / "reference" / NAME
    (folder / "private").mkdir()
    assert faults(root) == ["meal-small: private does not belong there"]
    (folder / "plan.json").unlink()
    assert faults(root) == ["meal-small: it lacks plan.json"]


def test_only_tables_and_plan_are_kept(root: Path, tmp_path: Path) -> None:
    run = run_of(tmp_path / "again", records())
    (run / "private").mkdir()
    (run / "private" / "claims.csv").write_text("secret", encoding="utf-8")
    (run / "notes.txt").write_text("mine", encoding="utf-8")
    folder = tables.keep(run, root / "reference")
    names = {path.name for path in folder.rglob("*")}
    assert names == {"results.csv", "metrics.csv", "leaderboard.csv", "claims.csv", "plan.json"}
    assert faults(root) == []


def changed(made: list[Record], **values: Any) -> list[Record]:
    """The first record with other values."""
    return [replace(made[0], values={**made[0].values, **values}), *made[1:]]


def refusals() -> Iterator[tuple[str, list[Record], str]]:
    usual = records()
    yield "fingerprint", changed(usual, fingerprint="gpu"), "it must have one of fingerprints, and has 2: cpu-abc, gpu"
    yield "release", changed(usual, kdharness_version="0.2.0"), "it must have one of releases, and has 2"
    yield "deviation", records(deviations="recipe.epochs=2"), "it deviates from its benchmark: recipe.epochs=2"
    yield "edited", records(method_revision="1+0a1b"), "code that was edited and is in no lock: kd 1+0a1b, vanilla"
    dirty = [replace(r, values={**r.values, "kdharness_version": "0.1.0+dirty"}) for r in usual]
    yield "dirty", dirty, "no release and no commit: kdharness 0.1.0+dirty"
    failed = [fabricate.record(usual[0].cell, None, Status.FAILED, "nan"), *usual[1:]]
    yield "failed", failed, "1 cells are failed: vanilla"
    yield "other", fabricate.records_of(SCORES, benchmark="mine"), "'mine' is no benchmark that comes with kdharness"


@pytest.mark.parametrize(("made", "told"), [pytest.param(*rest, id=name) for name, *rest in refusals()])
def test_what_cannot_be_a_reference_is_refused(tmp_path: Path, made: list[Record], told: str) -> None:
    run = run_of(tmp_path, made, benchmark=made[0].cell.benchmark)
    with pytest.raises(UserError, match="cannot be a reference") as caught:
        tables.keep(run, tmp_path / "reference")
    assert told in str(caught.value)
    assert not (tmp_path / "reference").exists()


def test_code_that_is_not_committed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "uncommitted", lambda: ["code is not committed: kdharness/text.py"])
    with pytest.raises(UserError, match=r"code is not committed: kdharness/text\.py"):
        tables.keep(run_of(tmp_path, records()), tmp_path / "reference")


def test_a_run_of_several_commands_is_refused(tmp_path: Path) -> None:
    run = run_of(tmp_path, records())
    made = fabricate.records_of({"late": [90.0] * 5}, benchmark=NAME)
    fabricate.write(
        run, [r.cell for r in made], made, benchmark=NAME, claims=CLAIMS, created_at="2026-01-01T00:00:00+00:00"
    )
    with pytest.raises(UserError, match="several commands"):
        tables.keep(run, tmp_path / "reference")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("They gain 3 points.", "the number 3 comes from no table"),
        ("They gain 2.96.", "the number 2.96 comes from no table"),
        ('{{ number("kdd") }}', "unknown method 'kdd'"),
        ('{{ difference("Soft targets harm") }}', "unknown claim 'Soft targets harm'"),
        ('{{ told("better", "fitnet") }}', "unknown reference 'fitnet'"),
        ('{{ told("bettr") }}', "'bettr' is not a valid Verdict"),
        ("{{ nothing }}", "'nothing' is undefined"),
        ("{{ number(", "unexpected"),
    ],
)
def test_words_with_numbers_of_their_own_or_about_nothing_are_refused(root: Path, words: str, told: str) -> None:
    (root / "words" / f"{NAME}.md").write_text(words, encoding="utf-8")
    with pytest.raises(UserError, match=told):
        reference.section(root / "reference", root / "words")


def test_names_with_digits_are_no_numbers(root: Path) -> None:
    (root / "words" / f"{NAME}.md").write_text("MEAL V2 on 8x8 digits, `conv32` and L2.", encoding="utf-8")
    assert "MEAL V2 on 8x8 digits" in reference.section(root / "reference", root / "words")


def test_words_follow_the_answer(root: Path) -> None:
    text = '{{ says("TEXT", holds="yes", fails="no", undecided="perhaps", unmeasured="never") }}'
    one = tables.references(root / "reference")[0]
    for claim, expected in zip(CLAIMS, ("yes", "no", "perhaps", "never"), strict=True):
        path = root / "words" / "one.md"
        path.write_text(text.replace("TEXT", claim.text), encoding="utf-8")
        assert sentences.filled(path, one) == expected


def test_methods_are_told_by_their_verdict(root: Path) -> None:
    text = (
        '{{ told("better", "vanilla") }}; {{ told("worse") }}; {{ told("undecided") }}; {{ told("practically equal") }}'
    )
    path = root / "words" / "one.md"
    path.write_text(text, encoding="utf-8")
    assert sentences.filled(path, tables.references(root / "reference")[0]) == "`kd`; `vanilla`; `wild`; none"


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reference.main(["check"]) == 0
    run = run_of(tmp_path, records(deviations="recipe.epochs=2"))
    assert reference.main(["keep", str(run)]) == 2
    assert "it deviates from its benchmark" in capsys.readouterr().err


def test_a_plan_is_kept_whole(root: Path) -> None:
    plan = tables.references(root / "reference")[0].plan
    assert plan.claims == CLAIMS
    assert json.loads((root / "reference" / NAME / "plan.json").read_text(encoding="utf-8"))["benchmark"] == NAME
    shutil.rmtree(root / "reference")
    assert "`meal-small`" in reference.section(root / "reference", root / "words")
