"""What tests of the judge share: replies of a server that judges, and made runs whose answers a test chooses."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from endpoint_server import Answer, Written

from rmtbench.journal.layout import RunFolder
from rmtbench.scoring.judge_prompt import CUE


def candidate_of(prompt: str) -> str:
    """The candidate in a judge's prompt."""
    return prompt.partition("<candidate>\n")[2].partition("\n</candidate>")[0]


def references_of(prompt: str) -> list[str]:
    """The references in a judge's prompt."""
    return prompt.partition("<references>\n")[2].partition("\n</references>")[0].splitlines()


def judging(reply: Callable[[str], str]) -> Answer:
    """A model that replies to a judge's prompt by a function of the candidate, and to any other with "yes"."""

    def answer(text: str, _max_tokens: int) -> Written:
        made = reply(candidate_of(text)) if text.endswith(CUE) else "yes"
        return Written(text.split(), made, len(made.split()), "stop")

    return answer


def by_reference(text: str, _max_tokens: int) -> Written:
    """A model that finds an answer correct if it holds a reference, in whatever case."""
    right = any(one.lower() in candidate_of(text).lower() for one in references_of(text))
    made = ("CORRECT" if right else "INCORRECT") if text.endswith(CUE) else "yes"
    return Written(text.split(), made, 1, "stop")


def answered(run: RunFolder, texts: Sequence[str | None]) -> RunFolder:
    """Replace the answers of a made run, in order; None makes a failed one."""
    rows = [json.loads(line) for line in run.answers.read_text(encoding="utf-8").splitlines()]
    for row, text in zip(rows, texts, strict=True):
        row["text"] = text or ""
        if text is None:
            row |= {"finish": "error", "error": "out of memory"}
    run.answers.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return run


def summary_of(run: Path) -> dict:
    """A run's summary."""
    return json.loads((run / "summary.json").read_text(encoding="utf-8"))


def scores_of(run: Path, name: str) -> list[float | None]:
    """One value of each of a run's answers, in order."""
    lines = (run / "scores.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["scores"][name] for line in lines]
