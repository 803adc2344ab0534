"""``kedro status``: how things stand, on one screen.

While a run holds the warehouse, the published copy answers: of what it has not, nothing is said.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.framework.project import pipelines

from lingokids import schema
from lingokids.errors import LingokidsError
from lingokids.incremental.links import steps_of
from lingokids.operations.project import Listing, Project, list_as_a_run
from lingokids.operations.words import columns, counted, size_of
from lingokids.runtime import alerts, faults
from lingokids.runtime.aftermath import ADDRESSES
from lingokids.runtime.environment import variable
from lingokids.runtime.faults import Fault
from lingokids.storage.duckdb.history import History, history_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_RUNS = 5
_LISTED = 5
FINE, FAILED, STALE = 0, 1, 2


@dataclass
class Status:
    """How things stand.

    Attributes:
        since: The last look: what is counted anew is counted since then.
        held_by: Why the warehouse itself was not read; "": it was.
        runs: The last runs, the newest first; ``usual_seconds`` is the median of their kind.
        freshness: For each rule of freshness and group, whether it is stale.
        tables: When each was written, and which of its inputs changed since it was made.
        objects: Raw objects that are not in the ledger, by dataset.
        backups: When they were made, the last one last.
        notes: What could not be found out.
        faults: What is wrong now: what the exit code and alerts are about.
    """

    environment: str
    now: datetime
    since: datetime
    held_by: str = ""
    runs: list[dict[str, Any]] = field(default_factory=list)
    slow_runs: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)
    freshness: list[dict[str, Any]] = field(default_factory=list)
    tables: list[dict[str, Any]] = field(default_factory=list)
    objects: list[dict[str, Any]] = field(default_factory=list)
    quarantined: list[dict[str, Any]] = field(default_factory=list)
    unknown_keys: list[dict[str, Any]] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)
    backups: list[datetime] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    exit_code: int = FINE


def status_of(folder: Path, env: str | None, since: datetime | None) -> Status:
    """How an environment stands.

    Args:
        folder: Of the project.
        env: The environment.
        since: The last look; None: a week ago.

    Raises:
        LingokidsError: The configuration is wrong, or neither warehouse nor copy can be read.
    """
    project = Project.read(folder, env)
    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    checks = project.parameters.checks
    status = Status(project.environment, now, since or now - timedelta(days=7))
    listed: Listing = {}
    for source in project.sources.values():  # before the file is opened
        try:
            list_as_a_run([source], project.parameters, now)
            listed[source.dataset] = [*source.arrivals(project.parameters.listing.since)]
        except LingokidsError as error:
            status.notes.append(error.message)
    with history_of(project.database, project.published) as history:
        status.held_by = history.held_by
        status.runs = history.runs(_RUNS)
        status.warnings = history.warnings(status.since)
        status.quarantined = history.quarantined(status.since)
        status.unknown_keys = [schema.masked(each) for each in history.unknown_keys(status.since)]
        status.freshness = [*faults.freshness(checks, history, now)]
        status.tables = [*_tables(project, history)]
        if not status.held_by:
            status.objects = [*not_in_ledger(listed, history)]
        killed_at = faults.killed_at(project.database, history.held_by)
        status.faults = [*faults.find(history, checks, status.runs, status.freshness, killed_at)]
    status.slow_runs = [
        run for run in status.runs if run["started_at"] >= status.since and faults.is_slow(run)
    ]
    status.files = [*_files(project)]
    try:
        status.backups = [*project.backups().made().values()]
    except LingokidsError as error:
        status.notes.append(error.message)
    kinds = {fault.kind for fault in status.faults}
    if kinds & {faults.FAILED_RUN, faults.KILLED_RUN}:
        status.exit_code = FAILED
    elif faults.STALE_TABLE in kinds:
        status.exit_code = STALE
    return status


def alert(folder: Path, env: str | None, status: Status) -> None:
    """Send what is new and what is over: see ``runtime.alerts``.

    Raises:
        LingokidsError: There is no address.
    """
    if not (addresses := variable(ADDRESSES, None)):
        raise LingokidsError(
            f"{ADDRESSES} is not set: give it the addresses to alert, as apprise writes them."
        )
    database, is_whole = Project.read(folder, env).database, not status.held_by
    alerts.tell(addresses, database, status.environment, status.faults, is_whole=is_whole)


def _tables(project: Project, history: History) -> Iterator[dict[str, Any]]:
    written_at = history.written_at()
    steps = steps_of(pipelines["__default__"], project.tables).values()
    behind = {step.table_name: history.behind(step) for step in steps}
    for table in project.tables.values():
        if (name := table.table_name) in history.tables:
            yield {
                "table_name": name,
                "layer": table.layer,
                "written_at": written_at.get(name),
                "changed_inputs": behind.get(name) or [],
            }


def not_in_ledger(listed: Listing, history: History) -> Iterator[dict[str, Any]]:
    """What a run would take in, of the objects listed: how many and how much, by dataset."""
    for dataset, objects in listed.items():
        known = history.known(dataset)
        keys = {key for key, *_ in known}
        times = Counter(found.key for found, _landed_at in objects)  # a shared key is not read
        due = [
            (found, landed_at)
            for found, landed_at in objects
            if times[found.key] == 1 and (found.key, found.etag, landed_at) not in known
        ]
        if due:
            yield {
                "dataset": dataset,
                "objects": len(due),
                "sent_again": sum(found.key in keys for found, _landed_at in due),
                "size_bytes": sum(found.size_bytes for found, _landed_at in due),
                "oldest_landed_at": min(landed_at for _found, landed_at in due),
            }


def _files(project: Project) -> Iterator[dict[str, Any]]:
    """Where everything is, and how large; of buckets the place alone."""
    lake, reports = project.places["lake"], project.places["warehouse"].get("reports")
    for place in (project.database, project.published, lake["bronze"], lake["gold"], reports):
        if not place:
            continue
        path, size = Path(place), None
        if "://" not in str(place):
            inside = (each for each in path.rglob("*") if each.is_file())
            files = inside if path.is_dir() else filter(Path.exists, [path])
            size = sum(each.stat().st_size for each in files)
            path = path.relative_to(project.folder) if path.is_relative_to(project.folder) else path
        yield {"place": str(place) if size is None else str(path), "size_bytes": size}


# --- print ----------------------------------------------------------------------------------


def as_text(status: Status) -> str:
    """One screen: a section for each question, but for those with nothing to say."""
    is_killed = any(fault.kind == faults.KILLED_RUN for fault in status.faults)
    failed = "the last run was killed" if is_killed else "the last run failed"
    verdict = {FINE: "fine", FAILED: failed, STALE: "stale"}[status.exit_code]
    lines = [f"{status.environment} at {status.now} UTC: {verdict}"]
    if status.held_by:
        lines.append(f"{status.held_by} Shown is what was published before.")
    for title, rows in (
        ("Last runs", map(_run, status.runs)),
        ("Freshness", map(_fresh, status.freshness)),
        ("Gold, last written", map(_gold, status.tables)),
        ("Due", _due(status)),
        ("Unusual", _unusual(status)),
        ("Quarantined", _first(_quarantined, status.quarantined)),
        ("Unknown keys", _first(_unknown_key, status.unknown_keys)),
        ("Files", map(_file, status.files)),
        ("Backups", _backups(status)),
        ("Not known", ([note] for note in status.notes)),
    ):
        if said := columns([row for row in rows if row], longest=120):
            is_since = title in ("Unusual", "Quarantined", "Unknown keys")
            since = f", since {status.since:%Y-%m-%d %H:%M}" if is_since else ""
            lines += ["", f"{title}{since}", *said]
    return "\n".join(lines)


def _run(run: dict[str, Any]) -> list[str]:
    outcome = run["failure"] or f"+{run['rows_inserted']:,} -{run['rows_deleted']:,} rows"
    took = f"{run['run_seconds']:,.1f} s"
    started = f"{run['started_at']:%Y-%m-%d %H:%M:%S}"
    return [started, run["status"], took, run["pipelines"], outcome]


def _fresh(each: dict[str, Any]) -> list[str]:
    newest = f"newest {each['newest']:%Y-%m-%d %H:%M}" if each["newest"] else "none"
    said = "STALE" if each["is_stale"] else "fresh"
    return [faults.group_of(each), newest, f"at most {each['most_hours']:g} h old", said]


def _gold(table: dict[str, Any]) -> list[str]:
    if table["layer"] != "gold" or table["written_at"] is None:
        return []
    return [table["table_name"], f"{table['written_at']:%Y-%m-%d %H:%M}"]


def _due(status: Status) -> Iterator[list[str]]:
    for each in status.objects:
        again = f", {each['sent_again']:,} sent again" if each["sent_again"] else ""
        what = f"{counted(each['objects'], 'object')}{again}, {size_of(each['size_bytes'])}"
        yield [each["dataset"], f"{what}: not in the ledger"]
    for table in status.tables:
        if table["changed_inputs"]:
            changed = ", ".join(table["changed_inputs"])
            yield [table["table_name"], f"rows of {changed} changed since it was made"]


def _unusual(status: Status) -> Iterator[list[str]]:
    for run in status.slow_runs:
        took = f"{run['run_seconds']:,.1f} s, where {run['usual_seconds']:,.1f} s are usual"
        yield [f"run of {run['started_at']:%Y-%m-%d %H:%M}", took]
    for each in status.warnings[:_LISTED]:
        failed = counted(each["rows_failed"], "time")
        yield [f"{each['table_name']}.{each['rule']}", f"{each['verdict']}, {failed}"]
    if len(status.warnings) > _LISTED:
        yield [f"and {counted(len(status.warnings) - _LISTED, 'rule')} more", ""]


def _first(print_one: Any, rows: list[dict[str, Any]]) -> Iterator[list[str]]:
    yield from map(print_one, rows[:_LISTED])
    if len(rows) > _LISTED:
        lines = sum(row["lines"] for row in rows[_LISTED:])
        yield [f"and {len(rows) - _LISTED:,} more", counted(lines, "line"), ""]


def _quarantined(each: dict[str, Any]) -> list[str]:
    return [each["dataset"], counted(each["lines"], "line"), each["reason"]]


def _unknown_key(each: dict[str, Any]) -> list[str]:
    key = f"{each['unknown_key']} ({each['json_type']})"
    return [each["dataset"], counted(each["lines"], "line"), key]


def _backups(status: Status) -> Iterator[list[str]]:
    if status.backups:
        last = f"the last one of {status.backups[-1]:%Y-%m-%d %H:%M}"
        yield [counted(len(status.backups), "backup"), last]


def _file(each: dict[str, Any]) -> list[str]:
    size = "" if each["size_bytes"] is None else size_of(each["size_bytes"])
    return [each["place"], size]
