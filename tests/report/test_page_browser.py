"""The page in Chromium: fast with 50,000 answers, silent, usable by keyboard, readable, and deaf to what texts try."""

import json
import os
import shutil
import time
from dataclasses import asdict
from pathlib import Path

import pytest
from decision_cases import random_contest, random_terms
from large_results import HOSTILE, hostile_results, large_results
from page_cases import write_page
from report_runs import EMBEDDER, add_run, append, spec_of

from rmtbench.analysis.candidates import make_contests
from rmtbench.analysis.contest import Terms
from rmtbench.analysis.decision import decide
from rmtbench.analysis.read import read_figures
from rmtbench.analysis.sections import make_sections
from rmtbench.report.page.build import _contest
from rmtbench.report.verdicts import verdict_lines

pytestmark = pytest.mark.browser

TABS = ("Summary", "Decision", "Tables", "Figures", "Answers", "Provenance")


@pytest.fixture(scope="module")
def chromium():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        named = os.environ.get("RMTBENCH_CHROMIUM") or next(
            (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
        )
        if named is None and not Path(started.chromium.executable_path).exists():
            pytest.skip("no Chromium: name one in RMTBENCH_CHROMIUM, or run playwright install chromium")
        flags = ["--no-sandbox", "--disable-gpu"] if os.geteuid() == 0 else ["--disable-gpu"]
        browser = started.chromium.launch(executable_path=named, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def look(chromium):
    """Open a page; whatever it complains of, or asks the network for, is an error at the end."""
    contexts, complaints = [], []

    def opened(path, *, width=1280, height=900, **options):
        context = chromium.new_context(viewport={"width": width, "height": height}, offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: (complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: None if request.url.startswith("file:") else complaints.append(request.url))
        page.goto(path.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def show(page, tab):
    page.get_by_role("tab", name=tab).click()
    page.wait_for_selector(f"#panel[aria-labelledby=tab-{tab}]")


def overlap(one, other):
    """Whether two boxes share any ground."""
    return all(
        one[start] < other[start] + other[length] and other[start] < one[start] + one[length]
        for start, length in (("x", "width"), ("y", "height"))
    )


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """A few systems in eight draws at two sizes, and a section of another model."""
    results = tmp_path_factory.mktemp("usual")
    for size in ("small", "large"):
        for place, (system, top_k) in enumerate(
            (("cag", None), ("full-context", None), ("rag-sparse", 1), ("rag-sparse", 10))
        ):
            add_run(results, spec_of(system, top_k=top_k, size=size, draws=8), score=0.8 - 0.1 * place,
                    seconds=0.2 + place, prepare={"prefill": 40.0 / (place + 1)}, failed=place)  # fmt: skip
    add_run(results, spec_of("rag-dense", top_k=3, embedder="minilm", draws=8), score=0.3, provenance=EMBEDDER)
    add_run(results, spec_of("cag", model="other/model"), provenance={"model": {"id": "other/model", "label": ""}})
    write_page(results)
    return results


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Synthetic: 50,000 answers in ten runs."""
    results = tmp_path_factory.mktemp("large")
    large_results(results, runs=10, draws=20, questions=250)
    path = write_page(results)
    print(f"\n50,000 answers: {path.stat().st_size / 1e6:.1f} MB")
    return results


def test_50_000_answers_are_there_in_two_seconds(look, large):
    started = time.monotonic()
    page = look(large / "index.html")
    page.wait_for_selector(".card .headline")
    seconds = time.monotonic() - started
    assert "50,000 answers" in page.locator("#counts").inner_text()
    print(f"\nloaded in {seconds:.2f} s")
    assert seconds < 2


def test_a_run_of_5_000_answers_draws_only_the_rows_in_sight_and_reaches_the_last(look, large):
    page = look(large / "index.html")
    show(page, "Answers")
    page.wait_for_selector(".list .row")
    assert page.locator(".list .row").count() < 60
    page.locator(".list").focus()
    page.keyboard.press("End")
    assert page.locator(".list .row[aria-selected=true]").get_attribute("aria-posinset") == "5000"
    assert "draw, id, kind\n19, q4999" in page.locator(".detail").inner_text()
    page.get_by_label("Search in").fill("signal valley river")
    shown = int(page.locator("text=/of 5,000 answers/").inner_text().split()[0].replace(",", ""))
    assert 0 < shown < 5000
    assert page.locator(".list .row").first.get_attribute("aria-setsize") == str(shown)


def test_hostile_texts_are_shown_as_they_are_and_never_run(look, tmp_path):
    hostile_results(tmp_path)
    page = look(write_page(tmp_path))
    for tab in TABS:
        show(page, tab)
    show(page, "Answers")
    page.wait_for_selector(".list .row")
    page.locator(".list").focus()
    for place, text in enumerate(HOSTILE):
        wanted = text.replace("\r", "\n")
        said = page.locator(".detail .text").all()
        assert said[0].text_content() == wanted
        answer = HOSTILE[0] if place == len(HOSTILE) - 1 else wanted
        assert said[1].text_content() == answer
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.keyboard.press("ArrowDown")
    assert page.evaluate("window.hacked") is None
    assert page.locator("main img, main svg, main script").count() == 0


def test_the_policy_stops_a_script_that_got_into_the_page(look, usual, chromium):
    context = chromium.new_context()
    page = context.new_page()
    page.goto((usual / "index.html").as_uri())
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.hacked = 1\">')")
    page.evaluate(
        "{ const s = document.createElement('script'); s.textContent = 'window.hacked = 2'; document.body.append(s); }"
    )
    page.wait_for_timeout(200)
    assert page.evaluate("window.hacked") is None
    context.close()


def test_a_table_sorts_by_figures_with_their_units_and_says_so(look, usual):
    page = look(usual / "index.html")
    show(page, "Decision")
    table = page.get_by_role("region", name="Candidates")
    column = lambda number: [cell.inner_text() for cell in table.locator(f"tbody td:nth-child({number})").all()]  # noqa: E731
    table.get_by_role("button", name="total time").click()
    assert table.locator("th").nth(3).get_attribute("aria-sort") == "descending"
    first = column(4)
    table.get_by_role("button", name="total time").click()
    assert table.locator("th").nth(3).get_attribute("aria-sort") == "ascending"
    assert column(4) == first[::-1]
    seconds = [float(text.removesuffix(" s").replace(",", "")) for text in column(4)]
    assert seconds == sorted(seconds)
    table.get_by_role("button", name="system", exact=True).click()
    assert column(1) == sorted(column(1))


def test_a_filter_keeps_the_rows_that_hold_every_word(look, usual):
    page = look(usual / "index.html")
    show(page, "Tables")
    page.get_by_label("Show rows").fill("large rag-sparse")
    rows = [row.inner_text() for row in page.locator("#panel tbody tr").all() if row.is_visible()]
    assert rows
    assert all("large" in row and "rag-sparse" in row for row in rows)
    page.get_by_label("Show rows").fill("nothing like this")
    assert page.locator("#panel tbody tr:visible").count() == 0
    page.get_by_label("Show rows").fill("")
    assert page.locator("#panel tbody tr:visible").count() > len(rows)


def test_the_panel_decides_live_as_the_command_does(look, usual):
    page = look(usual / "index.html")
    show(page, "Decision")
    contest = next(each for each in make_contests(make_sections(read_figures(usual)), "em")
                   if each.size == "large" and "model-8b" in each.model)  # fmt: skip
    page.locator("#panel select").first.select_option(label="hotpotqa large")
    for fields, terms in (
        ({}, Terms()),
        ({"Questions a corpus gets": "5"}, Terms(questions=5)),
        ({"Longest wait": "1.5"}, Terms(questions=5, max_seconds=1.5)),
        ({"Price of the machine": "2.5"}, Terms(questions=5, max_seconds=1.5, price_per_hour=2.5)),
        ({"Most memory": "0.0000001"}, Terms(5, 1.5, 0.0000001 * 2**30, 2.5)),
        ({"Longest wait": "", "Most memory": "", "Smallest difference": "0.3"}, Terms(5, None, None, 2.5, margin=0.3)),
    ):
        for label, value in fields.items():
            page.get_by_label(label).fill(value)
        said = [line.inner_text() for line in page.locator(".verdict p").all()]
        assert said == list(verdict_lines(contest, terms, decide(contest, terms)))
    before = page.locator(".verdict").inner_text()
    page.get_by_label("Questions a corpus gets").fill("0")
    assert page.get_by_label("Questions a corpus gets").get_attribute("aria-invalid") == "true"
    assert page.locator(".verdict").inner_text() == before
    page.get_by_label("logarithmic").fill("4")
    assert page.get_by_label("Questions a corpus gets").input_value() == "10000"


def test_the_pages_rules_are_pythons_in_the_browser_too(look, usual):
    import random

    page = look(usual / "index.html")
    chance = random.Random(5)
    cases = [(random_contest(chance), random_terms(chance)) for _ in range(60)]
    for contest, terms in cases:
        said = page.evaluate(
            "([c, t]) => Decision.lines(c, t, Decision.decide(c, t))",
            [_contest(contest, 0), asdict(terms)],
        )
        assert said == list(verdict_lines(contest, terms, decide(contest, terms)))


def test_everything_can_be_reached_by_keyboard_and_shows_where_it_is(look, usual):
    page = look(usual / "index.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the report"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "section"
    page.keyboard.press("Tab")
    for tab in TABS[1:]:
        page.keyboard.press("ArrowRight")
        assert page.evaluate("document.activeElement.textContent") == tab
        assert page.locator("[role=tab][aria-selected=true]").inner_text() == tab
        assert page.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)") >= 2
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('th')?.textContent") == "EM":
            break
    page.keyboard.press("Enter")
    assert page.locator("th[aria-sort]").inner_text().startswith("EM")
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('td') !== null"):
            break
    name = page.evaluate("document.activeElement.textContent")
    page.keyboard.press("Enter")
    page.wait_for_selector(".list .row")
    assert name in page.locator("#panel select").first.locator("option:checked").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_names_and_roles_satisfy_wcag_aa(look, usual, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = look(usual / "index.html", color_scheme=scheme, bypass_csp=True)
    for tab in TABS:
        show(page, tab)
        if tab == "Answers":
            page.wait_for_selector(".list .row")
        found = axe.run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]})
        told = [
            (each["id"], [node["html"][:120] for node in each["nodes"]][:3]) for each in found.response["violations"]
        ]
        assert (tab, told) == (tab, [])


@pytest.mark.parametrize("width", [400, 900, 1440])
def test_nothing_sticks_out_at_any_width(look, usual, width, tmp_path):
    folder = Path(os.environ.get("RMTBENCH_SCREENSHOTS") or tmp_path)
    page = look(usual / "index.html", width=width)
    for tab in TABS:
        show(page, tab)
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        boxes = [canvas.bounding_box() for canvas in page.locator("canvas").all()]
        assert not [1 for place, one in enumerate(boxes) for other in boxes[:place] if overlap(one, other)]
        page.screenshot(path=folder / f"{width}-{tab}.png", full_page=True)


def chart(page, title):
    """What the figure of a title draws: its marks across, and each line's values, whiskers and name."""
    (canvas,) = page.locator(f'canvas[aria-label^="{title}"]').all()
    assert canvas.get_attribute("role") == "img"
    return canvas.evaluate(
        "(canvas) => { const {labels, datasets} = Chart.getChart(canvas).data;"
        " return {labels, lines: datasets.map(({label, data, spread}) => ({label, data, spread})),"
        " looks: datasets.map(({borderColor, pointStyle}) => `${borderColor} ${pointStyle}`)}; }"
    )


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


def test_what_is_kept_is_drawn_by_size_an_index_once_however_many_chunks_are_read(look, kept_and_placed):
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
    page.locator("#panel select").nth(1).select_option(label="F1")
    assert chart(page, "F1 by size, hotpotqa")["lines"][0]["data"] == pytest.approx([0.85, 0.45])


def test_scores_are_drawn_by_the_fifth_in_which_the_evidence_stands_and_nothing_where_none_stands(
    look, kept_and_placed
):
    page = look(kept_and_placed / "index.html")
    show(page, "Figures")
    page.locator("#panel select").first.select_option(label="hotpotqa large")
    drawn = chart(page, "EM by place of the evidence, hotpotqa large")
    assert drawn["labels"] == ["first", "second", "third", "fourth", "last"]
    assert [line["label"] for line in drawn["lines"]] == ["cag", "rag-sparse top-3"]
    first, *between, last = drawn["lines"][0]["data"]
    assert (first, last) == (pytest.approx(0.45), pytest.approx(0.45))
    assert between == [None, None, None]
    assert drawn["lines"][0]["spread"][0] is not None


def test_runs_that_keep_nothing_and_know_no_places_say_that_it_was_not_measured(look, usual):
    page = look(usual / "index.html")
    show(page, "Figures")
    for title in ("Kept for answering by size", "EM by place of the evidence"):
        figure = page.locator("figure", has=page.get_by_role("heading", name=title))
        assert "Not measured in these runs." in figure.inner_text()


def test_another_section_shows_its_own_runs_alone(look, usual):
    page = look(usual / "index.html")
    picker = page.get_by_label("Runs that may be compared")
    picker.select_option(index=1)
    other = picker.locator("option:checked").inner_text()
    assert page.locator(".card").count() == (1 if "other/model" in other else 2)
    show(page, "Answers")
    page.wait_for_selector(".list .row")
    assert page.locator("#panel select").first.locator("option").count() == (1 if "other/model" in other else 9)
