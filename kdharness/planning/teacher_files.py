"""Teachers' weights in files, given on the command line."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from kdharness.errors import UnknownName, UserError
from kdharness.planning.seeding import PAIRED, Seeding
from kdharness.weights.choice import split_choice
from kdharness.weights.digests import sha256_of


@dataclass(frozen=True)
class TeacherFile:
    """A file with a teacher's weights, given on the command line.

    chosen: the place of the state dict that is meant; "" for the likeliest.
    """

    path: str
    sha256: str
    chosen: str = ""


def teacher_files(given: tuple[str, ...], models: Collection[str], seeding: Seeding) -> dict[str, TeacherFile]:
    """Weights' files by model name. given: of --teacher; models: the pairs' teachers."""
    if given and seeding.teachers == PAIRED:
        raise UserError(
            "--teacher gives one teacher for all seeds, and each is to have its own (--teacher-seeds single)"
        )
    files: dict[str, TeacherFile] = {}
    for text in given:
        model, given_path = _named(text, models)
        path, chosen = split_choice(given_path)
        try:
            files[model] = TeacherFile(str(path.resolve()), sha256_of(path), chosen)
        except OSError as error:
            raise UserError(f"--teacher: file {path} cannot be read: {error.strerror}") from None
    return files


def _named(text: str, models: Collection[str]) -> tuple[str, str]:
    """The model and its file. A path may hold "=" as well: what names no model, and is a file, is one."""
    model, equals, path = text.partition("=")
    is_file = split_choice(text)[0].exists()
    if equals and not (is_file and (model not in models or not split_choice(path)[0].exists())):
        if model not in models:
            raise UnknownName("teacher model", model, models, "--teacher")
        return model, path
    if len(models) > 1:
        raise UserError(f"--teacher {text}: name its model, as model=FILE; the pairs have {', '.join(sorted(models))}")
    return next(iter(models)), text
