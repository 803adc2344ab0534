"""What to do about a broken rule: the sentence that ends a run.

Here: the cure by what was checked, and by layer. Elsewhere: what was found (``inspection``), how
tables are made anew (``preconditions`` and ``hooks``).
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

OF_A_RUN = (
    "Every table is as it was. Mend the node or the source, or the rule in "
    "schema/promises.py if the promise changed, and run again"
)
_OF_BRONZE = (
    "Nothing was changed. If bronze or the ledger was changed by hand, make all tables anew from "
    "the raw objects, by uv run kedro run --params rebuild=raw; where those have expired, move "
    "the warehouse file away, and uv run kedro run --pipeline restore"
)
_OF_SILVER_AND_GOLD = (
    "Nothing was changed. If pipelines were run apart, uv run kedro run first; if rows were "
    "changed by hand, make silver and gold anew from bronze, by uv run kedro run --params "
    "rebuild=bronze"
)
_OF_RECORDS = (
    "Nothing was changed. Records of runs cannot be made anew: if they matter, take them from a "
    "backup of the file"
)


def for_tables(layers: AbstractSet[str], altered: AbstractSet[str]) -> str:
    """What to do where whole tables were checked.

    Args:
        layers: Those of the tables with a broken rule: the lowest decides, for the others are
            made of it. None of them: the tables are records of runs.
        altered: The tables whose columns are not as promised.
    """
    if not layers:
        return _OF_RECORDS
    cure = _OF_BRONZE if "bronze" in layers else _OF_SILVER_AND_GOLD
    if not altered:
        return cure
    return f"{cure} (drop {', '.join(sorted(altered))} before it: a run alters no table)"
