"""The notebook runs as a reader runs it, is committed without outputs, and leaves no lock."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import duckdb
import nbformat
import pytest
from nbclient import NotebookClient

from conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_committed_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)

    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


@pytest.fixture
def tour(checkout: Path, monkeypatch) -> Iterator[NotebookClient]:
    """The tour in a checkout of its own, with a kernel that stays alive."""
    monkeypatch.setenv("IPYTHONDIR", str(checkout / ".ipython"))
    for name in [name for name in os.environ if name.startswith("LINGOKIDS_TEST_")]:
        monkeypatch.delenv(name)
    notebook = nbformat.read(checkout / "notebooks" / "tour.ipynb", as_version=4)
    client = NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        resources={"metadata": {"path": str(checkout / "notebooks")}},
    )
    with client.setup_kernel(cwd=str(checkout / "notebooks")):
        yield client


@pytest.mark.slow
def test_the_tour_runs_says_what_it_says_and_leaves_no_lock(checkout, tour):
    shown = ""
    for place, cell in enumerate(tour.nb.cells):
        tour.execute_cell(cell, place)
        if cell.cell_type == "code":
            for output in cell.outputs:
                shown += output.get("text") or output.get("data", {}).get("text/plain", "")
                shown += "\n"

    assert "Committed: 42,061 rows inserted" in shown
    assert "GROUP BY" in COLOUR.sub("", _output(tour, "ibis.to_sql"))
    both, rebuilt = (_output(tour, text) for text in ("played_before", "FROM run_units"))
    assert [line.split()[1:] for line in both.splitlines()[1:]] == [["2021-01-05", "239", "240"]]
    assert [line.split()[1:] for line in rebuilt.splitlines()[1:]] == [["2021-01-05"]]
    weekly = _output(tour, "weekly_rates")
    assert "pl " in weekly
    assert "sing_otter" in _output(tour, "by_count")
    assert "race_otter" in _output(tour, "by_time")

    # the kernel lives, with every table it has loaded
    place = _in_kernel(tour, "print(folder)")
    duckdb.connect(f"{place}/lingokids.duckdb").close()  # refused if the kernel held the file
    run = subprocess.run(
        [sys.executable, "-m", "kedro", "run", "--env", "test"],
        cwd=checkout,
        env=os.environ | {"LINGOKIDS_TEST_FOLDER": place},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Nothing new" in run.stdout + run.stderr
    assert not (checkout / "data" / "lingokids.duckdb").exists()


def _output(tour: NotebookClient, text: str) -> str:
    """The result of the last cell that says this."""
    cell = [cell for cell in tour.nb.cells if text in cell.source][-1]
    return cell.outputs[-1]["data"]["text/plain"]


def _in_kernel(tour: NotebookClient, code: str) -> str:
    cell = nbformat.v4.new_code_cell(code)
    tour.nb.cells.append(cell)
    tour.execute_cell(cell, len(tour.nb.cells) - 1)
    return cell.outputs[0]["text"].strip()
