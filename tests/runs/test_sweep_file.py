"""A sweep file becomes requests, in its order; whatever is wrong with it is named by file, entry and key."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import pytest

from rmtbench.cli.run import run
from rmtbench.errors import UserError
from rmtbench.runs.sweep import OPTIONS, Sweep, read_sweep
from rmtbench.spec import make_request

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Make a file of a text."""

    def make(text: str) -> Path:
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return make


def triples(sweep: Sweep) -> list[tuple[str, str, str]]:
    return [(one.request.dataset, one.request.size, one.request.model) for one in sweep.requests]


def test_an_entry_is_the_request_that_same_options_of_a_run_are(write: Write) -> None:
    path = write(
        "name: all options\ndescription: |\n  every kind of value\nruns:\n"
        "  - {system: [cag, rag-sparse], dataset: squad, size: medium, model: 'random:tiny', top_k: [2, 1], draws: 3,\n"
        "     questions: 5, batch: 2, answer_style: bridge, max_answer_tokens: 8, seed: 7, chunk_tokens: 64,\n"
        "     embedder: mine, scorer: yours, tokenizer: words, dtype: float32, device: cpu, data_dir: official}\n"
    )
    sweep = read_sweep(path)
    given = {"systems": ("cag", "rag-sparse"), "dataset": "squad", "size": "medium", "model": "random:tiny",
             "top_k": (2, 1), "draws": 3, "questions": 5, "batch": 2, "answer_style": "bridge", "max_answer_tokens": 8,
             "seed": 7, "chunk_tokens": 64, "embedder": "mine", "scorer": "yours", "tokenizer": "words",
             "dtype": "float32", "device": "cpu", "data_dir": Path("official")}  # fmt: skip
    assert (sweep.name, sweep.description) == ("all options", "every kind of value")
    assert [one.request for one in sweep.requests] == [make_request("mini", given)]


def test_fractions_and_truths_are_values_where_option_takes_them(write: Write) -> None:
    entry = "{system: [cag, rag-sparse], cache_layout: composed, recompute: 0.15, kv_cache: on, chunk_cache: true}"
    [one] = read_sweep(write(f"runs:\n  - {entry}\n")).requests
    assert (one.request.recompute, one.request.kv_cache, one.request.chunk_cache) == (0.15, "on", True)


def test_every_option_of_a_run_may_stand_in_an_entry() -> None:
    of_the_sweep = {"profile", "results", "fresh", "dry_run", "rare", "engine", "workers"}
    flags = set(inspect.signature(run).parameters) - of_the_sweep
    assert flags | {key for key, option in OPTIONS.items() if option.rare} == set(OPTIONS)
    assert not any(OPTIONS[key].rare for key in flags)


@pytest.mark.parametrize("profile", ["mini", "paper"])
def test_what_an_entry_leaves_out_is_the_profiles(write: Write, profile: str) -> None:
    [one] = read_sweep(write(f"profile: {profile}\nruns:\n  - questions: 2\n")).requests
    assert one.request == make_request(profile, {"systems": ("all",), "questions": 2})


def test_lists_multiply_out_in_order(write: Write) -> None:
    path = write(
        "runs:\n  - {dataset: [squad, triviaqa], size: [small, large], model: [a, b], top_k: 3}\n  - {model: c}\n"
    )
    sweep = read_sweep(path)
    assert triples(sweep)[:5] == [
        ("squad", "small", "a"),
        ("squad", "small", "b"),
        ("squad", "large", "a"),
        ("squad", "large", "b"),
        ("triviaqa", "small", "a"),
    ]
    assert len(sweep.requests) == 9
    assert {one.request.top_k for one in sweep.requests[:8]} == {(3,)}
    assert sweep.requests[8].request.model == "c"


def test_a_number_with_a_leading_zero_is_decimal(write: Write) -> None:
    [one] = read_sweep(write("name: 2024-01-01\nruns: [{seed: 010, draws: 1_0}]")).requests
    assert (one.request.seed, one.request.draws) == (10, 10)


def test_the_commands_memory_is_for_entries_that_read_with_one(write: Write, tmp_path: Path) -> None:
    asked = read_sweep(write("runs: [{system: cag}, {system: rmt-query-first}, {}]"), rmt=tmp_path).requests
    assert [one.request.rmt for one in asked] == [None, tmp_path, tmp_path]


def test_a_request_that_stands_twice_is_made_once(write: Write) -> None:
    sweep = read_sweep(write("runs:\n  - {dataset: [handbook, handbook]}\n  - {dataset: handbook, system: all}\n"))
    assert len(sweep.requests) == 1


def test_entries_may_share_options_by_yaml_anchors(write: Write) -> None:
    path = write("runs:\n  - &base {dataset: handbook, questions: 2, seed: 1}\n  - {<<: *base, seed: 2}\n")
    assert [(one.request.questions, one.request.seed) for one in read_sweep(path).requests] == [(2, 1), (2, 2)]


def test_official_files_given_apart_replace_folder(write: Write) -> None:
    path = write("runs:\n  - {dataset: squad, data_dir: there}\n  - {dataset: squad}\n")
    assert [one.request.data_dir for one in read_sweep(path).requests] == [Path("there"), None]
    assert [one.request.data_dir for one in read_sweep(path, Path("here")).requests] == [Path("here")]


def test_places_go_only_to_entries_that_use_them(write: Write) -> None:
    path = write(
        "runs:\n  - {dataset: handbook, system: rmt-memory}\n  - {dataset: squad, system: cag}\n"
        "  - {dataset: squad, system: all}\n"
    )
    requests = [one.request for one in read_sweep(path, Path("files"), rmt=Path("memory"), shard="1/2").requests]
    assert [one.rmt for one in requests] == [Path("memory"), None, Path("memory")]
    assert [one.data_dir for one in requests] == [None, Path("files"), Path("files")]
    assert {one.shard for one in requests} == {"1/2"}


@pytest.mark.parametrize(("place", "option"), [("data_dir", "--data-dir"), ("rmt", "--rmt")])
def test_a_place_that_no_entry_uses_is_refused(write: Write, place: str, option: str) -> None:
    path = write("runs:\n  - {dataset: handbook, system: cag}\n")
    with pytest.raises(UserError, match=f"no entry of {path.name} has use for it") as caught:
        read_sweep(path, **{place: Path("there")})
    assert (caught.value.where, caught.value.remedy) == (option, "leave it out")


def test_the_name_is_the_files_where_none_is_given(write: Write) -> None:
    assert read_sweep(write("runs: [{dataset: handbook}]")).name == "mine"


ENTRY = "runs:\n  - {dataset: handbook}\n\n  # the second\n  - "
DEFECTS = [
    ("", "", "must be keys with values: name, profile, description, runs", "experiments/smoke.yaml"),
    ("- dataset: handbook", "", "must be keys with values", "experiments/smoke.yaml"),
    ("name: x", "", "key 'runs' is missing", "experiments/smoke.yaml"),
    ("name: 7\nruns: [{}]", ", name", "must be a valid string (given: 7)", "experiments/smoke.yaml"),
    ("runs: []", ", runs", "names nothing", "experiments/smoke.yaml"),
    ("runs: handbook", ", runs", "must be a valid list (given: 'handbook')", "experiments/smoke.yaml"),
    ("runz: [{}]\nruns: [{}]", "", "no key 'runz'", "did you mean 'runs'?"),
    ("profile: papr\nruns: [{}]", ", profile", "no profile 'papr'", "did you mean 'paper'?"),
    ("runs:\n  - [unclosed", ", line 2, column", "not YAML", "mend the file"),
    ("runs:\n  - {when: !!timestamp 2024-13-99}", "", "not YAML: ValueError: month must be", "mend the file"),
    ("runs:\n  - {seed: !!int ''}", "", "not YAML: IndexError", "mend the file"),
    ("runs:\n  - {seed: !!timestamp x}", "", "not YAML: AttributeError", "mend the file"),
    ("runs:\n  - {seed: !!bool x}", "", "not YAML: KeyError", "mend the file"),
    ("name: \x07", "", "not YAML", "mend the file"),
    ("runs:\n  - {seed: 1, seed: 2}", ", line 2, column 15", "key 'seed' stands twice", "mend the file"),
    ("runs: [{}]\nruns: [{}]", ", line 2, column 1", "key 'runs' stands twice", "mend the file"),
    (
        ENTRY + "handbook",
        ", line 5",
        "must be options with values (given: 'handbook')",
        "experiments/smoke.yaml",
    ),
    (ENTRY + "{datset: handbook}", ", line 5", "no option 'datset'", "did you mean 'dataset'?"),
    (ENTRY + "{max-answer-tokens: 4}", ", line 5", "no option", "did you mean 'max_answer_tokens'?"),
    (ENTRY + "{generated: 1}", ", line 5", "no option 'generated'", "Known: adapter, answer_style"),
    (ENTRY + "{system: [cag, orcale]}", ", line 5, system", "no system 'orcale'", "did you mean 'oracle'?"),
    (ENTRY + "{system: []}", ", line 5, system", "names nothing", "fill it in"),
    (ENTRY + "{questions: }", ", line 5, questions", "names nothing", "leave the key out"),
    (ENTRY + "{dataset: hotpot}", ", line 5, dataset", "no data set 'hotpot'", "did you mean 'hotpotqa'?"),
    (ENTRY + "{size: [small, smal]}", ", line 5, size", "no size 'smal'", "did you mean 'small'?"),
    (ENTRY + "{questions: 0}", ", line 5, questions", "must be at least 1 (given: 0)", "rmtbench run --help"),
    (ENTRY + "{questions: yes}", ", line 5, questions", "must be a text or a number (given: True)", "mend it"),
    (
        ENTRY + "{draws: 1.5}",
        ", line 5, draws",
        "must be a valid integer, got a number with a fractional part (given: 1.5)",
        "--help",
    ),
    (ENTRY + "{seed: 1:30}", ", line 5, seed", "must be a whole number (given: '1:30')", "--help"),
    (ENTRY + "{data_dir: 5}", ", line 5, --data-dir", "must be a path (given: 5)", "--help"),
    (ENTRY + "{results: x}", ", line 5", "'results' is the whole command's", "behind rmtbench sweep: --results"),
    (ENTRY + "{profile: mini}", ", line 5", "'profile' is the whole command's", "behind rmtbench sweep: --profile"),
    (ENTRY + "{kv_cache: on, cache_limit: much}", ", line 5, cache_limit", "'much' is no size", "give such as 20GB"),
    (ENTRY + "{draws: [1, 2]}", ", line 5, draws", "must be a text or a number (given: [1, 2])", "mend it"),
    (ENTRY + "{top_k: [1, x]}", ", line 5, top_k", "must be a whole number (given: 'x')", "--help"),
    (ENTRY + "{model: 7}", ", line 5, model", "must be a valid string (given: 7)", "--help"),
    (ENTRY + "{top_k: 3, top_tokens: 900}", ", line 5, top_tokens", "chunks are chosen", "leave top_k out"),
    (ENTRY + "{chunk_overlap: 600}", ", line 5, chunk_overlap", "must be smaller", "tokens than chunk_tokens"),
    (ENTRY + "{size: 8K}", ", line 5, size", "no size '8K'", "or tokens such as 8k"),
    (f"runs: {'[' * 9000}", "", "not YAML: ", "mend the file"),
    ("runs:\n\t- {dataset: handbook}", ", line 2, column 1", "not YAML: found character", "mend the file"),
    (ENTRY + "{answer_style: long}", ", line 5, answer_style", "must be 'direct' or 'bridge'", "--help"),
]


@pytest.mark.parametrize(("text", "place", "what", "remedy"), DEFECTS, ids=[f"{text[-25:]}" for text, *_ in DEFECTS])
def test_defect_is_named_by_file_entry_and_key(write: Write, text: str, place: str, what: str, remedy: str) -> None:
    path = write(text)
    with pytest.raises(UserError) as caught:
        read_sweep(path)
    error = caught.value
    assert error.where.startswith(f"{path}{place}")
    assert error.what.startswith(what) or f": {what}" in error.what
    assert remedy in error.remedy
    assert "\n" not in f"{error}{error.remedy}"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.yaml: cannot be read \(No such file"):
        read_sweep(tmp_path / "nowhere.yaml")


def test_folder_that_is_not_there_concerns_its_own_request_alone(write: Write) -> None:
    assert len(read_sweep(write("runs:\n  - {dataset: [./nowhere, handbook]}\n")).requests) == 2


def test_the_papers_experiment_asks_for_the_papers_draws() -> None:
    sweep = read_sweep(EXPERIMENTS / "paper.yaml")
    asked = {(one.request.dataset, one.request.size): one.request for one in sweep.requests}
    draws = {size: asked["hotpotqa", size].draws for size in ("small", "medium", "large")}
    assert draws == {"small": 87, "medium": 33, "large": 21}
    assert {pair for pair in asked if pair[0] != "hotpotqa"} == {
        (dataset, size) for dataset in ("squad", "triviaqa") for size in ("small", "medium", "large")
    }
    for (dataset, size), request in asked.items():
        given = {"systems": ("all",), "dataset": dataset, "size": size}
        assert request == make_request("paper", given | ({"draws": draws[size]} if dataset == "hotpotqa" else {}))


def test_the_smoke_experiment_is_small_and_needs_nothing() -> None:
    [one] = read_sweep(EXPERIMENTS / "smoke.yaml").requests
    given = {"systems": ("all",), "dataset": "handbook", "size": "smoke", "model": "random:tiny", "top_k": (1, 3)}
    assert one.request == make_request("mini", {**given, "questions": 4})
