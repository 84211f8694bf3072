"""What is found by name, with an error that says which names there are. Importing this module loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import TypeVar

Value = TypeVar("Value")


class NoSuchNameError(KeyError):
    """A name that there is not; its message is a sentence."""

    def __str__(self) -> str:
        return str(self.args[0])


class Named(dict[str, Value]):
    """A dict whose missing keys are told in a sentence.

    whose: what has these names, as the sentence begins ("model 'vit' has no output").
    hint: what the sentence ends with.
    """

    def __init__(self, items: Mapping[str, Value], whose: str, hint: str = "") -> None:
        super().__init__(items)
        self.whose = whose
        self.hint = hint

    def __missing__(self, name: str) -> Value:
        close = get_close_matches(str(name), self, n=1)
        has = f"did you mean '{close[0]}'?" if close else f"there is {', '.join(self) or 'none'}"
        raise NoSuchNameError(f"{self.whose} '{name}'; {has}{self.hint}")

    def __reduce__(self) -> tuple[type[Named[Value]], tuple[dict[str, Value], str, str]]:
        return type(self), (dict(self), self.whose, self.hint)
