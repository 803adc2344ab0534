"""The lake: tables as Parquet files, and the manifest that names them.

``parquet`` is the dataset, and cuts rows into files; ``publication`` says which of them are owed
after a run; ``lake`` checks files and replaces the ``manifest``; ``storage`` is where they lie.
"""
