"""What a reader must know before believing a table: marks on its figures, and the sentences that explain them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rmtbench.analysis.agreement import agreement, inexact, native_agreement, quantised
from rmtbench.analysis.metrics import shown_answer_values, shown_values
from rmtbench.analysis.recorded import flat_provenance
from rmtbench.analysis.run_figures import RunFigures, spared
from rmtbench.analysis.sections import Grid, row_of
from rmtbench.plural import many
from rmtbench.report.numbers import seconds

RANDOM = "†"
INCOMPLETE = "*"
SHARED = "‡"
LOADED = "§"
READ_SHARE = 0.75
"""Tokenizers differ, but not by so much: a server that counts a smaller share of a corpus has not read all of it."""


def marks(run: RunFigures) -> str:
    """The signs that every score of a run carries."""
    return (RANDOM if run.random_weights else "") + ("" if run.complete else INCOMPLETE)


def name_of(run: RunFigures) -> str:
    """A run's system and top-k, and its hash to find it by."""
    top_k = "" if run.spec.top_k is None else f" top-{run.spec.top_k}"
    return f"{row_of(run).label}{top_k} (run {run.hash})"


def preparation_text(run: RunFigures) -> str:
    """Seconds of preparation, marked where the work is counted in other runs too, or was spared by a kept cache."""
    return f"{seconds(run.preparation)} {SHARED if run.shared else ''}{LOADED if spared(run) else ''}".rstrip()


def shared_notes(runs: Iterable[RunFigures]) -> list[str]:
    """Explain the marks of preparation that was shared, or spared."""
    runs = list(runs)
    notes = [f"{SHARED} done for another run of the same command, and counted there too"]
    notes = notes if any(run.shared for run in runs) else []
    loaded = [f"{run.spec.size} {name_of(run)}: {what}" for run in runs if (what := spared(run))]
    if loaded:
        told = "loaded from kept caches and not computed, so no measure of preparing"
        notes.append(f"{LOADED} {told}: {'; '.join(loaded)}")
    return notes


def mark_notes(runs: Sequence[RunFigures]) -> list[str]:
    """Explain the marks that these runs carry."""
    notes = []
    if shortcuts := inexact(runs):
        named = "; ".join(f"{run.spec.size} {name_of(run)}" for run in shortcuts)
        notes.append(
            f"not exact, from caches that the model would not have computed so (docs/explanation/cag.md): {named}"
        )
    if any(run.random_weights for run in runs):
        notes.append(f"{RANDOM} random weights: answers are meaningless, timings are real")
    notes += [
        f"{name} knows the miniature world's English alone: of these texts its answers mean nothing"
        for name in sorted({run.spec.model for run in runs if run.reads_other_english})
    ]
    begun = [
        f"{run.spec.size} {name_of(run)}: {run.summary.answered} of {many(run.summary.expected, 'question')} answered, "
        f"{run.summary.draws} of {many(run.spec.draws, 'draw')} begun"
        for run in runs
        if not run.complete
    ]
    if begun:
        notes.append(f"{INCOMPLETE} incomplete (the same command again resumes it): {'; '.join(begun)}")
    return notes


def score_notes(grid: Grid) -> list[str]:
    """Explain a grid's scores: what is not scored, standard errors, and what hinders a comparison."""
    runs = list(grid.shown.values())
    notes = mark_notes(runs)
    if any(not run.complete for run in runs):
        notes.append(f"scores marked {INCOMPLETE} count every question without an answer as zero, and have no ±")
    unscored = [
        f"{run.spec.size} {name_of(run)}"
        + (f": scores lack {run.unscored} of {many(run.summary.answered, 'answer')}" if run.summary.means else "")
        for run in runs
        if not run.scored
    ]
    if unscored:
        notes.append(f"not scored (rmtbench score does it, from the answers on disk): {'; '.join(unscored)}")
    scored = [run for run in runs if run.scored]
    for unit in dict.fromkeys(run.unit for run in scored if run.complete):
        whole = [run.units for run in scored if run.complete and run.unit == unit]
        if any(units > 1 for units in whole):
            all_there = "" if unit == "draw" else ": these documents are all there are, and every draw has the same"
            notes.append(f"± is the standard error of the mean, clustered by {unit}{all_there}")
        if any(units == 1 for units in whole):
            notes.append(f"a score without ±: standard error undefined (one {unit})")
    if any(run.complete and _unvaried(run, value.name) for run in scored for value in shown_values(runs)):
        notes.append("no ± where it would be .000: every one has the same score, so that the spread is not known")
    return (
        notes
        + missing_notes(scored)
        + scorer_notes(scored)
        + embedder_notes(runs)
        + truncation_notes(runs)
        + cache_notes(runs)
        + agreement_notes(grid)
        + question_notes(grid)
        + replaced_notes(grid)
    )


def _unvaried(run: RunFigures, metric: str) -> bool:
    error = run.standard_errors.get(metric)
    return error is not None and f"{error:.3f}" == "0.000"


def missing_notes(runs: Sequence[RunFigures]) -> list[str]:
    """Say where a score of answers does not apply to all of them, and why."""
    return [
        f"{run.spec.size} {name_of(run)}: {value.label} over {counted:,} of {many(run.summary.expected, 'answer')}: "
        f"the others {value.missing or 'have no such score'}"
        for value in shown_answer_values(runs)
        for run in runs
        if (counted := run.summary.applicable.get(value.name, run.summary.expected)) != run.summary.expected
    ]


def scorer_notes(runs: Iterable[RunFigures]) -> list[str]:
    """Name the metrics that different scorers made in different rows."""
    made = _distinct((metric, digest) for run in runs for metric, digest in run.scorers.items())
    return [
        f"{metric} was made by different scorers ({digests}): do not compare rows; rmtbench score makes them alike"
        for metric, digests in made
    ]


def embedder_notes(runs: Iterable[RunFigures]) -> list[str]:
    """Name the embedders whose weights were not the same in all rows."""
    used = ((run.spec.embedder, flat_provenance(run)["embedder_sha256"]) for run in runs if run.spec.embedder)
    return [
        f"embedder {name} had different weights ({digests}): do not compare rows" for name, digests in _distinct(used)
    ]


def truncation_notes(runs: Iterable[RunFigures]) -> list[str]:
    """Say which embedders read chunks only in part: their recall is that of the chunks' beginnings."""
    told = dict.fromkeys(
        f"{run.spec.size}: embedder {run.spec.embedder} reads only the beginning of {truncated:,} of "
        f"{many(run.summary.prepared_counts['chunks'], 'chunk')}"
        for run in runs
        if (truncated := run.summary.prepared_counts.get("truncated_chunks", 0))
    )
    return list(told)


def cut_prompts(run: RunFigures) -> str:
    """Say that a server seems to have read only a part of prompts that hold the whole corpus; empty if not."""
    read, whole = run.tokens.prompt, run.summary.corpus_tokens
    if run.system.family != "whole corpus" or not run.model.get("usage") or read is None or whole is None:
        return ""
    if read >= READ_SHARE * whole:
        return ""
    return (
        f"the server counts {read:,.0f} tokens in prompts that hold {whole:,.0f} tokens of documents: it seems to cut "
        "them, and then the answers are not of the whole corpus; give it a longer context (Ollama: num_ctx)"
    )


def cache_notes(runs: Iterable[RunFigures]) -> list[str]:
    """Say where a server cut prompts, hit no prefix cache that a system relies on, or hit one where none was wanted."""
    notes = []
    for run in runs:
        if "endpoint" not in run.model or run.tokens.prompt is None:
            continue
        who, counts = f"{run.spec.size} {name_of(run)}", run.summary.prepared_counts
        if cut := cut_prompts(run):
            notes.append(f"{who}: {cut}")
        cached = run.tokens.cached
        if run.system.holds_cache and cached is None:
            notes.append(
                f"{who}: the server does not say whether its prefix cache was hit (no cached tokens in its usage)"
            )
        if run.system.holds_cache and cached == 0:
            notes.append(f"{who}: the server's prefix cache was never hit (0 cached tokens in its usage)")
        if 2 * counts.get("warming_cached_tokens", 0) > counts.get("warming_prompt_tokens", 0):
            notes.append(f"{who}: the server had the corpus cached already, so its preparation is no cold prefill")
        if run.system.twin and not run.system.holds_cache and cached:
            notes.append(f"{who}: the server's prefix cache served it too ({cached:,.0f} tokens an answer)")
    return notes


def agreement_notes(grid: Grid) -> list[str]:
    """Say of each run that is not exact, or has int8 weights, how many of its answers are those of the exact one."""
    runs = list(grid.shown.values())
    compared = [("not exact", run, agreement(grid, run), "exact run", "the exact run's") for run in inexact(runs)]
    compared += [
        ("int8 weights", run, native_agreement(grid, run), "run with native weights", "those with native weights")
        for run in quantised(runs)
    ]
    return [
        f"{kind}: {run.spec.size} {name_of(run)}: "
        + (
            f"no {other} has answered the same questions"
            if found is None
            else f"{found.equal:,} of {found.compared:,} answers are token for token {theirs} "
            f"({found.rate:.1%}; run {found.exact.hash})"
        )
        for kind, run, found, other, theirs in compared
    ]


def question_notes(grid: Grid) -> list[str]:
    """Say at which sizes complete runs were not asked the same questions."""
    notes = []
    for size in grid.sizes:
        groups: dict[frozenset[tuple[int, str]], list[RunFigures]] = {}
        for _, run in grid.at(size):
            if run is not None and run.complete:
                groups.setdefault(run.asked, []).append(run)
        if len(groups) > 1:
            told = "; ".join(
                f"{many(members[0].summary.expected, 'question')} in {many(members[0].summary.draws, 'draw')}: "
                + ", ".join(name_of(run) for run in members)
                for members in groups.values()
            )
            notes.append(f"{size}: the rows do not all answer the same questions: {told}")
    return notes


def replaced_notes(grid: Grid) -> list[str]:
    """Name the runs that stand in no cell, because another run in the same setting is shown."""
    return [
        f"not shown: {other.spec.size} {name_of(other)}: {many(other.summary.answered, 'question')} answered in "
        f"{other.summary.draws} of {many(other.spec.draws, 'draw')}; run {shown.hash} has the same setting and is "
        "complete, has more draws or questions, or is newer"
        for other, shown in grid.replaced
    ]


def _distinct(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Names that have more than one value, with all values in one text."""
    values: dict[str, set[str]] = {}
    for name, value in pairs:
        values.setdefault(name, set()).add(value)
    return [(name, "; ".join(sorted(found))) for name, found in sorted(values.items()) if len(found) > 1]
