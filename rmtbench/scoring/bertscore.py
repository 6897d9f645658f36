"""BERTScore (Zhang et al., arXiv 1904.09675), equal to the bert-score package, many systems at the cost of few.

Every distinct text is embedded once over all systems and references, and every distinct pair matched once. The
package's defects under transformers 5 (empty texts, missing length limits, RoBERTa's leading space) are mended here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING

from rmtbench.core import MetricValue
from rmtbench.models.embed_files import MINILM, model_folder
from rmtbench.models.weights import weights_hash
from rmtbench.scoring.base import Item, MetricKind, Progress
from rmtbench.scoring.encoders import load_encoder
from rmtbench.scoring.vocabulary import MISSING, unknown_texts

if TYPE_CHECKING:
    import torch

NAMES = ("bertscore_precision", "bertscore_recall", "bertscore_f1")
BATCH_TOKENS = 1024
"""Tokens embedded at once: texts are sorted by length, so little of it is padding."""
PAIRS = 512
"""Pairs matched at once."""
CANDIDATES = 8192
"""Answers whose token vectors are held at once; those of the references stay."""

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Vectors:
    """One text, token by token.

    Attributes:
        matrix: Unit vectors ``[tokens, width]``.
        words: Which tokens weigh anything ``[tokens]``: all but those that begin and end a text.
    """

    matrix: torch.Tensor
    words: torch.Tensor


class BertScorer:
    """A model that embeds tokens, cut to the layer whose states are compared.

    Args:
        model_name: ``minilm``, a folder or a hub id.
        layers: Which layer is compared; None for the one that bert-score recommends, else the last.
        device: A torch device name, or ``auto``. Always in float32.

    Attributes:
        name: The string that identifies the scorer, as bert-score writes it, with the weights' hash; and the kind of
            device if it is not the CPU, because values may differ there in their last digits.

    Raises:
        UserError: The model cannot be loaded, or there is no such device.
    """

    def __init__(self, model_name: str, layers: int | None = None, device: str = "auto") -> None:
        from transformers.utils import logging

        from rmtbench.models.load import choose_device

        logging.disable_progress_bar()
        place = str(model_folder(MINILM)) if model_name == MINILM else model_name
        self._device = choose_device(device)
        encoder = load_encoder(place, model_name, layers or known_layers(model_name), self._device)
        self.layers = encoder.layers
        self._model, self._tokenizer, self._limit = encoder.model, encoder.tokenizer, encoder.limit
        ends = (encoder.tokenizer.cls_token_id, encoder.tokenizer.sep_token_id)
        self._ends = [token for token in ends if token is not None]
        self.name = f"{_hash_string(model_name, self.layers)} weights sha256:{weights_hash(place)[:16]}"
        self.name += device_note(self._device)

    def unknown(self, texts: Sequence[str]) -> set[str]:
        """Those of the texts that its vocabulary does not know: see `unknown_texts`."""
        return unknown_texts(self._tokenizer, texts)

    def embed(self, texts: Sequence[str], told: Callable[[int], None] = lambda _done: None) -> dict[str, Vectors]:
        """Token vectors of each distinct text, which must not be blank; `told` hears how many there are so far."""
        import torch

        distinct = list(dict.fromkeys(texts))
        if not distinct:
            return {}
        encoded = self._tokenizer(
            [text.strip() for text in distinct],
            truncation=self._limit is not None,
            max_length=self._limit,
            add_special_tokens=True,
        )["input_ids"]
        order = sorted(range(len(distinct)), key=lambda place: len(encoded[place]), reverse=True)
        found: dict[str, Vectors] = {}
        for batch in _by_tokens(order, [len(encoded[place]) for place in order]):
            longest = max(len(encoded[place]) for place in batch)
            ids = torch.full((len(batch), longest), self._tokenizer.pad_token_id or 0)
            mask = torch.zeros(len(batch), longest, dtype=torch.long)
            for row, place in enumerate(batch):
                ids[row, : len(encoded[place])] = torch.tensor(encoded[place])
                mask[row, : len(encoded[place])] = 1
            words = (mask.bool() & ~torch.isin(ids, torch.tensor(self._ends))).to(self._device)
            with torch.inference_mode():
                # Rows of one length need no mask, and run on a faster path without one.
                whole = bool(mask.all())  # asked before it moves: the device is waited for only at the end of a match
                moved = ids.to(self._device), None if whole else mask.to(self._device)
                states = self._model(moved[0], attention_mask=moved[1])[0]
                states = states / states.norm(dim=-1, keepdim=True)
            for row, place in enumerate(batch):
                found[distinct[place]] = Vectors(states[row, : len(encoded[place])], words[row, : len(encoded[place])])
            told(len(found))
        return found


class BertScore:
    """The `Metric`; loads its model when it is first asked for anything."""

    def __init__(self, model_name: str) -> None:
        self._model_name = model_name

    @cached_property
    def scorer(self) -> BertScorer:
        """The model."""
        return BertScorer(self._model_name)

    @property
    def scorers(self) -> Mapping[str, str]:
        """The scorer's string for each of the three values."""
        return dict.fromkeys(NAMES, self.scorer.name)

    def score(self, items: Sequence[Item], progress: Progress) -> list[dict[str, float | None]]:
        """Precision, recall and F1 for each item, each the best over its references; 0 for an empty answer.

        None where the vocabulary does not know the answer, or none of its references; others of them do not count.
        """
        pairs = [(item.text, reference) for item in items for reference in item.gold.references]
        values = score_pairs(self.scorer, pairs, progress)
        rows: list[dict[str, float | None]] = []
        unknown = self.scorer.unknown([text for pair in pairs for text in pair])
        for item in items:
            blank = not item.text.strip()
            known = [each for each in item.gold.references if blank or not {item.text, each} & unknown]
            triples = [values[item.text, reference] for reference in known]
            best = ((name, [triple[place] for triple in triples]) for place, name in enumerate(NAMES))
            rows.append({name: max(found, default=None) for name, found in best})
        return rows


def bertscore_metric(scorer_model: str) -> BertScore:
    """The metric with the model that was asked for."""
    return BertScore(scorer_model)


def score_pairs(
    scorer: BertScorer,
    pairs: Sequence[tuple[str, str]],
    progress: Progress = lambda _stage, _done, _total: None,
) -> dict[tuple[str, str], Triple]:
    """Precision, recall and F1 of each distinct (candidate, reference) pair; all 0 where one has no words."""
    distinct = list(dict.fromkeys(pairs))
    values: dict[tuple[str, str], Triple] = {
        pair: (0.0, 0.0, 0.0) for pair in distinct if not (pair[0].strip() and pair[1].strip())
    }
    todo: dict[str, list[str]] = {}
    for candidate, reference in distinct:
        if (candidate, reference) not in values:
            todo.setdefault(candidate, []).append(reference)
    candidates = list(todo)
    references = [reference for each in todo.values() for reference in each]
    total = len({*candidates, *references})

    def telling(before: int) -> Callable[[int], None]:
        return lambda done: progress("bertscore", before + done, total)

    known = scorer.embed(references, telling(0))
    done = len(known)
    for start in range(0, len(candidates), CANDIDATES):
        few = candidates[start : start + CANDIDATES]
        new = scorer.embed([text for text in few if text not in known], telling(done))
        done += len(new)
        vectors = {**known, **new}
        part = [(candidate, reference) for candidate in few for reference in todo[candidate]]
        part.sort(key=lambda pair: (len(vectors[pair[0]].matrix), len(vectors[pair[1]].matrix)))
        for place in range(0, len(part), PAIRS):
            batch = part[place : place + PAIRS]
            values.update(zip(batch, _match(batch, vectors), strict=True))
    return values


def device_note(device: str) -> str:
    """Return what a scorer's name says about its device: nothing for the CPU."""
    kind = device.partition(":")[0]
    return "" if kind == "cpu" else f" on {kind}"


def known_layers(model_name: str) -> int | None:
    """The layer that bert-score recommends for a model of this name, else None.

    The package knows ``roberta-large``, and not ``FacebookAI/roberta-large`` or a folder called so: all are one model.
    """
    if model_name == MINILM:
        return None
    from bert_score.utils import model2layers

    known: dict[str, int] = {PurePath(name).name: layers for name, layers in model2layers.items()}
    return known.get(PurePath(model_name).name)


def _match(pairs: Sequence[tuple[str, str]], vectors: Mapping[str, Vectors]) -> list[Triple]:
    """Greedy matching: each word takes its most similar token on the other side, special tokens included."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    left = [vectors[candidate] for candidate, _ in pairs]
    right = [vectors[reference] for _, reference in pairs]
    candidates, references = (pad_sequence([text.matrix for text in side], batch_first=True) for side in (left, right))
    candidate_words, reference_words = (
        pad_sequence([text.words for text in side], batch_first=True) for side in (left, right)
    )
    similar = torch.bmm(candidates, references.transpose(1, 2))
    # In bert-score padding counts as a token of similarity 0, so a value below 0 stands only for the longest text of a
    # batch and depends on which pairs share it. Here no similarity is below 0, whatever shares the batch.
    similar = similar.clamp(min=0)
    both = candidate_words.any(dim=1) & reference_words.any(dim=1)
    precision = _mean_over(candidate_words, similar.amax(dim=2)) * both
    recall = _mean_over(reference_words, similar.amax(dim=1)) * both
    f1 = torch.nan_to_num(2 * precision * recall / (precision + recall))
    return [(row[0], row[1], row[2]) for row in torch.stack([precision, recall, f1], 1).tolist()]  # one transfer


def _mean_over(words: torch.Tensor, best: torch.Tensor) -> torch.Tensor:
    """Mean of ``best [pairs, tokens]`` over the tokens that weigh anything; 0 where there is none."""
    import torch

    return torch.where(words, best, 0).sum(dim=1) / words.sum(dim=1).clamp(min=1)


def _by_tokens(order: Sequence[int], lengths: Sequence[int]) -> Iterator[list[int]]:
    """Groups of places, longest first, each of at most `BATCH_TOKENS` tokens with its padding."""
    group: list[int] = []
    longest = 0
    for place, length in zip(order, lengths, strict=True):
        if group and longest * (len(group) + 1) > BATCH_TOKENS:
            yield group
            group = []
        if not group:
            longest = length
        group.append(place)
    if group:
        yield group


def _hash_string(model_name: str, layers: int) -> str:
    """As bert-score spells it; its release 0.3.13 calls itself 0.3.12 there."""
    from importlib.metadata import version
    from pathlib import Path

    name = Path(model_name).name if Path(model_name).is_dir() else model_name
    return f"{name}_L{layers}_no-idf_version=0.3.12(hug_trans={version('transformers')})"


METRIC = MetricKind(
    "bertscore",
    (
        MetricValue("bertscore_precision", "BERTScore precision", missing=MISSING),
        MetricValue("bertscore_recall", "BERTScore recall", missing=MISSING),
        MetricValue("bertscore_f1", "BERTScore F1", order=60, missing=MISSING),
    ),
    bertscore_metric,
)
