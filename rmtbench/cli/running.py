"""The work of `rmtbench run` after its options are parsed: plan, load, execute, score, and report the outcome."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from rmtbench.cli.folders import check_cache, check_results
from rmtbench.cli.judging import say_judgements
from rmtbench.cli.progress import note, say_long, say_next, saying_if_slow, show_runs, telling_counter
from rmtbench.cli.remarks import (
    say_what_is_not_read,
    say_what_runs,
    say_where_no_cache_was_hit,
    say_where_prompts_were_cut,
    say_where_reasoning_took_all,
)
from rmtbench.cli.score import score_and_tell
from rmtbench.core import Draw, RunSpec
from rmtbench.corpora.base import TokenCounter
from rmtbench.errors import ServerGoneError, UserError
from rmtbench.files import cache_folder
from rmtbench.journal.checks import read_json
from rmtbench.journal.layout import RunFolder, run_id
from rmtbench.journal.lock import forget_dead_writer
from rmtbench.journal.record import read_run
from rmtbench.models.sources import to_convert
from rmtbench.options.request import Request
from rmtbench.plural import many
from rmtbench.runs.finished import unfinished
from rmtbench.runs.fit import Misfit, find_misfits, refusal_of, with_evidence
from rmtbench.runs.loading import load_resources
from rmtbench.runs.loop import execute
from rmtbench.runs.needs import find_counter
from rmtbench.runs.session import Session, find_store, make_draws, make_one_draw, open_session
from rmtbench.scoring.check import check_scorer
from rmtbench.scoring.judge_model import Judge, find_judge
from rmtbench.systems.registry import find_system


def run_request(
    request: Request, results: Path, *, fresh: bool, alone: bool = True, told: set[str] | None = None
) -> int:
    """Do all runs of a request and score them.

    Args:
        request: What was asked.
        results: Folder of all runs.
        fresh: Whether finished and unfinished runs are started again.
        alone: Whether no other request follows, so that what the user can do next is printed.
        told: Remarks on data that were printed before. Those of this request are added. None for none.

    Returns:
        The exit code: 0; 1 if answers of these runs failed, now or in an earlier process, if some could not be judged,
        if a plugin could not prepare a draw or score answers, or if a server that had given some was gone before the
        last; 2 if a system that was asked for by name does not fit the model's context.

    Raises:
        UserError: Something that was asked for is missing or does not fit.
        KeyboardInterrupt: The user interrupted. Every answer so far is on disk.
    """
    told = set() if told is None else told
    opened = open_request(request, results, told, fresh=fresh)
    skipped: list[RunSpec] = []
    if opened.todo:
        try:
            with _scoring_at_an_end(opened.session, results, told):
                skipped = _do(opened.todo, opened.session, results, fresh=fresh)
        except ServerGoneError as gone:
            if not any(_answered(results, spec) for spec in opened.todo):
                raise
            note(f"error: {gone}")
            note(f"  {gone.remedy}")
            return 1
    return close_request(opened, skipped, results, told, alone=alone)


@dataclass(frozen=True)
class OpenRequest:
    """A request after its data was opened and its runs were planned.

    Attributes:
        session: The data and the runs.
        judge: What judges the answers; None if nothing does.
        todo: The runs that are not finished.
    """

    session: Session
    judge: Judge | None
    todo: Sequence[RunSpec]


def open_request(request: Request, results: Path, told: set[str], *, fresh: bool) -> OpenRequest:
    """Open what a request needs besides its model, and print what is finished and what is left out.

    Args:
        request: What was asked.
        results: Folder of all runs.
        told: Remarks on data that were printed before. Those of this request are added.
        fresh: Whether finished and unfinished runs are started again.

    Raises:
        UserError: Something that was asked for is missing.
    """
    session = open_session(request, os.environ)
    judge = find_judge(request, os.environ)
    todo = unfinished(session.specs, results, fresh=fresh, draws=request.draw_numbers)
    if todo:
        check_results(results)
        check_scorer(request.scorer)
        if judge is not None:
            judge.check()
    for spec in session.specs:
        if spec not in todo:
            note(f"{run_id(spec)}: finished already; --fresh begins anew")
            forget_dead_writer(RunFolder(results / run_id(spec)).lock)
    if todo:
        say_what_is_not_read(session, told)
    return OpenRequest(session, judge, todo)


def close_request(
    opened: OpenRequest, skipped: Sequence[RunSpec], results: Path, told: set[str], *, alone: bool
) -> int:
    """Score the runs of a request; returns the exit code, as `run_request` does.

    Args:
        opened: The request.
        skipped: Its runs that were not done.
        results: Folder of all runs.
        told: Remarks that were printed before.
        alone: Whether no other request follows, so that what the user can do next is printed.
    """
    session, request = opened.session, opened.session.request
    folders = [RunFolder(results / run_id(spec)) for spec in session.specs if spec not in skipped]
    problems = score_and_tell([folder.path for folder in folders], None, request.scorer, told, opened.judge)
    not_judged = say_judgements([folder.path for folder in folders]) if opened.judge is not None else 0
    summaries = [read_json(folder.summary) for folder in folders]
    failed = sum(summary["errors"] for summary in summaries)
    answered = sum(summary["answered"] for summary in summaries)
    if failed:
        note(f"{failed} of {many(answered, 'answer')} failed; they are kept with their reasons and count as wrong")
    if alone:
        say_next(results, request.shard)
    if any(spec.system in request.systems for spec in skipped):
        return 2
    done = [spec for spec in session.specs if spec not in skipped]
    return 1 if failed or problems or not_judged or unfinished(done, results, draws=request.draw_numbers) else 0


@contextmanager
def _scoring_at_an_end(session: Session, results: Path, told: set[str]) -> Iterator[None]:
    """Score the runs that are finished when an error or the user ends the others, so that a report can show them.

    No judge is asked: that may cost money. A second interruption ends the scoring, too. A part is scored when it is
    merged.
    """
    try:
        yield
    except (KeyboardInterrupt, UserError) as end:
        with suppress(UserError, OSError):  # why the runs ended matters more
            left = unfinished(session.specs, results, draws=session.request.draw_numbers)
            done = [place for spec in session.specs if spec not in left and _unscored(place := results / run_id(spec))]
            if done and session.request.shard is None:
                if isinstance(end, KeyboardInterrupt):
                    note("interrupted; a second Ctrl-C also ends the scoring")
                score_and_tell(done, None, session.request.scorer, told)
        raise


def _unscored(folder: Path) -> bool:
    """Whether a run has answers that are not scored."""
    run = read_run(folder)
    return any(answer.error is None and key not in run.scores for key, answer in run.answers.items())


def _do(todo: Sequence[RunSpec], session: Session, results: Path, *, fresh: bool) -> list[RunSpec]:
    """Execute the runs that have something to read and fit the model's context; return those that do not."""
    request = session.request
    first = FirstDraws(session)
    todo, unfounded = split_by_evidence(todo, request, first)
    if any(spec.embedder is not None for spec in todo) or request.kv_cache == "on":
        check_cache(cache_folder())
    store = find_store(request, cache_folder())
    if (file := to_convert(request.model)) is not None:
        note(f"converting {file.name} to float32 in {cache_folder()}: once, and it takes a few minutes")
    with saying_if_slow(f"loading {_loaded(todo)}"):
        resources = load_resources(
            todo,
            session.device,
            cache_folder(),
            request.rmt,
            session.endpoints,
            reranker=request.reranker,
            indexes=request.index,
            qdrant=request.qdrant,
        )
    resources = replace(resources, kv_store=store)
    draws = make_draws(session, telling_counter(resources.model.count_tokens), first.made)
    documents = [document for draw in draws for document in draw.corpus.documents]
    say_long(len(documents), sum(len(document.text) for document in documents))
    kinds = [find_system(spec.system) for spec in todo]
    memories = {spec: memory.provenance for spec in todo if (memory := resources.memory_of(spec)) is not None}
    say_what_runs(request, todo, draws, resources.provenance["model"], memories)
    todo, skipped = split_by_fit(todo, find_misfits(todo, kinds, draws, resources.model))
    with show_runs() as report:
        execute(todo, draws, resources, results, report, fresh=fresh)
    if session.endpoints.model is not None:
        say_where_prompts_were_cut(todo, results)
        say_where_no_cache_was_hit(todo, results)
        say_where_reasoning_took_all(todo, results)
    return [*unfounded, *skipped]


class FirstDraws:
    """Iterates over the draws before the model is loaded. It loads a tokenizer only if a draw counts tokens.

    Attributes:
        made: The draws so far. The model itself counts tokens with the same tokenizer, so no draw is made twice.
    """

    def __init__(self, session: Session) -> None:
        self.made: list[Draw] = []
        self._session = session

    def __iter__(self) -> Iterator[Draw]:
        for number in self._session.request.draw_numbers:
            self.made.append(make_one_draw(self._session, number, self._count_tokens))
            yield self.made[-1]

    def all(self) -> tuple[Draw, ...]:
        """Make the draws that are not made yet, and return all of them."""
        return tuple(make_draws(self._session, telling_counter(self._count_tokens), self.made))

    def _count_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        return self._counter(texts)

    @cached_property
    def _counter(self) -> TokenCounter:  # most folders of a user's own count no tokens
        request = self._session.request
        return find_counter(request.model, request.tokenizer, request.adapter)


def split_by_evidence(
    todo: Sequence[RunSpec], request: Request, draws: Iterable[Draw]
) -> tuple[Sequence[RunSpec], list[RunSpec]]:
    """Split runs into those that have something to read, and those that read only evidence and have none.

    Raises:
        UserError: A run without evidence was asked for by name, or there is no other run.
    """
    kept, misfits = with_evidence(todo, draws, request.systems)
    for misfit in misfits:
        note(f"{misfit.spec.system} skipped: {misfit.error.what}")
    return kept, [misfit.spec for misfit in misfits]


def split_by_fit(todo: Sequence[RunSpec], misfits: Sequence[Misfit]) -> tuple[Sequence[RunSpec], list[RunSpec]]:
    """Return the runs that fit the model's context and those that do not, and print the reason in one line.

    Raises:
        UserError: None fits.
    """
    skipped = [misfit.spec for misfit in misfits]
    fitting = [spec for spec in todo if spec not in skipped]
    if not fitting:
        raise refusal_of(misfits)
    if misfits:
        names = ", ".join(dict.fromkeys(spec.system for spec in skipped))
        error = misfits[0].error
        note(f"{names} skipped: {error.what} ({error.where})")
    return fitting, skipped


def _answered(results: Path, spec: RunSpec) -> bool:
    journal = RunFolder(results / run_id(spec)).answers
    return journal.is_file() and journal.stat().st_size > 0


def _loaded(specs: Sequence[RunSpec]) -> str:
    """Name the models that runs load into this process, or whose server they ask."""
    embedder = next((spec.embedder for spec in specs if spec.embedder is not None), None)
    return specs[0].model_name + (f" and {embedder}" if embedder is not None else "")
