"""A page for a browser, as a text of the catalog that says what it is."""

from __future__ import annotations

from typing import Any

from kedro_datasets.text import TextDataset

from lingokids.storage.previews import TablePreview, meaning_of, preview_of


class PageDataset(TextDataset):
    """A text file; kedro-viz shows what makes it, since a page cannot be shown in a panel.

    Args:
        name: Its entry in the catalog.
        arguments: Those of ``TextDataset``.
    """

    def __init__(self, *, name: str, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._name = name

    def preview(self) -> TablePreview:
        """What it is, for kedro-viz."""
        return preview_of({"page": meaning_of(self._name), "file": str(self._filepath)}, {})
