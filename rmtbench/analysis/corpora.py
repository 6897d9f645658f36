"""The corpora that a section's runs read, each listed once."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

from rmtbench.analysis.run_figures import RunFigures
from rmtbench.analysis.sections import Section, size_order


@dataclass(frozen=True, slots=True)
class CorpusFigures:
    """One dataset at one size, over all draws that any run of the section began.

    Attributes:
        dataset: The dataset.
        size: The size.
        data: The source as the spec names it.
        kind: The source's kind; empty before any draw.
        sha256: Hash of the source's bytes; empty before any draw.
        draws: How many draws.
        documents: Mean documents a draw; None before any draw.
        tokens: Mean tokens a draw.
        questions: Questions of all draws.
    """

    dataset: str
    size: str
    data: str
    kind: str
    sha256: str
    draws: int
    documents: float | None
    tokens: float | None
    questions: int | None


def corpora_of(section: Section) -> tuple[CorpusFigures, ...]:
    """What a section's runs read, by dataset, source, size and limit of questions."""
    groups: dict[tuple[str, str, str, int | None], list[RunFigures]] = {}
    for run in section.runs:
        spec = run.spec
        groups.setdefault((run.dataset, spec.data, spec.size, spec.questions), []).append(run)
    ordered = sorted(groups.items(), key=lambda item: (*item[0][:2], size_order(item[0][2]), item[0][3] or 0))
    return tuple(_figures(dataset, data, size, runs) for (dataset, data, size, _), runs in ordered)


def _figures(dataset: str, data: str, size: str, runs: list[RunFigures]) -> CorpusFigures:
    draws = list({row["draw"]: row for run in runs for row in run.corpora}.values())
    sources = [row["source"] for row in draws]
    counted = [row["tokens"] for row in draws if row["tokens"] is not None]
    return CorpusFigures(
        dataset=dataset,
        size=size,
        data=data,
        kind=" and ".join(sorted({source["kind"] for source in sources})),
        sha256=" ".join(sorted({source["sha256"] for source in sources})),
        draws=len(draws),
        documents=fmean(row["documents"] for row in draws) if draws else None,
        tokens=fmean(counted) if counted else None,
        questions=sum(row["questions"] for row in draws) if draws else None,
    )
