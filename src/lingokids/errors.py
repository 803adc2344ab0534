"""What the project says when it refuses: one sentence that names the thing and the cure.

Here: the one exception that every expected failure is raised as. Elsewhere: the sentence
itself, which stands where the failure is noticed.
"""

from __future__ import annotations

import click
from kedro.io import DatasetError


class LingokidsError(DatasetError, click.ClickException):
    """An expected failure: shown as one sentence, without a traceback, with exit code 1.

    It is a ``DatasetError`` so that Kedro hands it on as it is, and a ``ClickException`` so
    that the command line prints it as ``Error: <sentence>``.
    """

    def __init__(self, message: str) -> None:
        click.ClickException.__init__(self, message)
