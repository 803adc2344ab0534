"""CPU seconds of a first run by stage: the project's pipelines beside the script's stages.

Each pipeline runs in a process of its own and reads what the one before committed. So the stages
add up to somewhat more than one run of all: each opens the file, commits and publishes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from processes import forget, run_project, run_script, run_trivial

#: The laps of the script that make up each stage.
_OF_SCRIPT = {
    "ingestion": ("start", "read_and_parse"),
    "staging and enrichment": ("dedup_and_join",),
    "marts": ("marts", "users"),
    "commit": ("commit", "close"),
    "publication": ("publish",),
}
#: The pipelines of the project that make up each stage; each commits for itself.
_OF_PROJECT = {
    "ingestion": ("ingestion",),
    "staging and enrichment": ("staging", "enrichment"),
    "marts": ("marts",),
    "publication": ("publication",),
}
_COLOURS = {
    "ingestion": "#4e79a7",
    "staging and enrichment": "#f28e2b",
    "marts": "#59a14f",
    "commit": "#9c755f",
    "publication": "#b07aa1",
}
PICTURE = Path(__file__).with_name("stages.svg")


def report(folder: Path) -> None:
    """Measure, print the table and draw the picture."""
    script, project = measure(folder)
    print(f"{'CPU seconds above start-up':28}{'script':>9}{'project':>9}")
    for stage in dict.fromkeys([*script, *project]):
        cells = (f"{bar[stage]:9.1f}" if stage in bar else f"{'-':>9}" for bar in (script, project))
        print(f"{stage:28}{''.join(cells)}")
    PICTURE.write_text(draw({"script": script, "project": project}))


def measure(folder: Path) -> tuple[dict[str, float], dict[str, float]]:
    """CPU seconds of each stage of a first run: of the script, and of the project."""
    forget(folder)
    stages = json.loads(run_script(folder).printed)["stages"]
    script = {
        name: sum(stages[part]["cpu_s"] for part in parts) for name, parts in _OF_SCRIPT.items()
    }
    start = run_trivial(folder).cpu
    project = {
        name: sum(run_project(folder, "--pipeline", part).cpu - start for part in parts)
        for name, parts in _OF_PROJECT.items()
    }
    return script, project


def draw(bars: dict[str, dict[str, float]]) -> str:
    """An SVG picture of the stages: one bar a side, one coloured part a stage."""
    scale = 600 / max(sum(bar.values()) for bar in bars.values())
    parts: list[str] = []
    for row, (name, bar) in enumerate(bars.items()):
        parts += _bar(name, bar, scale, top=20 + 50 * row)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 790 160" font-family="sans-serif" '
        'font-size="12">\n<title>CPU seconds of a first run, above start-up</title>\n'
        + "\n".join([*parts, *_legend()])
        + "\n</svg>\n"
    )


def _bar(name: str, bar: dict[str, float], scale: float, top: int) -> Iterator[str]:
    left = 90.0
    yield f'<text x="80" y="{top + 20}" text-anchor="end">{name}</text>'
    for stage, seconds in bar.items():
        width = seconds * scale
        yield (
            f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="30" '
            f'fill="{_COLOURS[stage]}"><title>{stage}: {seconds:.1f} s</title></rect>'
        )
        if width > 30:  # else the number does not fit
            yield (
                f'<text x="{left + width / 2:.1f}" y="{top + 20}" text-anchor="middle" '
                f'fill="white">{seconds:.1f}</text>'
            )
        left += width


def _legend() -> Iterator[str]:
    for number, (stage, colour) in enumerate(_COLOURS.items()):
        x = 90 + 135 * number
        yield f'<rect x="{x}" y="130" width="12" height="12" fill="{colour}"/>'
        yield f'<text x="{x + 17}" y="141">{stage}</text>'
