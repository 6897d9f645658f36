"""What a cache that is not exact costs in answers: composed of documents, partly read again, in few bits, or pruned.

All ways answer the same questions about the same contexts; the exact cache is what each is held against.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

from experiments.benches.reading import choose_questions
from rmtbench.corpora.base import DrawRequest
from rmtbench.corpora.miniature.dataset import Miniature
from rmtbench.corpora.miniature.styles import Style
from rmtbench.measure import with_seconds
from rmtbench.models.base import Passage
from rmtbench.models.load import load_model
from rmtbench.runs.provenance import surroundings
from rmtbench.scoring.answers import exact_match

if TYPE_CHECKING:
    from rmtbench.corpora.miniature.asking import Asked
    from rmtbench.kvcache.base import PrefixKV
    from rmtbench.models.local import LocalModel

BATCH = 16
SEED = 0
"""Of the draws."""
KEPT_BYTES = 8 * 10**9
"""For the documents' caches, so that none is let go."""


@dataclass
class _Way:
    """What one way came to over a style's contexts, a question or a context at a time."""

    right: list[float] = field(default_factory=list)
    same: list[bool] = field(default_factory=list)
    preparing: list[float] = field(default_factory=list)
    changing: list[float] = field(default_factory=list)
    changed_tokens: list[int] = field(default_factory=list)
    asking: list[float] = field(default_factory=list)
    bytes: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class _Made:
    """A prefix, what it took to make it, and to make it again once a document of the middle has changed."""

    tensors: PrefixKV
    seconds: float
    changing: float | None = None
    changed_tokens: int | None = None


def run(
    *,
    model: str = "mini",
    size: str = "smoke",
    styles: Sequence[str] = get_args(Style),
    draws: int = 5,
    questions: int = 5,
    recompute: Sequence[float] = (0.15,),
    keep: Sequence[float] = (0.5, 0.2, 0.1),
    report: Callable[[str], None] = lambda _line: None,
) -> dict[str, Any]:
    """Answer the miniature's questions over each kind of cache.

    Args:
        model: As ``--model``.
        size: Of the miniature.
        styles: Styles of the miniature.
        draws: Contexts of each style.
        questions: Questions of each kind about each context, where it holds so many.
        recompute: Shares of each document's tokens that are read again, one way each.
        keep: Shares of the tokens that pruned caches keep, one way for each method and share.
        report: Told a line a row.

    Returns:
        `rows`: style, way (``exact``, ``composed``, ``composed, recompute=...``, ``kv_bits=8``, ``kv_bits=4``,
        ``prune=..., keep=...``), `em`,
        `em_difference` from the exact cache's, `agreement` (share of answers equal to its, token for token),
        questions, `prepare_seconds`, `question_seconds`, `bytes` with the room for `BATCH` questions, and of changing
        the document in the middle: `change_seconds` and `change_tokens`, those that are read (means a context); None
        for few bits and pruned caches, which are made of any of the others. `documents` and
        `tokens` a context, and what produced them.

    Raises:
        UserError: The model is missing or cannot be composed, or a size does not exist.
    """
    loaded = replace(load_model(model, style="bridge", seed=SEED), max_answer_tokens=80)
    rows = []
    for style in styles:
        ways: dict[str, _Way] = {}
        documents, tokens = [], []
        for draw in range(draws):
            teller = Miniature(next(one for one in get_args(Style) if one == style))
            world, pages, chance = teller.tell(DrawRequest(size, draw, SEED), loaded.count_tokens)
            chance.shuffle(pages)
            passages = [Passage(page.title, page.text) for page in pages]
            wanted = choose_questions(world, questions, chance)
            exact: list[tuple[int, ...]] = []
            for name, made in _make_all(loaded, passages, recompute, keep).items():
                exact = _ask(loaded, ways.setdefault(name, _Way()), made, wanted, exact)
            documents.append(len(passages))
            tokens.append(len(loaded.context_ids(passages)))
        base = statistics.fmean(ways["exact"].right)
        for name, way in ways.items():
            rows.append(
                {
                    "style": style,
                    "way": name,
                    "em": statistics.fmean(way.right),
                    "em_difference": statistics.fmean(way.right) - base,
                    "agreement": statistics.fmean(way.same),
                    "questions": len(way.right),
                    "documents": statistics.fmean(documents),
                    "tokens": statistics.fmean(tokens),
                    "prepare_seconds": statistics.fmean(way.preparing),
                    "change_seconds": statistics.fmean(way.changing) if way.changing else None,
                    "change_tokens": statistics.fmean(way.changed_tokens) if way.changed_tokens else None,
                    "question_seconds": sum(way.asking) / len(way.right),
                    "bytes": statistics.fmean(way.bytes),
                }
            )
            report(f"{style} {size}, {name}: {rows[-1]['em']:.3f} right, {rows[-1]['agreement']:.3f} as exact")
    return {
        "rows": rows,
        "size": size,
        "draws": draws,
        "seed": SEED,
        "batch": BATCH,
        "model": dict(loaded.provenance),
        **surroundings(loaded.device),
    }


def _make_all(
    model: LocalModel, passages: Sequence[Passage], shares: Sequence[float], keep: Sequence[float]
) -> dict[str, _Made]:
    """All ways to keep a context, the exact one first; the model has been warmed by what was read before."""
    from rmtbench.kvcache.approximate.compose import check_composable, compose
    from rmtbench.kvcache.approximate.parts import PartCaches
    from rmtbench.kvcache.approximate.pruned import METHODS, prune
    from rmtbench.kvcache.approximate.quantised import BITS, quantise
    from rmtbench.kvcache.approximate.recompute import recompute
    from rmtbench.kvcache.exact.prefill import CHUNK_TOKENS, prefill

    frequencies = check_composable(model.model)
    parts, changed = (model.contract.context_parts(some) for some in (passages, _one_changed(passages)))
    ids, other = (model.context_ids(some) for some in (passages, _one_changed(passages)))
    tensors, seconds = with_seconds(lambda: prefill(model.model, ids))
    stays = next(number for number, pair in enumerate(zip(ids, other, strict=False)) if pair[0] != pair[1])
    stays = stays // CHUNK_TOKENS * CHUNK_TOKENS
    known = tensors.cut(0, stays) if stays else None
    _, again = with_seconds(lambda: prefill(model.model, other, known=known))
    made = {"exact": _Made(tensors, seconds, again, len(other) - stays)}

    caches, read = PartCaches(model, KEPT_BYTES), 0

    def get(part: Sequence[int]) -> PrefixKV:
        nonlocal read
        found = caches.get(part)
        read += len(part) - found.reused_tokens
        return found.tensors

    composed, seconds = with_seconds(lambda: compose(parts, get, frequencies))
    read = 0
    new, again = with_seconds(lambda: compose(changed, get, frequencies))
    made["composed"] = _Made(composed, seconds, again, read)
    for share in shares:
        copy = compose(parts, get, frequencies)
        _, more = with_seconds(partial(recompute, model.model, copy, [*map(len, parts)], share))
        count, anew = with_seconds(partial(recompute, model.model, new, [*map(len, changed)], share))
        made[f"composed, recompute={share:g}"] = _Made(copy, seconds + more, again + anew, read + count)
    for bits in BITS:
        few, more = with_seconds(partial(quantise, tensors, bits))
        made[f"kv_bits={bits}"] = _Made(few, made["exact"].seconds + more)
    for method in METHODS:
        for share in keep:
            small, more = with_seconds(partial(prune, model, tensors, share, method))
            made[f"prune={method}, keep={share:g}"] = _Made(small, made["exact"].seconds + more)
    return made


def _one_changed(passages: Sequence[Passage]) -> list[Passage]:
    """The passages with another text in the middle, of about the same length."""
    middle = len(passages) // 2
    before, one, after = passages[:middle], passages[middle], passages[middle + 1 :]
    words = one.text.split(" ")
    return [*before, Passage(one.title, " ".join([*words[1:], words[0]])), *after]


def _ask(
    model: LocalModel, way: _Way, made: _Made, wanted: Sequence[Asked], exact: list[tuple[int, ...]]
) -> list[tuple[int, ...]]:
    """Ask all questions of one context; `exact` is empty where this is the exact cache, whose answers come back."""
    from rmtbench.kvcache.exact.shared import shared_prefix

    texts = [one.text for one in wanted]
    longest = max(len(model.question_ids(text)) for text in texts)
    with shared_prefix(model, made.tensors, longest=longest, batch=BATCH) as prefix:
        answers, seconds = with_seconds(lambda: prefix.generate(texts))
        way.bytes.append(prefix.bytes)
    exact = exact or [answer.output_ids for answer in answers]
    way.right += [
        exact_match(answer.final, one.references, "squad") for answer, one in zip(answers, wanted, strict=True)
    ]
    way.same += [answer.output_ids == other for answer, other in zip(answers, exact, strict=True)]
    way.asking.append(seconds)
    way.preparing.append(made.seconds)
    if made.changing is not None and made.changed_tokens is not None:
        way.changing.append(made.changing)
        way.changed_tokens.append(made.changed_tokens)
    return exact
