"""What the project says when it refuses: one sentence that names the thing and the cure.

Here: the one exception that every expected failure is raised as, and the hint for a name that is
nearly right. Elsewhere: the sentence itself, which stands where the failure is noticed.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

import click
from kedro.io import DatasetError


class LingokidsError(DatasetError, click.ClickException):
    """An expected failure: shown as one sentence, without a traceback, with exit code 1.

    It is a ``DatasetError`` so that Kedro hands it on as it is, and a ``ClickException`` so
    that the command line prints it as ``Error: <sentence>``.
    """

    def __init__(self, message: str) -> None:
        click.ClickException.__init__(self, message)


def did_you_mean(name: str, known: Iterable[str], prefix: str = "") -> str:
    """A sentence that names what is nearest to a wrong name, or nothing if nothing is near."""
    spelled = {candidate.lower(): candidate for candidate in known}
    close = get_close_matches(name.lower(), spelled, n=1)
    return f" Did you mean {prefix}{spelled[close[0]]}?" if close else ""


def in_one_line(text: str, longest: int = 80) -> str:
    """A text from outside that is fit for a sentence: short, and without control characters."""
    shown = text if len(text) <= longest else text[: longest - 1] + "…"
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in shown
    )
