"""The activities: their ids, and the editions of the catalogue that lists them."""

import json

from lingokids.sample.breaks import BREAKS
from lingokids.sample.plan import Plan

CATALOGUE_EVERY_DAYS = 12

DEEDS = {  # what the child does with an animal: type and subtype of the activity
    **dict.fromkeys(("sing", "hum", "dance"), ("song", "rhyme")),
    **dict.fromkeys(("hide", "race", "match"), ("play", None)),
    **dict.fromkeys(("paint", "trace", "build"), ("craft", "paper")),
    **dict.fromkeys(("meet", "follow", "wake"), ("story", "")),
}
ANIMALS = ("otter", "puffin", "lynx", "heron", "badger", "gecko", "walrus", "stork", "yak", "newt")


def catalogue_lines(plan: Plan, edition: int) -> list[str]:
    """One edition of the catalogue: later ones know more activities and rename a few.

    Every 60th activity is in none, so that there are events of unlisted activities.
    """
    listed = [
        json.dumps(_activity(k, edition), ensure_ascii=False)
        for k in range(plan.activities)
        if k % 60 != 59 and not (edition == 0 and k % 30 == 13)
    ]
    breaks = tuple(BREAKS["activities"].values())
    return [*listed, breaks[edition % len(breaks)](listed[0])]


def _activity(k: int, edition: int) -> dict[str, str | None]:
    """Activity ``k`` as an edition has it: half the names are null until revised."""
    revisions = sum((k + 7 * past) % 25 == 0 for past in range(1, edition + 1))
    activity_id = activity_id_of(k)
    title = activity_id.replace("_", " the ", 1).capitalize() + " ¡más!" * revisions
    type_, subtype = DEEDS[activity_id.split("_")[0]]
    name = title if k % 2 == 0 or revisions else None
    return {"activity_id": activity_id, "name": name, "type": type_, "subtype": subtype}


def activity_id_of(k: int) -> str:
    """What is done with which animal; from the 121st activity on, a number too."""
    level, animal = divmod(k // len(DEEDS), len(ANIMALS))
    return f"{tuple(DEEDS)[k % len(DEEDS)]}_{ANIMALS[animal]}" + (f"_{level}" if level else "")
