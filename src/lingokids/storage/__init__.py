"""How bytes come in and tables go out: the datasets of the catalog.

``raw`` reads raw objects, ``csv`` the exercise's files; ``bronze`` and ``tables`` are tables of the
warehouse, ``answers`` the rows that charts are drawn from, ``page`` the dashboard, ``lake``
published tables; ``previews`` is what kedro-viz shows of them. ``engine`` is what the project asks
of a database, ``duckdb`` the one that answers. ``s3`` is the client of every bucket, ``refusals``
its failures as sentences.
"""

from lingokids.storage.answers import AnswerDataset
from lingokids.storage.bronze import BronzeDataset
from lingokids.storage.csv import CsvDataset
from lingokids.storage.lake.delta import DeltaDataset
from lingokids.storage.raw.objects import ObjectsDataset
from lingokids.storage.tables import LastRunDataset, TableDataset

__all__ = [
    "AnswerDataset",
    "BronzeDataset",
    "CsvDataset",
    "DeltaDataset",
    "LastRunDataset",
    "ObjectsDataset",
    "TableDataset",
]
