"""The README's example is a plugin that works, and what it says exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kdharness.cli.main import execute

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_method_in_the_readme_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert code
    assert len([line for line in code[1].splitlines() if line.strip()]) <= 15
    (tmp_path / "logit_matching.py").write_text(code[1], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    arguments = (
        "run --plugin logit_matching.py --methods vanilla,kd,logit_matching --seeds 0 --epochs 2 --executor inline"
    )
    assert execute(arguments.split()) == 0
    assert "logit_matching" in capsys.readouterr().out


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_output_shown_names_every_built_in_method() -> None:
    shown = re.search(r"```text\n(.*?)```", README, re.DOTALL)
    assert shown
    from kdharness.registry.manager import Registry

    missing = [name for name in Registry.load().methods if not re.search(rf"\b{name}\b", shown[1])]
    assert not missing
