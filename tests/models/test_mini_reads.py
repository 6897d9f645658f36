"""The shipped mini model answers from what it reads: without the text it fails, and other facts give other answers."""

import random

import pytest

from rmtbench.bench.reading import WITHOUT, run
from rmtbench.corpora.miniature.asking import ask_single
from rmtbench.corpora.miniature.styles import plan_world, tell
from rmtbench.corpora.miniature.words import inventory
from rmtbench.corpora.miniature.world import World, make_world
from rmtbench.models.base import Passage, Prompt
from rmtbench.models.load import SHIPPED, load_model
from rmtbench.models.local import LocalModel

SUBJECTS = {"town": ("product", "founded"), "person": ("pet", "job"), "company": ("sells", "opened")}


@pytest.fixture(scope="module")
def mini() -> LocalModel:
    return load_model("mini", style="bridge")


def test_the_shipped_models_weigh_at_most_12_mb_together() -> None:
    files = [file for folder in SHIPPED.values() for file in folder.rglob("*.safetensors")]
    assert len(files) == len(SHIPPED)
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

    assert share("smoke", "single", "bridge") >= 0.8
    assert share(WITHOUT, "single", "bridge") <= 0.05


def test_two_facts_that_change_places_in_the_text_change_places_in_the_answers(mini: LocalModel) -> None:
    chance = random.Random("swapped facts")
    world = make_world(plan_world("hotpotqa", [10], inventory()), chance)
    first, second = _two_of_a_kind(world)
    relation = next(name for name in SUBJECTS[first.kind] if name in world.facts[first.id])
    one, other = world.facts[first.id][relation], world.facts[second.id][relation]
    asked = [ask_single(fact, chance).text for fact in (one, other)]
    passages = tuple(Passage(page.title, page.text) for page in tell("hotpotqa", world, chance))

    def swapped(passage: Passage) -> Passage:
        exchange = {first.name: (one.text, other.text), second.name: (other.text, one.text)}
        old, new = exchange.get(passage.title, ("", ""))
        return Passage(passage.title, passage.text.replace(old, new) if old else passage.text)

    before = [mini.generate([Prompt(passages, text)])[0].final for text in asked]
    after = [mini.generate([Prompt(tuple(map(swapped, passages)), text)])[0].final for text in asked]
    assert before == [one.text, other.text]
    assert after == [other.text, one.text]


def _two_of_a_kind(world: World):
    """Two entities of one kind that have the same relation with different values."""
    for kind, relations in SUBJECTS.items():
        for relation in relations:
            having = [entity for entity in world.entities if entity.kind == kind and relation in world.facts[entity.id]]
            values = {world.facts[entity.id][relation].text: entity for entity in having}
            if len(values) > 1 and relation == next(n for n in relations if n in world.facts[having[0].id]):
                return list(values.values())[:2]
    raise AssertionError("the world holds no such pair")
