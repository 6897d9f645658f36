"""The page's scripts that touch no document, run by Node: texts made safe, addresses, filters, colours, passages."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import rmtbench.report.page

FOLDER = Path(rmtbench.report.page.__file__).parent
SCRIPTS = ("elements.js", "texts.js", "tables.js", "looks.js", "address.js", "filters.js", "passages.js")
TERMS = {"questions": 200, "max_seconds": None, "margin": 0.02}


def node(body, given=None):
    """What a piece of JavaScript returns after the scripts; `given` is its argument."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("node is not installed: these scripts run in the browser's tests only")
    scripts = "\n".join((FOLDER / name).read_text(encoding="utf-8") for name in SCRIPTS)
    program = (
        f'{scripts}\nconst given = JSON.parse(require("fs").readFileSync(0, "utf8"));\n'
        f"console.log(JSON.stringify((() => {{ {body} }})()));"
    )
    ended = subprocess.run(
        [found, "-e", program], input=json.dumps(given), capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\u202egnp.exe", "⟨U+202E⟩gnp.exe"),
        ("\x1b[31mred\x1b[0m", "␛[31mred␛[0m"),
        ("\u0000\u0007\u007f", "␀␇␡"),
        ("\u2066isolate\u2069", "⟨U+2066⟩isolate⟨U+2069⟩"),
        ("zero\u200bwidth\ufeff", "zero⟨U+200B⟩width⟨U+FEFF⟩"),
        ("half \ud83d pair", "half ⟨U+D83D⟩ pair"),
        ("one\r\ntwo\nthree", "one⏎two⏎three"),
        ("\U000e0041tag", "⟨U+E0041⟩tag"),
        ("👩\u200d🚀 é שלום", "👩\u200d🚀 é שלום"),
        ("<b>&amp;</b>", "<b>&amp;</b>"),
    ],
)
def test_what_cannot_be_seen_gets_a_mark(text, shown):
    assert node("return Texts.plain(given);", text) == shown


def test_a_long_text_is_cut_and_never_in_a_pair():
    assert node("return Texts.plain(given, 5);", "abcdefgh") == "abcde…"
    assert node("return Texts.plain(given, 5);", "abcd\U0001f680fgh") == "abcd…"


@pytest.mark.parametrize("cell", ["1" * 10**6 + "a", "," * 10**6, "9," * 10**6, "a" * 10**6, "1." * 10**6])
def test_a_megabyte_in_a_cell_does_not_stop_the_sorting(cell):
    seconds = node("const from = Date.now(); sortKey(given); return (Date.now() - from) / 1000;", cell)
    assert seconds < 0.5


@pytest.mark.parametrize(
    ("cell", "key"),
    [
        ("12.5 ms", 0.0125), ("1,234", 1234), ("0.512†* ±.031", 0.512), ("2 GiB", 2 * 2**30), ("-0.5", -0.5),
        ("−0.120★", -0.12), ("+0.120★", 0.12), ("<.001", 0.0005), ("16k", 16_000),
        ("–", None), ("", None), ("3 of 4", 3), ("rag-sparse", "rag-sparse"), ("12abc", "12abc"),
    ],
)  # fmt: skip
def test_a_cell_sorts_by_its_figure_and_unit(cell, key):
    assert node("return sortKey(given);", cell) == key


def test_an_address_brings_back_what_it_was_made_of():
    state = {"tab": "Answers", "corpus": "hotpotqa small", "a": "cag-x", "is": "right", "b": "rag-y"}
    state |= {"but": "not right", "kind": "yes/no", "at": "2", "find": "a & b=c #d", "question": "3:q/1 ö"}
    back = node(
        "const [terms, state] = given; const text = Address.write({...Address.USUAL, ...state}, terms, terms);"
        "return [text, Address.read('#' + text, terms)];",
        [TERMS, state],
    )
    assert {name: back[1][0][name] for name in state} == state
    assert back[1][1] == TERMS
    assert "#" not in back[0]


def test_the_usual_view_has_an_empty_address():
    text = "return Address.write({...Address.USUAL, ...given[0]}, given[1], given[2]);"
    assert node(text, [{}, TERMS, TERMS]) == ""
    asked = TERMS | {"questions": 5, "max_seconds": 1.5}
    assert node(text, [{"tab": "Decision"}, asked, TERMS]) == "tab=Decision&questions=5&max_seconds=1.5"
    assert node(text, [{"tab": "Tables", "find": "not of this tab"}, TERMS, TERMS]) == "tab=Tables"


@pytest.mark.parametrize(
    "fragment",
    ["#panels", "#tab=Nowhere", "#tab=constructor", "#questions=0", "#questions=1e99", "#margin=2", "#max_seconds=-1",
     "#%E0%A4%A", f"#find={'x' * 5000}", "#questions=abc", "#questions=Infinity"],
)  # fmt: skip
def test_an_address_that_makes_no_sense_is_as_usual(fragment):
    state, terms = node("return Address.read(given[0], given[1]);", [fragment, TERMS])
    assert state == node("return Address.USUAL;")
    assert terms == TERMS


def test_filters_keep_what_they_say():
    marks = {"outcomes": "rpwufn-", "flags": "c e    "}
    kept = node(
        "const kept = (wanted) => [...given.outcomes].filter((_, at) => Filters.holds(wanted, given, at)).join('');"
        "return Object.fromEntries(Filters.OUTCOMES.map(([wanted]) => [wanted, kept(wanted)]));",
        marks,
    )
    assert kept == {
        "": "rpwufn-", "right": "r", "not right": "pwufn", "wrong": "w", "partly right": "p", "unknown": "u",
        "failed": "f", "cut off": "r", "empty": "w", "not scored": "n", "no answer": "-",
    }  # fmt: skip
    assert node("return Filters.holds('right', given, undefined);", marks) is False
    assert node("return Filters.holds('no answer', given, undefined);", marks) is True


def test_places_of_evidence_are_fifths_or_none():
    assert node("return ['', '1', '5', 'none'].map((wanted) => Filters.isThere(wanted, [0, 2]));") == [
        True, True, False, False
    ]  # fmt: skip
    assert node("return ['', '1', 'none'].map((wanted) => Filters.isThere(wanted, []));") == [True, False, True]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_two_systems_have_the_same_colour(scheme):
    kinds = {"cag": ("#D55E00", "o"), "full-context": ("#0072B2", "s"), "closed-book": ("#7f7f7f", "x")}
    kinds |= {"oracle": ("#000000", "*"), "rmt-memory": ("#56B4E9", "P"), "rmt-query-first": ("#56B4E9", "X")}
    kinds |= {f"rag-sparse top-{k}": ("#009E73", "^") for k in (1, 3, 5, 10, 20)}
    kinds |= {f"rag-dense top-{k}": ("#CC79A7", "v") for k in (1, 3, 5, 10, 20)}
    kinds |= {f"their-system-{number}": ("#000000", "d") for number in range(12)}
    looks = node("return [...Looks.assign(given[0], given[1])];", [kinds, scheme])
    assert sorted(name for name, _ in looks) == sorted(kinds)
    assert len({look["borderColor"] for _, look in looks}) == len(kinds)


def test_a_system_keeps_its_colour_in_any_order_of_runs():
    kinds = {"cag": ("#D55E00", "o"), "rag-sparse top-1": ("#009E73", "^"), "oracle": ("#000000", "*")}
    body = (
        "const looks = Looks.assign(given, 'light');"
        "return Object.fromEntries([...looks].map(([name, look]) => [name, look.borderColor]));"
    )
    assert node(body, kinds) == node(body, dict(reversed(kinds.items())))


def test_passages_are_cut_by_letters_and_not_by_halves_of_pairs():
    texts = {"d": ["Title", [[10, "a\U0001f680bc\U0001f680d"]]]}
    body = "const cut = Passages.find(given, 'd', 11, 14); return cut && cut(11, 14);"
    assert node(body, texts) == "\U0001f680bc"
    assert node("return Passages.find(given, 'd', 9, 12);", texts) is None
    assert node("return Passages.find(given, 'constructor', 0, 1);", texts) is None


def test_evidence_that_overlaps_is_marked_once():
    spans = [["d", 5, 9], ["d", 7, 12], ["e", 0, 99], ["d", 20, 30], ["d", 40, 50]]
    assert node("return Passages.within(given, 'd', 6, 25);", spans) == [[6, 12], [20, 25]]
