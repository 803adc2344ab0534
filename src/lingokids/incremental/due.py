"""Nodes whose functions are not called while nothing is due.

Here: how a pipeline says what makes a node due. Elsewhere: what is due (``windows``, and the first
nodes of each pipeline), whether a table has rows (``storage``), who tells the node (``hooks``).

A node that finds no row costs mostly the making of its expression and SQL: that was most of a run
with nothing new.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from kedro.pipeline.node import Node

from lingokids.schema import NOTHING_DUE, NothingDue

if TYPE_CHECKING:
    from collections.abc import Callable


class DueNode(Node):
    """A node whose function is not called while no input that makes it due has a row.

    Its outputs are then ``schema.NOTHING_DUE``. Where no run tells it so, as in a notebook, and
    where Kedro copies it (for a tag or a namespace), it is a node like any other. An input left
    out of ``due`` by mistake leaves the outputs behind when it alone has rows.

    Args:
        func: A pure function, as of any node.
        inputs: Names of its inputs.
        outputs: Names of its outputs.
        name: The function's name.
        due: The inputs without which there is no row of any output: tables, or parameters, which
            count as empty while neither they nor a value in them is set.
    """

    def __init__(
        self,
        func: Callable[..., Any],
        inputs: str | list[str],
        outputs: str | list[str],
        *,
        name: str,
        due: list[str],
    ) -> None:
        super().__init__(func, inputs, outputs, name=name)
        if unknown := sorted({*due} - {*self.inputs}):
            raise ValueError(f"{name}: {', '.join(unknown)} cannot make it due: no input of it.")
        self.due = due

    def run(self, inputs: dict[str, Any] | None = None) -> dict[str, Any]:
        """The outputs by name: what the function makes, or ``NOTHING_DUE`` where nothing is due."""
        if inputs and all(isinstance(inputs[name], NothingDue) for name in self.due):
            # Kedro saves what a generator gives one batch after another
            is_in_batches = inspect.isgeneratorfunction(self.func)
            return dict.fromkeys(self.outputs, [NOTHING_DUE] if is_in_batches else NOTHING_DUE)
        return super().run(inputs)


def is_set(parameter: object) -> bool:
    """Whether a parameter, or a value in it, asks for something: is neither null nor 0."""
    return any(parameter.values()) if isinstance(parameter, dict) else bool(parameter)
