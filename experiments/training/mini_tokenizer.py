"""The mini model's tokenizer: byte-level BPE over the miniature world's English; any other text falls into pieces."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rmtbench.corpora.miniature.asking import all_kinds, ask_about_group, step
from rmtbench.corpora.miniature.styles import STYLES, plan_world, tell
from rmtbench.corpora.miniature.words import seen
from rmtbench.corpora.miniature.world import make_world
from rmtbench.models.prompt import INSTRUCTION

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

VOCABULARY = 5120
START, END, PADDING = "<s>", "</s>", "<pad>"


def train_tokenizer(seed: int = 0) -> PreTrainedTokenizerFast:
    """Learn the merges from generated text; the same seed gives the same tokenizer.

    Words are tokens with the space before them. The beginning of a text and of a line count as such a space, so that a
    name is the same tokens wherever it stands. Numbers are cut into pairs of digits.

    Args:
        seed: Seed of the text.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend(" "), normalizers.Replace(Regex(r"\n(?=\S)"), "\n ")]
    )
    words = Regex(r"\n+| ?\p{L}+| ?\d{1,2}| ?[^\s\p{L}\d]|\s+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(words, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PADDING, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(seed), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A", special_tokens=[(START, tokenizer.token_to_id(START))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=START,
        eos_token=END,
        pad_token=PADDING,
        clean_up_tokenization_spaces=False,
    )


def _texts(seed: int) -> Iterator[str]:
    chance = random.Random(f"miniature tokenizer {seed}")  # noqa: S311 - no secret
    for text in INSTRUCTION.values():
        yield from [text] * 50
    for _ in range(12):
        for style in STYLES:
            world = make_world(plan_world(style, [10] * 20, seen()), chance)
            for page in tell(style, world, chance):
                yield f"{page.title}\n{page.text}\n\n"
            for group in world.groups:
                for kind in all_kinds():
                    asked = ask_about_group(world, group, kind, chance)
                    if asked is not None:
                        reasoning = " ".join(map(step, asked.lookups))
                        yield f"Question: {asked.text}\nReasoning: {reasoning} Answer: {asked.references[0]}"
    for number in range(100):  # every pair of digits is one token
        yield f" {number:02d} 1{number:02d}1 {number:02d}{number:02d}" * 30
    for name_words in seen().by_kind.values():  # and every name word that may be trained on
        for word in name_words:
            yield f" {word}" * 40
