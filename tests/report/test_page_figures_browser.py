"""The page's figures in Chromium: what is drawn, in which colours, and the reason wherever nothing is."""

import json

import pytest
from page_cases import chart, show, write_page
from report_runs import add_run, append, spec_of

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def kept_and_placed(tmp_path_factory):
    """Two sizes, of which the larger keeps more and scores less; evidence in the first and in the last fifth."""
    results = tmp_path_factory.mktemp("placed")
    for size, kept in (("small", 10**6), ("large", 4 * 10**6)):
        for system, top_k in (("cag", None), ("rag-sparse", 1), ("rag-sparse", 3)):
            spec = spec_of(system, top_k=top_k, size=size, draws=8)
            score, bytes_kept = (0.8 if size == "small" else 0.4), (kept if top_k is None else kept // 10)
            folder = add_run(results, spec, kept=bytes_kept, score=score)
            rows = [json.loads(line) for line in folder.gold.read_text().splitlines()]
            folder.gold.unlink()
            append(folder.gold, [row | {"positions": [0.1 if at % 4 < 2 else 0.95]} for at, row in enumerate(rows)])
    write_page(results)
    return results


def test_kept_bytes_are_drawn_once_by_size(look, kept_and_placed):
    page = look(kept_and_placed / "index.html")
    show(page, "Figures")
    drawn = chart(page, "Kept for answering by size, hotpotqa")
    assert drawn["labels"] == ["small", "large"]
    assert [(line["label"], line["data"]) for line in drawn["lines"]] == [
        ("cag", [1_000_000, 4_000_000]), ("rag-sparse", [100_000, 400_000])
    ]  # fmt: skip


def test_scores_are_drawn_by_size_with_their_whiskers(look, kept_and_placed):
    page = look(kept_and_placed / "index.html")
    show(page, "Figures")
    drawn = chart(page, "EM by size, hotpotqa")
    assert [line["label"] for line in drawn["lines"]] == ["cag", "rag-sparse top-1", "rag-sparse top-3"]
    assert drawn["lines"][0]["data"] == pytest.approx([0.85, 0.45])
    low, high = drawn["lines"][0]["spread"][0]
    assert low < 0.85 < high
    assert len(set(drawn["looks"])) == 3
    page.get_by_label("Score").select_option(label="F1")
    assert chart(page, "F1 by size, hotpotqa")["lines"][0]["data"] == pytest.approx([0.85, 0.45])


def test_scores_are_drawn_by_fifth_of_evidence(look, kept_and_placed):
    page = look(kept_and_placed / "index.html")
    show(page, "Figures")
    page.get_by_role("combobox", name="Corpus", exact=True).select_option(label="hotpotqa large")
    drawn = chart(page, "EM by place of the evidence, hotpotqa large")
    assert drawn["labels"] == ["first", "second", "third", "fourth", "last"]
    assert [line["label"] for line in drawn["lines"]] == ["cag", "rag-sparse top-3"]
    first, *between, last = drawn["lines"][0]["data"]
    assert (first, last) == (pytest.approx(0.45), pytest.approx(0.45))
    assert between == [None, None, None]
    assert drawn["lines"][0]["spread"][0] is not None


def not_drawn(page):
    """Reasons of what is not drawn, by title."""
    section = page.locator("section", has=page.get_by_role("heading", name="Not drawn"))
    return dict(line.split(": ", 1) for line in section.locator("li").all_inner_texts())


def test_what_was_not_measured_says_so_and_has_no_empty_frame(look, usual):
    page = look(usual / "index.html")
    show(page, "Figures")
    reasons = not_drawn(page)
    assert reasons["Kept for answering by size, hotpotqa"] == "Not measured in these runs."
    assert reasons["EM by place of the evidence, hotpotqa small"].startswith("No run that is complete and scored")
    assert page.locator("canvas").count() + len(reasons) == 8


def test_one_category_is_no_figure(look, tmp_path):
    folder = add_run(tmp_path, spec_of("cag", draws=8), kept=1000)
    rows = [json.loads(line) for line in folder.gold.read_text().splitlines()]
    folder.gold.unlink()
    append(folder.gold, [row | {"positions": [0.1]} for row in rows])
    page = look(write_page(tmp_path))
    show(page, "Figures")
    reasons = not_drawn(page)
    assert reasons.pop("EM by place of the evidence, hotpotqa small") == "All evidence is in one fifth of the corpus."
    assert reasons.pop("EM by system") == "Only one system has a score."
    assert reasons.pop("EM against total cost") == "Fewer than two systems have a score and a time."
    assert set(reasons.values()) == {"Only one size of hotpotqa was run.", "Not measured in these runs."}
    assert page.locator("canvas").count() == 1  # cost by number of questions, a line even of one system


def test_no_whisker_leaves_the_scale_and_no_colour_comes_twice(look, tmp_path):
    kinds = [(name, None) for name in ("cag", "full-context", "rmt-memory", "their-system", "their-other")]
    kinds += [(name, top_k) for name in ("rag-sparse", "rag-dense") for top_k in (1, 3, 5, 10)]
    for place, (system, top_k) in enumerate(kinds):
        spec = spec_of(system, top_k=top_k, embedder="minilm" if system == "rag-dense" else None, draws=2)
        add_run(tmp_path, spec, score=0.9 if place % 2 else 0.0)
    page = look(write_page(tmp_path))
    show(page, "Figures")
    drawn = chart(page, "EM by system")
    spreads = [spread for spread in drawn["lines"][0]["spread"] if spread]
    assert spreads
    assert all(0 <= low <= high <= 1 for low, high in spreads)
    colours = page.locator('canvas[aria-label^="EM by system"]').evaluate(
        "(canvas) => Chart.getChart(canvas).data.datasets[0].backgroundColor"
    )
    assert len(set(colours)) == len(colours) == 13


def test_a_system_keeps_its_colour_in_every_figure(look, kept_and_placed):
    page = look(kept_and_placed / "index.html")
    show(page, "Figures")
    by_size, by_place = (chart(page, title) for title in ("EM by size, hotpotqa", "EM by place of the evidence"))
    names = [line["label"] for line in by_size["lines"]]
    looks = dict(zip(names, by_size["looks"], strict=True))
    for line, own in zip(by_place["lines"], by_place["looks"], strict=True):
        assert looks[line["label"]] == own
