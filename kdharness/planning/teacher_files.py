"""Teachers' weights in files, given on the command line."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from kdharness.errors import UnknownName, UserError
from kdharness.planning.seeding import PAIRED, Seeding
from kdharness.weights.digests import sha256_of


@dataclass(frozen=True)
class TeacherFile:
    """A file with a teacher's weights, given on the command line."""

    path: str
    sha256: str


def teacher_files(given: tuple[str, ...], models: Collection[str], seeding: Seeding) -> dict[str, TeacherFile]:
    """Weights' files by model name. given: of --teacher; models: the pairs' teachers."""
    if given and seeding.teachers == PAIRED:
        raise UserError(
            "--teacher gives one teacher for all seeds, and each is to have its own (--teacher-seeds single)"
        )
    files: dict[str, TeacherFile] = {}
    for text in given:
        model, equals, path = text.partition("=")
        if not equals:
            if len(models) > 1:
                raise UserError(
                    f"--teacher {text}: name its model, as model=FILE; the pairs have {', '.join(sorted(models))}"
                )
            model, path = next(iter(models)), text
        if model not in models:
            raise UnknownName("teacher model", model, models, "--teacher")
        try:
            files[model] = TeacherFile(str(Path(path).resolve()), sha256_of(Path(path)))
        except OSError as error:
            raise UserError(f"--teacher: file {path} cannot be read: {error.strerror}") from None
    return files
