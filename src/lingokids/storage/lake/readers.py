"""The lines by which others read a published table, whole and of one publication."""

from __future__ import annotations

import json

from lingokids.errors import LingokidsError, did_you_mean
from lingokids.storage.lake.exports import WAREHOUSES

_LOCAL = """
import json
from pathlib import Path

{imports}

lake, table, options = {lake}, "{table}", None
pointer = json.loads(Path(lake, "publication.json").read_text())
version = pointer["tables"][table]["version"]
{read}
"""
_BUCKET = """
import json
import os

{imports}
import s3fs

lake, table = {lake}, "{table}"
key, secret, server = (
    os.environ[f"MINIO_{{name}}"] for name in ("ACCESS_KEY", "SECRET_KEY", "ENDPOINT")
)
files = s3fs.S3FileSystem(key=key, secret=secret, endpoint_url=server)
version = json.loads(files.cat(f"{{lake}}/publication.json"))["tables"][table]["version"]
options = {{
    "aws_access_key_id": key,
    "aws_secret_access_key": secret,
    "aws_endpoint_url": server,
    "aws_region": "us-east-1",
    "aws_allow_http": "true",
}}
{read}
"""
_OPENED = 'DeltaTable(f"{lake}/{table}", version=version, storage_options=options)'
#: By reader what it imports, and how it reads.
READERS = {
    "duckdb": (
        "import duckdb\nfrom deltalake import DeltaTable",
        f"published = {_OPENED}.to_pyarrow_dataset()\n"
        'rows = duckdb.sql("FROM published").to_arrow_table()',
    ),
    "polars": (
        "import polars",
        'rows = polars.read_delta(f"{lake}/{table}", version=version, storage_options=options)',
    ),
    "pandas": ("from deltalake import DeltaTable", f"rows = {_OPENED}.to_pandas()"),
    "ibis": (
        "import ibis\nfrom deltalake import DeltaTable",
        f"published = ibis.memtable({_OPENED}.to_pyarrow_dataset())\nrows = published.to_pyarrow()",
    ),
    "spark": (
        "from pyspark.sql import SparkSession",
        """spark = (
    SparkSession.builder.config("spark.jars.packages", "io.delta:delta-spark_2.13:4.0.0")
    .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
    .config(
        "spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog"
    )
    .getOrCreate()
)
rows = spark.read.format("delta").option("versionAsOf", version).load(f"{lake}/{table}")""",
    ),
}
_DELTA, _HADOOP = "io.delta:delta-spark_2.13:4.0.0", "org.apache.hadoop:hadoop-aws:3.4.1"
_OF_A_SERVER = """
    .config("spark.hadoop.fs.s3.impl", "org.apache.hadoop.fs.s3a.S3AFileSystem")
    .config("spark.hadoop.fs.s3a.access.key", key)
    .config("spark.hadoop.fs.s3a.secret.key", secret)
    .config("spark.hadoop.fs.s3a.endpoint", server)
    .config("spark.hadoop.fs.s3a.endpoint.region", "us-east-1")
    .config("spark.hadoop.fs.s3a.path.style.access", "true")
    .getOrCreate()"""


def lines(reader: str, lake: str, table: str) -> str:
    """A program that reads a table of a lake: ``rows`` has them.

    Raises:
        LingokidsError: There is no such reader.
    """
    if reader not in READERS:
        known = (*READERS, *WAREHOUSES)
        raise LingokidsError(
            f"There are no lines for {reader}.{did_you_mean(reader, known)} There are: "
            f"{', '.join(known)}."
        )
    imports, read = READERS[reader]
    where = _BUCKET if "://" in lake else _LOCAL
    if where == _BUCKET:  # Spark takes no storage_options
        read = read.replace(_DELTA, f"{_DELTA},{_HADOOP}")
        read = read.replace("\n    .getOrCreate()", _OF_A_SERVER)
    quoted = json.dumps(lake, ensure_ascii=False)
    return where.strip().format(imports=imports, lake=quoted, table=table, read=read) + "\n"
