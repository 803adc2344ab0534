"""``kedro run`` of the installed package: ``python -m lingokids``."""

import sys
from pathlib import Path
from typing import Any

from kedro.framework.cli.utils import find_run_command
from kedro.framework.project import configure_project


def main(*args: Any, **options: Any) -> Any:
    """Run the pipelines, with the options of ``kedro run``."""
    package = Path(__file__).parent.name
    configure_project(package)
    # in a notebook an exit code would end the kernel
    options["standalone_mode"] = not hasattr(sys, "ps1")
    return find_run_command(package)(*args, **options)


if __name__ == "__main__":
    main()
