"""`python -m rover_rtc`: the command line of `rover-rtc`."""

from __future__ import annotations

import signal
import sys

from . import _native


def main() -> int:
    """Runs a command and returns its exit code."""
    # As in the program itself: Ctrl-C ends what does not look at it, at once.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.stdout.flush()
    return _native.main(["python -m rover_rtc", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
