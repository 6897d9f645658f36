"""Results folders made through the journal's own writers: one call a run, every figure chosen by the caller."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rmtbench.core import (
    Answer,
    Corpus,
    Document,
    Gold,
    Prepared,
    Question,
    Retrieved,
    RunSpec,
    Source,
    SourceKind,
    Timings,
    TokenCounts,
)
from rmtbench.journal.layout import RunFolder, run_id
from rmtbench.journal.lines import LineWriter, encode, write_whole
from rmtbench.journal.rows import answer_to_row, corpus_to_row, gold_to_row, prepared_to_row, spec_to_row
from rmtbench.options.identity import RunOptions

METRICS = ("em", "f1", "minilm_cosine", "bertscore_f1")

PROVENANCE = {
    "model": {
        "id": "org/model-8b",
        "revision": "r1",
        "weights_sha256": "aa11",
        "tokenizer": "org/model-8b",
        "tokenizer_sha256": "bb22",
        "dtype": "float32",
        "device": "cpu",
        "attention": "sdpa",
        "label": "",
    },
    "versions": {"python": "3.11.9", "torch": "2.13.0", "transformers": "5.23.0"},
    "threads": 2,
    "machine": "two cores",
    "code": {"version": "0.1.0", "commit": "c0ffee", "dirty": False},
    "started": "2026-11-23T10:00:00Z",
}

EMBEDDER = {"embedder": {"name": "minilm", "sha256": "ee55"}}


def spec_of(system: str = "cag", **fields: Any) -> RunSpec:
    """A spec; whatever is not said is the same for all."""
    said = {
        "dataset": "hotpotqa",
        "size": "small",
        "model": "org/model-8b",
        "data": "official:hotpot.json:dd44",
        "draws": 2,
    }
    options = RunOptions.read(fields.pop("settings", ()))
    return RunSpec(system=system, options=options, **{**said, **fields})


def add_run(
    results: Path,
    spec: RunSpec,
    *,
    questions: int = 4,
    answered: int | None = None,
    failed: int = 0,
    score: float | None = 0.5,
    seconds: float = 1.0,
    prepare: dict[str, float] | None = None,
    kept: int = 0,
    shared: bool = False,
    counts: dict[str, int] | None = None,
    kind: SourceKind = "official",
    provenance: dict[str, Any] | None = None,
    scored: int | None = None,
    scorers: dict[str, str] | None = None,
) -> RunFolder:
    """Write a run.

    Args:
        results: The results folder.
        spec: What is asked.
        questions: Questions a draw.
        answered: Only the first so many get an answer; None for all.
        failed: Of these, the last so many fail.
        score: Mean of every metric over a draw, 0.1 more in odd draws; None to leave the run without scores.
        seconds: Total seconds of every answer but the first, which is a warm-up and takes ten times as long.
        prepare: Seconds by part; 0.1 s of tokenizing where it is not said.
        kept: Bytes kept.
        shared: Whether preparation is counted elsewhere too.
        counts: What preparing a draw counted.
        kind: Kind of the source.
        provenance: What differs from `PROVENANCE`.
        scored: Only the first so many answers are scored; None for all.
        scorers: What made the scores.
    """
    name = run_id(spec)
    folder = RunFolder(results / name)
    folder.path.mkdir(parents=True)
    head = {"run_id": name, "spec": spec_to_row(spec), "provenance": {**PROVENANCE, **(provenance or {})}}
    write_whole(folder.spec, encode(head))
    source = Source(kind, f"{spec.dataset}.json", "dd44")
    corpora, golds, prepared, answers, scores = [], [], [], [], []
    limit = spec.draws * questions if answered is None else answered
    for draw in range(spec.draws):
        if draw and len(answers) >= limit:
            break
        asked = tuple(Question(f"q{draw}-{n}", f"Question {n}?") for n in range(questions))
        documents = (
            Document(f"d{draw}", "Title", "Text of the document."),
            Document(f"e{draw}", "Other", "More text."),
        )
        corpus = Corpus(f"{spec.dataset}-{spec.size}-{draw}", spec.dataset, spec.size, draw, documents, asked, source)
        corpora.append(corpus_to_row(corpus, tokens=21_000 + 500 * draw))
        golds += [gold_to_row(Gold(question.id, ("blue",)), question, draw) for question in asked]
        made = Prepared(prepare or {"tokenize": 0.1}, kept, 21_000, shared, counts or {})
        prepared.append(prepared_to_row(made, draw, 0))
        for question in asked[: limit - len(answers)]:
            fails = len(answers) >= limit - failed
            given = answer_of(spec, question.id, seconds * (1 if answers else 10), fails=fails, warmup=not answers)
            answers.append(answer_to_row(given, draw, 0))
            value = 0.0 if fails or score is None else score + 0.1 * (draw % 2)
            recall = None if spec.top_k is None else value / 2
            scores.append(
                {
                    "draw": draw,
                    "question_id": question.id,
                    "scores": {**dict.fromkeys(METRICS, value), "recall": recall},
                }
            )
    append(folder.corpora, corpora)
    append(folder.gold, golds)
    append(folder.prepared, prepared)
    append(folder.answers, answers)
    if score is not None:
        append(folder.scores, scores[:scored])
        scored_by = scorers or {metric: f"{metric}:1" for metric in METRICS}
        write_whole(folder.summary, encode({"scorers": scored_by}))
    return folder


def answer_of(spec: RunSpec, question: str, seconds: float, *, fails: bool, warmup: bool) -> Answer:
    """An answer whose parts are fixed shares of its seconds."""
    if fails:
        return Answer(question, "", "error", error="out of memory", warmup=warmup)
    retrieve = 0.0 if spec.top_k is None else seconds / 10
    return Answer(
        question,
        "blue",
        "eos",
        raw="blue",
        tokens=TokenCounts(prompt=21_020, cached=21_000 if spec.system == "cag" else 0, output=3),
        timings=Timings(retrieve, seconds / 2, seconds / 2 + retrieve, seconds / 4, seconds),
        retrieved=tuple(Retrieved("d0", 0, 4, 1.0) for _ in range(spec.top_k or 0)),
        output_ids=(5, 6, 7),
        warmup=warmup,
    )


def append(path: Path, rows: list[dict[str, Any]]) -> None:
    """Append rows to a file of JSON lines."""
    with LineWriter(path) as writer:
        for row in rows:
            writer.append(row)
