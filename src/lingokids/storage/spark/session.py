"""The Spark session of this process, with what the project's tables ask of it.

A session is what conf/spark says, but for settings without which tables would be wrong. Secrets
are set when its JVM runs: on the command line of that process everyone could read them.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lingokids.errors import LingokidsError, in_one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import SparkSession

#: What Spark calls the catalog of the project's tables.
CATALOG = "lingokids"
_OF_CATALOGS = "spark.sql.catalog."
_OURS = f"{_OF_CATALOGS}{CATALOG}"
_ADDRESS = f"{_OURS}.uri"

_ALWAYS = {
    # without it, in-memory tables lose data: a NULL text becomes the text NaN
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.timestampType": "TIMESTAMP_NTZ",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
    _OURS: "org.apache.iceberg.spark.SparkCatalog",
    f"{_OURS}.type": "jdbc",
    f"{_OURS}.jdbc.schema-version": "V1",
    # a commit sets the tables' pointers in the catalog's database, behind Spark's back
    f"{_OURS}.cache-enabled": "false",
}
#: Of these, what a session that runs already can be told.
_AT_ANY_TIME = {
    "spark.sql.execution.arrow.pyspark.enabled",
    "spark.sql.timestampType",
    "spark.sql.session.timeZone",
}
_UNLESS_SAID = {
    "spark.master": "local[*]",
    "spark.app.name": "lingokids",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}
_OLDEST_JAVA = 17
_TOO_OLD = "Spark needs Java 17 or 21, and the Java that is found is older: set JAVA_HOME."
#: Of a driver without a cluster: nobody else need reach it.
_ALONE = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
#: Asked for, Spark's own log goes to standard error; else what fails is said in a sentence.
_LOG_LEVEL = "spark.log.level"


def settings_of(
    jdbc_address: str, location: str, credentials: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """The settings of a session whose tables lie at a place, and its catalog in a database.

    Args:
        jdbc_address: The database.
        location: A URL (``s3://…``) or a folder.
        credentials: Of the database and of the bucket: ``spark`` in credentials.yml. Unset,
            those of the database are the variables that libpq knows; Java knows none.
    """
    credentials = credentials or {}
    database, bucket = (credentials.get(name) or {} for name in ("database", "bucket"))
    own = {
        _ADDRESS: jdbc_address,
        f"{_OURS}.warehouse": location,
        f"{_OURS}.jdbc.user": database.get("user") or os.environ.get("PGUSER"),
        f"{_OURS}.jdbc.password": database.get("password") or os.environ.get("PGPASSWORD"),
    }
    if location.startswith("s3://"):
        client = bucket.get("client_kwargs") or {}
        own |= {
            f"{_OURS}.io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
            f"{_OURS}.s3.path-style-access": "true",
            f"{_OURS}.client.region": client.get("region_name") or "us-east-1",
            f"{_OURS}.s3.endpoint": client.get("endpoint_url"),
            f"{_OURS}.s3.access-key-id": bucket.get("key"),
            f"{_OURS}.s3.secret-access-key": bucket.get("secret"),
        }
    return {name: value for name, value in own.items() if value}


def session(settings: Mapping[str, Any]) -> SparkSession:
    """The session, built when first asked for.

    Args:
        settings: Of Spark, by its names; those that the tables need stand above them.

    Raises:
        LingokidsError: Spark is not installed, or does not start.
    """
    refuse_without("pyspark")
    from pyspark.sql import SparkSession

    asked = {name: _written(value) for name, value in (_UNLESS_SAID | dict(settings)).items()}
    asked |= _ALWAYS
    running = SparkSession.getActiveSession()
    if running is not None and running.sparkContext._jsc.sc().isStopped():  # its cluster went
        running.stop()
        running = None
    if running is None:
        running = _start({n: value for n, value in asked.items() if not _is_of_catalogs(n)})
    elif running.conf.get(_ADDRESS, None) != asked.get(_ADDRESS):
        running = running.newSession()  # a catalog stays as it was when it was first used
    for name in asked:
        if _is_of_catalogs(name) or name in _AT_ANY_TIME:
            running.conf.set(name, asked[name])
    return running


def refuse_without(package: str) -> None:
    """Refuse an environment on Spark where a package of its extra is missing."""
    if find_spec(package) is None:
        raise LingokidsError(
            "This environment keeps its tables on Spark, which is not installed: "
            "uv sync --extra spark."
        )


def _is_of_catalogs(name: str) -> bool:
    return name.startswith(_OF_CATALOGS)


def _written(value: Any) -> str:
    """A value of globals.yml as Spark writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _start(settings: dict[str, str]) -> SparkSession:
    """Start a JVM and the session in it.

    Raises:
        LingokidsError: It does not start.
    """
    from pyspark import SparkConf, SparkContext
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import SparkSession

    master = settings["spark.master"]
    if master.startswith("local"):
        settings = _ALONE | settings
    _refuse_a_missing_java()
    _refuse_an_unreachable(master)
    os.environ.setdefault("PYSPARK_PYTHON", settings.get("spark.pyspark.python", sys.executable))
    is_quiet = _LOG_LEVEL not in settings
    with tempfile.TemporaryFile() as log:
        heard = {"stdout": log, "stderr": log} if is_quiet else {}
        try:
            if SparkContext._gateway is None:
                conf = SparkConf().setAll(list(settings.items()))
                SparkContext._ensure_initialized(gateway=launch_gateway(conf, heard), conf=conf)
            # made by the JVM, it knows the jars that were fetched
            conf = SparkConf().setAll(list(settings.items()))
            interrupted = signal.getsignal(signal.SIGINT)
            context = SparkContext.getOrCreate(conf)
        except Exception as error:  # each cause has an error of its own
            raise LingokidsError(_why_not_started(str(error), master, log)) from error
    if threading.current_thread() is threading.main_thread():
        # Spark's own asks the JVM in the middle of an answer, and hides who is to be told
        signal.signal(signal.SIGINT, interrupted)
    if is_quiet:
        context.setLogLevel("OFF")
        logging.getLogger("py4j").setLevel(logging.CRITICAL)
        # it tells the root that it was interrupted, with a stack; who interrupts is told by us
        logging.getLogger().addFilter(lambda record: record.module != "java_gateway")
        # it logs each error with its stack, before anyone could catch it
        logging.getLogger("SQLQueryContextLogger").disabled = True
    return SparkSession(context)


def examine(settings: Mapping[str, Any]) -> str:
    """Whether a session would start, and where, without starting it.

    Raises:
        LingokidsError: It would not.
    """
    refuse_without("pyspark")
    master = str(settings.get("spark.master", _UNLESS_SAID["spark.master"]))
    program = _refuse_a_missing_java()
    _refuse_an_unreachable(master)
    said = subprocess.run([program, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', said)
    if found and int(found[1]) < _OLDEST_JAVA:
        raise LingokidsError(_TOO_OLD)
    return f"Java {found[1] if found else 'of an unknown version'}, and {master}: Spark may start"


def _refuse_a_missing_java() -> Path:
    home = os.environ.get("JAVA_HOME")
    program = Path(home, "bin", "java") if home else Path("java")
    if shutil.which(program) is None:
        raise LingokidsError(
            f"Spark needs Java 17 or 21, and there is no {program}: install it (Debian: apt-get "
            "install default-jre-headless), or set JAVA_HOME."
        )
    return program


def _refuse_an_unreachable(master: str) -> None:
    """Refuse a cluster that does not answer: Spark itself waits for it a minute."""
    if not master.startswith("spark://"):
        return
    for address in master.removeprefix("spark://").split(","):
        host, _, port = address.rpartition(":")
        with suppress(OSError, ValueError), socket.create_connection((host, int(port)), 5):
            return
    raise LingokidsError(
        f"No Spark master answers at {in_one_line(master)}: start it, or correct spark.master in "
        "warehouse.session of globals.yml."
    )


def _why_not_started(error: str, master: str, log: IO[bytes]) -> str:
    log.seek(0)
    said = log.read().decode(errors="replace")
    if "UnsupportedClassVersionError" in said:
        return _TOO_OLD
    if "unresolved dependency" in said or "download failed" in said:
        return (
            "Spark's jars are not to be had: the first start fetches those of "
            "spark.jars.packages (conf/spark/globals.yml) from Maven and needs the network, or "
            "name a mirror in spark.jars.repositories."
        )
    reasons = [line for line in (*said.splitlines(), *error.splitlines()) if "xception: " in line]
    reason = in_one_line((reasons or error.splitlines())[-1].strip(), 200)
    return (
        f"Spark does not start on {in_one_line(master)} ({reason}): see warehouse.session in "
        "globals.yml, and Spark's own log with spark.log.level: WARN there."
    )
