"""Texts of runs in Chromium: whatever they hold, they are shown as texts, run nothing, and freeze nothing."""

import re
import time

import pytest
from large_results import HOSTILE, hostile_results, rewrite, rows_of
from page_cases import TABS, show, write_page
from report_runs import add_run, spec_of

pytestmark = pytest.mark.browser

UNSEEN = re.compile(
    "[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
MEGABYTES = {
    "one word": "long" * 2**19,
    "digits": "1" * 2**20 + "a",
    "lines": "line\n" * 2**18,
    "overrides": "\u202e" * 2**19,
    "escapes": "\x1b[31m" * 2**17,
    "tags": "<b>" * 2**18,
    "stacked marks": "e" + "\u0301" * 2**19,
}


def marked(text):
    """A text as the page shows it."""
    return UNSEEN.sub(mark_of, text.replace("\r\n", "\n"))


def mark_of(found):
    code = ord(found[0])
    return chr(0x2400 + code) if code < 32 else "␡" if code == 0x7F else f"⟨U+{code:04X}⟩"


def test_hostile_texts_are_shown_as_they_are_and_never_run(look, tmp_path):
    hostile_results(tmp_path)
    page = look(write_page(tmp_path))
    for tab in TABS:
        show(page, tab)
    show(page, "Answers")
    page.wait_for_selector(".list .row")
    page.locator(".list").focus()
    for place, text in enumerate(HOSTILE):
        wanted = marked(text)
        cut = f"{wanted[:2000]}…" if len(wanted) > 2000 else wanted
        page.wait_for_function(
            "([text, at]) => document.querySelector('.list [aria-selected=true]')?.ariaPosInSet === at"
            " && document.querySelector('.detail .asked').textContent === text",
            arg=[cut, str(place + 1)],
        )
        answer = marked(HOSTILE[0]) if place == len(HOSTILE) - 1 else cut
        assert page.locator(".answer").first.locator(".text").first.text_content() == answer
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.keyboard.press("ArrowDown")
    assert page.evaluate("window.hacked") is None
    assert page.locator("main img, main svg, main script, main b").count() == 0


def test_an_override_reorders_nothing_and_says_what_it_is(look, tmp_path):
    hostile_results(tmp_path)
    page = look(write_page(tmp_path))
    show(page, "Answers")
    place = next(at for at, text in enumerate(HOSTILE) if "\u202e" in text)
    page.locator(".list .row").nth(place).click()
    mark = page.locator(".detail .asked .unseen").first
    mark.wait_for()
    assert mark.inner_text() == "⟨U+202E⟩"
    assert mark.get_attribute("title") == "U+202E, right-to-left override"


@pytest.mark.parametrize("name", MEGABYTES)
def test_a_megabyte_in_every_text_does_not_freeze_the_page(look, tmp_path, name):
    text = MEGABYTES[name]
    for system in ("cag", "rag-sparse"):
        folder = add_run(tmp_path, spec_of(system, top_k=2 if system != "cag" else None, draws=1), questions=2)
        gold, answers = rows_of(folder.gold), rows_of(folder.answers)
        for row in gold:
            row |= {"question": text, "references": [text], "kind": text}
        for row in answers:
            row |= {"text": text, "raw": f"raw {text}", "retrieved": [[text, 0, 5, 1.5]]}
        rewrite(folder.gold, gold)
        rewrite(folder.answers, answers)
    page = look(write_page(tmp_path))
    started = time.monotonic()
    for tab in TABS:
        show(page, tab)
    show(page, "Answers")
    page.locator(".answer").first.wait_for()
    page.get_by_label("Search in").fill("nothing like this")
    page.get_by_text("No question is like this").wait_for()
    page.get_by_label("Search in").fill("")
    page.locator(".answer").first.wait_for()
    page.locator(".answer").first.get_by_role("button", name="Show all").first.click()
    shown = page.locator(".answer .text").first
    assert len(shown.text_content()) >= len(text)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    seconds = time.monotonic() - started
    print(f"\n{name}: {seconds:.1f} s")
    assert seconds < 30


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


@pytest.mark.parametrize(
    "fragment",
    ["#tab=Answers&a=%3Cscript%3E&find=%3Cimg%20src%3Dx%20onerror%3D1%3E", "#tab=__proto__", "#runs=-1", "#table=x"],
)
def test_an_address_from_a_stranger_does_no_harm(look, usual, fragment):
    page = look(usual / "index.html")
    page.goto((usual / "index.html").as_uri() + fragment)
    page.reload()
    page.wait_for_selector("#panel")
    assert page.locator("main img, main script").count() == 0
