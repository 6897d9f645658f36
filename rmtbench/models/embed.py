"""Embedders: MiniLM from its package, or any sentence-transformers model by folder or hub id.

A model that is Transformer + Pooling (mean or cls) + optional Normalize runs on transformers alone, because importing
sentence-transformers takes seconds; any other goes through that library. Knows no chunk, index or metric.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rmtbench.errors import UserError, first_line
from rmtbench.models.base import Role
from rmtbench.models.embed_files import (
    Layout,
    hash_files,
    model_folder,
    prompts_text,
    read_layout,
    transformer_files,
)
from rmtbench.models.embed_windows import PassageReader
from rmtbench.options import flag

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

    from rmtbench.models.embed_library import LibraryEmbedder

BATCH = 32
"""Texts embedded at once."""


def load_embedder(name: str, device: str = "cpu") -> TransformersEmbedder | LibraryEmbedder:
    """Load an embedder.

    Args:
        name: ``minilm``, the folder of a sentence-transformers model, or its hub id.
        device: A torch device name.

    Returns:
        The embedder, with `max_tokens` and `truncated` beside what the seam asks for.

    Raises:
        UserError: There is no such model, it is damaged, or it needs a library that is not installed.
    """
    folder = model_folder(name)
    layout = read_layout(folder)
    if layout is not None:
        return TransformersEmbedder(name, layout, device)
    from rmtbench.models.embed_library import LibraryEmbedder

    return LibraryEmbedder(name, folder, device)


class TransformersEmbedder(PassageReader):
    """Runs the transformer, pools its token vectors under the attention mask and scales them to unit length.

    Always in float32. Text beyond `max_tokens` is not read, as in sentence-transformers; `truncated` counts it, and
    `windows` cuts it so that all of it is.

    Attributes:
        name: What the user called it.
        max_tokens: Tokens read of one text, prompt and special tokens included; None if the model sets no limit.
        sha256: Hash over weights, configuration, tokenizer, `max_tokens`, pooling and prompts.
        dimension: Width of a vector.
    """

    def __init__(self, name: str, layout: Layout, device: str = "cpu") -> None:
        import torch
        from transformers import AutoModel, AutoTokenizer

        from rmtbench.models.linear import use_onednn
        from rmtbench.models.load import check_complete

        try:
            self._tokenizer = AutoTokenizer.from_pretrained(
                layout.folder,
                split_special_tokens=True,  # marks such as [SEP] in a document are text
                trust_remote_code=False,
            )
            model, found = AutoModel.from_pretrained(
                layout.folder, dtype=torch.float32, output_loading_info=True, trust_remote_code=False
            )
        except Exception as error:  # files of others can fail in any way
            raise UserError(
                f"the embedder cannot be loaded ({first_line(error)})",
                where=str(layout.folder),
                remedy=f"download the model again, or name another with {flag.embedder}",
            ) from error
        check_complete(found, name, flag.embedder, unread="pooler")
        self._model: Any = model.to(device).eval()
        use_onednn(self._model)
        self._pooling = layout.pooling
        self._prompts = layout.prompts
        self.name = name
        self.max_tokens = layout.max_tokens or token_limit(self._tokenizer, model.config)
        self.dimension = int(model.config.hidden_size)
        settings = f"max_tokens={self.max_tokens} pooling={layout.pooling}{prompts_text(layout.prompts)}"
        self.sha256 = hash_files(layout.folder, transformer_files(layout.folder), settings)

    def embed(self, texts: Sequence[str], role: Role = "passage") -> NDArray[np.float32]:
        """Embed texts; an empty one is allowed, and equal ones get the same vector to the last bit.

        Args:
            texts: Any number of texts.
            role: Which prompt stands before each.

        Returns:
            Shape ``[len(texts), dimension]``, rows of unit length.

        Raises:
            UserError: A number is not finite.
        """
        import numpy as np
        import torch

        # Neighbours in length share a batch, so that little of it is padding.
        distinct = sorted(set(texts), key=lambda text: (len(text), text))
        vectors = np.empty((len(distinct), self.dimension), dtype=np.float32)
        for start in range(0, len(distinct), BATCH):
            batch = [self._prompts[role] + text for text in distinct[start : start + BATCH]]
            with torch.inference_mode():
                vectors[start : start + len(batch)] = self._embed_batch(batch).cpu().numpy()
        row = {text: number for number, text in enumerate(distinct)}
        return self._checked(vectors)[[row[text] for text in texts]]

    def _embed_batch(self, texts: list[str]) -> torch.Tensor:
        import torch

        inputs = self._tokenizer(
            texts, padding=True, truncation=self.max_tokens is not None, max_length=self.max_tokens, return_tensors="pt"
        ).to(self._model.device)
        hidden: torch.Tensor = self._model(**inputs).last_hidden_state
        if self._pooling == "cls":
            pooled = hidden[:, 0]
        else:
            mask = inputs["attention_mask"][:, :, None].to(hidden.dtype)
            pooled = (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1e-9)
        return torch.nn.functional.normalize(pooled, dim=1)


def token_limit(tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig) -> int | None:
    """The tokenizer's limit capped by the model's positions; a tokenizer without one says a huge number."""
    limit = min(tokenizer.model_max_length, getattr(config, "max_position_embeddings", None) or 10**9)
    return int(limit) if limit < 10**9 else None
