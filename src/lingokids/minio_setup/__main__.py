"""``kedro lake init`` where Kedro is not installed."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from lingokids.minio_setup import SetupError, initialise


def main() -> int:
    """Print one line a step; a failure is one line too."""
    parser = argparse.ArgumentParser(prog="python -m lingokids.minio_setup", description=__doc__)
    parser.add_argument("--sample", type=Path, help="folder of the raw data to deliver")
    parser.add_argument("--wait", type=float, default=10, help="seconds to wait for the server")
    options = parser.parse_args()
    try:
        for step in initialise(os.environ, options.sample, patience=options.wait):
            print(step, flush=True)
    except SetupError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
