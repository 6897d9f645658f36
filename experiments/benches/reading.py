"""How well a model reads the miniature world: accuracy by kind of question and length of context, with standard errors.

Many questions of every kind are asked about each context, which is read once: the figures of the model cards.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, get_args

from rmtbench.analysis.stats.clustered import clustered_standard_error
from rmtbench.core import Question
from rmtbench.corpora.base import DrawRequest
from rmtbench.corpora.miniature.asking import Asked, all_kinds, ask_about_group
from rmtbench.corpora.miniature.dataset import Miniature
from rmtbench.corpora.miniature.styles import Page, Style
from rmtbench.corpora.miniature.world import World
from rmtbench.kvcache.exact.plain import read_prefix
from rmtbench.models.base import Passage, Prompt
from rmtbench.models.load import load_model
from rmtbench.models.local import LocalModel
from rmtbench.scoring.answers import exact_match
from rmtbench.systems.base import batches

BATCH = 16
SEED = 0
"""Of the draws."""
WITHOUT, ORACLE = "without", "oracle"
"""Lengths: the small size's questions with no context at all, and each with its gold paragraphs alone."""


def run(
    *,
    model: str,
    sizes: Sequence[str],
    styles: Sequence[str] = get_args(Style),
    names: str = "all",
    draws: int = 5,
    questions: int = 20,
    report: Callable[[str], None] = lambda _line: None,
) -> dict[str, Any]:
    """Ask a model about contexts of several sizes.

    Args:
        model: As ``--model``.
        sizes: Sizes of the miniature; ``without`` asks about the small size and shows nothing of it, ``oracle`` shows
            each question the paragraphs alone about its subjects, as the system of that name does.
        styles: Styles of the miniature.
        names: ``all``, ``seen`` or ``held-out`` name words.
        draws: Contexts of each size and style.
        questions: Questions of each kind about each context, where it holds so many.
        report: Told a line a context.

    Returns:
        `rows`: style, size, kind, `em` (mean exact match), `standard_error` (clustered by context, null for one),
        `questions`, `tokens` (of the context, mean; for ``oracle`` of the whole prompt), `prefill_seconds` and
        `question_seconds` (means; for ``oracle`` the first is zero, as every question is read by itself); and what
        produced them.

    Raises:
        UserError: The model is missing or a size does not exist.
    """
    loaded = replace(load_model(model, style="bridge", seed=SEED), max_answer_tokens=80)
    rows = []
    for size in sizes:
        for style in styles:
            scores: dict[str, list[list[float]]] = {kind: [] for kind in all_kinds()}
            tokens, prefill, asking, asked = 0.0, 0.0, 0.0, 0
            for draw in range(draws):
                request = DrawRequest("small" if size in (WITHOUT, ORACLE) else size, draw, SEED)
                world, pages, chance = Miniature(_style(style), names).tell(request, loaded.count_tokens)
                chance.shuffle(pages)
                wanted = choose_questions(world, questions, chance)
                if size == ORACLE:
                    found = _ask_oracle(loaded, pages, wanted)
                else:
                    found = _ask(loaded, [] if size == WITHOUT else pages, wanted)
                tokens += found[1]
                prefill += found[2]
                asking += found[3]
                asked += len(wanted)
                for kind in all_kinds():
                    scores[kind].append(
                        [right for one, right in zip(wanted, found[0], strict=True) if one.kind == kind]
                    )
                report(f"{style} {size} draw {draw}: {sum(found[0])} of {len(wanted)} right")
            for name, clusters in scores.items():
                values = [value for cluster in clusters for value in cluster]
                rows.append(
                    {
                        "style": style,
                        "size": size,
                        "kind": name,
                        "em": sum(values) / len(values) if values else None,
                        "standard_error": clustered_standard_error(clusters),
                        "questions": len(values),
                        "tokens": tokens / draws,
                        "prefill_seconds": prefill / draws,
                        "question_seconds": asking / max(asked, 1),
                    }
                )
    return {
        "rows": rows,
        "names": names,
        "draws": draws,
        "seed": SEED,
        "batch": BATCH,
        "model": dict(loaded.provenance),
    }


def _style(name: str) -> Style:
    return next(style for style in get_args(Style) if style == name)


def choose_questions(world: World, each: int, chance: random.Random) -> list[Asked]:
    """Different questions, as many of each kind; half of them about neighbours, the rest about anybody."""
    asked: dict[str, Asked] = {}
    for kind in all_kinds():
        found = 0
        for _ in range(20 * each):
            if found == each:
                break
            group = chance.choice(world.groups)
            if chance.random() < 0.5:
                group = chance.sample(list(world.entities), min(12, len(world.entities)))
            one = ask_about_group(world, group, kind, chance)
            if one is not None and one.text not in asked:
                asked[one.text] = one
                found += 1
    return list(asked.values())


def _ask(model: LocalModel, pages: Sequence[Page], wanted: Sequence[Asked]) -> tuple[list[float], float, float, float]:
    """Exact match of each answer, tokens of the context, seconds to read it, seconds for all questions."""
    texts = [one.text for one in wanted]
    held = read_prefix(model, [Passage(page.title, page.text) for page in pages], texts, BATCH)
    with held.value as prefix:
        start = time.perf_counter()
        answers = []
        for batch in batches([Question(str(number), text) for number, text in enumerate(texts)], BATCH):
            answers += prefix.generate([question.text for question in batch])
        seconds = time.perf_counter() - start
        right = [exact_match(a.final, one.references, "squad") for a, one in zip(answers, wanted, strict=True)]
        return right, prefix.tokens, held.seconds["prefill"], seconds


def _ask_oracle(
    model: LocalModel, pages: Sequence[Page], wanted: Sequence[Asked]
) -> tuple[list[float], float, float, float]:
    """As `_ask`, each question over the paragraphs about its subjects; nothing is read for several at once."""
    about = {one.subject.id: Passage(page.title, one.text) for page in pages for one in page.paragraphs}
    start = time.perf_counter()
    right, tokens = [], 0
    for one in wanted:
        subjects = [fact.subject for fact in one.facts] or one.subjects
        passages = tuple(dict.fromkeys(about[subject.id] for subject in subjects))
        (answer,) = model.generate([Prompt(passages, one.text)])
        right.append(exact_match(answer.final, one.references, "squad"))
        tokens += answer.prompt_tokens
    return right, tokens / max(1, len(wanted)), 0.0, time.perf_counter() - start
