"""Other packages' data sets: what they raise is told as a mistake of that package, and never as a traceback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rmtbench.core import Draw, Source
from rmtbench.corpora.base import Dataset, DatasetFacts, DrawRequest, TokenCounter
from rmtbench.errors import PLUGIN_FAULTS, UserError, first_line
from rmtbench.options import flag


class GuardedDataset:
    """Another package's `Dataset`, opened and asked.

    Args:
        name: The data set.
        opener: Opens it.

    Raises:
        UserError: It raises something when it is opened, or has no source.
    """

    def __init__(self, name: str, opener: Callable[[], Dataset]) -> None:
        with _told(name):
            self._dataset = opener()
            source = self._dataset.source
        if not isinstance(source, Source):
            raise _fault(name, f"its source is {type(source).__name__}, not Source")
        self.name, self.source = name, source

    def facts(self) -> DatasetFacts:
        """As the data set counts.

        Raises:
            UserError: The package raises something.
        """
        with _told(self.name):
            return self._dataset.facts()

    def draw(self, request: DrawRequest, count_tokens: TokenCounter) -> Draw:
        """As the data set draws.

        Raises:
            UserError: The package raises something, or returns something else.
        """
        with _told(self.name):
            draw = self._dataset.draw(request, count_tokens)
        if not isinstance(draw, Draw):
            raise _fault(self.name, f"draw returned {type(draw).__name__}, not Draw")
        return draw


@contextmanager
def _told(name: str) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except PLUGIN_FAULTS as error:
        raise _fault(name, first_line(error)) from error


def _fault(name: str, what: str) -> UserError:
    return UserError(
        f"data set '{name}' fails ({what})", where=flag.dataset, remedy="mend the package that it comes from"
    )
