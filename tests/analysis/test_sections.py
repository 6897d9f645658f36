"""Runs that must not be pooled never stand in one section, and nothing else keeps runs apart."""

import json

import pytest
from report_runs import EMBEDDER, PROVENANCE, add_run, append, spec_of

from rmtbench.analysis.run_figures import make_run_figures
from rmtbench.analysis.sections import Row, make_sections
from rmtbench.core import SystemTraits
from rmtbench.journal.find import find_runs
from rmtbench.journal.record import read_run
from rmtbench.report.csv_files import to_csv


def sections(results):
    return make_sections(make_run_figures(read_run(path)) for path in find_runs(results))


def model(**fields):
    return {"model": PROVENANCE["model"] | fields}


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({"batch": 8}, {}),
        ({"device": "cuda"}, {}),
        ({"dtype": "bfloat16"}, {}),
        ({"answer_style": "bridge"}, {}),
        ({"max_answer_tokens": 32}, {}),
        ({"seed": 1}, {}),
        ({"model": "org/other"}, {"provenance": model(id="org/other")}),
        ({}, {"provenance": model(weights_sha256="another")}),
        ({}, {"provenance": model(revision="r2")}),
        ({}, {"provenance": model(tokenizer="other")}),
        ({}, {"provenance": model(tokenizer_sha256="another")}),
        ({}, {"provenance": model(attention="eager")}),
        ({}, {"provenance": model(prompt_contract=2)}),
        ({}, {"provenance": {"threads": 4}}),
        ({}, {"provenance": {"machine": "another"}}),
        ({"data": "miniature:world:1"}, {"kind": "miniature"}),
    ],
)
def test_runs_that_differ_in_what_must_not_be_pooled_stand_apart(tmp_path, fields, options):
    add_run(tmp_path, spec_of("cag"))
    add_run(tmp_path, spec_of("full-context", **fields), **options)
    made = sections(tmp_path)
    assert [len(section.runs) for section in made] == [1, 1]
    assert made[0].title != made[1].title


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({}, {}),
        ({"system": "rag-dense", "top_k": 3, "embedder": "minilm"}, {"provenance": EMBEDDER}),
        ({"dataset": "squad", "data": "official:squad.json:1"}, {}),
        ({"size": "large"}, {}),
        ({"draws": 3}, {}),
        ({"questions": 2}, {}),
        ({}, {"provenance": {"started": "2027-01-01"}}),
        ({}, {"provenance": {"versions": {"torch": "9"}}}),
    ],
)
def test_runs_that_may_be_compared_stand_together(tmp_path, fields, options):
    add_run(tmp_path, spec_of("cag"))
    add_run(tmp_path, spec_of(**{"system": "full-context", **fields}), **options)
    assert [len(section.runs) for section in sections(tmp_path)] == [2]


def test_models_of_other_identity_stand_apart(tmp_path):
    add_run(tmp_path, spec_of("cag"), provenance=model(identity="a" * 64))
    add_run(tmp_path, spec_of("full-context"), provenance=model(identity="b" * 64))
    assert [section.title.partition("; ")[2] for section in sections(tmp_path)] == [
        "model identity aaaaaaaaaaaa",
        "model identity bbbbbbbbbbbb",
    ]
    add_run(tmp_path, spec_of("closed-book"))  # which of the two it was, nobody knows
    assert [len(section.runs) for section in sections(tmp_path)] == [1, 1, 1]
    assert "a" * 64 in to_csv([{"system": "closed-book"}, {"system": "cag", "model_identity": "a" * 64}])


def test_run_without_identity_joins_only_agreeing_model(tmp_path):
    add_run(tmp_path, spec_of("cag"))
    add_run(tmp_path, spec_of("full-context"), provenance=model(identity="b" * 64))
    [section] = sections(tmp_path)
    assert len(section.runs) == 2
    assert dict(section.setting)["model identity"] == "b" * 64


def test_a_title_tells_only_what_sets_its_section_apart(tmp_path):
    for seed, weights in ((0, "a" * 64), (1, "a" * 64), (1, "b" * 64)):
        add_run(
            tmp_path,
            spec_of(seed=seed, max_answer_tokens=64 + len(find_runs(tmp_path))),
            provenance=model(weights_sha256=weights),
        )
    told = [section.title.partition("; ")[2] for section in sections(tmp_path)]
    assert told == [
        "weights aaaaaaaaaaaa, answer style direct, at most 64 tokens, seed 0",
        "weights aaaaaaaaaaaa, answer style direct, at most 65 tokens, seed 1",
        "weights bbbbbbbbbbbb, answer style direct, at most 66 tokens, seed 1",
    ]


def test_run_resumed_with_other_threads_stands_apart_and_says_so(tmp_path):
    for system in ("cag", "full-context"):
        folder = add_run(tmp_path, spec_of(system))
        append(folder.sessions, [{"session": 0, "provenance": PROVENANCE}])
    append(folder.sessions, [{"session": 1, "provenance": PROVENANCE | {"threads": 8}}])
    assert [dict(section.setting)["threads"] for section in sections(tmp_path)] == ["2", "2 then 8"]


def test_a_machine_with_a_few_bytes_more_memory_is_same_machine(tmp_path):
    for system, memory in (("cag", 8_000_000_000), ("oracle", 8_000_004_096)):
        machine = {"processor": "fast", "cores": 2, "memory_bytes": memory}
        add_run(tmp_path, spec_of(system), provenance={"machine": machine})
    (section,) = sections(tmp_path)
    assert dict(section.setting)["machine"] == "cores 2, processor fast"


def test_random_weights_come_last_and_are_named(tmp_path):
    add_run(
        tmp_path,
        spec_of(model="random:tiny", data="miniature:w:1"),
        kind="miniature",
        provenance=model(id="random:tiny"),
    )
    add_run(tmp_path, spec_of(model="zebra"), provenance=model(id="zebra"))
    assert [section.title for section in sections(tmp_path)] == [
        "zebra, official data, cpu float32, latency",
        "random:tiny (random weights), miniature data, cpu float32, latency",
    ]


def test_throughput_is_named_with_its_batch(tmp_path):
    add_run(tmp_path, spec_of(batch=8))
    assert sections(tmp_path)[0].title == "org/model-8b, official data, cpu float32, throughput (batches of 8)"


def test_what_is_not_recorded_is_said_to_be_so(tmp_path):
    nothing = dict.fromkeys(PROVENANCE)
    add_run(tmp_path, spec_of(), provenance=nothing, score=None)
    facts = dict(sections(tmp_path)[0].provenance)
    missing = {name for name, value in facts.items() if value == "not recorded"}
    assert missing >= {
        "weights",
        "tokenizer",
        "attention",
        "threads",
        "machine",
        "versions",
        "code",
        "first run started",
    }
    assert (facts["model"], facts["scorers"], facts["embedders"]) == ("org/model-8b", "none", "none")


def test_the_provenance_tells_every_value_that_its_runs_have(tmp_path):
    add_run(tmp_path, spec_of("cag"))
    dense = spec_of("rag-dense", top_k=3, embedder="minilm", draws=1)
    add_run(tmp_path, dense, provenance=EMBEDDER | {"versions": {"torch": "2.12.0"}, "started": "2026-01-01"})
    facts = dict(sections(tmp_path)[0].provenance)
    assert facts["embedders"] == "minilm (ee55)"
    assert facts["versions"] == "python 3.11.9, torch 2.13.0, transformers 5.23.0; torch 2.12.0"
    assert facts["draws"] == "1 of 1; 2 of 2"
    assert facts["first run started"] == "2026-01-01"
    assert facts["data"] == "hotpotqa: hotpotqa.json (dd44)"
    assert "minilm_cosine minilm_cosine:1" in facts["scorers"]


def test_a_run_before_its_first_draw_stands_with_the_others(tmp_path):
    add_run(tmp_path, spec_of("cag"))
    folder = add_run(tmp_path, spec_of("full-context"), score=None)
    for path in (folder.corpora, folder.gold, folder.prepared, folder.answers):
        path.unlink()
    assert [len(section.runs) for section in sections(tmp_path)] == [2]


def test_a_long_setting_is_shown_by_its_beginning_and_a_hash() -> None:
    def label(prompt: str) -> str:
        return Row("cag", None, None, 512, 0, (("system_prompt", prompt),), SystemTraits("cag")).label

    labels = {label(text) for text in ("Be brief. " * 9, "Be\nbrief.")}
    assert all(len(label) < 70 and "\n" not in label for label in labels)
    assert len(labels) == 2
    assert label("Be brief.") == "cag, system_prompt=Be brief."


def test_two_systems_of_one_label_are_told_apart(tmp_path):
    for name in ("one", "two"):
        folder = add_run(tmp_path, spec_of(name))
        head = json.loads(folder.spec.read_text())
        folder.spec.write_text(json.dumps(head | {"system": {"name": name, "label": "Mine"}}))
    [section] = sections(tmp_path)
    [grid] = section.grids
    assert [grid.full_label(row) for row in grid.rows] == ["Mine, system one", "Mine, system two"]
