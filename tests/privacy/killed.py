"""``kedro erase`` in a process that kills itself: ``python killed.py FOLDER PLACE WHOM ID``."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from kedro.framework.project import configure_project

from lingokids.privacy import erase
from lingokids.storage.duckdb import compaction, rewritten
from lingokids.storage.duckdb.erased import Purge
from lingokids.storage.duckdb.published_copy import PublishedCopy
from lingokids.storage.duckdb.warehouse import Warehouse
from lingokids.storage.erasures import ErasureRecord
from lingokids.storage.lake.publication import Publication
from lingokids.storage.raw.folders import FolderStore

#: By place: what is called there, whether it is killed before or after, and which time.
PLACES = {
    "recorded": (ErasureRecord, "change", "after", 1),
    "marks forgotten": (Purge, "end", "after", 1),
    "copy about to be written": (PublishedCopy, "publish", "before", 1),
    "a table of the lake written": (Publication, "_write", "after", 1),
    "lake published": (Publication, "sweep", "before", 1),
    "lake swept": (Publication, "_replace_pointer", "before", 2),
    "other lake published": (Publication, "sweep", "before", 2),
    "file about to be compacted": (compaction, "compact", "before", 1),
    "file compacted aside": (Path, "replace", "before", 2),
    "an object rewritten": (FolderStore, "replace", "after", 2),
    "every object rewritten": (rewritten, "file_rewritten", "before", 2),
    "objects known": (Warehouse, "commit", "after", 2),
}


def main(folder: str, place: str, whom: str, person: str) -> None:
    """Erase, up to the place."""
    owner, name, moment, nth = PLACES[place]
    call, times = getattr(owner, name), 0

    def come_to_it(*arguments, **named):
        nonlocal times
        times += 1
        if moment == "before" and times == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        result = call(*arguments, **named)
        if moment == "after" and times == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, come_to_it)
    configure_project("lingokids")
    someone = erase.person_of(**{"user": None, "child": None} | {whom: person})
    list(erase.erase(Path(folder), "test", someone, rewrite_raw=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
