"""Significance at the number of draws at hand: what stands, what does not, and what it would take."""

from report_runs import add_run, spec_of

from rmtbench.report.write import write_report


def table_of(results):
    text = (write_report(results, all_pairs=True).folder / "report.md").read_text()
    return text.partition("What these draws can show in EM, hotpotqa")[2].partition("\n###")[0]


def test_difference_in_all_eight_draws_stands(tmp_path):
    for system, top_k, score in (("cag", None, 0.9), ("rag-sparse", 1, 0.5), ("rag-sparse", 3, 0.5)):
        add_run(tmp_path, spec_of(system, top_k=top_k, draws=8), score=score)
    [row] = [line for line in table_of(tmp_path).splitlines() if line.startswith("| small")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:5] == ["small", "8", "3", "2", "+0.400"]
    assert cells[5] == "0.000 (rag-sparse top-1, rag-sparse top-3)"
    assert cells[6:] == ["undefined", "undefined"]


def test_five_draws_can_show_nothing_and_have_no_such_table(tmp_path):
    for system, score in (("cag", 0.9), ("closed-book", 0.1)):
        add_run(tmp_path, spec_of(system, draws=5), score=score)
    assert table_of(tmp_path) == ""
