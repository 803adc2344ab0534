"""How bytes come in and tables go out.

``stores`` and ``buckets`` list and fetch what a place holds (``refusals`` says why a server did
not), ``objects`` takes raw objects from there, ``lines`` cuts their bytes into lines, ``records``
parses them, ``csv`` reads the exercise's files, ``tables`` reads and replaces units of warehouse
tables, and ``warehouse`` holds the connection, its one transaction and the published copy.
``parquet`` writes tables as files of a ``lake``, whose ``manifest`` names them; ``publication``
says which are owed, and ``storage`` where they lie. Nothing outside this package, ``hooks`` and
``runs`` knows the engine.
"""

from lingokids.datasets.csv import CsvDataset
from lingokids.datasets.objects import ObjectsDataset
from lingokids.datasets.parquet import ParquetDataset
from lingokids.datasets.tables import TableDataset

__all__ = ["CsvDataset", "ObjectsDataset", "ParquetDataset", "TableDataset"]
