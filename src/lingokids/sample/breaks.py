"""Each kind of broken line, by dataset."""

import re
from collections.abc import Callable
from functools import lru_cache, partial


@lru_cache
def _field(name: str) -> re.Pattern[str]:
    return re.compile(rf'("{name}": ?)("[^"]*"|[^,}}]+)(, ?)?')


def put(line: str, field: str, value: str) -> str:
    """Put other JSON text in the place of a field's value."""
    return _field(field).sub(lambda found: f"{found[1]}{value}{found[3] or ''}", line, count=1)


def drop(line: str, field: str) -> str:
    """Drop a field that is not the last one of its object."""
    return _field(field).sub("", line, count=1)


# For each dataset, the kinds of broken line and how a good line becomes one.
BREAKS: dict[str, dict[str, Callable[[str], str]]] = {
    "events": {
        "cut JSON": lambda line: line[: len(line) * 2 // 3],
        "array": lambda line: f"[{line}]",
        "number": lambda line: str(len(line)),
        "not UTF-8": partial(put, field="source", value='"ho\udcffme"'),
        **{
            f"no {field}": partial(drop, field=field)
            for field in ("event_id", "name", "occurred_at", "user_id", "activity_id")
        },
        **{
            f"{field} {value}": partial(put, field=field, value=value)
            for field, value in (
                ("event_id", '"4711"'),
                ("user_id", '"guest"'),
                ("occurred_at", '"2021-02-30 10:00:00.000"'),
                ("occurred_at", '"this morning"'),
                ("duration", "-12.5"),
                ("duration", '"two minutes"'),
                ("duration", "1e400"),
                ("completed", '"perhaps"'),
            )
        },
    },
    "users": {
        "cut JSON": lambda line: line[: len(line) // 2],
        "no user_id": partial(drop, field="user_id"),
        "wrong user_id": partial(put, field="user_id", value='"guest"'),
        "wrong registration_at": partial(put, field="registration_at", value='"last winter"'),
        "not UTF-8": partial(put, field="country_code", value='"\udce9s"'),
    },
    "activities": {
        "cut JSON": lambda line: line[: len(line) // 2],
        "no activity_id": partial(drop, field="activity_id"),
        "number": lambda line: str(len(line)),
    },
}
