"""Rerankers: a cross-encoder reads question and text together and gives one score; by folder or hub id.

Runs on transformers alone, which gives the scores of sentence-transformers' `CrossEncoder` without its import.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rmtbench.errors import UserError, first_line
from rmtbench.hub import look_for_hub
from rmtbench.models.embed import token_limit
from rmtbench.models.embed_files import hash_files, transformer_files
from rmtbench.options import flag

BATCH = 32
"""Pairs scored at once."""


def reranker_label(name: str) -> str:
    """The name under which a reranker stands in results: a hub id, or a folder's own name with its hash.

    Raises:
        UserError: The folder holds no model.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        return name
    return f"{folder.resolve().name}@{_sha256(folder)[:8]}"


class CrossEncoder:
    """A sequence classifier with one output. Always in float32; safe for several threads, one after the other.

    Attributes:
        name: What stands in results: see `reranker_label`.
        sha256: Hash over weights, configuration, tokenizer and `max_tokens`.
        max_tokens: Tokens read of question and text together; the text is cut.
    """

    def __init__(self, name: str, device: str = "cpu") -> None:
        """Load a cross-encoder.

        Args:
            name: A folder or hub id.
            device: A torch device name.

        Raises:
            UserError: There is none, it is damaged, or it gives more than one score.
        """
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        from rmtbench.models.linear import use_onednn
        from rmtbench.models.load import check_complete

        folder = _folder(name)
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(
                folder,
                split_special_tokens=True,  # marks such as [SEP] in a document are text
                trust_remote_code=False,
            )
            model, found = AutoModelForSequenceClassification.from_pretrained(
                folder, dtype=torch.float32, output_loading_info=True, trust_remote_code=False
            )
        except Exception as error:  # files of others can fail in any way
            raise UserError(
                f"the reranker cannot be loaded ({first_line(error)})",
                where=f"{flag.reranker} {name}",
                remedy="give the folder or hub id of a cross-encoder",
            ) from error
        if model.config.num_labels != 1:
            raise UserError(
                f"the model gives {model.config.num_labels} scores in place of one",
                where=f"{flag.reranker} {name}",
                remedy="give a cross-encoder that was trained to rank, such as cross-encoder/ms-marco-MiniLM-L6-v2",
            )
        check_complete(found, name, flag.reranker)
        self._model: Any = model.to(device).eval()
        use_onednn(self._model)
        self.max_tokens = token_limit(self._tokenizer, model.config)
        self.name = reranker_label(name)
        self.sha256 = hash_files(folder, transformer_files(folder), f"max_tokens={self.max_tokens}")
        self._one_at_a_time = threading.Lock()  # tokenizers of transformers are not for several threads at once

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """How well each text answers the query: the model's bare output, higher is better.

        Args:
            query: The question.
            texts: Any number of texts.
        """
        import torch

        # Neighbours in length share a batch, so that little of it is padding.
        order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
        scores = [0.0] * len(texts)
        with self._one_at_a_time, torch.inference_mode():
            for start in range(0, len(order), BATCH):
                batch = order[start : start + BATCH]
                inputs = self._tokenizer(
                    [query] * len(batch),
                    [texts[number] for number in batch],
                    padding=True,
                    truncation="longest_first" if self.max_tokens else False,
                    max_length=self.max_tokens,
                    return_tensors="pt",
                ).to(self._model.device)
                for number, score in zip(batch, self._model(**inputs).logits[:, 0].tolist(), strict=True):
                    scores[number] = score
        return scores


def _folder(name: str) -> Path:
    folder = Path(name).expanduser()
    if folder.exists():
        _check_files(folder)
        return folder
    from huggingface_hub import snapshot_download

    look_for_hub()
    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.txt", "*.model", "*.safetensors"]))
    except (OSError, ValueError) as error:
        raise UserError(
            f"there is no reranker {name!r}: no such folder, and the hub did not give it",
            where=flag.reranker,
            remedy="check the spelling and the network, or give the folder of a cross-encoder",
        ) from error


def _check_files(folder: Path) -> None:
    weights = [*folder.glob("*.safetensors"), *folder.glob("*.bin")]
    if not weights or not (folder / "config.json").is_file():
        raise UserError(
            "no reranker: config.json or the weights are missing",
            where=f"{flag.reranker} {folder}",
            remedy="give the folder or hub id of a cross-encoder",
        )


def _sha256(folder: Path) -> str:
    _check_files(folder)
    return hash_files(folder, transformer_files(folder))
