"""The first forwards of a process, outside every timed part: in them, libraries set up kernels and memory.

Without them, this time would be part of `cag`'s first preparation, but not of `full-context`, whose warm-up answer is
not timed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rmtbench.errors import out_of_memory
from rmtbench.kvcache.exact.prefill import CHUNK_TOKENS, fill, prefill
from rmtbench.kvcache.exact.shared import FOR_FEW, greedy_continuous
from rmtbench.kvcache.exact.shared_places import make_places
from rmtbench.kvcache.exact.static_places import choose_step
from rmtbench.kvcache.exact.suffixes import Suffixes
from rmtbench.kvcache.exact.uncached import prefix_for
from rmtbench.measure import free_memory, synchroniser
from rmtbench.models.decode import greedy, never
from rmtbench.models.readers import OwnPrompts, forward
from rmtbench.models.slots import SlotCache

if TYPE_CHECKING:
    from rmtbench.models.local import LocalModel

CPU_TOKENS = 8
"""Tokens of a chunk on the CPU, where nothing that is set up depends on the length: six forwards read the weights."""
QUESTION_TOKENS, ANSWER_TOKENS = 4, 2


def warm_up(model: LocalModel) -> bool:
    """Read a prompt of its own, and a context of two chunks with a question behind it; answer each by two tokens.

    Args:
        model: The model; its weights are on this machine. It is left as it was.

    Returns:
        Whether all of it could be done. What fails here fails again where it is used, and is reported there.
    """
    try:
        _own_prompt(model)
        _two_chunks(model)
    except Exception as error:  # noqa: BLE001 - code of any architecture
        if out_of_memory(error):
            free_memory()
        return False
    synchroniser(model.device)()
    return True


def chunk_tokens(model: LocalModel) -> int:
    """Return the tokens of a chunk: those of real readings on a GPU, whose kernels depend on them; few on the CPU."""
    wanted = CPU_TOKENS if model.device == "cpu" else CHUNK_TOKENS
    limit = model.context_limit
    room = wanted if limit is None else (limit - QUESTION_TOKENS - ANSWER_TOKENS) // 2
    return max(1, min(wanted, room))


def _ids(model: LocalModel, count: int) -> list[int]:
    rows = model.model.get_input_embeddings().weight.shape[0]
    return [number % rows for number in range(1, count + 1)]


def _own_prompt(model: LocalModel) -> None:
    greedy(OwnPrompts(model.model, [((), _ids(model, chunk_tokens(model)))], ANSWER_TOKENS), 1, never, ANSWER_TOKENS)


def _two_chunks(model: LocalModel) -> None:
    """As `cag` and `full-context` read: by the shared prefix, or the plain one where the model needs it."""
    chunk, question = chunk_tokens(model), _ids(model, QUESTION_TOKENS)
    context = prefill(model.model, _ids(model, 2 * chunk), chunk_tokens=chunk)
    if prefix_for(model)[0] == "plain":
        cache = SlotCache(model.model.config.num_hidden_layers, 1, context.tokens + QUESTION_TOKENS)
        fill(cache, context, model.model.device)
        cache.window.next = context.tokens
        forward(model.model, cache, question, start=context.tokens)
        return
    how, _ = choose_step(model, plain=True, no_graphs=FOR_FEW)
    places = make_places(model, context, Suffixes(context, 1, QUESTION_TOKENS + ANSWER_TOKENS), how)
    list(greedy_continuous(places, iter([(0, question)]), 1, never, ANSWER_TOKENS))
