"""Our exact search and faiss's flat inner-product index find the same chunks with the same scores."""

import numpy as np
import pytest

from rmtbench.retrieval.dense import DenseIndex

faiss = pytest.importorskip("faiss")


def test_rankings_and_scores_are_those_of_faiss():
    random = np.random.default_rng(11)
    matrix = random.standard_normal((2000, 384)).astype(np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    queries = random.standard_normal((50, 384)).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    reference = faiss.IndexFlatIP(384)
    reference.add(matrix)
    scores, positions = reference.search(queries, 10)
    ours = DenseIndex(matrix, embedder=None)
    for query, expected_scores, expected in zip(queries, scores, positions, strict=True):
        hits = ours.search_vector(query, 10)
        assert [hit.position for hit in hits] == expected.tolist()
        np.testing.assert_allclose([hit.score for hit in hits], expected_scores, atol=1e-6)
