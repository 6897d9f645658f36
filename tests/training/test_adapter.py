"""A reading adapter: questions that share a context are read as if each were alone, and only the adapter changes."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from rmtbench.corpora.rows import HotpotRow, SquadArticle, SquadParagraph, SquadQuestion
from rmtbench.errors import UserError
from rmtbench.models.adapters import find_adapter, merge_adapter
from rmtbench.models.load import load_tokenizer
from rmtbench.models.prompt import PromptContract, make_contract
from rmtbench.options.training import AdapterTraining
from rmtbench.training.adapter import ReadWithAdapter, read
from rmtbench.training.adapter_recipe import make, recipe
from rmtbench.training.base import Recipe, Stage
from rmtbench.training.loop import train
from rmtbench.training.packed_attention import NAME
from rmtbench.training.packing import line_up
from rmtbench.training.real_reading import UNKNOWN, Packed, PackPlan, Rows

PLACES = ("Arden", "Belvoir", "Corley", "Dunmow", "Esk", "Farne")


def article(title: str, number: int) -> SquadArticle:
    paragraphs = [
        SquadParagraph(
            f"{title} house {place} was built by {title.lower()} {place.lower()}son in {1500 + 10 * number + year}.",
            (
                SquadQuestion(
                    f"{title}-{place}",
                    f"Who built {title} house {place}?",
                    ((f"{title.lower()} {place.lower()}son", 0),),
                ),
            ),
        )
        for year, place in enumerate(PLACES)
    ]
    return SquadArticle(title, tuple(paragraphs))


HOTPOT = HotpotRow(
    "h1",
    "Which river passes the town of Ann Lee?",
    "Severn",
    "bridge",
    (
        ("Ann Lee", ("Ann Lee lives in Dore.",)),
        ("Dore", ("The river Severn passes Dore.",)),
        ("Elm", ("Elm is a tree.",)),
    ),
    (("Ann Lee", 0), ("Dore", 0)),
)


def plan(rank: int, skip: float, *, mixed: bool = False) -> AdapterTraining:
    return AdapterTraining(out=Path(), squad=(), rank=rank, skip=skip, mixed_precision=mixed)


@pytest.fixture(scope="module")
def contract() -> PromptContract:
    return make_contract(load_tokenizer("mini"), "direct")


@pytest.fixture(scope="module")
def rows(contract: PromptContract) -> Rows:
    return Rows(contract, [article(title, number) for number, title in enumerate(("North", "South", "West"))], [HOTPOT])


def tiny_model(contract: PromptContract, layers: int = 3) -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(contract.tokenizer),
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=layers,
            num_attention_heads=4,
            num_key_value_heads=2,
            tie_word_embeddings=True,
        )
    )


def stages(tokens: int = 300, steps: int = 4) -> Recipe:
    settings = {"tokens": tokens, "context": 150, "shortest": 0.4, "questions": 4}
    return Recipe("test", (Stage("only", steps, settings),), 3e-3, seed=1)


def alone(model: LlamaForCausalLM, context: Sequence[int], rest: Sequence[int]) -> torch.Tensor:
    return model.model(torch.tensor([[*context, *rest]])).last_hidden_state[0]


def test_packed_questions_read_as_each_alone(contract: PromptContract, rows: Rows) -> None:
    model = tiny_model(contract).eval()
    plain = tiny_model(contract).eval()
    model.set_attn_implementation(NAME)
    packs = [rows.pack(PackPlan(200, 4, unknown=0.3, empty=0), random.Random(seed)) for seed in (1, 2)]
    packs.append(Packed(packs[0].context, (), ()))
    with torch.no_grad():
        hidden = read(model, line_up(packs, "cpu"))
        place = 0
        for pack in packs:
            assert torch.allclose(hidden[place : place + len(pack.context)], alone(plain, pack.context, ()), atol=1e-5)
            place += len(pack.context)
            for question, answer in pack.questions:
                length = len(question) + len(answer)
                expected = alone(plain, pack.context, [*question, *answer])[len(pack.context) :]
                assert torch.allclose(hidden[place : place + length], expected, atol=1e-5)
                place += length
        assert place == hidden.shape[0]


@pytest.mark.parametrize("block", [16, 512])
def test_packed_gradient_is_that_of_each_question_alone(
    contract: PromptContract, rows: Rows, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr("rmtbench.training.packing.BLOCK", block)
    packs = [rows.pack(PackPlan(200, 4, unknown=0.3, empty=0), random.Random(seed)) for seed in (1, 2)]
    packed, plain = tiny_model(contract), tiny_model(contract)
    packed.set_attn_implementation(NAME)
    hidden = read(packed, line_up(packs, "cpu"))
    place, loss = 0, torch.zeros(())
    for pack in packs:
        place += len(pack.context)
        for question, answer in pack.questions:
            alike = alone(plain, pack.context, [*question, *answer])[len(pack.context) :]
            weights = torch.randn(alike.shape, generator=torch.Generator().manual_seed(place))
            (hidden[place : place + len(alike)] * weights).sum().backward(retain_graph=True)
            loss = loss + (alike * weights).sum()
            place += len(alike)
    loss.backward()
    for one, other in zip(packed.parameters(), plain.parameters(), strict=True):
        if other.grad is not None:  # the head is not used
            assert one.grad is not None
            assert torch.allclose(one.grad, other.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("threshold", [10_000, 1])
def test_no_gradient_goes_through_the_frozen_layers(
    contract: PromptContract, rows: Rows, monkeypatch: pytest.MonkeyPatch, threshold: int
) -> None:
    monkeypatch.setattr("rmtbench.training.adapter.CHECKPOINT_ABOVE", threshold)
    objective = ReadWithAdapter(tiny_model(contract), rows, plan(2, 0.34), {})
    needed: list[bool] = []
    for layer in objective.base.model.layers[:2]:
        layer.register_forward_hook(lambda _module, _inputs, output: needed.append(output.requires_grad))
    objective.loss(objective.sample(stages().stages[0], random.Random(2)))
    assert needed == [False, True]


def test_the_learnt_tokens_are_the_answers(rows: Rows) -> None:
    pack = rows.pack(PackPlan(200, 4, empty=0), random.Random(3))
    batch = line_up([pack], "cpu")
    assert batch.expected.tolist() == [token for _, answer in pack.questions for token in answer]
    assert batch.ids[0, batch.predicts + 1].tolist() == batch.expected.tolist()
    assert all(answer[-1] == rows.contract.tokenizer.eos_token_id for _, answer in pack.questions)


def test_a_layer_computed_again_gives_the_same_gradient(
    contract: PromptContract, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    gradients = []
    for threshold in (10_000, 1):
        monkeypatch.setattr("rmtbench.training.adapter.CHECKPOINT_ABOVE", threshold)
        torch.manual_seed(5)
        objective = ReadWithAdapter(tiny_model(contract), rows, plan(2, 0.3), {})
        loss, _, _ = objective.loss(objective.sample(stages().stages[0], random.Random(2)))
        loss.backward()
        gradients.append([each.grad.clone() for each in objective.module.parameters() if each.grad is not None])
    assert len(gradients[0]) == len(gradients[1]) > 0
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(*gradients, strict=True))


def test_unknown_answers_are_not_in_the_documents(rows: Rows) -> None:
    found = 0
    for seed in range(30):
        pack = rows.pack(PackPlan(120, 4, unknown=0.5, empty=0), random.Random(seed))
        text = rows.contract.tokenizer.decode(pack.context)
        for (question, answer), kind in zip(pack.questions, pack.kinds, strict=True):
            written = rows.contract.tokenizer.decode(answer[:-1]).strip()
            if kind == "unknown":
                found += 1
                assert written == UNKNOWN
                asked = rows.contract.tokenizer.decode(question)
                built = next(each for each in PLACES if f"house {each}?" in asked)
                title = next(each for each in ("North", "South", "West") if each in asked)
                assert f"{title.lower()} {built.lower()}son" not in text
            elif kind == "span":
                assert written in text
    assert found > 20


def test_contexts_keep_to_their_budget_and_repeat(rows: Rows) -> None:
    for seed in range(20):
        plan = PackPlan(150, 3, two_passages=0.5)
        pack = rows.pack(plan, random.Random(seed))
        assert pack == rows.pack(plan, random.Random(seed))
        assert len(pack.context) <= 150 + len(rows.contract.context_ids([])) + 60, "one paragraph may be over"
        assert len([kind for kind in pack.kinds if kind != "unknown"]) <= 3


def test_a_context_without_documents_makes_every_answer_unknown(rows: Rows) -> None:
    pack = rows.pack(PackPlan(150, 3, empty=1.0), random.Random(0))
    assert set(pack.kinds) == {"unknown"}
    assert list(pack.context) == rows.contract.context_ids([])


def test_two_passage_rows_bring_all_supporting_paragraphs(rows: Rows) -> None:
    pack = rows.pack(PackPlan(80, 3, unknown=0, empty=0, two_passages=1.0), random.Random(0))
    text = rows.contract.tokenizer.decode(pack.context)
    assert "Ann Lee lives in Dore." in text
    assert "Severn passes Dore." in text
    assert pack.kinds == ["bridge"]


def test_training_changes_the_adapter_only_and_lowers_the_loss(contract: PromptContract, rows: Rows) -> None:
    objective = ReadWithAdapter(tiny_model(contract), rows, plan(4, 0.34), {})
    before = {name: tensor.clone() for name, tensor in objective.base.state_dict().items() if "lora" not in name}
    optimizer = torch.optim.AdamW(objective.module.parameters(), lr=1e-2)
    batch = objective.sample(stages().stages[0], random.Random(0))
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        loss, figures, tokens = objective.loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.2, "8.59 to 8.29 when this was written"
    assert tokens == batch.ids.shape[1]
    assert figures["questions"] == len(batch.kinds)
    after = objective.base.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    adapted = {int(name.split("layers.")[1].split(".")[0]) for name in after if "lora_A" in name}
    assert adapted == {1, 2}, "the first third of the layers stays as it is"


def test_mixed_precision_keeps_adapter_in_float32_and_gradient(contract: PromptContract, rows: Rows) -> None:
    gradients = []
    for mixed in (False, True):
        torch.manual_seed(5)
        objective = ReadWithAdapter(tiny_model(contract), rows, plan(2, 0.0, mixed=mixed), {})
        objective.loss(objective.sample(stages().stages[0], random.Random(2)))[0].backward()  # type: ignore[no-untyped-call]
        assert {each.dtype for each in objective.module.parameters()} == {torch.float32}
        gradients.append(
            torch.cat([each.grad.flatten() for each in objective.module.parameters() if each.grad is not None])
        )
    assert torch.cosine_similarity(*gradients, dim=0) > 0.99
    assert not torch.equal(*gradients)


def test_contexts_are_as_long_as_the_stage_draws_them(rows: Rows) -> None:
    def mean_length(shortest: float) -> float:
        plan = PackPlan(600, 3, unknown=0, empty=0, two_passages=0, shortest=shortest)
        return sum(len(rows.pack(plan, random.Random(seed)).context) for seed in range(40)) / 40

    assert mean_length(0.05) < 0.75 * mean_length(1.0)


def test_a_resumed_training_ends_in_the_same_adapter(contract: PromptContract, rows: Rows, tmp_path: Path) -> None:
    def run(out: Path, stop_at: int | None) -> None:
        torch.manual_seed(3)
        objective = ReadWithAdapter(tiny_model(contract), rows, plan(2, 0.0), {"base": "tiny"})

        def report(progress: object) -> None:
            if getattr(progress, "step", None) == stop_at:
                raise KeyboardInterrupt

        train(objective, stages(), out, report)

    run(tmp_path / "whole", None)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", 2)
    run(tmp_path / "parts", None)
    name = "model/adapter_model.safetensors"
    assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()


def test_the_exported_adapter_merges_into_its_base(contract: PromptContract, rows: Rows, tmp_path: Path) -> None:
    objective = ReadWithAdapter(tiny_model(contract), rows, plan(2, 0.0), {"base": "tiny"})
    for each in objective.module.parameters():
        torch.nn.init.normal_(each, std=0.05)
    tmp_path.joinpath("adapter").mkdir()
    objective.export(tmp_path / "adapter")
    adapter = find_adapter(str(tmp_path / "adapter"))
    assert adapter.card["base"] == "tiny"
    merged = merge_adapter(tiny_model(contract).eval(), adapter)
    ids = torch.tensor([[1, 5, 9, 30]])
    objective.base.set_attn_implementation("sdpa")
    with torch.no_grad():
        trained = objective.base(ids).logits
        assert torch.allclose(merged(ids).logits, trained, atol=0.02), "the adapter is stored in bfloat16"
        assert not torch.allclose(tiny_model(contract)(ids).logits, trained, atol=0.02)


def test_the_recipe_reads_the_tokens_that_were_asked_for() -> None:
    made = recipe(400_000, 6e-4, 0, "rows")
    assert [stage.name for stage in made.stages] == ["paragraphs", "pages", "2k", "4k", "8k", "all lengths"]
    assert made.identity != recipe(400_000, 6e-4, 0, "other rows").identity
    assert 150 < made.steps < 300


def test_training_further_needs_no_curriculum() -> None:
    assert [stage.name for stage in recipe(400_000, 4e-4, 0, "rows", further=True).stages] == ["all lengths"]


def test_lengths_even_by_their_logarithm_are_often_short() -> None:
    chance = random.Random(0)
    drawn = [PackPlan(1000, 3, shortest=0.01, even_by="log").budget(chance) for _ in range(400)]
    assert 10 <= min(drawn) < 12
    assert 900 < max(drawn) <= 1000
    assert 0.45 < sum(each < 100 for each in drawn) / 400 < 0.55


def test_a_training_further_begins_where_the_first_ended(contract: PromptContract, rows: Rows, tmp_path: Path) -> None:
    first = ReadWithAdapter(tiny_model(contract), rows, plan(2, 0.0), {"base": "tiny"})
    for each in first.module.parameters():
        torch.nn.init.normal_(each, std=0.05)
    tmp_path.joinpath("adapter").mkdir()
    first.export(tmp_path / "adapter")
    start = find_adapter(str(tmp_path / "adapter"), "--start")
    second = ReadWithAdapter(tiny_model(contract), rows, plan(2, 0.0), {}, start)
    pairs = zip(first.module.parameters(), second.module.parameters(), strict=True)
    assert all(torch.equal(one.to(torch.bfloat16), other.to(torch.bfloat16)) for one, other in pairs)
    with pytest.raises(UserError, match="r is 2 there and 3 here"):
        ReadWithAdapter(tiny_model(contract), rows, plan(3, 0.0), {}, start)


def test_a_step_always_asks_something(contract: PromptContract) -> None:
    silent = [SquadArticle(f"silent {number}", (SquadParagraph("Nobody asks.", ()),)) for number in range(9)]
    rows = Rows(contract, [article("North", 0), *silent])
    objective = ReadWithAdapter(tiny_model(contract), rows, plan(2, 0.0), {})
    stage = Stage("short", 1, {"tokens": 5, "context": 20, "questions": 2, "shortest": 0.5})
    assert all(objective.sample(stage, random.Random(seed)).kinds for seed in range(30))


@pytest.mark.parametrize(
    ("squad", "base", "what", "where"),
    [
        ({"data": [{"title": "A", "paragraphs": []}]}, "mini", "no question has an answer", "--squad"),
        ({"data": []}, "random:tiny-gpt2", "has no q_proj", "--base"),
        ({"data": []}, "random:tiny", "without an end token", "--base"),
    ],
)
def test_what_cannot_be_learnt_is_refused_before_training(
    squad: object, base: str, what: str, where: str, tmp_path: Path
) -> None:
    if base == "random:tiny-gpt2":
        base = str(gpt2_folder(tmp_path / "gpt2"))
    file = tmp_path / "squad.json"
    file.write_text(json.dumps(squad))
    with pytest.raises(UserError, match=what) as caught:
        make(AdapterTraining(out=tmp_path / "out", squad=(file,), base=base))
    assert caught.value.where.startswith(where)


def gpt2_folder(folder: Path) -> Path:
    torch.manual_seed(0)
    tokenizer = load_tokenizer("mini")
    GPT2LMHeadModel(
        GPT2Config(vocab_size=len(tokenizer), n_positions=64, n_embd=16, n_layer=1, n_head=2)
    ).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
