"""A project through a history: what was delivered, what is run of it, and the laws after each run.

* exact: after a whole run tables are what one rebuild of the same objects makes, and what loops
  over their lines (``plain_truth``) say;
* honest: what is not due is what its inputs give, and of what a run made nothing is due;
* quiet: a second whole run writes no byte;
* window: days that a window asks for are right after its run, also where gold was edited by hand;
* economy: the version of a row moves with what it says, and run numbers never go back;
* accounted: the ledger has each line of each object, and bronze those that are usable;
* published: the copy and, after a whole run, the lakes have the rows of the tables.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import duckdb
import pytest
from histories import DATASETS, Delete, Fix, Happening, Put, Run
from kills import Killed, run_to_the_kill
from stored import Stored, Tables, without_history
from too_strict import NEED_THE_OBJECT, is_refused, too_strict
from truth import compare_with_the_truth

from conftest import Project
from lingokids.errors import LingokidsError
from published import newest, the_rows, versions

EDITED = ("activity_engagement_metrics", "activity_popularity_daily")


@dataclass
class Seen:
    """An object as bronze has it.

    Attributes:
        put: What was delivered.
        rule: The rule that its lines were validated by and that was too strict; "": none.
    """

    put: Put
    rule: str

    @property
    def usable(self) -> list[int]:
        """The numbers of its usable lines."""
        return [
            number
            for number, line in enumerate(self.put.lines, start=1)
            if line.is_usable and not is_refused(self.rule, self.put.dataset, line.text)
        ]


class World:
    """A project, what was put into its folder, and what bronze took in of it."""

    def __init__(self, new_project, rule: str) -> None:
        """Begin, under a rule that is too strict until it is fixed; "": none."""
        self.project: Project = new_project()
        self.happened: Counter[str] = Counter()
        self._new_project = new_project
        self._folder: dict[tuple[str, str], Put] = {}
        self._seen: dict[tuple[str, str], Seen] = {}
        self._put_once: dict[tuple[Any, ...], Put] = {}
        self._rule = rule
        self._rules: dict[str, Any] = {}
        self._tables = Tables(self.project)

    def do(self, happening: Happening) -> None:
        """Let one thing happen; after a run check the laws."""
        match happening:
            case Put():
                self._put(happening)
            case Delete(dataset, key):
                self._folder.pop((dataset, key), None)
                (self.project.folder / "raw" / dataset / key).unlink(missing_ok=True)
            case Fix():
                self._rule = ""
            case Run():
                self._run(happening)

    def end(self) -> None:
        """Fix the rule, replay, run all: nothing of the history is left in any table."""
        self.do(Fix())
        self.do(Run({"pipeline_names": ["replay"]}, self._rules))
        self.do(Run(parameters=self._rules))
        self._is_quiet()
        self._is_a_rebuild()

    # --- deliveries ---

    def _put(self, put: Put) -> None:
        content = _content(put)
        # a folder tells versions apart by when they were put and how long they are
        while (
            self._put_once.setdefault(
                (put.dataset, put.key, put.landed_at, len(content)), put
            ).lines
            != put.lines
        ):
            put = replace(put, landed_at=put.landed_at + timedelta(milliseconds=1))
        self._folder[put.dataset, put.key] = put
        self.project.deliver(put.dataset, put.key, content, str(put.landed_at))

    # --- runs ---

    def _run(self, run: Run) -> None:
        self._rules = run.rules
        if run.edits:
            self._edit_gold(run)
        before = Stored(self.project)
        lost = self._lost(run)
        if lost:
            self._is_refused(run, before)
            return
        fell = self._run_or_kill(run)
        after = Stored(self.project)
        is_committed = fell not in {"the begin", "before a step", "before the commit"}
        if fell == "before the commit" and run.kill == "during the commit":
            is_committed = after.rows != before.rows
        self._note(run, fell)
        if not is_committed:
            assert after.rows == before.rows, fell
            return
        self._take_in(run)
        self._is_economical(run, before, after)
        self._is_accounted(after)
        self._tables.check_honesty(run)
        if run.is_whole:
            self._is_true(run.rules)
        if fell == "the end":
            self._is_published(run, after)

    def _note(self, run: Run, fell: str) -> None:
        kind = next(iter(run.selection), "whole")
        if kind == "pipeline_names":
            kind = " and ".join(run.selection[kind])
        self.happened["runs"] += 1
        self.happened[f"of {kind}"] += 1
        for name in ("window", "rebuild"):
            if name in run.parameters:
                self.happened[f"with {name}"] += 1
        if run.kill:
            self.happened[f"to be killed {run.kill}"] += 1
            self.happened["ran to the end" if fell == "the end" else f"killed after: {fell}"] += 1
        if run.kill and run.kill != "during the commit":
            assert fell in {run.kill, "the end"}
            # every run comes to these
            assert fell == run.kill or run.kill not in {"before the commit", "after the commit"}

    def _run_or_kill(self, run: Run) -> str:
        if not run.kill:
            with too_strict(self._rule):
                self.project.run_selected(run.selection, **run.parameters)
            return "the end"
        killed = Killed(
            *(self.project.folder, run.selection, run.parameters, self._rule),
            *(run.kill, run.nth, random.random() / 50),
        )
        return run_to_the_kill(killed)

    def _lost(self, run: Run) -> bool:
        """Whether bronze has objects of what the run would take in anew that raw has no longer."""
        datasets = _ingested(run)
        return run.parameters.get("rebuild") == "raw" and any(
            name[0] in datasets and name not in self._folder for name in self._seen
        )

    def _is_refused(self, run: Run, before: Stored) -> None:
        self.happened["refused"] += 1
        with pytest.raises(LingokidsError, match="rebuild=raw would lose"):
            self.project.run_selected(run.selection, **run.parameters)
        assert Stored(self.project).rows == before.rows

    def _take_in(self, run: Run) -> None:
        """Note what bronze has now, as the run should have left it."""
        if "replay" in run.selection.get("pipeline_names", ()) and not self._rule:
            for name, seen in self._seen.items():
                is_there = self._folder.get(name) == seen.put
                if is_there or seen.rule not in NEED_THE_OBJECT:
                    seen.rule = ""
        for dataset in _ingested(run):
            if run.parameters.get("rebuild") == "raw":
                self._seen = {name: seen for name, seen in self._seen.items() if name[0] != dataset}
            for name, put in self._folder.items():
                if name[0] == dataset and (name not in self._seen or self._seen[name].put != put):
                    self._seen[name] = Seen(put, self._rule)

    def _edit_gold(self, run: Run) -> None:
        """Change by hand what the window's days say, in the tables that the run makes."""
        window = run.parameters["window"]
        bounds = [f"date >= '{window['start']}'"] if "start" in window else []
        bounds += [f"date < '{window['end']}'"] if "end" in window else []
        made = self._tables.made_by(run) & {*EDITED} & {*Stored(self.project).rows}
        with duckdb.connect(str(self.project.database)) as con:
            for name in made:
                con.execute(
                    f"UPDATE {name} SET activities_played = activities_played + 9 "
                    f"WHERE {' AND '.join(bounds)}"
                )
        self.happened["edits of gold"] += bool(made)

    # --- laws ---

    def _is_economical(self, run: Run, before: Stored, after: Stored) -> None:
        assert after.number >= before.number
        for name in after.versions:
            if name.startswith("bronze") and run.parameters.get("rebuild") == "raw":
                continue
            silent = self._tables.silent_of(name)
            old, new = before.by_grain(name, silent), after.by_grain(name, silent)
            for key, (says, version) in new.items():
                is_same = key in old and old[key][0] == says
                assert version == (old[key][1] if is_same else after.number), (name, key)

    def _is_accounted(self, after: Stored) -> None:
        expected_lines, expected_ledger = set(), {}
        for (dataset, key), seen in self._seen.items():
            lines, usable = seen.put.lines, seen.usable
            blank = sum(not line.text.strip() for line in lines)
            counts = (len(lines), blank, len(usable), len(lines) - blank - len(usable))
            expected_ledger[dataset, key] = counts
            expected_lines |= {(dataset, key, number) for number in usable}
        ledger = after.rows.get("ingested_objects", [])
        counted = ("lines", "blank", "kept", "quarantined")
        current = [
            ((row["dataset"], row["object_key"]), tuple(row[name] for name in counted))
            for row in ledger
            if row["is_current"]
        ]
        assert sorted(current) == sorted(expected_ledger.items())
        bronze = [
            (dataset, row["object_key"], row["line_number"], row["is_current"])
            for dataset in DATASETS
            for row in after.rows.get(f"bronze_{dataset}", [])
        ]
        assert sorted(line[:3] for line in bronze if line[3]) == sorted(expected_lines)
        filed = Counter(line[:2] for line in bronze)
        filed += Counter(
            (row["dataset"], row["object_key"]) for row in after.rows.get("quarantined_lines", [])
        )
        read = Counter()
        for row in ledger:
            read[row["dataset"], row["object_key"]] += row["lines"] - row["blank"]
        assert filed == +read

    def _is_true(self, rules: dict[str, Any]) -> None:
        """Compare with loops over the lines: see ``plain_truth``."""
        raw = self.project.folder / "truth"
        for path in raw.rglob("*.jsonl"):
            path.unlink()
        for (dataset, _key), seen in self._seen.items():
            (raw / dataset).mkdir(parents=True, exist_ok=True)
            # named in order of arrival
            name = f"{seen.put.landed_at:%m%dT%H%M%S.%f} {seen.put.key}.jsonl"
            usable = [seen.put.lines[number - 1] for number in seen.usable]
            (raw / dataset / name).write_bytes(_content(replace(seen.put, lines=tuple(usable))))
        compare_with_the_truth(self.project, raw, rules)

    def _is_published(self, run: Run, after: Stored) -> None:
        folder = self.project.folder
        copy = folder / "lingokids-gold.duckdb"
        if copy.exists():
            with duckdb.connect(str(copy), read_only=True) as con:
                copied = {
                    name: con.execute(f"FROM {name} ORDER BY ALL").to_arrow_table().to_pylist()
                    for (name,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()
                    if name not in ("runs", "check_results")  # of these a part is copied
                }
            for name, rows in copied.items():
                assert rows == after.rows[name], f"the copy of {name}"
        if not run.is_whole:
            return
        for lake in folder / "02_bronze", folder / "03_gold":
            for name, version in versions(lake).items():
                assert the_rows(lake, name) == self._shown(name, after), f"{name} in {lake.name}"
                assert version == newest(lake, name)

    def _shown(self, name: str, stored: Stored) -> list[tuple[Any, ...]]:
        return self.project.table(name, without=("version",) if name in stored.versions else ())

    def _is_quiet(self) -> None:
        before = _files(self.project)
        self.project.run(**self._rules)
        assert _files(self.project) == before

    def _is_a_rebuild(self) -> None:
        fresh = self._new_project()
        for rule in sorted({seen.rule for seen in self._seen.values()}, reverse=True):
            for put in (seen.put for seen in self._seen.values() if seen.rule == rule):
                fresh.deliver(put.dataset, put.key, _content(put), str(put.landed_at))
            with too_strict(rule):
                fresh.run("ingestion")
        fresh.run(**self._rules)
        grown, made = (without_history(Stored(project)) for project in (self.project, fresh))
        assert grown == made


def _ingested(run: Run) -> set[str]:
    return {dataset for dataset in DATASETS if f"ingestion.ingest_{dataset}" in run.nodes}


def _content(put: Put) -> bytes:
    return b"".join(line.text + b"\n" for line in put.lines)


def _files(project: Project) -> dict[str, str]:
    """What is in each file that a run may write."""
    places = [project.folder / name for name in ("02_bronze", "03_gold")]
    files = [path for place in places for path in place.rglob("*") if path.is_file()]
    files += [*project.folder.glob("*.duckdb*")]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
