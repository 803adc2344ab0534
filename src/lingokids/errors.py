"""The exception of every expected failure, and helpers for its sentence.

A sentence stands where the failure is noticed: what is wrong, where, and what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches

import click
from kedro.io import DatasetError


class LingokidsError(DatasetError, click.ClickException):
    """An expected failure: one sentence, no traceback, exit code 1.

    It is a ``DatasetError`` so that Kedro hands it on as it is, and a ``ClickException`` so
    that the command line prints it as ``Error: <sentence>``.

    Args:
        message: The sentence.
        to_write: Lines of a file to write, after it.
    """

    def __init__(self, message: str, to_write: str = "") -> None:
        click.ClickException.__init__(self, printable(message) + printable(to_write, "\n"))


def refuse_out_of_range(name: str, value: object, least: float, most: int) -> None:
    """Refuse a setting of globals.yml that is no number of this range; of a whole ``least``, whole.

    Raises:
        LingokidsError: It is none; a NaN is in no range.
    """
    is_whole = isinstance(least, int)
    is_number = isinstance(value, int if is_whole else int | float) and not isinstance(value, bool)
    if not (is_number and least <= value <= most):  # type: ignore[operator]
        raise LingokidsError(
            f"{name} is {value!r}: write a{' whole' * is_whole} number, from {least:g} to "
            f"{most:,}, in globals.yml."
        )


def sentence_of(error: BaseException) -> str | None:
    """The sentence of an expected failure, however deep Kedro has wrapped it."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, LingokidsError):
        cause = cause.__cause__
    return None if cause is None else cause.message


def add_sentence(error: BaseException, tell: Callable[[BaseException], str | None]) -> None:
    """Give a failure the sentence that someone has for it or for one of its causes."""
    if sentence_of(error) is not None:
        return
    cause: BaseException | None = error
    while cause is not None:
        if (sentence := tell(cause)) is not None:
            cause.__cause__ = LingokidsError(sentence)
            return
        cause = cause.__cause__


def did_you_mean(name: str, known: Iterable[str], prefix: str = "") -> str:
    """A sentence with the known name nearest to a wrong one, or nothing."""
    spelled = {candidate.lower(): candidate for candidate in known}
    close = get_close_matches(name.lower(), spelled, n=1)
    return f" Did you mean {prefix}{spelled[close[0]]}?" if close else ""


def printable(text: str, besides: str = "") -> str:
    """A text with its control characters written out, but for some: none reaches a terminal."""
    if text.isprintable():
        return text
    return "".join(
        letter
        if letter.isprintable() or letter in besides
        else letter.encode("unicode_escape").decode()
        for letter in text
    )


def in_one_line(text: str, longest: int = 80) -> str:
    """A text from outside, made fit for a sentence: short, no control characters."""
    return printable(text if len(text) <= longest else text[: longest - 1] + "…")
