"""What `rmtbench run` says of its runs beside their progress: what they are, what is left out, what means nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rmtbench.cli.progress import note
from rmtbench.core import SHIPPED_MODELS, Draw, RunSpec
from rmtbench.journal.layout import run_id
from rmtbench.journal.record import read_run
from rmtbench.models.load import RANDOM_LABEL
from rmtbench.options.request import Request
from rmtbench.plural import many
from rmtbench.runs.plan import left_out_of_all
from rmtbench.runs.session import Session
from rmtbench.systems.registry import find_system, working_systems


def say_where_no_cache_was_hit(specs: Sequence[RunSpec], results: Path) -> None:
    """Name the runs whose server never used its prefix cache, or does not say so."""
    for spec in specs:
        if "prefix-cache" not in find_system(spec.system).needs:
            continue
        answers = [answer for answer in read_run(results / run_id(spec)).answers.values() if answer.error is None]
        told = [answer.tokens.cached for answer in answers if answer.tokens.cached is not None]
        if answers and not told:
            note(f"{run_id(spec)}: the server does not say whether its prefix cache was hit")
        elif answers and not any(told):
            note(f"{run_id(spec)}: the server's prefix cache was never hit: its usage has 0 cached tokens")


def say_where_prompts_were_cut(specs: Sequence[RunSpec], results: Path) -> None:
    """Name the runs whose server seems to have read only a part of the corpus."""
    from rmtbench.analysis.run_figures import make_run_figures
    from rmtbench.models.endpoint.address import is_endpoint
    from rmtbench.report.notes import cut_prompts

    for spec in specs:
        if is_endpoint(spec.model) and find_system(spec.system).family == "whole corpus":
            run = make_run_figures(read_run(results / run_id(spec)))
            if cut := cut_prompts(run):
                note(f"{run.run_id}: {cut}")


def say_where_reasoning_took_all(specs: Sequence[RunSpec], results: Path) -> None:
    """Name the runs with answers that are empty because reasoning took all of their tokens."""
    for spec in specs:
        answers = read_run(results / run_id(spec)).answers.values()
        reasoned = [a for a in answers if a.reasoning or a.tokens.reasoning]
        spent = sum(a.finish == "length" and not a.raw.strip() for a in reasoned)
        if spent:
            note(
                f"{run_id(spec)}: {spent} of {many(len(answers), 'answer')} empty, for reasoning took all of their "
                "tokens: give more with --set think-tokens"
            )


def say_what_runs(
    request: Request,
    specs: Sequence[RunSpec],
    draws: Sequence[Draw],
    model: Mapping[str, Any],
    memories: Mapping[RunSpec, Mapping[str, Any]],
) -> None:
    """Print what is about to run, with what, and what of it means nothing.

    Args:
        request: What was asked.
        specs: The runs.
        draws: Their draws.
        model: What results record about the model.
        memories: What results record about the trained memories, by run.
    """
    questions = sum(len(draw.corpus.questions) for draw in draws)
    source = draws[0].corpus.source
    precision = f"{model['dtype']} with int8 weights" if model.get("quantised") else model["dtype"]
    note(
        f"{many(len(specs), 'run')} x {many(questions, 'question')}; {draws[0].corpus.dataset} {specs[0].size} "
        f"({source.kind}: {source.name}); {model['id']} in {precision} on {model['device']}"
    )
    if specs[0].model in SHIPPED_MODELS and source.kind != "miniature":
        note(f"{specs[0].model} knows the miniature world's English alone: of these texts its answers mean nothing")
    if model["label"] == RANDOM_LABEL:
        note(f"{model['id']} has random weights: its answers are meaningless, its timings are real")
    _say_what_is_left_out(request)
    _say_where_memories_differ(memories)


def _say_where_memories_differ(memories: Mapping[RunSpec, Mapping[str, Any]]) -> None:
    for spec, memory in memories.items():
        mode, notes = find_system(spec.system).memory, memory["notes"]
        trained, style = notes.get("mode", mode), notes.get("style", spec.answer_style)
        if trained != mode:
            note(f"{spec.system}: its memory was trained for {trained}, not for {mode}")
        if style != spec.answer_style:
            note(f"{spec.system}: its memory was trained to answer in the style {style}, not {spec.answer_style}")


def _say_what_is_left_out(request: Request) -> None:
    left_out = [name for name in left_out_of_all(request) if name not in request.systems]
    broken = working_systems()[1] if "all" in request.systems else {}
    for name, error in broken.items():
        note(f"all leaves out a broken plugin, {name}: {error}")
    left_out = [name for name in left_out if name not in broken]
    if "all" in request.systems and left_out:
        where = f"name them, with --rmt where {request.model_name} has no memory shipped"
        if request.weights != "native":
            where = "memories need --weights native, and other systems their names"
        note(f"all leaves out {', '.join(left_out)}: {where}")


def say_what_is_not_read(session: Session, told: set[str]) -> None:
    """Print the remark on the data, unless it was told before."""
    remark = session.remark
    if remark and remark not in told:
        told.add(remark)
        note(remark)
