"""The first screen: verdict, what would settle it, one table, whether the runs are comparable, where the rest is."""

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from report_runs import PROVENANCE, add_run, spec_of
from rich.cells import cell_len
from rich.console import Console
from typer.testing import CliRunner

from rmtbench.analysis.candidates import make_contests
from rmtbench.analysis.contest import Terms
from rmtbench.analysis.decision import decide_all
from rmtbench.analysis.read import read_figures
from rmtbench.analysis.sections import make_sections
from rmtbench.cli.report import report
from rmtbench.cli.tables import draw_first_screen
from rmtbench.report.first_screen import first_screen

COMMITTED = Path(__file__).parents[2] / "results"
SYSTEMS = (("cag", None), ("full-context", None), ("rag-sparse", 1), ("rag-sparse", 5))

app = typer.Typer()
app.command()(report)


def printed(results, *options):
    result = CliRunner().invoke(app, [str(results), *options], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def add_systems(results, *, draws=2, apart=0.1, **fields):
    """Four systems, each a little worse than the one before."""
    kind = fields.pop("kind", "official")
    provenance = fields.pop("provenance", None)
    for place, (system, top_k) in enumerate(SYSTEMS):
        spec = spec_of(system, top_k=top_k, draws=draws, **fields)
        add_run(results, spec, score=0.8 - apart * place, seconds=0.2 + place, kind=kind, provenance=provenance)


def blocks_of(results):
    """The blocks alone, without the files of a report."""
    sections = make_sections(read_figures(results))
    return first_screen(
        sections, *(decide_all(make_contests(sections, metric), Terms()) for metric in ("em", "recall"))
    )


def drawn(blocks, results, width=120):
    file = io.StringIO()
    Console(width=width, file=file).print(draw_first_screen(blocks, str(results)))
    return file.getvalue()


@pytest.fixture(scope="module")
def committed():
    """The blocks of the committed results."""
    found = {}
    for name in ("handbook", "mini"):
        found[name] = blocks_of(COMMITTED / name)
    return found


def test_verdict_remedy_table_and_the_rest_in_this_order(tmp_path):
    add_systems(tmp_path)
    text = printed(tmp_path)
    order = [
        "hotpotqa small, org/model-8b",
        "Use cag for now. It is not proven better than 3 others: the closest, full-context, could be",
        "To settle it: At least",
        "rmtbench run --dataset hotpotqa --size small",
        "median/p90",
        "All 4 runs are comparable: same questions, scorers, library versions and code.",
        "More: --full",
        "Written to",
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert len(text.splitlines()) <= 40


def test_many_systems_at_one_size_take_at_most_40_lines(tmp_path):
    for place in range(24):
        spec = spec_of("rag-sparse", top_k=place + 1, chunk_tokens=128)
        add_run(tmp_path, spec, score=0.5 + place / 100, seconds=1.0)
    add_run(tmp_path, spec_of("oracle"), score=0.9)
    text = drawn(blocks_of(tmp_path), tmp_path)
    assert len(text.splitlines()) <= 38
    assert "9 more rows: --full, or report.md" in text
    assert "all rag: chunks of 128" in text
    assert "Use rag-sparse top-24 for now." in text


def test_a_row_has_score_interval_times_cost_and_bytes(tmp_path):
    add_systems(tmp_path, draws=8, apart=0.2)
    [block] = blocks_of(tmp_path)
    assert block.said[0] == "Use cag."
    columns = ("system", "verdict", "EM (95 %)", "median/p90", "prepare", "for 200", "kept", "recall")
    assert block.table.columns == columns
    assert block.table.rows[0] == ("cag", "use", "0.850 (.81–.89)", "200/200 ms", "100 ms", "40.1 s", "0 B", "")
    assert [row[1] for row in block.table.rows] == ["use", "worse", "worse", "worse"]
    assert (block.settle, block.command) == ("", "")


def test_what_would_settle_it_is_a_command(tmp_path):
    add_systems(tmp_path)
    [block] = blocks_of(tmp_path)
    assert block.command.startswith(
        "rmtbench run --dataset hotpotqa --size small --data-dir FOLDER --model org/model-8b "
        "--system cag,full-context,rag-sparse --top-k 1,5 --draws "
    )
    needed = int(block.command.rpartition(" ")[2])
    assert block.settle == f"At least {needed - 2} more draws (2 so far): some differences have not varied yet."


def test_the_command_names_every_option_or_is_not_printed(tmp_path):
    own = {"dataset": "town", "size": "all", "data": "own:town:1", "draws": 1, "questions": 8}
    for system, settings in (("cag", {"kv_bits": "8"}), ("full-context", {})):
        add_run(tmp_path / "one", spec_of(system, settings=settings, **own), questions=8, kind="own")
    [block] = blocks_of(tmp_path / "one")
    needed = int(re.match(r"At least (\d+) more", block.settle)[1])
    assert f" --questions {8 + needed} " in block.command, "the limit that the runs had would settle nothing"
    assert block.command.endswith("--set kv-bits=8")
    for bits in ("8", "4"):
        add_run(tmp_path / "two", spec_of("cag", settings={"kv_bits": bits}, **own), questions=8, kind="own")
    [block] = blocks_of(tmp_path / "two")
    assert block.command == ""


def test_runs_that_differ_are_said_to(tmp_path):
    add_systems(tmp_path)
    code = {"code": {"version": "0.2.0", "commit": "beef", "dirty": False}}
    add_run(tmp_path, spec_of("rag-sparse", top_k=10), provenance=code)
    assert "The 5 runs have the same questions and scorers; they differ in code." in blocks_of(tmp_path)[0].comparable
    add_run(tmp_path, spec_of("closed-book"), questions=3)
    assert "Not all 6 runs are comparable: they differ in questions, code." in blocks_of(tmp_path)[0].comparable


def test_steps_by_other_code_are_said_to_differ(tmp_path):
    for top_k, code in ((1, "compiled"), (3, "compiled"), (5, "torch: there is no C++ compiler (g++)")):
        made = {"model": {**PROVENANCE["model"], "decode_steps": code}}
        add_run(tmp_path, spec_of("rag-sparse", top_k=top_k), provenance=made)
        differ = "they differ in who computes decode steps." in blocks_of(tmp_path)[0].comparable
        assert differ == (top_k == 5)


def test_provenance_is_at_the_end_of_the_file(tmp_path):
    add_systems(tmp_path)
    assert "tokenizer hash" in printed(tmp_path, "--full", "--quick")
    assert "tokenizer hash" not in printed(tmp_path)
    text = (tmp_path / "report" / "report.md").read_text()
    verdict, table, tables, hashes = map(
        text.index, ("**Use cag for now.**", "| system | verdict |", "# All tables", "- tokenizer hash: ")
    )
    assert verdict < table < tables < text.index("# Provenance") < hashes


def test_full_prints_every_table_of_the_files(tmp_path):
    add_systems(tmp_path)
    text = printed(tmp_path, "--full")
    for title in (
        "Overview, hotpotqa",
        "Table 1: corpora",
        "Table 2: scores",
        "cag against each other in EM",
        "Table 3",
    ):
        assert title in text
    assert "Overview, hotpotqa" not in printed(tmp_path, "--quick")


def test_several_data_sets_have_a_short_block_or_a_line_each(tmp_path):
    for size in ("small", "medium", "large", "2k", "4k", "8k"):
        add_systems(tmp_path, size=size)
        for top_k in (10, 20, 30):
            add_run(tmp_path, spec_of("rag-sparse", top_k=top_k, size=size), score=0.1)
    text = drawn(blocks_of(tmp_path), tmp_path)
    assert text.startswith("6 data sets, sizes and models\n  hotpotqa small, org/model-8b (real): Use cag for now.")
    assert text.count("Use cag for now.") == 6 + 4
    assert text.count("2 more rows: --full, or report.md") == 4
    assert "Not shown here but in report.md: hotpotqa 4k, org/model-8b; hotpotqa 8k, org/model-8b" in text
    assert len(text.splitlines()) <= 100


def test_tiers_of_evidence_are_named_and_share_no_table(tmp_path):
    small, paper = (
        {"model": PROVENANCE["model"] | {"id": name, "parameters": count}}
        for name, count in (("smollm2", 134_515_008), ("meta-llama/Llama-3.1-8B-Instruct", 8 * 10**9))
    )
    random = {"model": PROVENANCE["model"] | {"id": "random:tiny", "label": "random weights"}}
    add_systems(tmp_path, model="mini", data="miniature:x@1", kind="miniature")
    add_systems(tmp_path, model="smollm2", provenance=small)
    add_systems(tmp_path, model="meta-llama/Llama-3.1-8B-Instruct", provenance=paper)
    add_systems(tmp_path, model="random:tiny", provenance=random)
    blocks = blocks_of(tmp_path)
    tiers = {block.about.partition(":")[0] for block in blocks}
    assert tiers == {"miniature", "small and real", "paper", "random weights"}
    assert len(blocks) == 4
    assert all(len(block.table.rows) == 4 for block in blocks)
    assert all(tier in block.short for block in blocks for tier in [block.about.partition(":")[0]])
    [none] = [block for block in blocks if block.about.startswith("random weights")]
    assert none.said[0] == "Nothing to choose from: random weights: its scores mean nothing."
    assert none.said[1].startswith("By recall: Use rag-sparse top-1 for now.")


@pytest.mark.parametrize(("kind", "shown"), [("own", False), ("embedded", False), ("official", True)])
def test_own_documents_get_published_tables_where_asked(tmp_path, kind, shown):
    add_run(tmp_path, spec_of("cag", data=f"{kind}:hotpot:1"), kind=kind)
    title = "Published beside measured"
    assert (title in printed(tmp_path, "--full", "--quick")) == shown
    assert (tmp_path / "report" / "published.csv").exists() == shown
    assert title in printed(tmp_path, "--full", "--published", "--quick")


def test_random_answers_and_unfinished_runs_are_marked(tmp_path):
    add_systems(tmp_path)
    add_run(tmp_path, spec_of("rag-dense", top_k=1, embedder="minilm"), answered=5)
    [block] = blocks_of(tmp_path)
    [row] = [row for row in block.table.rows if row[0].startswith("rag-dense")]
    assert row[1] == "out"
    assert "*" in row[2]
    assert "out: rag-dense top-1: incomplete: 5 of 8 questions answered" in block.table.notes
    assert any(note.startswith("* incomplete") for note in block.table.notes)


def test_twelve_of_twelve_has_an_interval_of_some_width(tmp_path):
    folder = add_run(tmp_path, spec_of("cag", draws=1), questions=12)
    rows = [f'{{"schema":1,"draw":0,"question_id":"q0-{n}","scores":{{"em":1.0}}}}\n' for n in range(12)]
    folder.scores.write_text("".join(rows))
    assert "1.000 (.74–1.00)" in drawn(blocks_of(tmp_path), tmp_path)
    assert "±.000" not in printed(tmp_path, "--full", "--quick")


def test_tables_alone_have_no_verdict(tmp_path):
    add_systems(tmp_path)
    text = printed(tmp_path, "--quick")
    assert "No verdict: --quick compares nothing." in text
    assert "0.850 ±.050" in text
    assert "Use " not in text


@pytest.mark.parametrize("width", [60, 80, 100, 200])
@pytest.mark.parametrize("name", ["handbook", "mini"])
def test_no_line_is_too_wide_and_what_is_dropped_is_named(committed, name, width):
    text = drawn(committed[name], f"results/{name}", width)
    assert max(cell_len(line.rstrip()) for line in text.splitlines()) <= width
    dropped = "not shown at this width: " in text
    assert dropped == (width < 100)
    for block in committed[name][:4]:
        for row in block.table.rows[:5]:
            assert row[2] in text, row


def test_the_committed_demo_takes_few_lines(committed):
    assert len(drawn(committed["handbook"], "results/handbook", 100).splitlines()) <= 60


def test_a_broken_command_can_still_be_copied(tmp_path):
    add_systems(tmp_path)
    lines = [line.rstrip() for line in drawn(blocks_of(tmp_path), "results", 60).splitlines()]
    start = next(place for place, line in enumerate(lines) if line.startswith("  rmtbench run"))
    command = lines[start : start + 1 + next(n for n, line in enumerate(lines[start:]) if not line.endswith("\\"))]
    assert len(command) > 2
    assert " ".join(line.strip(" \\") for line in command).startswith("rmtbench run --dataset hotpotqa --size small")


def test_own_documents_need_more_questions(tmp_path):
    for system in ("cag", "full-context"):
        spec = spec_of(system, dataset="/docs/town", size="all", data="own:town:1", draws=1)
        add_run(tmp_path, spec, questions=8, kind="own")
    [block] = blocks_of(tmp_path)
    more, _, remedy = block.settle.partition(". ")
    assert more == "At least 141 more questions (8 so far): some differences have not varied yet"
    assert remedy == "Add those that the folder does not have yet, then:"
    assert block.command == "rmtbench run --dataset town --size all --model org/model-8b --system full-context,cag"
    assert block.here.startswith("rmtbench run --dataset /docs/town ")
    assert "/docs" not in repr(replace(block, here=""))


def test_blocks_of_two_machines_have_two_titles(tmp_path):
    add_run(tmp_path, spec_of("cag"))
    add_run(tmp_path, spec_of("full-context"), provenance={"machine": "four cores"})
    add_run(tmp_path, spec_of("cag", size="large"))
    named = "hotpotqa small, org/model-8b, official data, cpu float32, latency; machine"
    titles = {block.title for block in blocks_of(tmp_path)}
    assert titles == {f"{named} two cores", f"{named} four cores", "hotpotqa large, org/model-8b"}
