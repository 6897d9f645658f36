"""Trains a cross-encoder to rerank: the embedder's own transformer reads question and chunk together.

    python experiments/train_reranker.py OUT --dataset squad --data-dir FILE [--draws 40] [--questions 150]

For where no hub gives a trained one. A step takes six questions, for each of them one chunk with its evidence and
five of those that BM25 ranks best without any (the hard negatives of Gao, Dai and Callan 2021, whose loss it is): the
chunk with evidence is to be chosen among the six. Train on other articles than those asked about.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rmtbench.core import Span
from rmtbench.corpora.base import DrawRequest
from rmtbench.corpora.open import open_dataset
from rmtbench.models.embed_files import MINILM, model_folder
from rmtbench.models.load import load_token_counter, load_tokenizer
from rmtbench.retrieval.bm25 import FastBM25Index
from rmtbench.retrieval.chunks import chunk_documents, indexed_text
from rmtbench.retrieval.words import Words

if TYPE_CHECKING:
    import torch

QUESTIONS, CHOICES, DEPTH, MAX_TOKENS = 6, 6, 30, 512
CHUNK_TOKENS = (128, 128, 256)
RATE, WARM_UP = 5e-5, 0.1
Example = tuple[str, Sequence[str]]
"""A question and its chunks, the one with evidence first."""


def write_examples(dataset: str, data_dir: Path, draws: int, questions: int, seed: int) -> Iterator[Example]:
    """Questions of as many draws of size small, with chunks of a length that changes from draw to draw."""
    data = open_dataset(dataset, data_dir, {})
    count, words = load_token_counter("random:tiny"), load_tokenizer("random:tiny")
    for number in range(draws):
        chance = random.Random(f"{seed}:{number}")  # noqa: S311 - no secret
        draw = data.draw(DrawRequest("small", number, seed, questions), count)
        size = CHUNK_TOKENS[number % len(CHUNK_TOKENS)]
        chunks = chunk_documents(
            draw.corpus.documents, lambda text: words.encode(text, add_special_tokens=False), size, 0, "sentence"
        )
        texts = [indexed_text(chunk) for chunk in chunks]
        places = [Span(chunk.document_id, chunk.start, chunk.end) for chunk in chunks]
        found = FastBM25Index(chunks, Words("english", "english")).search(
            [question.text for question in draw.corpus.questions], DEPTH
        )
        for question, gold, hits in zip(draw.corpus.questions, draw.gold, found, strict=True):
            spans = [span for fact in gold.evidence for span in fact]
            useful = {place for place, own in enumerate(places) if any(own.overlaps(span) for span in spans)}
            rest = [hit.position for hit in hits if hit.position not in useful]
            if useful and len(rest) >= CHOICES - 1:
                chosen = chance.choice(sorted(useful)), *chance.sample(rest, CHOICES - 1)
                yield question.text, [texts[place] for place in chosen]


def train(examples: Sequence[Example], encoder: Path, out: Path, seed: int) -> None:
    """One pass over the examples, in bfloat16 products; writes the model and its tokenizer."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.manual_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(encoder, model_max_length=MAX_TOKENS)
    # No dropout: one pass is too short to learn by heart. Attention by plain products, whose backward pass in bfloat16
    # takes a CPU less time than that of the fused one.
    model = AutoModelForSequenceClassification.from_pretrained(
        encoder,
        num_labels=1,
        dtype=torch.float32,
        attn_implementation="eager",
        attention_probs_dropout_prob=0.0,
        hidden_dropout_prob=0.0,
    ).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    steps = len(examples) // QUESTIONS
    if not steps:
        raise SystemExit(f"{len(examples)} questions have evidence and enough chunks without, {QUESTIONS} are needed")
    began, right, losses = time.perf_counter(), 0.0, 0.0
    for step in range(steps):
        batch = examples[step * QUESTIONS : (step + 1) * QUESTIONS]
        done = (step + 1) / (steps + 1)
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(done / WARM_UP, (1 - done) / (1 - WARM_UP))
        with torch.autocast("cpu", torch.bfloat16):
            scores = _scores(model, tokenizer, batch)
        loss = torch.nn.functional.cross_entropy(scores, torch.zeros(len(batch), dtype=torch.long))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses, right = losses + loss.item(), right + (scores.argmax(1) == 0).float().mean().item()
        if (step + 1) % 50 == 0 or step + 1 == steps:
            told = (step % 50) + 1
            line = {"step": step + 1, "of": steps, "loss": losses / told, "right": right / told}
            _tell({**line, "seconds": round(time.perf_counter() - began, 1)})
            losses = right = 0.0
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def _tell(figures: Mapping[str, float]) -> None:
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.flush()


def _scores(model: torch.nn.Module, tokenizer: object, batch: Sequence[Example]) -> torch.Tensor:
    """Scores ``[questions, CHOICES]``."""
    pairs = [(question, text) for question, texts in batch for text in texts]
    inputs = tokenizer(  # type: ignore[operator]
        [question for question, _ in pairs],
        [text for _, text in pairs],
        padding=True,
        truncation="longest_first",
        max_length=MAX_TOKENS,
        return_tensors="pt",
    )
    logits: torch.Tensor = model(**inputs).logits
    return logits.float().view(len(batch), CHOICES)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--dataset", default="squad")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument("--questions", type=int, default=150)
    parser.add_argument("--encoder", default=MINILM)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    examples = list(write_examples(asked.dataset, asked.data_dir, asked.draws, asked.questions, asked.seed))
    random.Random(asked.seed).shuffle(examples)  # noqa: S311 - no secret
    _tell({"questions": len(examples)})
    train(examples, model_folder(asked.encoder), asked.out, asked.seed)


if __name__ == "__main__":
    main()
