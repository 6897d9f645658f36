"""Gradients go back as many segments as the settings say, from each row's own end, and to the weights that train."""

from __future__ import annotations

import pytest
import torch
from rmt_models import IDENTITY, SEGMENT, base_model, rows_of, settings, words, wrapped

from rmtbench.rmt.storage import wrap
from rmtbench.rmt.walk import read_rows, walk
from rmtbench.training.optimizers import make_optimizers

COUNTS = (4, 1, 2)
"""Segments of three rows, read together."""


def marked_rows() -> list[list[list[int]]]:
    """Rows whose every segment is made of one token id that no other segment has."""
    ids = iter(range(1, 90))  # 0 is BERT's padding, which has no gradient
    return [[[next(ids)] * SEGMENT for _ in range(count)] for count in COUNTS]


def weighed(states: torch.Tensor) -> torch.Tensor:
    """A loss that a last norm does not hold constant, as it does a sum of squares; the same for each row."""
    generator = torch.Generator().manual_seed(5)
    return (states * torch.randn(states.shape[1:], generator=generator)).sum()


def reached(model, rows, *, recompute: bool = False) -> list[list[bool]]:
    """Whether each segment's token embedding has any gradient from what the row's memory is in the end."""
    weighed(read_rows(model, rows, recompute=recompute)).backward()
    gradient = model.base.get_input_embeddings().weight.grad
    return [[bool(gradient[segment[0]].abs().max() > 0) for segment in row] for row in rows]


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("name", ["gpt2", "llama", "bert"])
@pytest.mark.parametrize("depth", [None, 1, 2, 3])
def test_gradient_reaches_configured_segments_from_each_rows_end(name: str, depth: int | None, recompute: bool) -> None:
    got = reached(wrapped(name, backprop_segments=depth), marked_rows(), recompute=recompute)
    assert got == [[depth is None or count - number <= depth for number in range(count)] for count in COUNTS]


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("depth", [None, 1, 2])
def test_a_gradient_through_associations_ends_at_the_same_depth(depth: int | None, recompute: bool) -> None:
    model = wrapped("llama", backprop_segments=depth, update="associative")
    got = reached(model, marked_rows(), recompute=recompute)
    assert got == [[depth is None or count - number <= depth for number in range(count)] for count in COUNTS]


@pytest.mark.parametrize("update", ["overwrite", "gated", "latched", "associative"])
def test_first_memory_learns_only_from_uncut_rows(update: str) -> None:
    gradients = []
    for rows in (marked_rows(), marked_rows()[1:], marked_rows()[:1]):
        model = wrapped("llama", backprop_segments=2, update=update)
        weighed(read_rows(model, rows)).backward()
        gradients.append(model.memory.tokens.weight.grad)
    largest = float(gradients[0].abs().max())
    assert largest > 0
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-5, atol=1e-5 * largest)
    assert gradients[2] is None or not gradients[2].any()


def saved_bytes(model, rows, **options) -> int:
    """Bytes that a reading keeps for its gradient."""
    sizes: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        held = list(walk(model, rows, **options))
    assert held
    return sum(sizes.values())


def test_segments_beyond_the_last_ones_keep_nothing_for_gradient() -> None:
    model = wrapped("llama", backprop_segments=2)
    assert saved_bytes(model, rows_of((SEGMENT,) * 9)) == pytest.approx(
        saved_bytes(model, rows_of((SEGMENT,) * 3)), rel=0.01
    )
    assert saved_bytes(wrapped("llama"), rows_of((SEGMENT,) * 9)) > 3 * saved_bytes(model, rows_of((SEGMENT,) * 9))


@pytest.mark.parametrize(
    ("name", "update"),
    [("llama", "overwrite"), ("bert", "overwrite"), ("llama", "associative"), ("gpt2", "associative")],
)
def test_rereading_segments_saves_memory_not_gradients(name: str, update: str) -> None:
    rows, gradients = rows_of((SEGMENT,) * 6, (SEGMENT, 4)), []
    for recompute in (False, True):
        model = wrapped(name, update=update)
        weighed(read_rows(model, rows, recompute=recompute)).backward()
        gradients.append({key: weight.grad for key, weight in model.named_parameters() if weight.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for key, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][key], gradient, msg=key)
    kept, whole = (saved_bytes(wrapped(name, update=update), rows, recompute=again) for again in (True, False))
    assert kept < (0.4 if update == "associative" else 0.1) * whole


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert"])
@pytest.mark.parametrize("trained", ["memory", "lora", "layers", "all"])
def test_a_step_changes_the_weights_that_train_and_no_others(name: str, trained: str) -> None:
    model = wrapped(name, trained=trained, update="gated")
    before = {key: weight.detach().clone() for key, weight in model.named_parameters()}
    for _ in range(2):  # an adapter's first step cannot move its first half: the second half is zero
        for optimizer in make_optimizers(model, 0.01):
            optimizer.zero_grad()
            *_, last = walk(model, rows_of((SEGMENT, SEGMENT), (5,)))
            (weighed(last.read.cue) + weighed(last.read.memory)).backward()
            optimizer.step()
    changed = {key for key, weight in model.named_parameters() if not torch.equal(weight, before[key])}
    memory = {key for key in before if key.startswith("memory.")}
    adapters = {key for key in before if "lora_" in key}
    assert memory <= changed
    assert bool(adapters) == (trained == "lora")
    unused = {key for key in before if "pooler" in key or "lm_head" in key}  # no loss here depends on them
    tables = {key for key in before if "wte" in key or "embed_tokens" in key or "word_embeddings" in key}
    tables |= {key for key in before if "lm_head" in key}
    kinds = {"memory": memory, "lora": memory | adapters, "layers": set(before) - tables, "all": set(before)}
    expected = kinds[trained]
    assert changed - unused == expected - unused
    assert set(model.trained()) == expected


def test_memory_tokens_are_moved_as_a_table_and_not_as_a_matrix() -> None:
    optimizers = make_optimizers(wrapped("llama", trained="memory"), 0.01)
    assert [type(optimizer).__name__ for optimizer in optimizers] == ["AdamW"]


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert"])
def test_adapters_beside_a_memory_are_moved_by_adamw_alone(name: str) -> None:
    model = wrapped(name, trained="lora")
    [optimizer] = make_optimizers(model, 0.01)
    assert isinstance(optimizer, torch.optim.AdamW)
    moved = {id(weight) for group in optimizer.param_groups for weight in group["params"]}
    assert moved == {id(weight) for weight in model.trained().values()}


def test_a_gate_replaces_about_a_quarter_before_it_has_learned() -> None:
    model = wrapped("llama", update="gated")
    memory = model.initial_memory(1)
    new = model.read_segment(memory, [words(SEGMENT)]).memory
    candidate = (new - memory * (1 - torch.sigmoid(torch.tensor(-1.0)))) / torch.sigmoid(torch.tensor(-1.0))
    embeddings = model.base.get_input_embeddings().weight
    assert candidate.std().item() == pytest.approx(embeddings.std().item(), rel=0.05)


@pytest.mark.parametrize("update", ["gated", "latched"])
def test_latched_gate_can_close_gated_one_always_forgets(update: str) -> None:
    model = wrapped("llama", update=update)
    with torch.no_grad():
        model.memory.gate.bias.fill_(-5.0)
    memory = model.initial_memory(1)
    kept = read_rows(model, [[words(SEGMENT)] * 20])
    assert torch.equal(kept, memory) == (update == "latched")


def test_a_latched_gate_can_open_entirely() -> None:
    model = wrapped("llama", update="latched")
    assert model.memory.opened(torch.tensor([5.0, 0.0, -5.0])).tolist() == pytest.approx([1.0, 0.5, 0.0])
    assert float(model.memory.opened(torch.tensor(5.0))) == 1.0


def test_seed_decides_memory_and_spares_callers_randomness() -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    made = []
    for seed in (0, 0, 1):
        torch.manual_seed(1)
        made.append(wrapped("llama", trained="lora", seed=seed).trained())
        assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(made[0][key], made[1][key]) for key in made[0])
    assert any("lora_A" in key and not torch.equal(made[0][key], made[2][key]) for key in made[0])
    assert not torch.equal(made[0]["memory.tokens.weight"], made[2]["memory.tokens.weight"])


@pytest.mark.parametrize("update", ["overwrite", "gated", "latched"])
@pytest.mark.parametrize("trained", ["memory", "lora"])
def test_memory_is_float32_on_a_base_model_of_fewer_bits(update: str, trained: str) -> None:
    whole = wrapped("llama", update=update)
    half = wrap(base_model("llama").bfloat16(), settings("llama", update=update, trained=trained), IDENTITY)
    rows = rows_of((SEGMENT, SEGMENT), (5,))
    expected, memory = read_rows(whole, rows), read_rows(half, rows)
    assert memory.dtype == torch.float32
    assert (memory - expected).abs().mean() < 0.1 * expected.abs().mean()
    weighed(memory).backward()
    assert {weight.dtype for weight in half.memory.parameters()} == {torch.float32}
    answers = half.eval().generate(rows, lambda ids: None, 3)
    assert [len(answer.ids) for answer in answers] == [3, 3]
    with torch.autocast("cpu", torch.bfloat16):
        mixed = read_rows(whole, rows)
    assert mixed.dtype == torch.float32
    assert (mixed - expected).abs().mean() < 0.1 * expected.abs().mean()
