"""Checks that take environments of their own. `nox` lists and runs them; `.ci/run` needs none of them.

nox -s lint                     ruff and mypy
nox -s tests                    all tests, in parallel
nox -s lowest                   all tests at the lowest versions that pyproject.toml declares
nox -s newest                   all tests on the newest Python that Debian stable has
nox -s pairs                    a step of every method on every standard pair, with numbers
nox -s tests -- tests/stats     what follows `--` goes to pytest
"""

from __future__ import annotations

import nox

nox.options.sessions = ("lint", "tests")

LOWEST_PYTHON = "3.11"
NEWEST_PYTHON = "3.13"


@nox.session
def lint(session: nox.Session) -> None:
    """The linter and the type checker."""
    session.install("-e", ".[dev]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")


@nox.session
def tests(session: nox.Session) -> None:
    """All tests with the versions that pip chooses today."""
    _test(session)


@nox.session(python=LOWEST_PYTHON)
def lowest(session: nox.Session) -> None:
    """All tests at the lowest declared versions."""
    _test(session, *_lowest_declared())


@nox.session(python=NEWEST_PYTHON)
def newest(session: nox.Session) -> None:
    """All tests on the newest interpreter."""
    _test(session)


@nox.session
def pairs(session: nox.Session) -> None:
    """Every method on every standard pair, with numbers; the tests have all of them without."""
    session.install("-e", ".[test]")
    session.run("pytest", "-n", "auto", "tests/pairs/every_combination_for_real.py", *session.posargs)


def _test(session: nox.Session, *pins: str) -> None:
    """Runs pytest with this package and its tests' requirements. pins: further requirements."""
    session.install("-e", ".[test,plots]", *pins)
    session.run("pytest", "-n", "auto", *session.posargs)


def _lowest_declared() -> list[str]:
    """`name==version` for each `name>=version` of what the tests run with."""
    project = nox.project.load_toml("pyproject.toml")["project"]
    extras = project["optional-dependencies"]
    declared = [*project["dependencies"], *extras["test"], *extras["plots"]]
    return [requirement.partition(",")[0].replace(">=", "==") for requirement in declared]
