"""The pages beside the code say what is so."""

from __future__ import annotations

import re
import tomllib
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


SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]


def test_every_package_is_installed() -> None:
    found = set()
    for package, folder in SETUPTOOLS["package-dir"].items():
        for path in (ROOT / folder).rglob("__init__.py"):
            found.add(".".join((package, *path.parent.relative_to(ROOT / folder).parts)))
    assert set(SETUPTOOLS["packages"]) == found


def test_every_file_that_is_no_module_is_installed() -> None:
    installed = {
        path
        for package, patterns in SETUPTOOLS["package-data"].items()
        for pattern in patterns
        for path in _folder_of(package).glob(pattern)
    }
    kept = {".toml", ".csv", ".json", ".css", ".html", ".js", ".typed"}
    files = {p for f in SETUPTOOLS["package-dir"].values() for p in (ROOT / f).rglob("*") if p.suffix in kept}
    assert files - installed == set()


def _folder_of(package: str) -> Path:
    root, *rest = package.split(".")
    return ROOT.joinpath(SETUPTOOLS["package-dir"][root], *rest)
