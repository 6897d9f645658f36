"""What a system may need, and the one object that holds it: loaded once for a command, narrowed to each run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, cast

from rmtbench.core import Gold, RunSpec
from rmtbench.errors import UserError
from rmtbench.kvcache.watching import NOBODY, Watch
from rmtbench.models.base import Embedder, LanguageModel, PrefixCaching, Reranker
from rmtbench.options import flag

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from rmtbench.kvcache.disk.store import CacheStore
    from rmtbench.models.local import LocalModel
    from rmtbench.rmt.decoder import RecurrentDecoder

T = TypeVar("T")

Need = Literal[
    "chunks",
    "words",
    "embedder",
    "whole-corpus",
    "prefix-cache",
    "gold",
    "evidence",
    "memory",
    "query-first-memory",
    "notes",
    "many-calls",
]
"""What a system states about itself: see `NEEDS`."""

NEEDS: Mapping[Need, str] = {
    "chunks": f"chunks of the documents, chosen for each question: it runs once for each {flag.top_k}",
    "words": "a ranking by words: it takes the options of BM25",
    "embedder": "an embedder",
    "whole-corpus": "the whole corpus in the model's context: what does not fit is refused before the run",
    "prefix-cache": "a prefix cache of the corpus: it takes the options of cag",
    "gold": "the gold answers and evidence: an oracle",
    "evidence": "questions with evidence: if no question has any, the run is skipped",
    "memory": "a trained memory that reads the corpus before the questions",
    "query-first-memory": "a trained memory that reads the corpus with each question",
    "notes": "the model under the contract that writes notes",
    "many-calls": f"many calls of the model for each question: `{flag.systems} all` leaves it out",
}
"""Every need, and what it brings or means."""


class SharedWork:
    """What several runs over one draw may share, such as an index; freed when the draw is done."""

    def __init__(self) -> None:
        self._made: dict[tuple[Any, ...], Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._made.clear()

    def get(self, key: tuple[Any, ...], make: Callable[[], T]) -> tuple[T, bool]:
        """Return the value for `key`, and whether it was there before; if not, make it now."""
        if key in self._made:
            return self._made[key], True
        value = make()
        self._made[key] = value
        return value, False


@dataclass(frozen=True, slots=True)
class LoadedMemory:
    """A model that reads with a trained memory, and what results record about that memory."""

    decoder: RecurrentDecoder
    provenance: Mapping[str, Any]


@dataclass(frozen=True)
class Resources:
    """What a system is built with. Fields that its kind does not need are None or empty.

    Attributes:
        spec: What the run asks; before `for_run`, the spec of the command's first run.
        model: The language model.
        embedder: Embeds questions.
        document_embedder: Embeds chunks; may load embeddings from disk.
        gold: The gold of the draw by question id.
        shared: Work shared with other runs of the same command over the same draw.
        memories: Trained memories by their names in the specs.
        writer: The language model under the contract that writes notes.
        kv_store: Where prefix caches are kept between runs; None if each run makes its own.
        watch: Gets the progress of reading the corpus, and what the store had.
        reranker: Ranks what retrieval finds again, if the spec names one.
        indexes: Folder of kept indexes, if the spec keeps them.
        qdrant: Keeps the embeddings, if the spec says so.
        provenance: What results record about model, embedder, libraries and machine.
    """

    spec: RunSpec
    model: LanguageModel
    embedder: Embedder | None = None
    document_embedder: Embedder | None = None
    gold: Mapping[str, Gold] = field(default_factory=dict)
    shared: SharedWork = field(default_factory=SharedWork)
    memories: Mapping[str, LoadedMemory] = field(default_factory=dict)
    writer: LanguageModel | None = None
    kv_store: CacheStore | None = None
    watch: Watch = NOBODY
    reranker: Reranker | None = None
    indexes: Path | None = None
    qdrant: QdrantClient | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def local(self) -> LocalModel | None:
        """The model if its weights are on this machine; None if it is behind a server."""
        return local_model(self.model)

    @property
    def caching(self) -> PrefixCaching:
        """The model behind a server, which holds a context there; of a model on this machine, `local` reads it here.

        Raises:
            UserError: It holds none.
        """
        if not hasattr(self.model, "hold_context"):
            where = f"{flag.systems} {self.spec.system}"
            raise UserError("this model keeps no cache here", where=where, remedy="use a local model")
        return cast("PrefixCaching", self.model)

    @property
    def memory(self) -> LoadedMemory | None:
        """The trained memory that the run names; None if it names none."""
        return self.memory_of(self.spec)

    def memory_of(self, spec: RunSpec) -> LoadedMemory | None:
        """Return the trained memory that a run names; None if it names none."""
        return self.memories.get(spec.options.memory or "")

    def for_run(
        self, spec: RunSpec, needs: AbstractSet[Need], *, gold: Mapping[str, Gold], shared: SharedWork, watch: Watch
    ) -> Resources:
        """Return what one run over one draw gets: only what its system needs and its spec names.

        Args:
            spec: The run.
            needs: The needs of its system.
            gold: The gold of the draw, by question id.
            shared: Work shared by the runs over this draw.
            watch: Gets what happens while the system prepares.
        """
        embeds, retrieves = "embedder" in needs, spec.retrieves
        return replace(
            self,
            spec=spec,
            embedder=self.embedder if embeds else None,
            document_embedder=self.document_embedder if embeds else None,
            gold=gold if "gold" in needs else {},
            shared=shared,
            memories=self.memories if needs & {"memory", "query-first-memory"} else {},
            writer=self.writer if "notes" in needs else None,
            kv_store=self.kv_store if spec.options.kv_cache else None,
            watch=watch,
            reranker=self.reranker if retrieves else None,
            indexes=self.indexes if retrieves else None,
            qdrant=self.qdrant if retrieves else None,
        )


def local_model(model: LanguageModel) -> LocalModel | None:
    """Return the model if its weights are on this machine; None if it is behind a server."""
    found: LocalModel | None = getattr(model, "local", None)
    return found
