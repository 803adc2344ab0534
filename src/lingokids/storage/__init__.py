"""How bytes come in and tables go out.

``raw`` reads raw objects, ``csv`` the exercise's files. ``warehouse`` holds the connection and its
one transaction. ``tables`` reads tables and replaces them: what is due is found in ``units``,
written by ``replacing``, remembered in ``state``. ``bronze`` files validated lines, ``replay``
those of quarantine. ``published_copy`` is for readers who never wait. ``lake`` publishes tables as
files and reads them back; ``answers`` keeps what charts are drawn from. ``s3`` is the client of
every bucket, and ``refusals`` says why its server did not answer.
"""

from lingokids.storage.answers import AnswerDataset
from lingokids.storage.bronze import BronzeDataset
from lingokids.storage.csv import CsvDataset
from lingokids.storage.lake.parquet import ParquetDataset
from lingokids.storage.raw.objects import ObjectsDataset
from lingokids.storage.tables import TableDataset

__all__ = [
    "AnswerDataset",
    "BronzeDataset",
    "CsvDataset",
    "ObjectsDataset",
    "ParquetDataset",
    "TableDataset",
]
