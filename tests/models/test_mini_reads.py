"""The shipped mini model answers from what it reads: without the text it fails, and other facts give other answers."""

import random

import pytest

from experiments.benches.reading import WITHOUT, run
from rmtbench.corpora.miniature.asking import ask_single
from rmtbench.corpora.miniature.styles import plan_world, tell
from rmtbench.corpora.miniature.words import inventory
from rmtbench.corpora.miniature.world import Fact, World, make_world
from rmtbench.models.base import Passage, Prompt
from rmtbench.models.load import load_model
from rmtbench.models.local import LocalModel
from rmtbench.models.sources import SHIPPED
from rmtbench.runs.memories import SHIPPED as SHIPPED_MEMORIES


@pytest.fixture(scope="module")
def mini() -> LocalModel:
    return load_model("mini", style="bridge")


def test_shipped_models_and_memories_take_at_most_12_mb() -> None:
    folders = [*SHIPPED.values(), *SHIPPED_MEMORIES.iterdir()]
    files = [file for folder in folders for file in folder.rglob("*.safetensors")]
    assert len(files) == len(folders)
    assert sum(file.stat().st_size for file in files) <= 12_000_000


def test_it_is_an_ordinary_llama_and_so_is_its_tokenizer(mini: LocalModel) -> None:
    assert type(mini.model).__name__ == "LlamaForCausalLM"
    assert mini.provenance["id"] == "mini"
    ids = mini.token_ids("naïve 東京 🚀")
    assert mini.contract.tokenizer.decode(ids) == " naïve 東京 🚀"


def test_with_the_text_it_answers_and_without_it_does_not() -> None:
    rows = run(model="mini", sizes=["smoke", WITHOUT], styles=["hotpotqa", "squad"], draws=3, questions=8)["rows"]

    def share(size: str, *kinds: str) -> float:
        chosen = [row for row in rows if row["size"] == size and row["kind"] in kinds]
        return sum(row["em"] * row["questions"] for row in chosen) / sum(row["questions"] for row in chosen)

    assert share("smoke", "single", "bridge") >= 0.75
    assert share("smoke", "comparison", "yes/no") >= 0.8
    assert share(WITHOUT, "single", "bridge") <= 0.05


def test_exchanged_facts_exchange_their_answers(mini: LocalModel) -> None:
    """Asked of those pairs that it answers as they stand: it does not answer all."""
    right = exchanged = 0
    for seed in range(16):
        chance = random.Random(f"swapped facts {seed}")
        world = make_world(plan_world("hotpotqa", [8], inventory()), chance)
        pair = _two_of_a_kind(world)
        if pair is None:
            continue
        asked = [ask_single(fact, chance).text for fact in pair]
        passages = [Passage(page.title, page.text) for page in tell("hotpotqa", world, chance)]
        answers = [fact.text for fact in pair]
        if _answers(mini, passages, asked) == answers:
            right += 1
            exchanged += _answers(mini, [_exchanged(passage, pair) for passage in passages], asked) == answers[::-1]
    assert right >= 4
    assert exchanged >= 0.75 * right


def _answers(model: LocalModel, passages: list[Passage], asked: list[str]) -> list[str]:
    return [one.final for one in model.generate([Prompt(tuple(passages), text) for text in asked])]


def _exchanged(passage: Passage, pair: list[Fact]) -> Passage:
    """The passage about either subject, with the other's object in its place."""
    for fact, other in (pair, pair[::-1]):
        if passage.title == fact.subject.name:
            return Passage(passage.title, passage.text.replace(fact.text, other.text))
    return passage


def _two_of_a_kind(world: World) -> list[Fact] | None:
    """Two facts of one relation whose subjects and objects differ; None where the world holds none."""
    for name in ("product", "pet", "sells", "job", "founded", "opened"):
        facts = {told[name].text: told[name] for told in world.facts.values() if name in told}
        if len(facts) > 1:
            return list(facts.values())[:2]
    return None
