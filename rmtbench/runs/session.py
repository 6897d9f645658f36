"""One command's work from request to answers, in the steps that the command line and the benches share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmtbench.core import Draw, RunSpec
from rmtbench.corpora.base import Dataset, DrawRequest, TokenCounter
from rmtbench.corpora.open import open_dataset
from rmtbench.errors import UserError
from rmtbench.measure import parse_bytes
from rmtbench.models.endpoint.address import find_address, is_endpoint, served_name
from rmtbench.models.endpoint.line import LineSettings
from rmtbench.models.endpoint.load import AS_SERVED, Endpoints
from rmtbench.models.endpoint.prices import read_prices
from rmtbench.models.endpoint.retry import Patience
from rmtbench.models.load import choose_device, choose_dtype
from rmtbench.options import flag
from rmtbench.options.request import Request
from rmtbench.options.rules import check_places
from rmtbench.plural import many
from rmtbench.runs.plan import plan_runs
from rmtbench.systems.registry import find_system

if TYPE_CHECKING:
    from rmtbench.kvcache.disk.store import CacheStore


@dataclass(frozen=True)
class Session:
    """What a request comes to: the opened data and the specs of its runs."""

    request: Request
    dataset: Dataset
    specs: Sequence[RunSpec]
    device: str
    endpoints: Endpoints

    @property
    def remark(self) -> str:
        """One line on what the data set left out; empty if nothing was."""
        # Other data sets leave nothing out, and counting their facts may read gigabytes.
        return self.dataset.facts().remark if self.dataset.source.kind == "own" else ""


OpenData = Callable[[Request, Mapping[str, str]], Dataset]


def open_data(request: Request, environ: Mapping[str, str]) -> Dataset:
    """Open the data of a request.

    Raises:
        UserError: It is missing, or not in its format.
    """
    return open_dataset(request.dataset, request.data_dir, environ, generated=request.generated)


def open_session(request: Request, environ: Mapping[str, str], opener: OpenData = open_data) -> Session:
    """Open the data and plan the runs; loads no model.

    Args:
        request: What was asked.
        environ: Environment variables, for the data folder.
        opener: Opens the data; one that remembers spares many requests for the same data the reading.

    Raises:
        UserError: A system, device, dtype or data set is missing, or the data is not in its format.
    """
    if not request.draw_numbers:
        raise UserError(
            f"this part has none of the {many(request.draws, 'draw')}",
            where=flag.shard,
            remedy=f"give fewer parts or more {flag.draws}",
        )
    for name in request.systems:
        if name != "all":
            find_system(name)  # a misspelt name must not wait for the data
    endpoints = _endpoints(request, environ)
    dataset = opener(request, environ)
    # Asking for devices imports torch: a command that computes nothing here has no need of it.
    device = choose_device(request.device) if _computes_here(request) else "cpu"
    if endpoints.model is None:
        dtype = choose_dtype(request.dtype, device)
        specs = plan_runs(request, dataset.source, device=device, dtype=dtype)
    else:
        where = f"endpoint {endpoints.model.address.host}"
        specs = plan_runs(request, dataset.source, device=where, dtype=AS_SERVED)
    return Session(request, dataset, specs, device, endpoints)


def _endpoints(request: Request, environ: Mapping[str, str]) -> Endpoints:
    """How the servers are spoken to that a request names; a missing key is met here, before the data is opened."""
    served, embedded = is_endpoint(request.model), is_endpoint(request.embedder) and _embeds(request)
    here, judged = _computes_here(request), is_endpoint(request.judge)
    check_places(request.given, served=served, embedded=embedded, computes_here=here, judged=judged)
    patience = Patience(attempts=request.attempts, deadline=request.deadline)
    limits: dict[str, Any] = {
        "patience": patience,
        "requests_per_minute": request.requests_per_minute,
        "tokens_per_minute": request.tokens_per_minute,
    }
    model = embedder = None
    if served:
        served_name(request.model)
        model = LineSettings(
            find_address(request.base_url, request.key_variable, environ),
            **limits,
            reasoning_effort=request.reasoning_effort,
        )
    if embedded:
        served_name(request.embedder, flag.embedder)
        address = find_address(
            request.embedder_base_url or request.base_url,
            request.embedder_key_variable or request.key_variable,
            environ,
            options=(flag.embedder_base_url, flag.embedder_key_variable),
        )
        embedder = LineSettings(address, **limits)
    prices = read_prices(request.prices) if served or embedded else ()
    return Endpoints(model, embedder, request.api, prices, request.embed_batch)


def _embeds(request: Request) -> bool:
    return any(name == "all" or "embedder" in find_system(name).needs for name in request.systems)


def _computes_here(request: Request) -> bool:
    """Whether anything runs on a device of this machine: the model, the embedder or a reranker."""
    if not is_endpoint(request.model) or request.reranker is not None:
        return True
    return _embeds(request) and not is_endpoint(request.embedder)


def find_store(request: Request, cache: Path) -> CacheStore | None:
    """Where a request's key-value caches are kept; None where it keeps none.

    Args:
        request: What was asked.
        cache: The folder of everything that is kept between runs, for a request that names none of its own.
    """
    if request.kv_cache is None:
        return None
    from rmtbench.kvcache.disk.store import CacheStore

    folder = cache / "kv" if request.kv_cache == "on" else Path(request.kv_cache).expanduser()
    return CacheStore(folder, parse_bytes(request.cache_limit, flag.cache_limit))


def make_draws(session: Session, count_tokens: TokenCounter, made: Sequence[Draw] = ()) -> list[Draw]:
    """Make all draws of the session's runs.

    Args:
        session: The opened request.
        count_tokens: Counts tokens as the model under test does.
        made: The first draws, if they were made before; they are not made again.

    Raises:
        UserError: The data is too small, or a draw has no questions.
    """
    numbers = session.request.draw_numbers[len(made) :]
    return [*made, *(make_one_draw(session, number, count_tokens) for number in numbers)]


def make_one_draw(session: Session, number: int, count_tokens: TokenCounter) -> Draw:
    """Make one draw of the session's runs, by its number from 0.

    Raises:
        UserError: As `make_draws`.
    """
    request = session.request
    draw = session.dataset.draw(DrawRequest(request.size, number, request.seed, request.questions), count_tokens)
    if not draw.corpus.questions:
        raise UserError(
            "no questions", where=f"corpus {draw.corpus.id}", remedy=f"choose a larger {flag.size} or other data"
        )
    return draw
