"""Our embedder and the sentence-transformers library give the same vectors."""

import json
import shutil

import numpy as np
import pytest

from rmtbench.models.embed import TransformersEmbedder, load_embedder
from rmtbench.models.embed_files import model_folder

TEXTS = [
    "",
    "Short.",
    "naïve café 東京 🙂 \t\n tabs",
    "The Harrow works beside the old mill were founded by Marla Quist. " * 3,
    "Long beyond what the model reads, so that both must cut it at the same token. " * 40,
]


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_vectors_are_those_of_sentence_transformers(pooling, tmp_path):
    from sentence_transformers import SentenceTransformer

    folder = tmp_path / "model"
    shutil.copytree(model_folder("minilm"), folder)
    (folder / "1_Pooling/config.json").write_text(json.dumps({"embedding_dimension": 384, "pooling_mode": pooling}))
    ours = load_embedder(str(folder))
    assert isinstance(ours, TransformersEmbedder)
    library = SentenceTransformer(str(folder), device="cpu")
    assert ours.max_tokens == library.max_seq_length
    expected = library.encode(TEXTS, normalize_embeddings=True)
    difference = np.abs(ours.embed(TEXTS) - expected).max()
    assert difference < 1e-5, f"largest difference {difference}"
