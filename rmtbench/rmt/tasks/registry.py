"""Tasks by name: what ``--task`` may say."""

from __future__ import annotations

from pathlib import Path

from rmtbench.errors import UserError, nearest
from rmtbench.models.prompt import PromptContract
from rmtbench.options import flag
from rmtbench.plural import many
from rmtbench.rmt.tasks.babilong import open_babilong
from rmtbench.rmt.tasks.base import Task
from rmtbench.rmt.tasks.corpus import CorpusTask
from rmtbench.rmt.tasks.documents import document_noise
from rmtbench.rmt.tasks.miniature import NAMES, Draw, FactsInNoise, draw_any, draw_facts, draw_two_hops, noise_ids
from rmtbench.rmt.tasks.wording import sentence_ids

BABILONG = "babilong:"
"""What comes before the path of an official file."""

_SEVERAL = ("facts", "two-hop")
_TOLD = {"memorize": 1, "detect": 1, **{f"facts-{count}": count for count in (1, 2, 4, 8)}}
"""How many facts are told where one is asked for."""
_MIXED = "facts"
"""Tells as many as any of those tasks, by chance: a memory that only ever saw four knows no text with one."""


def task_names() -> tuple[str, ...]:
    """All names, simplest first; ``babilong:FILE`` comes on top."""
    return (*_TOLD, _MIXED, "two-hop", "reading")


def check_task(name: str) -> None:
    """Refuse a name that no task has. Whether its file or folder exists is not checked.

    Raises:
        UserError: No task is called so.
    """
    known, colon, documents = name.partition(":")
    if name.startswith(BABILONG):
        return
    if known not in task_names():
        remedy = f"{nearest(known, task_names())}, or {BABILONG}FILE"
        raise UserError(f"no task '{name}'", where=flag.task, remedy=remedy)
    if colon and known == "reading":
        raise UserError("the task 'reading' has no noise", where=flag.task, remedy="leave out the colon")
    if colon and not documents:
        raise UserError(f"'{name}' names no documents", where=flag.task, remedy=f"give {name}handbook or {name}FOLDER")


def make_task(name: str, contract: PromptContract, segment_tokens: int, names: str = "seen", asked: int = 1) -> Task:
    """Make a task.

    Args:
        name: ``memorize`` (a fact opens the text), ``detect`` (it lies anywhere), ``facts-N`` (so many are told and one
            is asked for), ``facts`` (1, 2, 4 or 8 are), ``two-hop`` (two must be joined, among others), ``reading``
            (the miniature's own corpora), or ``babilong:FILE``. With ``:handbook`` or ``:FOLDER`` behind it, the noise
            of all but the last two is the sentences of these documents.
        contract: Makes the token ids, and decides whether answers are ``direct`` or come with reasoning.
        segment_tokens: Tokens of a segment.
        names: Which name words texts have: those of training texts (``seen``), only others (``held-out``), or ``all``.
        asked: Most questions about a text; above 1 where several facts are told in noise alone.

    Raises:
        UserError: No task or choice of names is called so, or a file cannot be used.
        ValueError: A segment has no room.
    """
    if segment_tokens < 1:
        raise ValueError("a segment needs at least one token")
    if names not in NAMES:
        raise UserError(f"no names '{names}'", where=flag.names, remedy=nearest(names, NAMES))
    if asked != 1 and (asked < 1 or not name.startswith(_SEVERAL)):
        raise UserError(
            f"task '{name}' cannot ask {many(asked, 'question')} about a text",
            where=flag.asked,
            remedy="leave it at 1, or choose facts, facts-2, facts-4, facts-8 or two-hop",
        )
    if name.startswith(BABILONG):
        return open_babilong(Path(name.removeprefix(BABILONG)), contract, segment_tokens)
    if name == "reading":
        return CorpusTask(contract, segment_tokens, NAMES[names])
    check_task(name)
    known, _, documents = name.partition(":")
    noise = sentence_ids(contract.tokenizer, document_noise(documents)) if documents else noise_ids(contract.tokenizer)
    # The name holds no path of this machine.
    name = f"{known}:{Path(documents).resolve().name}" if documents else known
    return FactsInNoise(name, contract, segment_tokens, NAMES[names], _draw(known), noise, known == "memorize", asked)


def _draw(name: str) -> Draw:
    if name == "two-hop":
        return draw_two_hops
    if name == _MIXED:
        return draw_any([draw_facts(count) for count in sorted(set(_TOLD.values()))])
    return draw_facts(_TOLD[name])
