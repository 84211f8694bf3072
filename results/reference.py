"""Reference results: the tables under reference/, and the section of README.md that says in words what they say.

    python results/reference.py keep results/meal-small    # a finished run's tables, into reference/meal-small
    python results/reference.py derive                     # leaderboard.csv and claims.csv anew, from results.csv
    python results/reference.py write                      # the section, from the tables
    python results/reference.py check                      # do tables and words agree?

`keep` refuses a run of several fingerprints, with failed cells, with deviations, or of edited code. What is said of
claims is what reports say; what else there is to say of a benchmark stands in words/NAME.md, without a number of its
own:

    MEAL reaches {{ number("meal", scenario="noise40") }} %, {{ difference("MEAL beats kd") }} points
    {{ says("MEAL beats kd", holds="more than", fails="not more than", undecided="perhaps more than") }} kd.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from sentences import WORDS, section_of
from tables import ROOT, keep, missing, references

from kdharness.errors import UserError
from kdharness.results.files import write_atomic

BEGIN = "<!-- reference results: python results/reference.py write -->"
END = "<!-- end of reference results -->"


def section(folder: Path, words: Path = WORDS) -> str:
    """All that README.md says of the reference results."""
    parts = [section_of(reference, words) for reference in references(folder)]
    if absent := missing(folder):
        parts.append(f"Not run yet: {', '.join(f'`{name}`' for name in absent)}.")
    return "\n\n".join(parts)


def split(readme: str) -> tuple[str, str, str]:
    """README.md before, between and after the marks. UserError where they are not there once."""
    if readme.count(BEGIN) != 1 or readme.count(END) != 1:
        raise UserError(f"README.md must hold each of these lines once: {BEGIN} and {END}")
    before, _, rest = readme.partition(BEGIN)
    between, _, after = rest.partition(END)
    return before, between.strip("\n"), after


def write(root: Path = ROOT, words: Path = WORDS) -> None:
    """Puts the section into README.md."""
    path = root / "README.md"
    before, _, after = split(path.read_text(encoding="utf-8"))
    text = section(root / "reference", words)
    write_atomic(path, f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def faults(root: Path = ROOT, words: Path = WORDS) -> Iterator[str]:
    """Where tables, plan and words part, one line each."""
    found = [fault for reference in references(root / "reference") for fault in reference.faults()]
    yield from found
    if found:
        return
    _, said, _ = split((root / "README.md").read_text(encoding="utf-8"))
    wanted = section(root / "reference", words).splitlines()
    for line, (is_said, must_be) in enumerate(_beside(said.splitlines(), wanted)):
        if is_said != must_be:
            yield f"README.md, line {line + 1} of the section says {is_said!r}, and the tables say {must_be!r}"
            return


def _beside(said: Sequence[str], wanted: Sequence[str]) -> Iterator[tuple[str, str]]:
    length = max(len(said), len(wanted))
    yield from zip((*said, *[""] * (length - len(said))), (*wanted, *[""] * (length - len(wanted))), strict=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("keep", help="take a finished run's tables").add_argument("folder", type=Path)
    verbs.add_parser("derive", help="make leaderboard.csv and claims.csv anew, after statistics or columns changed")
    verbs.add_parser("write", help="write the section of README.md")
    verbs.add_parser("check", help="exit with 1 where tables and words part")
    given = parser.parse_args(arguments)
    try:
        if given.verb == "keep":
            print(f"kept in {keep(given.folder)}; now: python results/reference.py write")
        elif given.verb == "derive":
            for reference in references():
                reference.derive()
        elif given.verb == "write":
            write()
        else:
            found = list(faults())
            print("\n".join(found) or "tables and words agree")
            return 1 if found else 0
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
