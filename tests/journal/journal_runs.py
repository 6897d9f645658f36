"""A small run, written through the journal's own writers: two draws of two questions, all answered and scored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rmtbench.core import Answer, Corpus, Document, Gold, Prepared, Question, RunSpec, Source, Timings, TokenCounts
from rmtbench.journal.layout import RunFolder, run_id
from rmtbench.journal.lines import LineWriter, encode, write_whole
from rmtbench.journal.rows import answer_to_row, corpus_to_row, gold_to_row, prepared_to_row, spec_to_row

SPEC = RunSpec(system="cag", dataset="squad", size="small", model="mini", data="official:dev.json:ab12", draws=2)


def answer(question: str, seconds: float = 1.0, **fields: Any) -> Answer:
    """An answer that took `seconds` altogether."""
    timings = Timings(prefill=seconds / 4, first_token=seconds / 4, decode=seconds / 2, total=seconds)
    return Answer(
        question, **{"text": "blue", "finish": "eos", "timings": timings, "tokens": TokenCounts(9, 6, 1), **fields}
    )


def write_run(results: Path, answers: dict[tuple[int, str], Answer], spec: RunSpec = SPEC) -> RunFolder:
    """Write a run whose draws hold the questions ``q0`` and ``q1``, with these answers and no scores."""
    name = run_id(spec)
    folder = RunFolder(results / name)
    folder.path.mkdir(parents=True)
    write_whole(
        folder.spec, encode({"run_id": name, "spec": spec_to_row(spec), "provenance": {"started": "2026-01-01"}})
    )
    questions = (Question("q0", "What colour?"), Question("q1", "Which town?"))
    for draw in range(spec.draws):
        documents = (Document("d0", "Sky", "It is blue."), Document("d1", "Town", "It is Ulm."))
        corpus = Corpus(
            f"c{draw}", spec.dataset, spec.size, draw, documents, questions, Source("official", "dev", "ab")
        )
        append(folder.corpora, corpus_to_row(corpus, tokens=100 + draw))
        append(folder.gold, *(gold_to_row(Gold(question.id, ("blue",)), question, draw) for question in questions))
        append(folder.prepared, prepared_to_row(Prepared({"tokenize": 1.0, "prefill": 2.0 + draw}, 64, 100), draw, 0))
    append(folder.answers, *(answer_to_row(given, draw, 0) for (draw, _), given in answers.items()))
    return folder


def append(path: Path, *rows: dict[str, Any]) -> None:
    """Append rows to a file of JSON lines."""
    with LineWriter(path) as writer:
        for row in rows:
            writer.append(row)
