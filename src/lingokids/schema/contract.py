"""What a contract is: the promise of one table, and how a table is held to it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING

from lingokids.errors import LingokidsError
from lingokids.schema.columns import COLUMNS
from lingokids.schema.promises import PROMISES, Promise
from lingokids.schema.rules import WARN, NoOtherColumns, NotNull, Rule, SchemaKept, Unique

if TYPE_CHECKING:
    import ibis.expr.datatypes as dt
    import ibis.expr.schema as sch
    import ibis.expr.types as ir


@dataclass(frozen=True)
class Contract:
    """The promise of one table.

    Attributes:
        table_name: Name in schema ``main``.
        meaning: What one row is, in one sentence.
        grain: The columns that identify a row.
        columns: Every column, in order: names of ``COLUMNS``, or a name and an Ibis type
            where the table's source uses a word of its own.
        required: Columns that are never NULL besides those of the grain.
    """

    table_name: str
    meaning: str
    grain: tuple[str, ...]
    columns: tuple[str, ...]
    required: tuple[str, ...] = ()
    types: tuple[tuple[str, str], ...] = ()

    @property
    def promise(self) -> Promise:
        """Its owner, and what it promises beyond its columns."""
        return PROMISES.get(self.table_name, Promise())

    @cached_property
    def never_null(self) -> tuple[str, ...]:
        """The columns that always have a value, in order."""
        return tuple(name for name in self.columns if name in {*self.grain, *self.required})

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """Every rule of the table: those of all tables, its columns, its grain, its own."""
        return (
            SchemaKept(),
            NoOtherColumns(severity=WARN),
            *(NotNull(name, is_enforced=True) for name in self.never_null),
            *((Unique(self.grain),) if self.grain else ()),
            *(rule(name) for name in self.columns for rule in COLUMNS[name].rules),
            *self.promise.rules,
        )

    @cached_property
    def schema(self) -> sch.Schema:
        """Names, Ibis types and nullability of the columns, in order."""
        import ibis

        own = dict(self.types)
        return ibis.schema(
            {
                name: _type(own.get(name, COLUMNS[name].type), name not in self.never_null)
                for name in self.columns
            }
        )

    @cached_property
    def nullable_schema(self) -> sch.Schema:
        """The schema with each column nullable, as expressions are compared with.

        Ibis would refuse to unite ``date NOT NULL`` with ``date``.
        """
        return nullable(self.schema)

    def validate(self, data: ir.Table) -> None:
        """Hold an expression to the columns and types promised.

        Raises:
            LingokidsError: A column is missing, unexpected, or of another type.
        """
        found, promised = nullable(data.schema()), self.nullable_schema
        faults = [
            f"{name} is {found[name]}, promised {promised[name]}"
            for name in promised
            if name in found and found[name] != promised[name]
        ]
        if missing := [name for name in promised if name not in found]:
            faults.append(f"missing {', '.join(missing)}")
        if unexpected := [name for name in found if name not in promised]:
            faults.append(f"unexpected {', '.join(unexpected)}")
        if faults:
            raise LingokidsError(
                f"{self.table_name}: {'; '.join(faults)}. Change the node, or the contract in "
                "schema/ if the promise changed."
            )


def nullable(schema: sch.Schema) -> sch.Schema:
    """The same columns and types, each nullable."""
    import ibis

    return ibis.schema(
        {
            name: dtype if dtype.nullable else dtype.copy(nullable=True)
            for name, dtype in schema.items()
        }
    )


@cache
def _type(name: str, is_nullable: bool) -> dt.DataType:
    """A type by its name; cached, because Ibis takes a millisecond to read one."""
    import ibis

    return ibis.dtype(name, nullable=is_nullable)
