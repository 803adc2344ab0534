"""``kedro doctor``: whether a run can begin and do its work here, and the cure of what is wrong.

Each check asks what a run will ask. One that fails says so in the sentence of the run's own
failure, and does not keep the others from being made.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import ssl
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement

from lingokids import minio_setup
from lingokids.errors import LingokidsError
from lingokids.operations.plan import may_begin
from lingokids.operations.project import IMPATIENT, Project
from lingokids.operations.words import columns, counted, size_of
from lingokids.runtime.alerts import told_file
from lingokids.runtime.environment import variables
from lingokids.storage.backups import ASIDE
from lingokids.storage.lake.delta import Lake

#: S3 refuses requests from 900 s on; an object's arrival is told by the server's clock.
_MOST_SKEW_SECONDS = 60
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_PROBE = "_doctor/probe"
_DAY_SECONDS = 86_400
_OLDEST_BACKUP = timedelta(days=2)


class Finding(NamedTuple):
    """What one check found."""

    check: str
    is_ok: bool
    says: str


def examine(folder: Path, env: str | None) -> Iterator[Finding]:
    """Make each check in turn."""
    yield _find("versions", _versions)
    try:
        project = Project.read(folder, env)
    except LingokidsError as error:
        yield Finding("configuration", False, error.message)
        return
    yield Finding("configuration", True, f"environment {project.environment}")
    for entry, source in project.sources.items():
        yield _find(entry, source.probe)
    for name in ("bronze", "gold"):
        yield _find(f"lake {name}", partial(_lake, project, name))
    if endpoint := _endpoint(project):
        yield _find("clock", partial(_clock, *endpoint))
        if variables().get("MINIO_ROOT_USER"):  # who only runs has not got it
            yield _find("policy", partial(minio_setup.inspect, variables()))
    yield _find("engine", project.warehouse.examine)
    yield _find("disk", partial(_disk, project))
    yield _find("memory", partial(_memory, project))
    yield _find("files", partial(_files, project))
    yield _find("backups", partial(_backups, project))
    yield _find("warehouse", partial(_warehouse, project, env))


def as_text(findings: list[Finding]) -> str:
    """A line a check."""
    rows = ([each.check, "ok" if each.is_ok else "FAILED", each.says] for each in findings)
    return "\n".join(columns(rows, longest=400))


def _find(check: str, examined: Callable[[], str]) -> Finding:
    try:
        return Finding(check, True, examined())
    except LingokidsError as error:
        return Finding(check, False, error.message)
    except minio_setup.SetupError as error:
        return Finding(check, False, str(error))


def _versions() -> str:
    """Python and each package are those that the project was made for."""
    wrong, known = [], []
    for line in importlib.metadata.requires("lingokids") or ():
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            there = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} is not installed")
            continue
        known.append(f"{requirement.name} {there}")
        if not requirement.specifier.contains(there, prereleases=True):
            wrong.append(f"{requirement.name} is {there}, wanted {requirement.specifier}")
    if wrong:
        raise LingokidsError(f"{'; '.join(wrong)}: uv sync --locked installs what is wanted.")
    return ", ".join(each for each in known if each.split()[0] in {"kedro", "duckdb", "deltalake"})


def _lake(project: Project, name: str) -> str:
    """Files can be written and removed where tables are published."""
    places = project.places["lake"]
    place = str(places[name])
    if "://" not in place:
        path = Path(place)
        while not path.exists():
            path = path.parent
        if not (path.is_dir() and os.access(path, os.W_OK)):
            fault = "may not be written by this user" if path.is_dir() else "is no folder"
            raise LingokidsError(
                f"{path} {fault}: mend that, or change lake.{name} in globals.yml."
            )
        return f"{place} may be written"
    credentials = project.credentials.get(places["credentials"], {})
    storage = Lake(place, credentials, project.places["s3"] | IMPATIENT).storage
    if not storage.replace(_PROBE, b"", None):  # of a doctor that was killed
        storage.remove(_PROBE)
        storage.replace(_PROBE, b"", None)
    storage.remove(_PROBE)
    return f"{place} was written, and the probe removed"


def _endpoint(project: Project) -> tuple[str, str | None] | None:
    """The server's address and the file of its authority; None: no place is a bucket."""
    for place in (project.places["raw"], project.places["lake"]):
        client = project.credentials.get(place["credentials"], {}).get("client_kwargs", {})
        if client.get("endpoint_url"):
            return client["endpoint_url"], client.get("verify")
    return None


def _clock(endpoint: str, ca_file: str | None) -> str:
    """The clocks of this machine and of the server agree."""
    trust = ssl.create_default_context(cafile=ca_file) if endpoint.startswith("https") else None
    try:
        with urllib.request.urlopen(endpoint, timeout=5, context=trust) as answer:
            said = answer.headers["Date"]
    except urllib.error.HTTPError as refused:  # it says the time all the same
        said = refused.headers["Date"]
    except (OSError, ValueError) as error:
        raise LingokidsError(
            f"MINIO_ENDPOINT cannot be asked for the time ({type(error).__name__}): see the checks "
            "of raw objects."
        ) from None
    if not said:
        return "the server does not tell the time"
    skew = (datetime.now(UTC) - parsedate_to_datetime(said)).total_seconds()
    if abs(skew) > _MOST_SKEW_SECONDS:
        raise LingokidsError(
            f"The clock of this machine is {abs(skew):,.0f} s {'ahead' if skew > 0 else 'behind'} "
            "of the server's: set the clock. From 900 s on S3 refuses requests."
        )
    return f"{abs(skew):.0f} s from the server's"


def _disk(project: Project) -> str:
    """A rebuild writes each row again, and spills as much as memory does not hold."""
    database = project.database
    folder = database.parent
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    needed = (database.stat().st_size if database.exists() else 0) + _limit(project)
    if free < needed:
        raise LingokidsError(
            f"{folder} has {size_of(free)} free, and a rebuild may need {size_of(needed)}: free "
            "disk space, or move the warehouse (warehouse.database in globals.yml)."
        )
    return f"{size_of(free)} free"


def _memory(project: Project) -> str:
    """The engine may use no more than there is."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    of_container = Path("/sys/fs/cgroup/memory.max")
    if of_container.is_file() and (most := of_container.read_text().strip()).isdigit():
        there = min(there, int(most))
    if (limit := _limit(project)) > there:
        raise LingokidsError(
            f"warehouse.memory_limit is {size_of(limit)}, and there are {size_of(there)}: lower it "
            "in globals.yml."
        )
    return f"{size_of(there)}, of which the engine may use {size_of(limit)}"


def _limit(project: Project) -> int:
    """``warehouse.memory_limit`` in bytes; 0: it is written otherwise, for the engine to read."""
    written = str(project.places["warehouse"].get("memory_limit", ""))
    found = re.fullmatch(r"\s*([\d.]+)\s*([KMGT]?)(i?)B?\s*", written, re.IGNORECASE)
    return int(float(found[1]) * _UNITS[found[2].upper()]) if found else 0


def _files(project: Project) -> str:
    """No killed run or reader left anything."""
    database, published = project.database, project.published
    by_a_run = [
        database.with_name(f"{database.name}.wal"),
        database.with_name(f"{database.name}.tmp"),
        *database.parent.glob(f".{published.name}.*"),
        *database.parent.glob(".fetched-*"),
        *database.parent.glob(f"{ASIDE}-*"),
        *database.parent.glob(f".{database.name}.*"),
    ]
    told = told_file(database)  # of alerts: it stays
    by_a_run = [path for path in by_a_run if path.exists() and path != told]
    long_ago = time.time() - _DAY_SECONDS
    spilled = Path(tempfile.gettempdir()).glob("lingokids-*-*-*-*-*")
    by_readers = [path for path in spilled if path.stat().st_mtime < long_ago]
    if by_a_run:
        names = ", ".join(path.name for path in by_a_run)
        raise LingokidsError(
            f"A run that was killed, or goes on, left {names}: once none goes on, uv run kedro run "
            "takes in what is whole and removes the rest; copy no file without its .wal."
        )
    if by_readers:
        raise LingokidsError(
            f"Readers that were killed left {counted(len(by_readers), 'folder')} such as "
            f"{by_readers[0]}: remove them."
        )
    return "none left by a killed run"


def _backups(project: Project) -> str:
    """The place of backups can be listed, and if any was made, one was yesterday or today."""
    if not project.warehouse.is_one_file:
        return "kept by the tools of the catalog's database and of the bucket, not by kedro backup"
    backups = project.backups()
    if not (made := [*backups.made().values()]):
        return "there is none yet: uv run kedro backup makes one"
    last = f"the last backup in {backups.place} is of {made[-1]:%Y-%m-%d %H:%M} UTC"
    if datetime.now(UTC) - made[-1] > _OLDEST_BACKUP:
        raise LingokidsError(f"{last}: make one each day, by uv run kedro backup.")
    return last


def _warehouse(project: Project, env: str | None) -> str:
    """A run would not be refused: nobody holds the file, and its tables are as promised."""
    may_begin(project.folder, env)
    is_there = project.database.exists()
    return (
        f"{project.database.name} {'is free' if is_there else 'is not there yet'}: a run may begin"
    )
