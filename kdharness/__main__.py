"""`python -m kdharness`, and the console script."""

from __future__ import annotations

import signal
from typing import NoReturn


def main() -> NoReturn:
    """Runs the command line of this process. While nothing is there to be tidied up, Ctrl-C ends it at once."""
    usual = signal.getsignal(signal.SIGINT)
    noticed = usual is signal.default_int_handler  # else it is ignored, or somebody's own
    if noticed:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from kdharness.cli.main import main as run  # takes a while

    if noticed:
        signal.signal(signal.SIGINT, usual)
    try:
        run()
    finally:
        if noticed:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    main()
