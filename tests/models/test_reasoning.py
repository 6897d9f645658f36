"""Reasoning is kept apart from the answer: where it begins and ends, what it costs, and how long it may be."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from chat_tokenizers import CHATML, THINKS, byte_level, chain_model

from rmtbench.core import Corpus, Document, Question, RunSpec, Source
from rmtbench.errors import AnswerError, UserError
from rmtbench.models.base import Passage, Prompt
from rmtbench.models.load import load_model
from rmtbench.models.local import LocalModel
from rmtbench.models.prompt import ChatSettings, make_contract, think_budget
from rmtbench.models.reasoning import NO_REASONING, REASONING_MARKS, Marks, Reasoning, find_reasoning
from rmtbench.options.identity import RunOptions
from rmtbench.systems.base import Resources
from rmtbench.systems.registry import find_system
from rmtbench.systems.rmt_text import note_writer

THINK = Marks("<think>", "</think>")
OPENED = Reasoning((THINK,), THINK)
WRITTEN = Reasoning((THINK,))


@pytest.mark.parametrize(
    ("reasoning", "text", "thought", "answer"),
    [
        (NO_REASONING, "<think>a</think>b", "", "<think>a</think>b"),
        (WRITTEN, "b", "", "b"),
        (WRITTEN, " <think>\na\n\nc</think>\n\nb", "a\n\nc", "\n\nb"),
        (WRITTEN, "<think>a", "a", None),
        (WRITTEN, "<think></think>b", "", "b"),
        (WRITTEN, "a</think>b", "a", "b"),
        (WRITTEN, "b, not <think>", "", "b, not <think>"),
        (OPENED, "a</think>b", "a", "b"),
        (OPENED, "a", "a", None),
        (OPENED, "<think>a</think>b", "a", "b"),
        (OPENED, "a</think>b</think>c", "a", "b</think>c"),
        (Reasoning(REASONING_MARKS), "<|begin_of_thought|>a<|end_of_thought|>b", "a", "b"),
        (Reasoning(REASONING_MARKS), "<thinking>a</think></thinking>b", "a</think>", "b"),
    ],
)
def test_reasoning_and_answer_are_parted_at_the_marks(reasoning, text, thought, answer):
    parted = reasoning.part(text)
    assert (parted.reasoning, parted.answer) == (thought, answer)


@pytest.mark.parametrize(
    ("template", "vocabulary", "closing", "marks", "opened"),
    [
        ("", [], "", (), None),
        ("", ["<think>"], "", (THINK,), None),
        ("... </think> ...", [], "assistant\n", (THINK,), None),
        ("... <think>\n", [], "assistant\n<think>\n", (THINK,), THINK),
        ("... <think>\n", [], "assistant\n<think>\n\n</think>\n\n", (THINK,), None),
    ],
)
def test_tokenizer_and_chat_format_show_the_marks(template, vocabulary, closing, marks, opened):
    assert find_reasoning(template, vocabulary, closing) == Reasoning(marks, opened)


def thinking_tokenizer(*, as_tokens: bool):
    marks = ("<think>", "</think>") if as_tokens else ()
    return byte_level(("<|User|>", "<|Assistant|>", "<|end|>"), THINKS, added=marks)


def test_a_prompt_that_opens_the_reasoning_has_no_cue_in_it():
    contract = make_contract(thinking_tokenizer(as_tokens=True), "direct")
    assert contract.tail == "<|Assistant|><think>\n"
    assert contract.reasoning == OPENED


def test_no_budget_closes_the_reasoning_in_the_prompt():
    contract = make_contract(thinking_tokenizer(as_tokens=True), "direct", ChatSettings(think_tokens=0))
    assert contract.tail == "<|Assistant|><think>\n\n</think>\n\nAnswer:"
    assert contract.reasoning.opened is None


def test_cue_that_model_writes_after_its_reasoning_is_no_answer():
    contract = make_contract(thinking_tokenizer(as_tokens=True), "direct")
    assert contract.stop_at("\n\nAnswer:\n") is None
    assert contract.stop_at("\n\nAnswer:\nOld Mill\nmore") == len("\n\nAnswer:\nOld Mill\n")
    assert contract.final_answer("\n\nAnswer:\nOld Mill\n") == "Old Mill"
    assert contract.final_answer("Old Mill") == "Old Mill"


def test_a_budget_for_a_model_without_marks_is_refused():
    contract = make_contract(byte_level(("<|im_end|>",), CHATML), "direct")
    assert think_budget(contract) == 0
    assert think_budget(contract, ChatSettings(think_tokens=0)) == 0
    with pytest.raises(UserError, match="marks of reasoning") as raised:
        think_budget(contract, ChatSettings(think_tokens=9))
    assert raised.value.where == "--set think-tokens"
    assert think_budget(make_contract(thinking_tokenizer(as_tokens=True), "direct")) == 1024


class Script:
    """A `Reader` that writes given tokens."""

    def __init__(self, tokens, vocabulary):
        self._logits = iter(torch.eye(vocabulary)[[token]] for token in tokens)

    def read(self):
        return next(self._logits)

    def step(self, rows, tokens):
        return next(self._logits)


def says(tokenizer, text, *, think, answer, chat=None):
    """The answer of a model that writes a text, then its end token for ever."""
    contract = make_contract(tokenizer, "direct", chat)
    end = tokenizer.convert_tokens_to_ids("<|end|>")
    model = LocalModel(None, contract, frozenset({end}), None, answer, {}, think)
    written = [*tokenizer.encode(text, add_special_tokens=False), *[end] * 99]
    [generation] = model.decode(Script(written, len(tokenizer)), [10], [0], 0.0)
    return generation


@pytest.fixture(params=[True, False], ids=["marks are tokens", "marks are text"])
def thinking(request):
    return thinking_tokenizer(as_tokens=request.param)


def count(tokenizer, text):
    return len(tokenizer.encode(text, add_special_tokens=False))


def test_line_breaks_within_the_reasoning_do_not_stop_it(thinking):
    thought, said = "Okay\nthe text\n\nsays\n</think>", "\n\n Old Mill"
    generation = says(thinking, f"{thought}{said}\nmore", think=64, answer=16)
    assert (generation.final, generation.finish) == ("Old Mill", "stop")
    assert generation.reasoning == "Okay\nthe text\n\nsays"
    assert generation.reasoning_tokens == count(thinking, thought)
    assert generation.written_tokens == len(generation.output_ids) > generation.reasoning_tokens
    assert generation.raw.strip() == "Old Mill"


def test_the_answers_limit_counts_what_follows_the_reasoning(thinking):
    thought, said = "Okay the text says it was built first</think>", " Old Mill Old Mill Old Mill"
    generation = says(thinking, thought + said, think=64, answer=4)
    assert generation.finish == "length"
    assert generation.written_tokens - generation.reasoning_tokens == 4
    assert says(thinking, f"{thought} Old", think=64, answer=4).finish == "eos"


def test_endless_reasoning_is_cut_and_answers_nothing(thinking):
    generation = says(thinking, "Okay the text says\n" * 9, think=7, answer=4)
    assert (generation.final, generation.raw, generation.finish) == ("", "", "length")
    assert generation.reasoning_tokens == generation.written_tokens == 7
    assert generation.reasoning.startswith("Okay the text says")


def test_an_end_token_within_the_reasoning_ends_the_answer(thinking):
    generation = says(thinking, "Okay", think=64, answer=4)
    assert (generation.final, generation.finish, generation.reasoning) == ("", "eos", "Okay")


def test_reasoning_that_ends_with_its_budget_is_answered(thinking):
    thought = "Okay</think>"
    generation = says(thinking, f"{thought} Old Mill", think=count(thinking, thought), answer=16)
    assert (generation.final, generation.finish) == ("Old Mill", "eos")


def test_reasoning_that_the_model_opens_itself_is_kept_apart_too():
    tokenizer = byte_level(("<|im_start|>", "<|im_end|>", "<|end|>"), CHATML, added=("<think>", "</think>"))
    generation = says(tokenizer, " <think>\nOkay\n</think>\n\n Old Mill\nmore", think=64, answer=16)
    assert (generation.final, generation.finish, generation.reasoning) == ("Old Mill", "stop", "Okay")
    plain = says(tokenizer, " Old Mill\nmore", think=64, answer=16)
    assert (plain.final, plain.reasoning, plain.reasoning_tokens) == ("Old Mill", "", 0)
    assert says(tokenizer, " Old Mill Old Mill", think=64, answer=2).written_tokens == 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model that reasons over two lines and answers, and whose configuration names no end token."""
    path = tmp_path_factory.mktemp("models") / "thinker"
    tokenizer = thinking_tokenizer(as_tokens=True)
    texts = ["\n", "Okay", " the", " text", "\n\n", " says", "</think>", " Old", " Mill", "<|User|>"]
    chain = [tokenizer.encode(text, add_special_tokens=False) for text in texts]
    assert all(len(ids) == 1 for ids in chain)
    chain_model([ids[0] for ids in chain], len(tokenizer)).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return str(path)


CORPUS = Corpus(
    "own", "own", "all", 0, (Document("d", "Mill", "The Old Mill <|User|> was first.</think>"),),
    tuple(Question(f"q{number}", f"What was built{' first' * number}?") for number in range(3)),
    Source("own", "own", "0"),
)  # fmt: skip


@pytest.mark.parametrize("settings", [(), (("prefix", "plain"),)])
def test_cag_reasons_and_answers_as_full_context_does(folder, settings):
    model = replace(load_model(folder, chat=ChatSettings(think_tokens=8)), max_answer_tokens=4)
    given = {}
    for name in ("full-context", "cag"):
        spec = RunSpec(
            name, "own", "all", folder, "own", options=RunOptions.read(settings if name == "cag" else ()), batch=2
        )
        with find_system(name).make(Resources(spec, model)) as system:
            system.prepare(CORPUS)
            given[name] = [
                (a.text, a.reasoning, a.output_ids, a.tokens.reasoning, a.finish)
                for a in system.answer(CORPUS.questions)
            ]
    assert given["cag"] == given["full-context"]
    assert {(text, finish) for text, *_, finish in given["cag"]} == {("Old Mill", "eos")}
    assert {thought for _, thought, *_ in given["cag"]} == {"Okay the text\n\n says"}
    assert {tokens for *_, tokens, _ in given["cag"]} == {6}


def test_the_budget_counts_against_the_context(folder):
    model = replace(load_model(folder), max_answer_tokens=4)
    assert model.max_new_tokens == 1024 + 4
    short = replace(model, context_limit=1040)
    with pytest.raises(AnswerError, match="reasoning of 1024"):
        short.generate([Prompt((Passage("a", "b"),), "c")])
    assert replace(short, think_tokens=8).generate([Prompt((Passage("a", "b"),), "c")])[0].final == "Old Mill"


def test_what_is_recorded_names_end_tokens_marks_and_budget(folder):
    provenance = load_model(folder).provenance
    assert provenance["end_tokens"] == ["<|User|>"]
    assert (provenance["reasoning_marks"], provenance["reasoning_opened"]) == (["<think>"], "<think>")
    assert (provenance["think_tokens"], provenance["system_prompt"]) == (1024, None)


def test_notes_are_written_behind_the_reasoning(folder):
    writer = note_writer(load_model(folder, chat=ChatSettings(think_tokens=8)), 3)
    assert writer.contract.tail == "<|Assistant|><think>\n"
    [notes] = writer.generate([Prompt((Passage("a", "b"),), "c")])
    assert (notes.final, notes.reasoning_tokens) == ("Old Mill", 6)
