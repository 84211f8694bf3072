"""What a process has beside torch is read in microseconds, named where it is changed, and put back."""

from __future__ import annotations

import gc
import importlib
import locale
import os
import resource
import signal
import sys
import timeit
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kdharness.process.surroundings import PROCESS_SETTINGS

READ = {name: (read, put) for name, read, put in PROCESS_SETTINGS}


def limit(name: str) -> None:
    number = getattr(resource, f"RLIMIT_{name}")
    resource.setrlimit(number, (1000, resource.getrlimit(number)[1]))


def redirect(number: int) -> None:
    descriptor = os.open(os.devnull, os.O_WRONLY)
    os.dup2(descriptor, number)
    os.close(descriptor)


def other_locale() -> None:
    locale.setlocale(locale.LC_ALL, "C" if locale.setlocale(locale.LC_ALL) != "C" else "C.UTF-8")


CHANGES: dict[str, list[Callable[[], object]]] = {
    "the working directory": [lambda: os.chdir("/")],
    "the mode of new files (umask)": [lambda: os.umask(0o777)],
    "the process' limit RLIMIT_FSIZE": [lambda: limit("FSIZE")],
    "the process' limit RLIMIT_NOFILE": [lambda: limit("NOFILE")],
    "the environment variables": [
        os.environ.clear,
        lambda: os.environ.update(NEW_VARIABLE="1"),
        lambda: os.environ.update(PATH="/nowhere"),
        lambda: setattr(os, "environ", {**os.environ}),
    ],
    "where Python looks for modules (sys.path)": [sys.path.clear, lambda: sys.path.insert(0, "/nowhere")],
    "what the process does on signals": [
        lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
        lambda: signal.signal(signal.SIGINT, lambda *seen: None),
        lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM}),
    ],
    "the process' timer": [lambda: signal.setitimer(signal.ITIMER_REAL, 1000)],
    "the filters of warnings": [lambda: warnings.simplefilter("error"), warnings.resetwarnings],
    "file descriptor 0": [lambda: redirect(0), lambda: os.close(0)],
    "file descriptor 1": [lambda: redirect(1), lambda: os.close(1)],
    "file descriptor 2": [lambda: redirect(2), lambda: os.close(2)],
    "Python's standard streams": [lambda: setattr(sys, "stdout", None), lambda: setattr(sys, "stderr", sys.stdout)],
    "the locale": [other_locale],
    "Python's recursion limit": [lambda: sys.setrecursionlimit(sys.getrecursionlimit() - 1)],
    "whether Python collects garbage": [gc.disable],
}


@contextmanager
def leading_to(file: Path, number: int) -> Iterator[None]:
    """The descriptor, for the duration."""
    kept = os.dup(number)
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT)
    os.dup2(descriptor, number)
    os.close(descriptor)
    yield
    os.dup2(kept, number)
    os.close(kept)


def values() -> dict[str, Any]:
    return {name: read() for name, (read, _) in READ.items()}


def changed(before: dict[str, Any]) -> list[str]:
    return [name for name, (read, _) in READ.items() if before[name] != read()]


CASES = [(name, number) for name, changes in CHANGES.items() for number in range(len(changes))]


@pytest.mark.parametrize(("name", "number"), CASES)
def test_a_change_is_named_and_put_back(tmp_path: Path, name: str, number: int) -> None:
    with leading_to(tmp_path / "input", 0):
        for _ in range(2):
            before = values()
            CHANGES[name][number]()
            found = changed(before)
            for each in found:
                READ[each][1](before[each])
            assert found == [name]
            assert changed(before) == []


def test_the_environment_is_put_back_for_others_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KNOWN_VARIABLE", "before")
    read, put = READ["the environment variables"]
    before = read()
    os.environ["KNOWN_VARIABLE"] = "after"
    os.environ["NEW_VARIABLE"] = "after"
    put(before)
    assert os.environ["KNOWN_VARIABLE"] == "before"
    assert "NEW_VARIABLE" not in os.environ
    assert os.popen("echo $KNOWN_VARIABLE$NEW_VARIABLE").read() == "before\n"


def test_a_descriptor_leads_where_it_led(tmp_path: Path) -> None:
    read, put = READ["file descriptor 1"]
    with leading_to(tmp_path / "told", 1):
        before = read()
        for _ in range(10):
            redirect(1)
            put(before)
            os.close(1)
            put(before)
        os.write(1, b"told")
    assert (tmp_path / "told").read_bytes() == b"told"


LIBRARY = """
import os, sys, warnings
os.environ.setdefault("NEW_VARIABLE", "1")
sys.path.append("/nowhere")
warnings.simplefilter("ignore", BytesWarning)
"""
RUDE = """
import os, sys, warnings
os.environ["KNOWN_VARIABLE"] = "after"
sys.path.insert(0, "/nowhere")
warnings.resetwarnings()
"""


@pytest.mark.parametrize(("text", "count"), [(LIBRARY, 0), (RUDE, 3)])
def test_what_a_library_adds_when_it_is_first_loaded_is_no_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, count: int
) -> None:
    monkeypatch.setenv("KNOWN_VARIABLE", "before")
    monkeypatch.syspath_prepend(tmp_path)
    name = f"library_for_test_{count}"
    (tmp_path / f"{name}.py").write_text(text)
    at_first = values()
    before = values()
    importlib.import_module(name)
    found = changed(before)
    for each in READ:
        READ[each][1](at_first[each])
    del sys.modules[name]
    assert len(found) == count


@pytest.mark.parametrize("name", [name for name in READ if "RLIMIT" in name or "variables" in name])
def test_what_reads_as_before_is_compared_by_identity(name: str) -> None:
    read, _ = READ[name]
    assert read() is read()


def test_all_of_it_is_read_in_microseconds() -> None:
    once = min(timeit.repeat(values, number=200, repeat=5)) / 200
    assert once < 500e-6
