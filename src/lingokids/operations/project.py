"""The project of a folder as these commands look at it: its places, tables and parameters.

Datasets are made from the catalog's entries alone: Kedro's own catalog holds the parameters too,
for which it loads pandas.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.framework.session import KedroSession
from kedro.io import DataCatalog

from lingokids.errors import LingokidsError
from lingokids.runtime import log, retention
from lingokids.runtime.configuration import credentials_of
from lingokids.runtime.environment import name_of
from lingokids.schema.parameters import Parameters
from lingokids.storage import ObjectsDataset, TableDataset
from lingokids.storage.backups import Backups
from lingokids.storage.raw.stores import StoredObject

if TYPE_CHECKING:
    from lingokids.storage.duckdb.warehouse import Warehouse

#: By dataset, the objects there are, and when each landed.
Listing = dict[str, list[tuple[StoredObject, datetime]]]
#: Of the client of buckets: one who waits for an answer hears soon that there is none.
IMPATIENT = {"retries": 0, "connect_seconds": 3, "stall_seconds": 5, "request_seconds": 10}


@dataclass(frozen=True)
class Project:
    """A project and one of its environments.

    Attributes:
        tables: By entry.
        sources: The raw objects, by the entry that reads them.
        places: ``globals.yml``.
        credentials: ``credentials.yml``.
    """

    folder: Path
    environment: str
    parameters: Parameters
    tables: dict[str, TableDataset]
    sources: dict[str, ObjectsDataset]
    places: dict[str, Any]
    credentials: dict[str, Any]

    @classmethod
    def read(cls, folder: Path, env: str | None) -> Project:
        """Read the configuration.

        Raises:
            LingokidsError: There is no such environment, or a parameter or entry is wrong.
        """
        with KedroSession.create(project_path=folder, env=env) as session:
            context = session.load_context()  # type: ignore[attr-defined]
            config = context.config_loader
            entries, places = config["catalog"], config["globals"]
            credentials = credentials_of(config)
            parameters = Parameters.read(config["parameters"])
        for entry in entries.values():
            if "s3" in entry:
                entry["s3"] = entry["s3"] | IMPATIENT
        wanted = (".TableDataset", ".BronzeDataset", ".ObjectsDataset")
        catalog = DataCatalog.from_config(
            {name: entry for name, entry in entries.items() if entry["type"].endswith(wanted)},
            credentials,
        )
        datasets = {name: catalog.get(name) for name in catalog.keys()}  # noqa: SIM118
        project = cls(
            folder,
            name_of(context.env),
            parameters,
            {name: each for name, each in datasets.items() if isinstance(each, TableDataset)},
            {name: each for name, each in datasets.items() if isinstance(each, ObjectsDataset)},
            places,
            credentials,
        )
        project.warehouse.fetch()
        return project

    def backups(self, place: str | None = None, *, is_patient: bool = False) -> Backups:
        """The backups of the warehouse; in another place, if one is given."""
        record = next((each.erasures for each in self.sources.values() if each.erasures), None)
        places = self.places
        if not is_patient:
            places = places | {"s3": places["s3"] | IMPATIENT}
        return Backups(self.warehouse, record, places, self.credentials, place)

    @property
    def warehouse(self) -> Warehouse:
        """The warehouse."""
        return next(iter(self.tables.values())).warehouse

    def refuse_apart_from_its_file(self) -> None:
        """Refuse what is done with the warehouse's file where that has not the rows of tables."""
        if not self.warehouse.is_one_file:
            raise LingokidsError(
                f"Tables of {self.environment} are on Spark, and {self.database.name} has none of "
                "their rows: keep copies of the catalog's database and of the bucket, made while "
                "no run writes, by the tools of these. Nothing was done."
            )

    @property
    def database(self) -> Path:
        """The warehouse file."""
        return Path(self.places["warehouse"]["database"])

    @property
    def published(self) -> Path:
        """The published copy."""
        return Path(self.places["warehouse"]["published"])

    def list_as_a_run(self) -> Listing:
        """What a run that begins now would list, by dataset.

        Raises:
            LingokidsError: A place cannot be listed.
        """
        now = datetime.now(UTC).replace(tzinfo=None)
        list_as_a_run(self.sources.values(), self.parameters, now)
        since = self.parameters.listing.since
        with silence():  # what it warns of, the run does
            return {each.dataset: [*each.arrivals(since)] for each in self.sources.values()}


def list_as_a_run(sources: Iterable[ObjectsDataset], parameters: Parameters, now: datetime) -> None:
    """Have sources list what a run would: no lines that are too old, nor those of the erased.

    Raises:
        LingokidsError: The record of the erased cannot be read.
    """
    retention.pass_over_older(parameters.retention, now, sources)
    record = next((each for each in sources if each.erasures), None)
    if record and record.erasures:
        record.warehouse.erasing.erasures = record.erasures.read()


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keep the log of what is only tried back: it says that it did what it only would do."""
    logger = logging.getLogger("lingokids")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
        log.note(run=None, step=None)
