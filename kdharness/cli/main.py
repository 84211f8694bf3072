"""The command `kdharness`: its verbs, and the one place where errors become lines and exit codes.

Exit codes: 0 all is well; 1 some cell is neither ok nor skipped; 2 usage; 3 a bug, with its traceback; 130 interrupted.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from kdharness import __version__
from kdharness.cli.options import spread
from kdharness.cli.streams import prepare_streams
from kdharness.disk import no_room
from kdharness.errors import UnknownName, UserError
from kdharness.failures import is_a_stop, links, notice_interrupts, one_line, trace_of
from kdharness.text import printable

USAGE = 2
BUG = 3
INTERRUPTED = 130
BROKEN_PIPE = 141

# Verb (a module of this package) and its function. The modules are light: they import what is slow when they run.
VERBS = {
    "run": "run",
    "list": "list_installed",
    "status": "status",
    "report": "report",
    "leaderboard": "leaderboard",
    "compare": "compare",
    "verify": "verify",
    "bundle": "bundle",
    "ablate": "ablate",
    "results": "results",
    "bench": "bench",
}

# The base of all that the parser says about arguments. Releases of typer differ in where they keep it.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]


class _Verbs(TyperGroup):
    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            raise UnknownName("command", args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"kdharness {__version__}")
        raise typer.Exit()


def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Benchmark knowledge distillation methods, and say how sure the answer is."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def make_app() -> typer.Typer:
    """The typer application with all verbs."""
    app = typer.Typer(
        cls=_Verbs,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(_root)
    for verb, function in VERBS.items():
        app.command(verb)(getattr(importlib.import_module(f"{__package__}.{verb}"), function))
    return app


def explain(error: Any) -> str:
    """One line for what the parser found wrong: where, what, and the nearest valid name."""
    context = error.ctx
    if context is None:
        return f"{_sentence(error.format_message())}; see 'kdharness --help'"
    option = getattr(error, "option_name", None)
    if option and hasattr(error, "possibilities"):
        valid = [
            name for p in context.command.get_params(context) for name in (*p.opts, *p.secondary_opts) if name[0] == "-"
        ]
        return str(UnknownName("option", option, valid, context.command_path))
    return f"{context.command_path}: {_sentence(_with_value(error))}; see '{context.command_path} --help'"


def _with_value(error: Any) -> str:
    """What the parser says of a value, and the value: some releases of typer leave it out, and give its validation."""
    message: str = error.format_message()
    validation: Callable[[], Sequence[Mapping[str, Any]]] | None = getattr(error.__cause__, "errors", None)
    if validation is None or "Input should" not in message:
        return message
    wanted = message.replace("Input should", f"'{validation()[0]['input']}' should")
    return wanted.partition(", unable to parse")[0]


def _sentence(text: str) -> str:
    text = " ".join(text.split()).rstrip(".")
    return text[:1].lower() + text[1:]


def _say(text: str) -> None:
    """Its lines, without what a terminal would take as control."""
    for line in text.split("\n"):
        print(printable(line), file=sys.stderr)


def _abandon_output() -> None:
    """Whoever read our output is gone: what is still buffered goes nowhere, and nothing is said about it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())


def _invoke(arguments: Sequence[str] | None) -> int:
    command = typer.main.get_command(make_app())
    words = sys.argv[1:] if arguments is None else arguments
    code = command.main(args=spread(list(words)), prog_name="kdharness", standalone_mode=False)
    sys.stdout.flush()
    return code if isinstance(code, int) else 0


def execute(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line (by default the process's own) and returns its exit code."""
    try:
        return _invoke(arguments)
    except UserError as error:
        _say(f"error: {error}")
        return USAGE
    except UsageError as error:
        _say(f"error: {explain(error)}")
        return USAGE
    except (KeyboardInterrupt, typer.Abort) as error:
        return _bug() if _is_raised(error) else INTERRUPTED
    except BrokenPipeError:
        _abandon_output()
        return BROKEN_PIPE
    except SystemExit as stop:
        if not isinstance(stop.__context__, BrokenPipeError):  # the parser turns that one into an exit
            return _bug()
        _abandon_output()
        return BROKEN_PIPE
    except BaseException as error:  # noqa: BLE001 - the last resort, with the whole traceback
        if not no_room(error):
            return _bug()
        _say(f"error: nothing more can be written: {one_line(error)}")
        _abandon_output()
        return USAGE


def _is_raised(error: BaseException) -> bool:
    """Whether an end like that of Ctrl-C is a plugin's doing. The parser makes one of these of the errors below."""
    causes = [link for link in links(error) if isinstance(link, KeyboardInterrupt | EOFError)]
    return bool(causes) and not is_a_stop(causes[0])


def _bug() -> int:
    """Says what happened where nobody expected it."""
    error = sys.exception()
    assert error is not None
    _say(trace_of(error).rstrip())
    _say(f"error: this is a bug in kdharness {__version__}, or in a plugin that the traceback names")
    return BUG


def main() -> NoReturn:
    """The console script."""
    prepare_streams()
    notice_interrupts()
    sys.exit(execute())
