"""The Spark session of this process, with what the project's tables ask of it."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

from lingokids.errors import LingokidsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import SparkSession

#: What Spark calls the catalog of the project's tables.
CATALOG = "lingokids"

_ALWAYS = {
    # without it, in-memory tables lose data: a NULL text becomes the text NaN
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.timestampType": "TIMESTAMP_NTZ",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
    f"spark.sql.catalog.{CATALOG}": "org.apache.iceberg.spark.SparkCatalog",
    f"spark.sql.catalog.{CATALOG}.type": "jdbc",
    f"spark.sql.catalog.{CATALOG}.jdbc.schema-version": "V1",
    # a commit sets the tables' pointers in the catalog's database, behind Spark's back
    f"spark.sql.catalog.{CATALOG}.cache-enabled": "false",
}
_UNLESS_SAID = {"spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false"}


def settings_of(jdbc_address: str, location: str) -> dict[str, str]:
    """The settings of a session whose tables lie at a place, and its catalog in a database."""
    catalog = f"spark.sql.catalog.{CATALOG}"
    own = {
        f"{catalog}.uri": jdbc_address,
        f"{catalog}.warehouse": location,
        f"{catalog}.jdbc.user": os.environ.get("PGUSER", ""),
        f"{catalog}.jdbc.password": os.environ.get("PGPASSWORD", ""),
    }
    if location.startswith("s3://"):
        own[f"{catalog}.io-impl"] = "org.apache.iceberg.aws.s3.S3FileIO"
    return own


def session(settings: Mapping[str, str]) -> SparkSession:
    """The session, built when first asked for.

    Args:
        settings: Of Spark, by its names; those that the tables need stand above them.

    Raises:
        LingokidsError: Spark is not installed, or does not start.
    """
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise LingokidsError(
            "This environment keeps its tables on Spark, which is not installed: "
            "uv sync --extra spark."
        ) from error
    if (running := SparkSession.getActiveSession()) is not None:
        return running
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    building = SparkSession.builder.appName("lingokids")
    for name, value in {**_UNLESS_SAID, **settings, **_ALWAYS}.items():
        building = building.config(name, str(value))
    try:
        built = building.getOrCreate()
    except Exception as error:  # each cause has an error of its own
        raise LingokidsError(
            f"Spark does not start ({str(error).splitlines()[0]}): it needs Java 17 (JAVA_HOME), "
            "and its master where warehouse.session of globals.yml says."
        ) from error
    built.sparkContext.setLogLevel("ERROR")
    # it logs each error with its stack, before anyone could catch it
    logging.getLogger("SQLQueryContextLogger").disabled = True
    return built
