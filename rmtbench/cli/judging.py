"""What the commands that score say of a judge: who was asked, how many judgements failed, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rmtbench.cli.progress import note
from rmtbench.plural import many


def say_judgements(runs: Sequence[Path]) -> int:
    """Print one line on the judgements of some runs, and one on those that failed.

    Args:
        runs: Run folders, scored by a judge.

    Returns:
        How many answers were not judged.
    """
    from rmtbench.analysis.judging import JUDGED
    from rmtbench.journal.checks import read_json
    from rmtbench.journal.layout import RunFolder

    summaries = (read_json(RunFolder(path).summary) for path in runs)
    accounts = [found for summary in summaries if (found := summary.get("accounts", {}).get(JUDGED))]
    if not accounts:
        return 0
    judged, failed = _sum(accounts, "judged"), _sum(accounts, "not_judged")
    seconds = sum(each["seconds"] for each in accounts)
    counted = _sum(accounts, "prompt_tokens") + _sum(accounts, "output_tokens")
    note(
        f"judged by {accounts[0]['name']}: {many(judged, 'answer')}, {many(_sum(accounts, 'calls'), 'call')}, "
        f"{many(counted, 'token')}, "
        f"{seconds:,.1f} s, {_money(accounts)}; verdicts are kept and cost nothing again"
    )
    if failed:
        reasons = "; ".join(dict.fromkeys(reason for each in accounts for reason in each["reasons"]))
        note(f"{many(failed, 'answer')} not judged ({reasons}); rmtbench score with the same --judge asks again")
    return failed


def _sum(accounts: Sequence[Mapping[str, Any]], name: str) -> int:
    return sum(each[name] or 0 for each in accounts)


def _money(accounts: Sequence[Mapping[str, Any]]) -> str:
    from rmtbench.report.numbers import money

    if any(each["cost"] is None for each in accounts):
        return "at no known price"
    return money(sum(each["cost"] for each in accounts), accounts[0]["price"]["currency"])
