"""The tables of plugins/README.md on all classes of kdharness.api, made from annotations and docstrings.

python tests/api/field_tables.py check     # are they those of this tree?
python tests/api/field_tables.py update    # make them so
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kdharness import api

README = Path(__file__).parents[2] / "plugins" / "README.md"
TITLE = "## All fields"

INTRODUCTION = (
    "Every class that `kdharness.api` exports, `Method` aside. Shapes are of tensors and arrays: N images of C "
    "channels, H rows and W\ncolumns; D features; L tokens. `python tests/api/field_tables.py update` makes these "
    "tables from the code.\n"
)

# Every class of the API but `Method`, whose tables stand where it is explained, and exceptions.
GROUPS = {
    "Training, as a method sees it": (
        "BuildContext", "ModelShape", "EpochContext", "Batch", "Mixing", "TaskLoss", "StepInfo", "Step", "Outputs",
        "StagedModel",
    ),
    "What a method declares": ("Pair", "Requirement", "Reads", "View", "Phase", "Player", "Neutral"),
    "Metrics and events": ("Evaluation", "Predictions", "Inspection", "Observer", "RunInfo", "CellInfo"),
    "Models": ("ModelSpec", "Tokens", "Preprocessing", "Pretrained"),
    "Datasets": ("DataRequest", "DatasetInfo", "ImageDataset", "Split", "Augmentation"),
    "Views": ("ViewSpec", "ViewInfo", "FiniteView"),
    "Other records of hooks": (
        "MethodSpec", "DatasetSpec", "MetricSpec", "OptimizerSpec", "LeaderboardColumn", "ExecutorSpec", "LoggerSpec",
        "Parameter",
    ),
    "Executors": (
        "WorkerSettings", "TeacherUse", "Executor", "Job", "CellStarted", "EpochFinished", "CellFinished",
        "CellAborted", "JobFinished", "JobLost", "WorkerError", "WorkerWarning",
    ),
}  # fmt: skip

# A shape in a docstring: [N, C, H, W], [4], (C, H, W), 0-d. Not [0, 1], which is a range.
_SHAPE = re.compile(r"\[\d+\]|\[(?:[A-Za-z]\w*)(?:, ?\w+)*\]|\((?:[A-Z]\w*)(?:, ?\w+)+\)|\b0-d\b")


@dataclass(frozen=True)
class Member:
    """One row. name: as it is written by who uses it; type: its annotation; meaning: of its docstring."""

    name: str
    type: str
    meaning: str

    @property
    def row(self) -> str:
        # A method's words tell the shapes of its arguments too.
        shape = None if self.name.endswith(")") else _SHAPE.search(self.meaning)
        cells = (f"`{self.name}`", f"`{self.type}`", shape.group() if shape else "", self.meaning)
        return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def text() -> str:
    """The whole section."""
    groups = (f"### {title}\n\n" + "\n".join(map(_table, names)) for title, names in GROUPS.items())
    return f"{TITLE}\n\n{INTRODUCTION}\n" + "\n".join(groups)


def _table(name: str) -> str:
    cls = getattr(api, name)
    first = " ".join((inspect.getdoc(cls) or "").split("\n\n")[0].split())
    rows = "\n".join(member.row for member in members(cls))
    return f"#### `{name}`\n\n{first}\n\n| name | type | shape | meaning |\n| --- | --- | --- | --- |\n{rows}\n"


# -- one class ---------------------------------------------------------------------------------------------------------


def members(cls: type, package: str = "kdharness.api") -> list[Member]:
    """Its fields, then its properties and methods, those of its bases in the package first. ValueError for one that its
    docstring does not explain.
    """
    found: dict[str, Member] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.startswith(package):
            found |= {member.name.partition("(")[0]: member for member in _own(base)}
    return list(found.values())


def _own(cls: type) -> Iterator[Member]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    assert isinstance(tree, ast.ClassDef)
    told = _explained(inspect.getdoc(cls) or "")
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield from _field(cls, node.target.id, ast.unparse(node.annotation), told)
        elif isinstance(node, ast.FunctionDef) and node.name == "__init__":
            for name, annotation in _assigned(node):
                yield from _field(cls, name, annotation, told)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and (not node.name.startswith("_") or node.name == "__call__"):
            yield _function(cls, node, told)


def _field(cls: type, name: str, annotation: str, told: dict[str, str]) -> Iterator[Member]:
    if name.startswith("_") or annotation.startswith("ClassVar"):
        return
    if name not in told:
        raise ValueError(f"the docstring of {cls.__name__} does not say what '{name}' is")
    yield Member(name, annotation, told[name])


def _assigned(init: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    """Public attributes that __init__ sets, with the annotation there or of the argument that is set."""
    arguments = {a.arg: ast.unparse(a.annotation) for a in init.args.args[1:] if a.annotation is not None}
    for node in init.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if not isinstance(target, ast.Attribute) or target.attr.startswith("_"):
            continue
        if isinstance(node, ast.AnnAssign):
            yield target.attr, ast.unparse(node.annotation)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Name) and node.value.id in arguments:
            yield target.attr, arguments[node.value.id]
        else:
            raise ValueError(f"line {node.lineno} of __init__: 'self.{target.attr}' wants an annotation")


def _function(cls: type, node: ast.FunctionDef, told: dict[str, str]) -> Member:
    own = " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split())
    meaning = told.get(node.name) or own
    if not meaning:
        raise ValueError(f"{cls.__name__}.{node.name} has no docstring")
    returned = ast.unparse(node.returns) if node.returns is not None else "None"
    if any(isinstance(d, ast.Name) and d.id in ("property", "cached_property") for d in node.decorator_list):
        return Member(node.name, returned, meaning)
    for argument in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]:
        if argument is not None:
            argument.annotation = None
    signature = ast.unparse(node.args).removeprefix("self").removeprefix("cls").removeprefix(", ")
    return Member(f"{node.name}({signature})", returned, meaning)


def _explained(doc: str) -> dict[str, str]:
    """What the lines "name: meaning" of a docstring say, with those that go on with them."""
    found: dict[str, str] = {}
    name = ""
    for line in doc.splitlines():
        start = re.match(r"(\w+): (.+)", line)
        if start:
            name = start[1]
            found[name] = start[2]
        elif name and line.startswith(" "):
            found[name] += f" {line.strip()}"
        else:
            name = ""
    return found


# -- the page ----------------------------------------------------------------------------------------------------------


def section_of(page: str) -> str:
    """The section as it stands on a page."""
    after = page[page.index(f"\n{TITLE}\n") + 1 :]
    return after.partition("\n## ")[0].rstrip() + "\n"


def updated(page: str) -> str:
    """The page with the section of this tree."""
    return page.replace(section_of(page), text())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("check", "update"))
    given = parser.parse_args(arguments)
    page = README.read_text(encoding="utf-8")
    if given.verb == "update":
        README.write_text(updated(page), encoding="utf-8")
    elif section_of(page) != text():
        sys.exit(f"{README.name}: '{TITLE}' is not that of the code; run this with update")


if __name__ == "__main__":
    main()
