"""One command's work from request to answers, in the steps that the command line and the benches share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rmtbench.core import Draw, RunSpec
from rmtbench.corpora.base import Dataset, DrawRequest, TokenCounter
from rmtbench.corpora.open import open_dataset
from rmtbench.errors import UserError
from rmtbench.models.base import LanguageModel
from rmtbench.models.load import choose_device, choose_dtype, load_model
from rmtbench.models.local import LocalModel
from rmtbench.runs.loop import Tools
from rmtbench.runs.memories import LoadedMemory, load_memory, memory_folder
from rmtbench.runs.plan import plan_runs
from rmtbench.runs.provenance import surroundings
from rmtbench.spec import Request
from rmtbench.systems.registry import find_system


@dataclass(frozen=True)
class Session:
    """What a request comes to: the opened data and the specs of its runs."""

    request: Request
    dataset: Dataset
    specs: Sequence[RunSpec]
    device: str


def open_session(request: Request, environ: Mapping[str, str]) -> Session:
    """Open the data and plan the runs; loads no model.

    Args:
        request: What was asked.
        environ: Environment variables, for the data folder.

    Raises:
        UserError: A system, device, dtype or data set is missing, or the data is not in its format.
    """
    for name in request.systems:
        if name != "all":
            find_system(name)  # a misspelt name must not wait for the data
    dataset = open_dataset(request.dataset, request.data_dir, environ, generated=request.generated)
    device = choose_device(request.device)
    specs = plan_runs(request, dataset.source, device=device, dtype=choose_dtype(request.dtype, device))
    return Session(request, dataset, specs, device)


def load_tools(specs: Sequence[RunSpec], device: str, cache: Path, rmt: Path | None = None) -> Tools:
    """Load the model and whatever else the runs need, so that nothing is imported or loaded inside a timed part.

    Args:
        specs: The runs; they share model and embedder.
        device: Where the model answers.
        cache: Folder of embeddings kept between runs.
        rmt: Folder of a trained memory; None for the one shipped for the model.

    Raises:
        UserError: A model, embedder or trained memory is missing, or the memory belongs to another model.
    """
    spec = specs[0]
    model = load_model(
        spec.model,
        tokenizer=spec.tokenizer,
        style=spec.answer_style,
        max_answer_tokens=spec.max_answer_tokens,
        dtype=spec.dtype,
        device=device,
        seed=spec.seed,
    )
    provenance = {"model": dict(model.provenance), **surroundings(device)}
    if any(find_system(spec.system).takes_top_k for spec in specs):
        from rmtbench.retrieval.chunks import warm_up

        warm_up()
    tools = Tools(model, provenance, memories=_memories(specs, model, rmt), writer=_writer(specs, model))
    name = next((spec.embedder for spec in specs if spec.embedder is not None), None)
    if name is None:
        return tools
    from rmtbench.models.embed import load_embedder
    from rmtbench.models.embed_cache import CachedEmbedder

    embedder = load_embedder(name, device)
    embedder.embed(["the first call sets kernels up"])
    provenance["embedder"] = {"name": embedder.name, "sha256": embedder.sha256, "max_tokens": embedder.max_tokens}
    return replace(tools, embedder=embedder, document_embedder=CachedEmbedder(embedder, cache))


def _memories(specs: Sequence[RunSpec], model: LocalModel, rmt: Path | None) -> dict[str, LoadedMemory]:
    """The trained memories of the runs by their names in the specs, each loaded once."""
    loaded: dict[str, LoadedMemory] = {}
    for spec in specs:
        mode = find_system(spec.system).memory
        folder = memory_folder(rmt, spec.model, mode) if mode else None
        label = dict(spec.settings).get("memory", "")
        if folder is not None and label not in loaded:
            loaded[label] = load_memory(folder, model)
    return loaded


def _writer(specs: Sequence[RunSpec], model: LocalModel) -> LanguageModel | None:
    """The model that writes notes, where a system has any written."""
    settings = next((dict(spec.settings) for spec in specs if find_system(spec.system).writes_notes), None)
    if settings is None:
        return None
    from rmtbench.systems.rmt_text import note_writer

    return note_writer(model, int(settings["memory_tokens"]))


def make_draws(session: Session, count_tokens: TokenCounter) -> list[Draw]:
    """All draws of the session's runs.

    Raises:
        UserError: The data is too small, or a draw has no questions.
    """
    request = session.request
    draws = [
        session.dataset.draw(DrawRequest(request.size, draw, request.seed, request.questions), count_tokens)
        for draw in range(request.draws)
    ]
    for draw in draws:
        if not draw.corpus.questions:
            raise UserError(
                "no questions", where=f"corpus {draw.corpus.id}", remedy="choose a larger --size or other data"
            )
    return draws
