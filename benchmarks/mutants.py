"""Do the tests notice a mistake? Plants one-line mistakes, one at a time, and runs the tests that mirror the module.

    python benchmarks/mutants.py --room stats --most 20 --seed 0
    python benchmarks/mutants.py --module plugins/methods/kd.py --list

Mistakes are planted in a copy of the tree, never in the tree. Each is tried in a process that is forked from one which
has loaded torch already, so that a mistake costs the time of its tests. One that no test notices is printed: it needs a
test, or it changes nothing. The score by room stands in tests/README.md.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {"kdharness": "kdharness", "kdharness_plugins": "plugins", "kdharness_benchmarks": "benchmarks"}

# Room: its source folder, and the tests that mirror it.
ROOMS = {
    **{
        room: (f"kdharness/{room}", (f"tests/{room}",))
        for room in ("stats", "planning", "data", "measure", "engine", "protocol", "results", "execution", "device")
    },
    **{room: (f"plugins/{room}", (f"tests/plugins/{room}",)) for room in ("methods", "models", "datasets", "metrics")},
}
# Where a module's promises are tested beside its own room.
ELSEWHERE = {
    "kdharness/data/prepare.py": ("tests/engine/test_recipe_in_effect.py",),
    "kdharness/data/watched.py": ("tests/engine/test_lockstep.py",),
    "kdharness/planning/ablation.py": ("tests/cli/test_ablate.py",),
    "kdharness/planning/compatibility.py": ("tests/plugins/methods",),
    "kdharness/protocol": ("tests/planning", "tests/engine/test_recipe_in_effect.py"),
    "kdharness/device": ("tests/measure/test_memory_and_costs.py", "tests/engine"),
    "kdharness/measure": ("tests/plugins/metrics", "tests/engine"),
}
# Modules whose tests have other names: what these hold.
NOUNS = {
    "builder": ("seeded_draws", "ensemble_teacher"),
    "cell_state": ("resume_state", "best_epoch"),
    "checkpoint": ("files_of_cells", "resume_state"),
    "group": ("best_epoch", "files_of_cells", "containment"),
    "losses": ("not_finite", "containment"),
    "member": ("recipe_in_effect", "best_epoch", "resume_state"),
    "networks": ("seeded_draws",),
    "players": ("recipe_in_effect", "lasting_players"),
    "stepper": ("recipe_in_effect", "not_finite"),
    "weights": ("external_teacher",),
}
# Tests of all methods; the others of tests/plugins/methods are named for one.
OF_ALL_METHODS = ("losses", "losses_of_methods", "builtin_methods", "published_settings")


@dataclass(frozen=True)
class Mutant:
    """One mistake: the text of `path` from start to end (offsets in bytes) becomes `after`."""

    path: str
    line: int
    kind: str
    start: int
    end: int
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line} {self.kind}: {_short(self.before)} -> {_short(self.after)}"


def _short(text: str) -> str:
    one = " ".join(text.split())
    return one if len(one) < 70 else f"{one[:66]} ..."


# -- mistakes ----------------------------------------------------------------------------------------------------------

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr,
}  # fmt: skip
REDUCTIONS = {
    "mean": "sum", "sum": "mean", "min": "max", "max": "min", "amin": "amax", "amax": "amin", "argmax": "argmin",
    "all": "any", "any": "all", "softmax": "log_softmax", "flatten": "contiguous", "abs": "square", "square": "abs",
    "detach": "clone", "extend": "append", "zeros": "ones", "ones": "zeros",
}  # fmt: skip
# Functions that do not tell their first two arguments apart.
SYMMETRIC = ("max", "min", "equal", "isclose", "minimum", "maximum", "isinstance")
REDUCTION_WORDS = {"batchmean": "mean", "mean": "sum", "sum": "mean"}

Change = tuple[str, ast.AST, str]
Source = Callable[[ast.AST], str]


def changes(node: ast.AST, text: Source) -> Iterator[Change]:
    """Kind, what is replaced, and by what, of every mistake at a node. text: a node's source."""
    if isinstance(node, ast.Compare):
        for k, operator in enumerate(node.ops):
            operators = [*node.ops[:k], COMPARISONS[type(operator)](), *node.ops[k + 1 :]]
            yield "comparison", node, ast.unparse(ast.Compare(node.left, operators, node.comparators))
    elif isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
        yield "arithmetic", node, ast.unparse(ast.BinOp(node.left, ARITHMETIC[type(node.op)](), node.right))
    elif isinstance(node, ast.BoolOp):
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield "boolean", node, ast.unparse(ast.BoolOp(other, node.values))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield "sign" if isinstance(node.op, ast.USub) else "boolean", node, text(node.operand)
    elif isinstance(node, ast.IfExp):
        yield "branches", node, f"{text(node.orelse)} if {text(node.test)} else {text(node.body)}"
    elif isinstance(node, ast.Constant):
        yield from _of_constant(node)
    elif isinstance(node, ast.Attribute) and node.attr in REDUCTIONS:
        yield "reduction", node, f"{text(node.value)}.{REDUCTIONS[node.attr]}"
    elif isinstance(node, ast.Call):
        yield from _of_call(node, text)
    else:
        yield from _of_statement(node, text)


def _of_constant(node: ast.Constant) -> Iterator[Change]:
    value = node.value
    if isinstance(value, bool):
        yield "constant", node, str(not value)
    elif isinstance(value, int):
        yield "constant", node, str(value + 1)
    elif isinstance(value, float):
        yield "constant", node, repr(value * 2 or 1.0)
    elif isinstance(value, str) and value in REDUCTION_WORDS:
        yield "reduction", node, repr(REDUCTION_WORDS[value])


def _of_call(node: ast.Call, text: Source) -> Iterator[Change]:
    name, arguments = text(node.func), [text(a) for a in node.args]
    keywords = [f"{k.arg}={text(k.value)}" if k.arg else f"**{text(k.value)}" for k in node.keywords]
    told_apart = len(arguments) > 1 and arguments[0] != arguments[1] and name.rpartition(".")[2] not in SYMMETRIC
    if told_apart and not any(isinstance(argument, ast.Starred) for argument in node.args):
        swapped = [arguments[1], arguments[0], *arguments[2:], *keywords]
        yield "arguments", node, f"{name}({', '.join(swapped)})"
    for k, keyword in enumerate(node.keywords):
        if keyword.arg and keyword.arg not in ("strict", "dtype"):
            kept = [*arguments, *keywords[:k], *keywords[k + 1 :]]
            yield "keyword", node, f"{name}({', '.join(kept)})"


def _of_statement(node: ast.AST, text: Source) -> Iterator[Change]:
    if isinstance(node, ast.AugAssign) and type(node.op) in ARITHMETIC:
        yield "arithmetic", node, ast.unparse(ast.AugAssign(node.target, ARITHMETIC[type(node.op)](), node.value))
    kept = isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute | ast.Subscript)
    called = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    if kept or called or isinstance(node, ast.AugAssign | ast.Raise | ast.Continue):
        yield "statement", node, "pass"
    if isinstance(node, ast.If) and not node.orelse:
        yield "branches", node.test, f"not ({text(node.test)})"


def _visible(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes where a mistake says something: no annotation, decorator, docstring, message or import."""
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list") or isinstance(node, ast.Raise | ast.JoinedStr):
            continue
        for child in value if isinstance(value, list) else [value]:
            typing = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
            if isinstance(child, ast.AST) and not typing:
                yield from _visible(child)


def mutants_of(path: str) -> list[Mutant]:
    """Every mistake that can be planted in a module, in the order of its lines."""
    source = (ROOT / path).read_bytes()
    lines = [0]
    for line in source.splitlines(keepends=True):
        lines.append(lines[-1] + len(line))

    def place(node: ast.AST) -> tuple[int, int]:
        first, last = node.lineno, node.end_lineno  # type: ignore[attr-defined]
        return lines[first - 1] + node.col_offset, lines[last - 1] + node.end_col_offset  # type: ignore[attr-defined]

    def text(node: ast.AST) -> str:
        start, end = place(node)
        return source[start:end].decode()

    found = []
    for node in _visible(ast.parse(source)):
        for kind, what, after in changes(node, text):
            start, end = place(what)
            changed = f"({after})" if isinstance(what, ast.expr) and kind in ("arithmetic", "boolean") else after
            if _parses(source[:start] + changed.encode() + source[end:]) and changed != text(what):
                found.append(Mutant(path, what.lineno, kind, start, end, text(what), changed))  # type: ignore[attr-defined]
    return sorted(found, key=lambda mutant: (mutant.line, mutant.start, mutant.kind, mutant.after))


def _parses(source: bytes) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


# -- tests -------------------------------------------------------------------------------------------------------------


def mirror(path: str, own_alone: bool = False) -> list[str]:
    """The tests of a module: those of its own noun first, then its room's, then what is tested elsewhere."""
    folders = next(tests for folder, tests in ROOMS.values() if path.startswith(f"{folder}/"))
    files = sorted(file for folder in folders for file in (ROOT / folder).glob("test_*.py"))
    stem = Path(path).stem
    nouns = _users(path) if path.startswith("plugins/methods/_") else [*NOUNS.get(stem, ()), stem]
    own = [file for file in files if any(noun in file.stem for noun in nouns)]
    if path.startswith("plugins/methods/"):
        files = [file for file in files if file.stem.removeprefix("test_") in OF_ALL_METHODS]
    elsewhere = [ROOT / test for start, tests in ELSEWHERE.items() if path.startswith(start) for test in tests]
    chosen = own if own_alone and own else [*own, *files, *elsewhere]
    return list(dict.fromkeys(str(file.relative_to(ROOT)) for file in chosen))


def _users(path: str) -> list[str]:
    """The methods that import a helper."""
    name = Path(path).stem
    return [file.stem for file in (ROOT / path).parent.glob("*.py") if f"from .{name} import" in file.read_text()]


class Copy:
    """A copy of the tree, in which mistakes are planted and tests run."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "tree"
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, self.root / name)
        self.packages = folder / "packages"
        self.packages.mkdir()
        for package, source in PACKAGES.items():
            (self.packages / package).symlink_to(self.root / source)

    def passes(self, tests: Sequence[str], limit: float) -> bool | None:
        """Whether the tests pass; None when they take longer than `limit` seconds."""
        child = os.fork()
        if not child:
            self._test(tests)
        end = time.monotonic() + limit
        try:
            while time.monotonic() < end:
                done, status = os.waitpid(child, os.WNOHANG)
                if done:
                    child = 0
                    return status == 0
                time.sleep(0.05)
            return None
        finally:
            if child:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)

    def _test(self, tests: Sequence[str]) -> None:
        """In the child: never returns."""
        code = 1
        try:
            os.setsid()  # what the tests start ends with them
            nowhere = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(nowhere, descriptor)
            os.chdir(self.root)
            os.environ["PYTHONPATH"] = str(self.packages)
            sys.path.insert(0, str(self.packages))
            import pytest

            code = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests]))
        finally:
            os._exit(code)

    def noticed(self, mutant: Mutant, tests: Sequence[str], limit: float) -> bool:
        """Whether the tests fail, or never end, with the mistake planted."""
        path = self.root / mutant.path
        source = path.read_bytes()
        path.write_bytes(source[: mutant.start] + mutant.after.encode() + source[mutant.end :])
        try:
            return self.passes(tests, limit) is not True
        finally:
            path.write_bytes(source)


def preload() -> None:
    """What every test needs, loaded once for all children."""
    import pandas  # noqa: F401
    import pydantic  # noqa: F401
    import pytest  # noqa: F401
    import scipy.stats  # noqa: F401
    import torch
    import torchvision  # noqa: F401
    import typer  # noqa: F401

    torch.set_num_threads(1)
    assert not any(name.split(".")[0] in PACKAGES for name in sys.modules)


# -- the command -------------------------------------------------------------------------------------------------------


def sample(modules: Sequence[str], most: int | None, seed: int) -> list[Mutant]:
    """At most so many mistakes, on lines of their own, drawn over all modules."""
    by_line: dict[tuple[str, int], list[Mutant]] = {}
    for mutant in (m for module in modules for m in mutants_of(module)):
        by_line.setdefault((mutant.path, mutant.line), []).append(mutant)
    draw = random.Random(seed)
    places = sorted(by_line)
    chosen = places if most is None or most >= len(places) else sorted(draw.sample(places, most))
    return [draw.choice(by_line[place]) for place in chosen]


def modules_of(room: str) -> list[str]:
    folder = ROOMS[room][0]
    return [str(path.relative_to(ROOT)) for path in sorted((ROOT / folder).glob("*.py")) if path.name != "__init__.py"]


def hunt(mutants: Sequence[Mutant], own_alone: bool) -> list[Mutant]:
    """Those that no test notices. SystemExit when the tests fail without any mistake."""
    left = []
    limits: dict[frozenset[str], float] = {}
    with tempfile.TemporaryDirectory() as folder:
        copy = Copy(Path(folder))
        for number, mutant in enumerate(mutants, start=1):
            tests = mirror(mutant.path, own_alone)
            which = frozenset(tests)
            if which not in limits:
                start = time.monotonic()
                if not copy.passes(tests, 3600):
                    raise SystemExit(f"the tests of {mutant.path} fail without a mistake: {' '.join(tests)}")
                limits[which] = 60 + 3 * (time.monotonic() - start)
            noticed = copy.noticed(mutant, tests, limits[which])
            print(f"{number}/{len(mutants)} {'noticed ' if noticed else 'SURVIVED'} {mutant}", flush=True)
            left += [] if noticed else [mutant]
    return left


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--room", choices=ROOMS, nargs="+", default=[])
    parser.add_argument("--module", nargs="+", default=[], help="source files, instead of a room")
    parser.add_argument("--most", type=int, help="how many mistakes at most, by room")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--own", action="store_true", help="only the tests named for the module, where there are any")
    parser.add_argument("--list", action="store_true", help="print them, and run nothing")
    given = parser.parse_args()
    groups = {room: modules_of(room) for room in given.room} | ({"modules": given.module} if given.module else {})
    drawn = {name: sample(modules, given.most, given.seed) for name, modules in groups.items()}
    if given.list:
        print("\n".join(str(mutant) for mutants in drawn.values() for mutant in mutants))
        return
    os.environ.update(PYTHONDONTWRITEBYTECODE="1", OMP_NUM_THREADS="1")
    sys.dont_write_bytecode = True
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that no child is left behind
    preload()
    for name, mutants in drawn.items():
        left = hunt(mutants, given.own)
        print(f"{name}: {len(mutants) - len(left)} of {len(mutants)} noticed (seed {given.seed})", flush=True)


if __name__ == "__main__":
    main()
