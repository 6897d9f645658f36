"""Synthetic results of any size, for tests of the page alone: invented answers, written through the journal's rows."""

import random
from pathlib import Path

from report_runs import METRICS, add_run, spec_of

from rmtbench.journal.layout import RunFolder
from rmtbench.journal.lines import encode

WORDS = "river market mayor bridge harbour winter engine letter copper garden seven north signal valley".split()  # noqa: SIM905

HOSTILE = (
    "<script>window.hacked = 1</script>",
    "</script><script>window.hacked = 2</script>",
    "<img src=x onerror=\"window.hacked = 3\"><svg onload='window.hacked = 4'>",
    "<!-- <script> -->]]>&lt;b&gt;&amp;\u2028\u2029\u0000\ufeff end",
    "\u202eright to left \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "\U0001f469\u200d\U0001f680 emoji \U0001f1fa\U0001f1f3 e\u0301\u0301\u0301",
    "javascript:window.hacked=5 ${window.hacked=6} {{window.hacked=7}} $policy $data",
    "long" * 5000,
    "line\nbreak\ttab \"quotes\" 'single' \\u003cscript\\u003e",
)


def rewrite(path: Path, rows: list[dict]) -> None:
    path.write_bytes(b"".join(encode(row) for row in rows))


def rows_of(path: Path) -> list[dict]:
    import json

    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def hostile_results(results: Path) -> None:
    """Two runs whose every text, id and error is an attack or a nuisance."""
    for system in ("cag", "rag-sparse"):
        spec = spec_of(system, top_k=2 if system != "cag" else None, draws=1)
        folder = add_run(results, spec, questions=len(HOSTILE))
        spoil(folder)


def spoil(folder: RunFolder) -> None:
    gold, answers, scores = (rows_of(path) for path in (folder.gold, folder.answers, folder.scores))
    for asked, given, scored, text in zip(gold, answers, scores, HOSTILE, strict=True):
        for row in (asked, given, scored):
            row["question_id"] = f"{text[:200]}-id"
        asked |= {"question": text, "references": [text, f"second {text}"], "kind": text[:50]}
        given |= {"text": text, "raw": f"raw {text}"}
        given["retrieved"] = [[text[:300], 0, 5, 1.5] for _ in given["retrieved"]]
    answers[-1] |= {"finish": "error", "error": HOSTILE[0], "text": "", "raw": ""}
    for path, rows in ((folder.gold, gold), (folder.answers, answers), (folder.scores, scores)):
        rewrite(path, rows)


def large_results(results: Path, *, runs: int, draws: int, questions: int, size: str = "small") -> None:
    """Runs with texts of a usual length, and scores that differ by system and draw."""
    chance = random.Random(f"7 {size}")
    asked = [" ".join(chance.choices(WORDS, k=14)).capitalize() + "?" for _ in range(draws * questions)]
    for number in range(runs):
        named = {"system": "rag-sparse", "top_k": number + 1} if number else {"system": "cag"}
        spec = spec_of(**named, size=size, draws=draws)
        folder = RunFolder(add_run(results, spec, questions=1).path)
        one_gold, one_answer, one_corpus = (rows_of(path)[0] for path in (folder.gold, folder.answers, folder.corpora))
        gold, answers, scores = [], [], []
        for place, text in enumerate(asked):
            key = {"draw": place // questions, "question_id": f"q{place}"}
            right = float(chance.random() < 0.9 - 0.05 * number)
            gold.append({**one_gold, **key, "question": text, "references": [text[:20]]})
            timings = {
                name: round(value * chance.uniform(0.5, 1.5), 7) for name, value in one_answer["timings"].items()
            }
            words = " ".join(chance.choices(WORDS, k=9))
            answers.append(
                {**one_answer, **key, "text": words[:20], "raw": words, "timings": timings, "warmup": not place}
            )
            scores.append({**key, "scores": dict.fromkeys(METRICS, right)})
        rewrite(folder.gold, gold)
        rewrite(folder.answers, answers)
        rewrite(folder.scores, scores)
        rewrite(folder.corpora, [{**one_corpus, "draw": draw, "questions": questions} for draw in range(draws)])
