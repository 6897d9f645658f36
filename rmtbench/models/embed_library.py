"""Embedders that only the sentence-transformers library can run: other poolings, extra layers.

Apart from `embed` because the library is an extra and takes seconds to import.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmtbench.errors import UserError
from rmtbench.models.base import Role
from rmtbench.models.embed_files import hash_files, prompts_text, read_prompts
from rmtbench.models.embed_windows import Span, cut_windows, reads

MODEL_SUFFIXES = {".json", ".txt", ".model", ".safetensors", ".bin"}

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class LibraryEmbedder:
    """A sentence-transformers model run by its own library; attributes as in `embed.TransformersEmbedder`."""

    def __init__(self, name: str, folder: Path, device: str = "cpu") -> None:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise UserError(
                f"the embedder {name!r} needs the sentence-transformers library, which is not installed",
                where=str(folder),
                remedy="pip install 'rmtbench[sentence-transformers]'",
            ) from error
        self._prompts: Mapping[Role, str] = read_prompts(folder)
        try:
            self._model: Any = SentenceTransformer(str(folder), device=device)
        except Exception as error:  # the library runs whatever modules the model names, and they raise anything
            raise UserError(
                f"sentence-transformers cannot load the embedder ({error})",
                where=str(folder),
                remedy="download the model again, or name another with --embedder",
            ) from error
        # Marks such as [SEP] in a document are text, as in our own path.
        if getattr(self._model, "tokenizer", None) is not None:
            self._model.tokenizer.split_special_tokens = True
        self.name = name
        self.max_tokens: int | None = self._model.max_seq_length
        self.dimension = len(self._model.encode("", show_progress_bar=False))
        files = sorted(path for path in folder.rglob("*") if path.suffix in MODEL_SUFFIXES and path.is_file())
        self.sha256 = hash_files(folder, files, prompts_text(self._prompts))

    def prompt(self, role: Role) -> str:
        """The model's own words before a text of this role."""
        return self._prompts[role]

    def embed(self, texts: Sequence[str], role: Role = "passage") -> NDArray[np.float32]:
        """Embed texts, as `Embedder.embed`."""
        import numpy as np

        distinct = list(dict.fromkeys(texts))
        if not distinct:
            return np.empty((0, self.dimension), dtype=np.float32)
        encoders = {"query": "encode_query", "passage": "encode_document", "symmetric": "encode"}
        encode = getattr(self._model, encoders[role])
        # A prompt that is given, even an empty one, stands in place of whichever the library would choose.
        vectors = encode(distinct, prompt=self._prompts[role], normalize_embeddings=True, show_progress_bar=False)
        row = {text: number for number, text in enumerate(distinct)}
        return np.asarray(vectors, dtype=np.float32)[[row[text] for text in texts]]

    def windows(self, texts: Sequence[str], heads: Sequence[str]) -> list[list[Span]]:
        """Cut passages into overlapping windows that are read to their end, as `Embedder.windows`."""
        return cut_windows(reads(self._model.tokenizer, self._prompts["passage"]), texts, heads, self.max_tokens)

    def truncated(self, texts: Sequence[str]) -> int:
        """How many of the passages are longer than `max_tokens`."""
        if self.max_tokens is None or not texts:
            return 0
        counts = reads(self._model.tokenizer, self._prompts["passage"]).count(texts)
        return sum(count > self.max_tokens for count in counts)
