"""Who may import whom, and what stays unloaded until it is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Highest first; what stands in one row does not import each other.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("__main__",),
    ("cli",),
    ("speed",),
    ("execution", "frames", "testing"),
    ("engine", "report"),
    ("measure", "stats"),
    ("data",),
    ("device",),
    ("results",),
    ("planning",),
    ("protocol", "registry", "weights"),
    ("api",),
    ("errors",),
    ("disk",),
    ("failures", "plain_files", "process", "text"),
)
RANK = {name: len(LAYERS) - number for number, row in enumerate(LAYERS) for name in row}


def modules(folder: str, package: str) -> dict[str, Path]:
    """Every module of the package by dotted name."""
    found = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        parts = [package, *path.relative_to(ROOT / folder).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


CORE = modules("kdharness", "kdharness")
PLUGINS = modules("plugins", "kdharness_plugins")


def imports(name: str, path: Path) -> Iterator[str]:
    """The dotted names that a module imports anywhere in it, those under TYPE_CHECKING and in functions too."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base]).rstrip(".")
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield whole if whole in CORE or whole in PLUGINS else base


def layer(name: str) -> str:
    """'planning' of kdharness.planning.cell; '' of the package itself, which holds the version and opens `frames`."""
    return name.split(".")[1] if "." in name else ""


@pytest.mark.parametrize("name", CORE)
def test_nothing_of_the_core_imports_upwards(name):
    own = layer(name)
    assert own == "" or own in RANK, f"say in LAYERS where kdharness/{own} stands"
    for target in imports(name, CORE[name]):
        assert not target.startswith("kdharness_plugins"), f"{name} imports {target}: the core knows no plugin"
        if target.split(".")[0] != "kdharness" or layer(target) in ("", own):
            continue
        assert own or target == "kdharness.frames", f"kdharness/__init__.py imports {target}"
        if not own:
            continue
        assert RANK[layer(target)] < RANK[own], f"{name} imports {target}, which stands above it or beside it"


def test_no_module_of_the_core_imports_itself_over_others():
    """No cycle among modules. What they import for typing alone, or within a function, counts."""
    graph = {
        name: {target for target in imports(name, path) if target in CORE and target != name}
        for name, path in CORE.items()
    }
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join([*above[above.index(name) :], name])
        if name not in done:
            for target in sorted(graph[name]):
                visit(target, (*above, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("name", PLUGINS)
def test_plugins_import_the_api_alone(name):
    package = name if PLUGINS[name].name == "__init__.py" else name.rpartition(".")[0]
    for target in imports(name, PLUGINS[name]):
        if target.split(".")[0] == "kdharness":
            assert target == "kdharness.api", f"{name} imports {target}; plugins import kdharness.api"
        if target.startswith("kdharness_plugins"):
            assert target.startswith(package), f"{name} imports {target} of another kind of plugin"


def test_the_api_imports_nothing_else_of_the_core():
    for name, path in CORE.items():
        if layer(name) == "api":
            wrong = [t for t in imports(name, path) if t.startswith("kdharness") and layer(t) != "api"]
            assert not wrong, f"{name} imports {wrong}"


# -- what is loaded ----------------------------------------------------------------------------------------------------


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)


def loaded_by(code: str, *watched: str) -> set[str]:
    """Which of the packages a fresh process has loaded after the code."""
    result = run(f"{code}\nimport sys\nprint('LOADED', *({set(watched)!r} & set(sys.modules)))")
    assert result.returncode == 0, result.stderr
    return set(result.stdout.splitlines()[-1].split()[1:])


COMMAND = """
import sys
from kdharness.cli.main import execute
code = execute({arguments!r})
assert code in (0, 1, 2), code
"""


@pytest.mark.parametrize(
    "code",
    [
        "import kdharness",
        "import kdharness.api",
        "from kdharness.api import hookimpl, MethodSpec, ModelSpec, DatasetSpec, MetricSpec, ExecutorSpec, Reads",
        "import kdharness.api.hooks, kdharness.api.declarations, kdharness.api.specs, kdharness.api.executors",
        "import kdharness.registry.manager",
        "from kdharness.results.store import ResultsFolder",
        "import kdharness.errors, kdharness.protocol.benchmark, kdharness.planning.plan",
        "import kdharness.planning.cell, kdharness.planning.resolve, kdharness.planning.expand",
        *(
            COMMAND.format(arguments=arguments)
            for arguments in (
                ["--help"],
                ["--version"],
                ["run", "--help"],
                ["list", "benchmarks"],
                ["list", "plugins"],
                ["list", "plugins", "--json"],
                ["status", "/nowhere"],
                ["report", "/nowhere"],
                ["leaderboard", "/nowhere"],
                ["compare", "/nowhere"],
                ["verify", "/nowhere"],
                ["bundle", "/nowhere"],
                ["results", "export", "/nowhere", "--out", "/nowhere"],
                ["bench", "--help"],
            )
        ),
    ],
)
def test_what_needs_no_torch_loads_none(code):
    assert not loaded_by(code, "torch", "torchvision", "sklearn")


@pytest.mark.parametrize("arguments", [["--version"], ["--help"]])
def test_what_a_command_works_with_is_loaded_when_it_begins(arguments):
    watched = ("pydantic", "pandas", "numpy", "pluggy", "kdharness.planning.cell", "kdharness.results.store")
    assert not loaded_by(COMMAND.format(arguments=arguments), *watched)


def test_reading_results_loads_no_torch(lab):
    """With results there is more to read."""
    lab.folder.plans.write(plan := lab.plan(methods=("vanilla",), scenarios=("few100",), epochs=1))
    lab.train_plan(plan)
    bundle = lab.path / "all.zip"
    others = (["compare", str(lab.path)], ["bundle", str(lab.path), "--out", str(bundle)], ["verify", str(bundle)])
    for arguments in (*([name, str(lab.path)] for name in ("status", "report", "leaderboard", "verify")), *others):
        assert not loaded_by(COMMAND.format(arguments=arguments), "torch", "torchvision", "sklearn"), arguments


@pytest.mark.parametrize("kind", ["methods", "models", "datasets", "metrics"])
def test_listing_plugins_loads_neither_torchvision_nor_sklearn(kind):
    assert not loaded_by(f"import kdharness_plugins.{kind}", "torchvision", "sklearn")
    assert not loaded_by(COMMAND.format(arguments=["list", kind]), "torchvision", "sklearn")


PLAN = """
from kdharness.planning import make_plan
from kdharness.planning.selection import Selection
from kdharness.protocol.benchmark import load
from kdharness.registry.manager import Registry
make_plan(load("digits"), Selection(), Registry.load())
"""


def test_planning_the_default_benchmark_loads_neither_torchvision_nor_sklearn():
    assert not loaded_by(PLAN, "torchvision", "sklearn")
