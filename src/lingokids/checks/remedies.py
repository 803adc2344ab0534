"""What to do about a broken rule: the sentence that ends a run."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

OF_A_RUN = (
    "Every table is as it was. Fix the node or the source, or the rule in "
    "schema/promises.py if the promise changed, and run again"
)
OF_DELIVERIES = (
    "Every table is as it was. Have the objects sent again as JSON Lines; or, if their lines are "
    "to stay in quarantine, run with --params checks.severities.ingested_objects.load_usable=warn"
)
_OF_BRONZE = (
    "Nothing was changed. If bronze or the ledger was changed by hand, rebuild all tables from the "
    "raw objects, by uv run kedro run --params rebuild=raw; if those have expired, move the "
    "warehouse file away, and uv run kedro run --pipeline restore"
)
_OF_SILVER_AND_GOLD = (
    "Nothing was changed. If pipelines were run separately, uv run kedro run first; if rows were "
    "changed by hand, rebuild silver and gold from bronze, by uv run kedro run --params "
    "rebuild=bronze"
)
_OF_RUN_HISTORY = (
    "Nothing was changed. Run history cannot be rebuilt: if it matters, take it from a backup of "
    "the file"
)


def for_tables(layers: AbstractSet[str], altered: AbstractSet[str]) -> str:
    """What to do about broken rules of whole tables.

    Args:
        layers: The layers of tables with a broken rule: the lowest decides, as the others derive
            from it. None: the tables are run history.
        altered: The tables whose columns are not as promised.
    """
    if not layers:
        return _OF_RUN_HISTORY
    remedy = _OF_BRONZE if "bronze" in layers else _OF_SILVER_AND_GOLD
    if not altered:
        return remedy
    return f"{remedy} (drop {', '.join(sorted(altered))} before it: a run alters no table)"
