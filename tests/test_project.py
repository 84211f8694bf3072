"""The pages beside the code say what is so."""

from __future__ import annotations

import re
from pathlib import Path

import kdharness

ROOT = Path(__file__).parent.parent
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_links_of_the_page_for_contributors_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", CONTRIBUTING):
        assert (ROOT / target).exists(), target


def test_every_file_that_contributors_are_told_to_run_exists() -> None:
    for target in re.findall(r"python ([\w/]+\.py)", CONTRIBUTING):
        assert (ROOT / target).exists(), target


def test_every_session_of_nox_that_is_named_exists() -> None:
    sessions = re.findall(r"^def ([a-z]+)\(session", (ROOT / "noxfile.py").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"nox -s (\w+)", CONTRIBUTING)) <= set(sessions)


def test_every_room_is_explained_to_contributors_and_named_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for room in sorted(path.parent.name for path in (ROOT / "kdharness").glob("*/__init__.py")):
        assert f"`{room}`" in CONTRIBUTING, room
        assert f"`{room}`" in readme, room


def test_the_citation_is_of_this_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {kdharness.__version__}\n" in citation
