"""How the objects of a raw dataset are read, be it by the process of the run or by workers.

Small objects are gathered into batches of some 64 MiB, so that the engine sees few large
batches instead of many small files; one batch is fetched while the engine works on another.
"""

from __future__ import annotations

import contextlib
import contextvars
import queue
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lingokids import schema
from lingokids.storage.raw import lines as line_cutting

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    import ibis.expr.types as ir

    from lingokids.schema import Field
    from lingokids.storage.raw.stores import RawObject, Store


@dataclass(frozen=True)
class Reading:
    """How objects are read; it can be sent to workers.

    Attributes:
        dataset: The raw dataset they are of.
        store: Opens the place where they lie.
        validate: Types lines and says which are unusable (``validation.quality``).
        batch_bytes: How much text a batch has.
        engine_mebibytes: How much the engine holds at most meanwhile; None: nothing is bounded.
    """

    dataset: str
    store: Callable[[], Store]
    validate: Callable[[ir.Table], ir.Table]
    batch_bytes: int
    engine_mebibytes: int | None

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields of the records."""
        return schema.FIELDS[self.dataset]

    def batches(
        self, due: list[RawObject], pass_over: Callable[[RawObject], None]
    ) -> Iterator[list[line_cutting.Piece]]:
        """The lines of the objects, until a batch is full; the next one is made meanwhile.

        Args:
            due: The objects.
            pass_over: Told of each that is gone or has changed.
        """
        return _ahead(self._gathered(due, pass_over))

    def _gathered(
        self, due: list[RawObject], pass_over: Callable[[RawObject], None]
    ) -> Generator[list[line_cutting.Piece]]:
        batch: list[line_cutting.Piece] = []
        held = 0
        for piece in self._pieces(due, pass_over):
            batch.append(piece)
            held += piece.weight
            if held >= self.batch_bytes:
                yield batch
                batch, held = [], 0
        if batch:
            yield batch

    def _pieces(
        self, due: list[RawObject], pass_over: Callable[[RawObject], None]
    ) -> Iterator[line_cutting.Piece]:
        with contextlib.closing(self.store().fetch(due)) as contents:
            for index, blocks in enumerate(contents):
                if blocks is None:
                    pass_over(due[index])
                    continue
                yield from line_cutting.cut_into_pieces(index, blocks, self.batch_bytes)


def _ahead(batches: Generator[Any]) -> Iterator[Any]:
    """Make the next batch in another thread while the consumer works on one."""
    ready: queue.Queue[Any] = queue.Queue(maxsize=1)
    stopped = threading.Event()
    done = object()

    def put(item: Any) -> None:
        while not stopped.is_set():  # a consumer that ended early takes nothing any more
            try:
                return ready.put(item, timeout=0.1)
            except queue.Full:
                continue

    def fill() -> None:
        try:
            with contextlib.closing(batches):
                for batch in batches:
                    put(batch)
                    if stopped.is_set():
                        return
        except BaseException as error:  # raised again where the batches are consumed
            put(error)
        else:
            put(done)

    run = contextvars.copy_context().run  # what it logs is about the same run
    thread = threading.Thread(target=run, args=[fill], name="fetch", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not done:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()
