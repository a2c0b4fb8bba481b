"""A data set whose inputs are changed before the network sees them: what robustness is measured on."""

from __future__ import annotations

from collections.abc import Callable

from cen_cli.data.sample import RawView, Sample
from cen_cli.data.views import Key, ViewDataset

Alteration = Callable[[ViewDataset, int], Sample]
"""Data set, index of a view -> its sample, changed; the same one whenever it is asked, and by any loading worker."""


class AlteredViews(ViewDataset):
    """A `ViewDataset` whose samples `alteration` makes. Targets, stored views and fingerprint are those of `data`."""

    def __init__(self, data: ViewDataset, alteration: Alteration) -> None:
        self._data = data
        self._alteration = alteration
        self.specs = data.specs
        self.target = data.target
        self.class_names = data.class_names
        self.names = data.names

    def sample(self, key: Key) -> Sample:
        """The changed sample, perhaps with its normalisation pending."""
        return self._alteration(self._data, key if isinstance(key, int) else key[1])

    def view(self, index: int) -> RawView:
        """The view as stored, unchanged."""
        return self._data.view(index)

    def files(self, index: int) -> dict[str, str]:
        """Paths of the view's files."""
        return self._data.files(index)

    def fingerprint(self) -> str:
        """That of the data: what is kept under it are features of targets, which no alteration changes."""
        return self._data.fingerprint()
