"""`kdharness bench`: how fast training is on the machine at hand, and what makes it faster."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kdharness.cli import options as opt
from kdharness.errors import UserError
from kdharness.text import printable, put

if TYPE_CHECKING:
    from kdharness.speed.findings import Findings
    from kdharness.speed.request import BenchRequest

PAIR = "resnet32x4:resnet8x4"
METHODS = "kd,dkd,fitnet,at,sp,pkt,vid,rkd"

Pair = Annotated[str, typer.Argument(metavar="PAIR", help="teacher:student, names of models.")]
Methods = Annotated[str, typer.Option(help="Methods that are trained beside each other.")]
Rows = Annotated[str, typer.Option(help="plain: a usual loop; solo, group: the engine; table: with kept outputs.")]
Images = Annotated[int, typer.Option(help="Random training images; a fifth as many are evaluated.", min=4, max=10**6)]
BatchSize = Annotated[int, typer.Option("--batch-size", help="As in a recipe.", min=2)]
Repeats = Annotated[int, typer.Option(help="Rounds that count, after one that does not.", min=1, max=1000)]
Precision = Annotated[str, typer.Option(help="Of the engine's rows: fp32, tf32 or bf16.")]
ChannelsLast = Annotated[bool, typer.Option("--channels-last", help="Of the engine's rows.")]
Loaders = Annotated[int, typer.Option(help="Processes that make the usual loop's pictures.", min=0, max=256)]
Epochs = Annotated[int, typer.Option(help="Of the training that cells per hour are told of.", min=1)]
TrainImages = Annotated[int, typer.Option("--train-images", help="Likewise.", min=1)]
Advise = Annotated[bool, typer.Option("--advise", help="Measure precisions and layouts for the pair; say what pays.")]
OutFile = Annotated[Path | None, typer.Option("--out", metavar="FILE.csv", help="Also write all numbers to a file.")]


def bench(
    pair: Pair = PAIR,
    methods: Methods = METHODS,
    rows: Rows = "plain,solo,group,table",
    images: Images = 256,
    batch_size: BatchSize = 64,
    repeats: Repeats = 3,
    device: opt.Device = "auto",
    precision: Precision = "fp32",
    channels_last: ChannelsLast = False,
    loaders: Loaders = 2,
    epochs: Epochs = 240,
    train_images: TrainImages = 50_000,
    advise: Advise = False,
    plugin: opt.Plugins = None,
    out: OutFile = None,
) -> None:
    """Measure the speed of training here, beside that of a usual loop. Needs no data."""
    from kdharness.device.names import slots
    from kdharness.speed.request import BenchRequest, Setting

    if out is not None and (out.is_dir() or not out.absolute().parent.is_dir()):
        raise UserError(f"--out {out}: no file can be written there")
    request = BenchRequest(
        pair=pair,
        methods=tuple(dict.fromkeys(opt.listed(methods) or ())),
        rows=opt.listed(rows) or (),
        images=images,
        batch_size=batch_size,
        repeats=repeats,
        device=slots(device, 1, in_process=True)[0],
        setting=Setting(precision, channels_last),
        loaders=loaders,
        epochs=epochs,
        train_images=train_images,
        plugin_files=tuple(path.resolve() for path in plugin or ()),
    )
    if advise:
        _advise(request)
    else:
        _measure(request, out)


def _tell(line: str) -> None:
    print(printable(line), file=sys.stderr, flush=True)


def _measure(request: BenchRequest, out: Path | None) -> None:
    """Ctrl-C, or SIGTERM, ends it with what was measured until then."""
    from kdharness.execution.signals import terminations_interrupt
    from kdharness.speed.bed import Bed
    from kdharness.speed.findings import Findings
    from kdharness.speed.request import Setting
    from kdharness.speed.rounds import Rounds

    findings = Findings(request)
    with tempfile.TemporaryDirectory() as folder:
        bed = plain = Bed(request, _folder(folder, "engine"))
        if request.setting != Setting():
            plain = Bed(replace(request, setting=Setting()), _folder(folder, "plain"))
        try:
            with terminations_interrupt():
                Rounds(bed, plain, findings).run(_tell)
        finally:
            _show(findings, out)


def _folder(parent: str, name: str) -> Path:
    path = Path(parent) / name
    path.mkdir()
    return path


def _show(findings: Findings, out: Path | None) -> None:
    from rich.console import Console

    from kdharness.results.files import write_atomic
    from kdharness.speed.display import shown
    from kdharness.speed.sheet import as_csv

    if not findings.rows():
        return
    console = Console(highlight=False)
    put(console, *shown(findings))
    if out is not None:
        write_atomic(out, as_csv(findings))


def _advise(request: BenchRequest) -> None:
    from rich.console import Console

    from kdharness.device.door import open_device
    from kdharness.speed.advice import advise, keep
    from kdharness.speed.display import advice_table

    device = open_device(request.device)
    with tempfile.TemporaryDirectory() as folder:
        advice = advise(request, device, Path(folder), _tell)
    keep(advice, device)
    console = Console(highlight=False)
    put(console, advice_table(advice))
    console.print(printable(advice.sentence), soft_wrap=True)
