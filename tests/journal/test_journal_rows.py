"""Every noun survives the way to disk and back, and nothing else is let in."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
    Span,
    Timings,
    TokenCounts,
)
from rmtbench.errors import UserError
from rmtbench.journal import rows
from rmtbench.journal.layout import run_id, spec_hash
from rmtbench.journal.lines import encode
from rmtbench.options.identity import RunOptions

texts = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=30)
names = texts.filter(bool)
words = texts.filter(str.strip)
counts = st.integers(0, 2**40)
# Times are kept to a tenth of a microsecond.
seconds = st.integers(0, 10**12).map(lambda value: round(value * 1e-7, 7))
spans = st.builds(lambda name, start, length: Span(name, start, start + length), names, counts, st.integers(1, 999))
retrieved = st.builds(
    lambda span, score: Retrieved(span.document_id, span.start, span.end, score),
    spans,
    st.floats(allow_nan=False, allow_infinity=False),
)
fields = {
    "question_id": names,
    "text": texts,
    "raw": texts,
    "reasoning": texts,
    "finish_reason": st.none() | texts,
    "notes": st.lists(texts, min_size=1, max_size=3).map(tuple) | st.just(()),
    # What a server does not tell is null.
    "tokens": st.builds(TokenCounts, counts, st.none() | counts, counts, counts, st.none() | counts),
    "timings": st.builds(Timings, seconds, *[st.none() | seconds] * 3, seconds),
    "retrieved": st.lists(retrieved, max_size=3).map(tuple),
    "output_ids": st.lists(counts, max_size=5).map(tuple),
    "warmup": st.booleans(),
}
answers = st.one_of(
    st.builds(Answer, finish=st.sampled_from(["eos", "stop", "length"]), **fields),
    st.builds(Answer, finish=st.just("error"), error=texts, **fields),
)
golds = st.builds(
    Gold,
    question_id=names,
    references=st.lists(texts, min_size=1, max_size=3).map(tuple),
    evidence=st.lists(st.lists(spans, min_size=1, max_size=2).map(tuple), max_size=2).map(tuple),
)
specs = st.builds(
    RunSpec,
    system=names,
    dataset=names,
    size=names,
    model=names,
    data=names,
    tokenizer=st.none() | names,
    top_k=st.none() | st.integers(1, 50),
    embedder=st.none() | names,
    answer_style=st.sampled_from(["direct", "bridge"]),
    max_answer_tokens=st.integers(1, 4096),
    batch=st.integers(1, 512),
    chunk_tokens=st.integers(101, 2048),
    chunk_overlap=st.integers(0, 100),
    seed=st.integers(0, 2**31),
    draws=st.integers(1, 200),
    questions=st.none() | st.integers(1, 500),
    options=st.builds(
        RunOptions,
        top_tokens=st.none() | st.integers(1, 10**6),
        chunk_order=st.sampled_from(["rank", "document"]),
        recompute=st.none() | st.sampled_from([0.05, 0.15, 0.5, 1.0]),
        embed_windows=st.booleans(),
        kv_cache=st.booleans(),
        reranker=st.none() | texts,
        others=st.dictionaries(names, texts, max_size=3).map(lambda others: tuple(sorted(others.items()))),
    ),
)
prepareds = st.builds(
    Prepared,
    st.dictionaries(names, seconds, max_size=4),
    counts,
    counts,
    st.booleans(),
    st.dictionaries(names, counts, max_size=2),
)


def through_disk(row):
    return json.loads(encode(row))


@settings(deadline=None)
@given(answers, st.integers(0, 500))
def test_an_answer_comes_back_as_it_was(answer, draw):
    row = through_disk(rows.answer_to_row(answer, draw, session=3))
    assert rows.answer_from_row(row, "here") == answer
    assert rows.key_from_row(row, "here") == (draw, answer.question_id)
    assert row["session"] == 3


@settings(deadline=None)
@given(golds, words, texts, st.integers(0, 500))
def test_gold_and_its_question_come_back_as_they_were(gold, text, kind, draw):
    question = Question(gold.question_id, text, kind)
    row = through_disk(rows.gold_to_row(gold, question, draw))
    assert rows.gold_from_row(row, "here") == (draw, question, gold)


@settings(deadline=None)
@given(specs)
def test_a_spec_comes_back_as_it_was_with_the_same_hash_and_name(spec):
    again = rows.spec_from_row(through_disk({"spec": rows.spec_to_row(spec)})["spec"], "here")
    assert (again, spec_hash(again), run_id(again)) == (spec, spec_hash(spec), run_id(spec))


@settings(deadline=None)
@given(prepareds, st.integers(0, 500))
def test_preparation_comes_back_as_it_was_with_parts_in_order(prepared, draw):
    number, again = rows.prepared_from_row(through_disk(rows.prepared_to_row(prepared, draw, 0)), "here")
    assert (number, again, list(again.seconds)) == (draw, prepared, list(prepared.seconds))


@settings(deadline=None)
@given(st.lists(names, min_size=1, max_size=3, unique=True), counts)
def test_a_corpus_row_tells_size_hash_and_source(ids, tokens):
    documents = tuple(Document(name, "title", "text") for name in ids)
    corpus = Corpus("c", "squad", "small", 4, documents, (Question("q", "Why?"),), Source("own", "folder", "ab"))
    row = rows.corpus_from_row(through_disk(rows.corpus_to_row(corpus, tokens)), "here")
    assert (row["draw"], row["documents"], row["questions"], row["tokens"]) == (4, len(ids), 1, tokens)
    assert (row["sha256"], row["source"]) == (corpus.sha256, {"kind": "own", "name": "folder", "sha256": "ab"})


ANSWER = rows.answer_to_row(Answer("q", "a", "eos"), 0, 0)
GOLD = rows.gold_to_row(Gold("q", ("a",)), Question("q", "Why?"), 0)
PREPARED = rows.prepared_to_row(Prepared({"index": 1.0}), 0, 0)
SPEC = rows.spec_to_row(RunSpec("cag", "squad", "small", "mini", "official:x"))
CORPUS = rows.corpus_to_row(Corpus("c", "squad", "small", 0, (), (), Source("own", "folder", "ab")), 7)


@pytest.mark.parametrize(
    ("read", "row", "reason"),
    [
        (rows.answer_from_row, ANSWER | {"text": None}, "field 'text' is NoneType, not a text"),
        (rows.answer_from_row, ANSWER | {"timings": {"total": "1 s"}}, "field 'total' is str, not a number"),
        (rows.answer_from_row, ANSWER | {"tokens": [1, 2]}, "AttributeError"),
        (rows.answer_from_row, ANSWER | {"retrieved": [["d", 0]]}, "Retrieved"),
        (rows.answer_from_row, ANSWER | {"error": "broke"}, "go together"),
        (rows.answer_from_row, {"question_id": "q"}, "field 'text' is missing"),
        (rows.key_from_row, {"question_id": "q"}, "field 'draw' is missing"),
        (rows.key_from_row, {"draw": "0", "question_id": "q"}, "field 'draw' is str, not a whole number"),
        (rows.scores_from_row, {}, "field 'scores' is missing"),
        (rows.scores_from_row, {"scores": {"em": "1"}}, "field 'em' is str, not a number"),
        (rows.gold_from_row, GOLD | {"references": []}, "has no reference answer"),
        (rows.gold_from_row, GOLD | {"evidence": [[["d", 5, 5]]]}, "empty or negative"),
        (rows.gold_from_row, GOLD | {"draw": None}, "field 'draw' is NoneType, not a whole number"),
        (rows.prepared_from_row, PREPARED | {"seconds": 5}, "TypeError"),
        (rows.prepared_from_row, {}, "field 'seconds' is missing"),
        (rows.corpus_from_row, CORPUS | {"source": {"kind": "own"}}, "Source"),
        (rows.corpus_from_row, CORPUS | {"tokens": 1.5}, "field 'tokens' is float, not a whole number"),
        (rows.spec_from_row, SPEC | {"draws": 0}, "draws must be at least 1"),
        (rows.spec_from_row, SPEC | {"colour": "red"}, "colour"),
        (rows.spec_from_row, SPEC | {"settings": None}, "AttributeError"),
    ],
)
def test_row_that_makes_no_sense_is_error_with_place_and_field(read, row, reason):
    with pytest.raises(UserError, match="damaged row") as caught:
        read(row, "answers.jsonl, line 7")
    assert reason in caught.value.what
    assert caught.value.where == "answers.jsonl, line 7"
    assert caught.value.remedy == "start that run anew with --fresh"


def test_every_field_of_a_spec_changes_its_hash():
    spec = RunSpec("cag", "squad", "small", "mini", "official:x")
    changed = {
        "system": "rmt", "dataset": "hotpotqa", "size": "large", "model": "other", "data": "own:y", "tokenizer": "t",
        "top_k": 3, "embedder": "e", "answer_style": "bridge", "max_answer_tokens": 65, "batch": 2,
        "chunk_tokens": 256, "chunk_overlap": 16, "seed": 1, "draws": 2, "questions": 5, "dtype": "bfloat16",
        "device": "cuda", "options": RunOptions(cache_layout="composed"), "adapter": "a",
    }  # fmt: skip
    assert set(changed) == set(RunSpec.__dataclass_fields__)
    hashes = {spec_hash(replace(spec, **{name: value})) for name, value in changed.items()}
    assert len(hashes | {spec_hash(spec)}) == len(changed) + 1


def test_a_runs_name_is_readable_and_safe_as_a_folder():
    spec = RunSpec("rag-sparse", "my data/Own Docs", "small", "org/Model-8B", "own:x", top_k=3, batch=8)
    assert run_id(spec) == f"rag-sparse-top3-own-docs-small-model-8b-batch8-{spec_hash(spec)[:8]}"


def test_an_answer_of_an_older_version_has_no_reasoning():
    row = rows.answer_to_row(Answer("q", "Tam", "eos", raw="Tam"), 0, 0)
    del row["reasoning"], row["tokens"]["reasoning"]
    assert rows.answer_from_row(row, "here") == Answer("q", "Tam", "eos", raw="Tam")


def test_reasoning_that_is_no_text_is_damage():
    row = rows.answer_to_row(Answer("q", "Tam", "eos"), 0, 0) | {"reasoning": None}
    with pytest.raises(UserError, match="reasoning"):
        rows.answer_from_row(row, "here")


def test_a_run_of_very_long_names_is_a_folder_that_can_be_made(tmp_path):
    spec = RunSpec("cag", "d" * 250, "small", "m" * 250, "own:x")
    other = replace(spec, dataset="d" * 251)
    assert run_id(spec) != run_id(other)
    (tmp_path / f"{run_id(spec)}.zip").touch()
    assert run_id(spec).startswith("cag-")


@pytest.mark.parametrize(
    ("name", "value"), [("data", {}), ("dtype", 7), ("draws", True), ("questions", "2"), ("top_k", [])]
)
def test_a_spec_s_field_of_another_type_is_damage(name, value):
    row = rows.spec_to_row(RunSpec("cag", "squad", "small", "mini", "own:x")) | {name: value}
    with pytest.raises(UserError, match=f"field '{name}' is {type(value).__name__}"):
        rows.spec_from_row(row, "here")
