"""How 20 models answer from ever longer retrieved contexts: table S3 of "Long Context RAG Performance of LLMs".

Answer correctness from 0 to 1, judged by a language model, mean of three data sets: a curve's shape, never our score.
"""

from __future__ import annotations

from dataclasses import dataclass

PAPER = "Leng et al., Long Context RAG Performance of Large Language Models (arXiv 2411.03538), table S3"
SETUP = (
    "mean of Databricks DocsQA, FinanceBench and Natural Questions; chunks of 512 tokens by text-embedding-3-large, "
    "as many as fill the context"
)
LONGER = {
    "gemini-1.5-pro": {256_000: 0.633, 512_000: 0.615, 1_024_000: 0.627, 1_500_000: 0.619, 2_000_000: 0.609},
    "gemini-1.5-flash": {256_000: 0.522, 512_000: 0.504, 1_024_000: 0.514, 1_500_000: 0.521, 2_000_000: 0.528},
}
"""Table S4: the two models that read more, by tokens."""
TOKENS = (2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 96_000, 125_000)


@dataclass(frozen=True, slots=True)
class ModelByLength:
    """One row of the table.

    Attributes:
        model: As its authors call it.
        mean: Over all its lengths, as published: it proves the row, and a test holds it. Of the Gemini models it counts
            `LONGER` too.
        scores: At each of `TOKENS`; None where the context is too long for the model. The copy that was read has more
            of llama-3-70b-instruct, beyond its 8k tokens; its published mean has not, and neither has this row.
    """

    model: str
    mean: float
    scores: tuple[float | None, ...]


MODELS = (
    ModelByLength("o1-preview-2024-09-12", 0.763, (0.582, 0.747, 0.772, 0.787, 0.799, 0.831, 0.824, 0.763)),
    ModelByLength("o1-mini-2024-09-12", 0.731, (0.566, 0.728, 0.754, 0.772, 0.777, 0.769, 0.778, 0.704)),
    ModelByLength("gpt-4o-2024-05-13", 0.709, (0.467, 0.671, 0.721, 0.752, 0.759, 0.769, 0.769, 0.767)),
    ModelByLength("claude-3-5-sonnet-20240620", 0.695, (0.506, 0.684, 0.723, 0.718, 0.748, 0.741, 0.732, 0.706)),
    ModelByLength("claude-3-opus-20240229", 0.686, (0.463, 0.652, 0.702, 0.716, 0.725, 0.755, 0.732, 0.741)),
    ModelByLength("claude-3-haiku-20240307", 0.649, (0.466, 0.666, 0.678, 0.705, 0.69, 0.668, 0.663, 0.656)),
    ModelByLength("qwen2-72b-instruct", 0.637, (0.469, 0.628, 0.669, 0.672, 0.682, 0.683, 0.648, 0.645)),
    ModelByLength("gpt-4o-mini-2024-07-18", 0.61, (0.424, 0.587, 0.624, 0.649, 0.662, 0.648, 0.646, 0.643)),
    ModelByLength("gpt-4-turbo-2024-04-09", 0.588, (0.465, 0.6, 0.634, 0.641, 0.623, 0.623, 0.562, 0.56)),
    ModelByLength("gemini-1.5-pro", 0.584, (0.368, 0.51, 0.55, 0.58, 0.595, 0.634, 0.636, 0.622)),
    ModelByLength("claude-3-sonnet-20240229", 0.569, (0.432, 0.587, 0.662, 0.668, 0.631, 0.525, 0.559, 0.485)),
    ModelByLength("gpt-4-0125-preview", 0.568, (0.466, 0.614, 0.64, 0.664, 0.622, 0.585, 0.505, 0.452)),
    ModelByLength("llama-3.1-405b-instruct", 0.55, (0.445, 0.591, 0.615, 0.623, 0.594, 0.587, 0.516, 0.426)),
    ModelByLength("gemini-1.5-flash", 0.505, (0.349, 0.478, 0.517, 0.538, 0.534, 0.522, 0.52, 0.521)),
    ModelByLength("llama-3-70b-instruct", 0.48, (0.365, 0.53, 0.546, None, None, None, None, None)),
    ModelByLength("mixtral-8x7b-instruct", 0.469, (0.414, 0.518, 0.506, 0.488, 0.417, None, None, None)),
    ModelByLength("llama-3.1-70b-instruct", 0.45, (0.403, 0.526, 0.527, 0.478, 0.469, 0.444, 0.401, 0.353)),
    ModelByLength("dbrx-instruct", 0.447, (0.438, 0.539, 0.528, 0.477, 0.255, None, None, None)),
    ModelByLength("gpt-3.5-turbo", 0.44, (0.362, 0.463, 0.486, 0.447, None, None, None, None)),
    ModelByLength("llama-3.1-8b-instruct", 0.411, (0.368, 0.547, 0.536, 0.523, 0.485, 0.383, 0.296, 0.15)),
)

LENGTHS = (*TOKENS, *sorted({tokens for longer in LONGER.values() for tokens in longer}))
"""Every length of which something was published."""


def scores_at(tokens: int) -> dict[str, float]:
    """The scores of all models that have one at a length, by model.

    Args:
        tokens: One of `LENGTHS`.
    """
    found: dict[str, float | None] = {}
    for row in MODELS:
        known = dict(zip(TOKENS, row.scores, strict=True))
        found[row.model] = known.get(tokens, LONGER.get(row.model, {}).get(tokens))
    return {model: score for model, score in found.items() if score is not None}
