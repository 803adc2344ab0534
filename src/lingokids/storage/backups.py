"""Backups of a warehouse: in a folder or bucket, each a file and a manifest that says what it is.

The manifest is put last, so a backup that was killed has none and is removed by the next. Beside
them lie the record of erasures and the decided weeks as they were last: these never go back.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict, NonNegativeInt

from lingokids.errors import LingokidsError, did_you_mean, refuse_out_of_range
from lingokids.storage.erasures import Erasures
from lingokids.storage.lake.pointer import Sum
from lingokids.storage.lake.storage import Bucket, Storage, temporary_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lingokids.storage.duckdb.warehouse import Warehouse
    from lingokids.storage.duckdb.whole_file import Contents
    from lingokids.storage.erasures import ErasureRecord

_STAMP = "%Y-%m-%dT%H.%M.%S.%fZ"
_OURS = re.compile(r"\.?(\d{4}-\d\d-\d\dT\d\d\.\d\d\.\d\d\.\d{6}Z)\.(?:duckdb|json)(?:\.part)?")
_RECORD, _WEEKS = "erasures.json", "shared/"


class Manifest(BaseModel):
    """What a backup is.

    Attributes:
        run_id: The last run that it has.
        engine: The version of the engine that wrote it.
        origin: The environment and the raw places that its warehouse is of.
        erased: The erasures that it reflects.
        size_bytes: Of its file.
        sha256: Of its file.
        tables: By table, its rows and their checksum.
    """

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    made_at: AwareDatetime
    run_id: str
    engine: str
    origin: dict[str, str]
    erased: list[str]
    size_bytes: NonNegativeInt
    sha256: str
    tables: dict[str, Sum]

    @property
    def name(self) -> str:
        """Of the backup."""
        return self.made_at.strftime(_STAMP)

    def lacks(self, erasures: Erasures) -> list[datetime]:
        """When the erasures were made that it does not reflect: it may hold these people."""
        return [each.erased_at for each in erasures.people if each.mark not in self.erased]


class Restored(NamedTuple):
    """What was restored, and whether someone must be taken out of it."""

    manifest: Manifest
    holds_erased: bool


def kept(instants: Iterable[datetime], daily: int, weekly: int) -> set[datetime]:
    """The last instant of each of the last days and weeks that have one; days are UTC."""
    days: dict[Any, datetime] = {}
    weeks: dict[Any, datetime] = {}
    for instant in sorted(instants):
        days[instant.date()] = weeks[instant.isocalendar()[:2]] = instant
    return {*[*days.values()][-daily:], *[*weeks.values()][-weekly:]}


class Backups:
    """The backups of one warehouse.

    Args:
        warehouse: The warehouse.
        record: The record of erasures.
        places: ``globals.yml``.
        credentials: ``credentials.yml``.
        place: Where they are, if not where ``backups.place`` says.

    Raises:
        LingokidsError: A setting of them is of no use.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        record: ErasureRecord | None,
        places: dict[str, Any],
        credentials: dict[str, Any],
        place: str | None = None,
    ) -> None:
        settings = places["backups"]
        for name in ("daily", "weekly", "erased_days"):
            refuse_out_of_range(f"backups.{name}", settings[name], 1, 3660)
        self._daily, self._weekly = settings["daily"], settings["weekly"]
        self._erased = timedelta(days=settings["erased_days"])
        self._warehouse, self._record = warehouse, record
        self._shared = Path(places["shared"])
        self.place = f"{str(place or settings['place']).rstrip('/')}/{warehouse.database.stem}"
        self._how = (credentials.get(settings["credentials"]) or {}, places["s3"])

    @cached_property
    def _storage(self) -> Storage:
        return Bucket(self.place, *self._how) if "://" in self.place else Storage(self.place)

    def _sizes(self) -> dict[str, int]:
        if "://" not in self.place and not Path(self.place).exists():
            return {}  # to list a folder would make it
        return self._storage.sizes()

    def made(self) -> dict[str, datetime]:
        """The backups that there are, by name, the last one last."""
        files = self._sizes()
        found = (_OURS.fullmatch(name) for name in files if name.endswith(".json"))
        names = sorted(each[1] for each in found if each and f"{each[1]}.duckdb" in files)
        return {each: datetime.strptime(each, _STAMP).replace(tzinfo=UTC) for each in names}

    def manifest(self, name: str) -> Manifest:
        """What a backup is.

        Raises:
            LingokidsError: There is none of that name, or its manifest cannot be read.
        """
        if (stored := self._storage.read(f"{name}.json")) is None:
            raise LingokidsError(f"There is no backup {name} in {self.place} any more.")
        try:
            return Manifest.model_validate_json(stored.content)
        except ValueError:
            raise LingokidsError(
                f"{self.place}/{name}.json is no manifest that this version can read: restore "
                "another backup, or remove the two files of this one."
            ) from None

    def holding_erased(self) -> list[Manifest]:
        """The backups that were made before someone was erased."""
        erasures = self._erasures()
        if not erasures.people:
            return []
        return [each for each in map(self.manifest, self.made()) if each.lacks(erasures)]

    def goes_by(self, manifest: Manifest) -> datetime:
        """When a backup that holds someone erased is removed at the latest."""
        return min(manifest.lacks(self._erasures())) + self._erased

    # --- make ---

    def make(self) -> Manifest:
        """Make a backup, check it where it lies, and remove those that are not kept any longer.

        Raises:
            LingokidsError: A run or another backup is at work, the place is of another
                environment, or something cannot be written.
        """
        from lingokids.storage.duckdb import whole_file

        database = self._warehouse.database
        if not database.exists():
            raise LingokidsError(f"{database.name} is not there yet: uv run kedro run makes it.")
        with self._aside() as folder:
            file = folder / database.name
            now = datetime.now(UTC)
            contents = whole_file.copy(self._warehouse, file)
            for last in [*self.made()][-1:]:
                self._refuse_another(self.manifest(last), contents.origin.get("environment"))
            manifest = self._put(file, contents, now)
            self.keep_what_never_goes_back()
            self.remove_superseded()
            return manifest

    def _refuse_another(self, backup: Manifest, environment: str | None) -> None:
        """Refuse a place that has the backups of another environment."""
        there = backup.origin.get("environment")
        if None not in (there, environment) and there != environment:
            raise LingokidsError(
                f"{self.place} has backups of environment {there}, and this one is {environment}: "
                "give it a place of its own (backups.place in globals.yml)."
            )

    def _put(self, file: Path, contents: Contents, now: datetime) -> Manifest:
        """Put a file and its manifest, once what is there was read back."""
        name, checked = now.strftime(_STAMP), file.with_suffix(".read")
        self._storage.put_file(f"{name}.duckdb", file)
        sha256 = _sha256(file)
        if self._storage.get_file(f"{name}.duckdb", checked) != sha256:
            raise LingokidsError(
                f"What was written to {self.place} is not what is read there: look at the disk or "
                "the server, and back up again; no earlier backup was removed."
            )
        checked.unlink()
        manifest = Manifest(
            made_at=now, size_bytes=file.stat().st_size, sha256=sha256, **asdict(contents)
        )
        self._replace(f"{name}.json", manifest.model_dump_json(indent=1).encode())
        return manifest

    def keep_what_never_goes_back(self) -> None:
        """Bring the copies of the record of erasures and of the decided weeks up to date.

        Raises:
            LingokidsError: The record is an older one than the copy.
        """
        here, there = self._erasures(), self._copied_erasures()
        self._refuse_an_older_record(here, there)
        if here != there:
            self._replace(_RECORD, here.model_dump_json(indent=1).encode())
        for file in sorted(self._shared.glob("*.parquet")):
            self._replace(f"{_WEEKS}{file.name}", file.read_bytes())

    def _refuse_an_older_record(self, here: Erasures, copied: Erasures) -> None:
        """Refuse to go on with a record of erasures that has not all that its copy has."""
        known = {hashed for each in here.people for hashed in each.hashes}
        if lost := {each.hashes[0] for each in copied.people} - known:
            raise LingokidsError(
                f"The record of erasures lacks {len(lost):,} that {self.place}/{_RECORD} has: put "
                "that one back, or erased people would come back."
            )

    def _erasures(self) -> Erasures:
        return self._record.read() if self._record else Erasures()

    def _copied_erasures(self) -> Erasures:
        stored = self._storage.read(_RECORD)
        return Erasures.model_validate_json(stored.content) if stored else Erasures()

    def _replace(self, name: str, content: bytes) -> None:
        stored = self._storage.read(name)
        if (stored is None or stored.content != content) and not self._storage.replace(
            name, content, stored.version if stored else None
        ):
            raise LingokidsError(f"{self.place}/{name} was written by another backup meanwhile.")

    def remove_superseded(self, *, that_hold_erased: bool = False) -> None:
        """Remove the backups that are not kept any longer, and what killed ones left.

        Args:
            that_hold_erased: Now, whenever the erasure was.
        """
        made = self.made()
        stay = kept(made.values(), self._daily, self._weekly)
        now, last = datetime.now(UTC), max(made.values(), default=None)
        for manifest in self.holding_erased():
            is_due = that_hold_erased or self.goes_by(manifest) <= now
            if is_due and manifest.made_at != last:
                stay.discard(manifest.made_at)
        gone = [name for name, instant in made.items() if instant not in stay]
        for name in gone:
            self._storage.remove(f"{name}.json")
        whole = made.keys() - {*gone}
        for file in self._sizes():
            if (ours := _OURS.fullmatch(file)) and ours[1] not in whole:
                self._storage.remove(file)

    # --- restore ---

    def restore(self, name: str | None, environment: str, *, replace: bool) -> Restored:
        """Have a backup be the warehouse, checked: the file, and every table in it.

        Args:
            name: Of the backup; None: the last one.
            environment: Of the warehouse.
            replace: Whether it may replace a warehouse that is there.

        Raises:
            LingokidsError: There is no such backup, it is damaged or of another environment, a
                run is at work, or the record of erasures is older than its copy.
        """
        from lingokids.storage.duckdb import whole_file

        manifest, database = self.manifest(self._named(name)), self._warehouse.database
        self._refuse_another(manifest, environment)
        if database.exists() and not replace:
            raise LingokidsError(
                f"{database.name} is there: move it away, or have it replaced by --replace. The "
                "next run takes in what arrived since the backup."
            )
        with self._aside() as folder:
            file = folder / database.name
            damaged = LingokidsError(
                f"The backup {manifest.name} is damaged: restore another (kedro backup list), or "
                "take bronze from the lake (kedro run --pipeline restore)."
            )
            if self._storage.get_file(f"{manifest.name}.duckdb", file) != manifest.sha256:
                raise damaged
            noted = whole_file.Contents(**manifest.model_dump(include=_CONTENTS))
            noted.tables = manifest.tables
            if whole_file.look_into(file).differences(noted):
                raise damaged
            self._put_back_what_is_lost()
            erasures = self._erasures()  # before anyone can read the file
            self._refuse_an_older_record(erasures, self._copied_erasures())
            whole_file.put_in_place(file, database)
        return Restored(manifest, bool(manifest.lacks(erasures)))

    def holds_erased(self) -> bool:
        """Whether a run could not take out everyone who was erased.

        Where children's ids are not kept, tables do not tell whose a line is; raw does.
        """
        from lingokids.storage.duckdb.whole_file import erasures_in

        reflected = erasures_in(self._warehouse.database)
        return any(each.mark not in reflected for each in self._erasures().people)

    def _named(self, name: str | None) -> str:
        made = self.made()
        if not made:
            raise LingokidsError(
                f"There is no backup in {self.place}: kedro backup makes one, backups.place says "
                "where."
            )
        if name is not None and name not in made:
            raise LingokidsError(
                f"There is no backup {name}.{did_you_mean(name, made)} There are: "
                f"{', '.join(made)}."
            )
        return name or max(made)

    def _put_back_what_is_lost(self) -> None:
        """The record of erasures and the decided weeks, where there are none: others are newer."""
        copied = self._copied_erasures()
        if self._record and copied.people:
            self._record.change(lambda here: here if here.people else copied)
        if any(self._shared.glob("*.parquet")):
            return
        for name in self._sizes():
            if name.startswith(_WEEKS) and (stored := self._storage.read(name)):
                self._shared.mkdir(mode=0o755, parents=True, exist_ok=True)
                file = self._shared / Path(name).name
                file.write_bytes(stored.content)
                file.chmod(0o644)  # it is for everyone

    @contextlib.contextmanager
    def _aside(self) -> Iterator[Path]:
        """A folder beside the warehouse, while no other backup is at work there."""
        near = self._warehouse.database.parent
        near.mkdir(parents=True, exist_ok=True)
        lock = os.open(near, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with temporary_folder(near, ASIDE) as folder:
                yield Path(folder)
        except BlockingIOError:
            raise LingokidsError("Another backup is at work: wait until it ends.") from None
        finally:
            os.close(lock)


#: Folders beside the warehouse, which killed backups leave.
ASIDE = ".backup"
_CONTENTS = {"origin", "erased", "run_id", "engine", "tables"}


def _sha256(file: Path) -> str:
    import hashlib

    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
