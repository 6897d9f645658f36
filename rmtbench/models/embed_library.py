"""Embedders that only the sentence-transformers library can run: other poolings, extra layers.

Apart from `embed` because the library is an extra and takes seconds to import.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmtbench.errors import UserError
from rmtbench.models.base import Role
from rmtbench.models.embed_files import hash_files, prompts_text, read_prompts
from rmtbench.models.embed_windows import PassageReader
from rmtbench.options import flag

MODEL_SUFFIXES = {".json", ".txt", ".model", ".safetensors", ".bin"}

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class LibraryEmbedder(PassageReader):
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
        self._prompts = read_prompts(folder)
        try:
            self._model: Any = SentenceTransformer(str(folder), device=device)
        except Exception as error:  # the library runs whatever modules the model names, and they raise anything
            raise UserError(
                f"sentence-transformers cannot load the embedder ({error})",
                where=str(folder),
                remedy=f"download the model again, or name another with {flag.embedder}",
            ) from error
        # Marks such as [SEP] in a document are text, as in our own path.
        self._tokenizer = getattr(self._model, "tokenizer", None)
        if self._tokenizer is not None:
            self._tokenizer.split_special_tokens = True
        self.name = name
        self.max_tokens = self._model.max_seq_length
        self.dimension = len(self._model.encode("", show_progress_bar=False))
        files = sorted(path for path in folder.rglob("*") if path.suffix in MODEL_SUFFIXES and path.is_file())
        self.sha256 = hash_files(folder, files, prompts_text(self._prompts))

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
        return self._checked(np.asarray(vectors, dtype=np.float32))[[row[text] for text in texts]]
