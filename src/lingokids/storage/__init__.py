"""How bytes come in and tables go out.

``raw`` reads raw objects, ``csv`` the exercise's files. ``warehouse`` holds the connection and its
one transaction; ``tables`` reads tables and replaces their units (``units``, worked out in
``slices``); ``gold_copy`` is the copy for readers who never wait. ``lake`` publishes tables as
files and reads them back; ``answers`` keeps what charts are drawn from. ``s3`` is the client of
every bucket, and ``refusals`` says why its server did not answer. Of what a run uses, nothing
outside this package, ``hooks`` and ``runs`` knows the engine.
"""

from lingokids.storage.answers import AnswerDataset
from lingokids.storage.csv import CsvDataset
from lingokids.storage.lake.parquet import ParquetDataset
from lingokids.storage.raw.objects import ObjectsDataset
from lingokids.storage.tables import TableDataset

__all__ = ["AnswerDataset", "CsvDataset", "ObjectsDataset", "ParquetDataset", "TableDataset"]
