"""Memory written by gradient: the steps are the formula's, and training goes back through them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rmt_models import IDENTITY, SEGMENT, base_model, close, rows_of, settings, words, wrapped

from rmtbench.errors import UserError
from rmtbench.options.memory import MemoryForm
from rmtbench.rmt.gradient import reconstruction, states_after, windows_of
from rmtbench.rmt.storage import from_pretrained, save_pretrained, wrap
from rmtbench.rmt.streaming import read_streams
from rmtbench.rmt.walk import read_rows

RATE = 5.0


def form(**changes) -> MemoryForm:
    return MemoryForm(**{"write": "gradient", "inner_steps": 2, "inner_rate": RATE, **changes})


def gradient(name: str = "gpt2", double: bool = False, **changes):
    """A decoder written by gradient, its attention one that can be differentiated twice."""
    base = base_model(name)
    base.set_attn_implementation("eager")
    model = wrap(base, settings(name, form=form(**changes)), IDENTITY).eval()
    return model.double() if double else model


def weighed(states: torch.Tensor) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return (states * torch.randn(states.shape[1:], generator=generator, dtype=states.dtype)).sum()


SEGMENTS = [words(7, 1), words(5, 2)]


def loss_of(model) -> torch.Tensor:
    """A loss of the memories of two segments."""
    return weighed(model.read_segment(model.initial_memory(2), SEGMENTS).memory)


def slopes(model) -> dict[str, torch.Tensor]:
    names = list(model.trained())
    found = torch.autograd.grad(loss_of(model), list(model.trained().values()), allow_unused=True)
    return {name: slope for name, slope in zip(names, found, strict=True) if slope is not None}


@pytest.mark.parametrize("changes", [{}, {"inner_steps": 1}, {"window_tokens": 3}, {"write_head": True}])
def test_the_second_order_equals_finite_differences(changes: dict) -> None:
    model = gradient(double=True, **changes)
    found = slopes(model)
    assert {"memory.tokens.weight", "memory.log_rates"} <= found.keys()
    assert ("memory.head.weight" in found) == ("write_head" in changes)
    generator, step = torch.Generator().manual_seed(3), 1e-5
    for name, weight in model.trained().items():
        if name not in found:
            continue
        way = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                weight.add_(way, alpha=sign * step)
            values.append(float(loss_of(model).detach()))
            with torch.no_grad():
                weight.sub_(way, alpha=sign * step)
        expected = (values[0] - values[1]) / (2 * step)
        assert float((found[name] * way).sum()) == pytest.approx(expected, rel=2e-5, abs=1e-6), name


def test_first_order_takes_the_inner_gradient_as_constant() -> None:
    model = gradient(double=True, first_order=True)
    found = slopes(model)
    windows, tokens = windows_of(SEGMENTS, None, torch.device("cpu")), model.initial_memory(2)
    for _ in range(2):
        leaf = tokens.detach().requires_grad_()
        [slope] = torch.autograd.grad(reconstruction(model, leaf, windows)[0].sum(), leaf)
        tokens = tokens - model.memory.log_rates.exp() * slope.detach()
    weights = [model.memory.tokens.weight, model.memory.log_rates]
    expected = torch.autograd.grad(weighed(tokens), weights)
    assert found.keys() == {"memory.tokens.weight", "memory.log_rates"}, "no weight of the base model"
    for name, slope in zip(("memory.tokens.weight", "memory.log_rates"), expected, strict=True):
        torch.testing.assert_close(found[name], slope)
    second = slopes(gradient(double=True))
    assert not torch.allclose(second["memory.tokens.weight"], found["memory.tokens.weight"], rtol=1e-3)


@pytest.mark.parametrize("name", ["gpt2", "llama", "mini"])
def test_a_step_descends_the_texts_own_loss(name: str) -> None:
    """The loss is the plain cross entropy of ``[memory | text]``, read whole."""
    model = gradient(name, inner_steps=1)
    start = model.initial_memory(1).detach().requires_grad_()
    ids = torch.tensor([SEGMENTS[0]])
    states = model.base.base_model(inputs_embeds=torch.cat([start, model.embed(ids)], dim=1)).last_hidden_state
    logits = model.logits(states[0, model.config.memory_tokens - 1 : -1])
    nats = torch.nn.functional.cross_entropy(logits, ids[0], reduction="sum")
    [slope] = torch.autograd.grad(nats, start)
    expected = start - RATE * model.memory.scale**2 * slope
    got = model.read_segment(model.initial_memory(1), [SEGMENTS[0]])
    close(got.memory, expected)
    close(got.text, states[:, model.config.memory_tokens :])
    close(got.cue, states[:, -1])
    assert not torch.allclose(got.memory, start, rtol=1e-3)


def nats_after(model, steps: int) -> float:
    written = model.with_form(replace(model.config.form, inner_steps=steps))
    with torch.no_grad():
        memory = written.read_segment(written.initial_memory(2), SEGMENTS).memory
        return float(reconstruction(model, memory, windows_of(SEGMENTS, None, model.device))[0].sum())


def test_more_steps_make_the_text_less_surprising() -> None:
    model = gradient(inner_rate=0.2)
    nats = [nats_after(model, steps) for steps in (1, 4, 16)]
    assert nats == sorted(nats, reverse=True)


@pytest.mark.parametrize("changes", [{}, {"window_tokens": 3}, {"memory": "accumulate"}, {"first_order": True}])
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_rows_read_together_are_those_read_alone(name: str, changes: dict) -> None:
    model, rows = gradient(name, **changes), rows_of((SEGMENT, 5), (4, SEGMENT), (7, 1))
    together = read_rows(model, rows)
    for row, memory in zip(rows, together, strict=True):
        close(memory, read_rows(model, [row])[0])


@pytest.mark.parametrize("changes", [{}, {"memory": "accumulate"}])
def test_in_use_the_memory_is_the_same_and_no_weight_moves(changes: dict) -> None:
    model, rows = gradient("llama", **changes), rows_of((SEGMENT, 5), (4, SEGMENT))
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    streamed = read_streams(model, rows)
    assert not streamed.requires_grad
    close(streamed, read_rows(model, rows).detach())
    with torch.no_grad():
        close(streamed, read_rows(model, rows))
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    assert all(weight.grad is None for weight in model.parameters())


def test_a_text_read_in_two_parts_is_the_text_read_at_once() -> None:
    model, [row] = gradient("llama"), rows_of((SEGMENT, 5, 3))
    half = read_streams(model, [row[:1]])
    close(read_streams(model, [row[1:]], half), read_streams(model, [row]))


def test_windows_are_foretold_each_by_itself() -> None:
    model = gradient("llama", window_tokens=3)
    tokens = model.initial_memory(2)
    windows = windows_of(SEGMENTS, 3, model.device)
    assert windows.lengths.tolist() == [3, 3, 1, 3, 2]
    assert windows.row_of.tolist() == [0, 0, 0, 1, 1]
    nats, _ = reconstruction(model, tokens, windows)
    for row, segment in enumerate(SEGMENTS):
        pieces = [segment[start : start + 3] for start in range(0, len(segment), 3)]
        alone = [reconstruction(model, tokens[:1], windows_of([piece], None, model.device))[0][0] for piece in pieces]
        close(nats[row], torch.stack(alone).sum())


def test_sequences_over_one_memory_equal_one_memory_each() -> None:
    model = gradient("gpt2")
    tokens, ids = torch.randn(2, 3, 32), torch.tensor([words(4, 1), words(4, 2), words(4, 3)])
    row_of = torch.tensor([1, 0, 1])
    before, states = states_after(model, tokens, ids, row_of)
    whole = model.base.base_model(inputs_embeds=torch.cat([tokens[row_of], model.embed(ids)], 1)).last_hidden_state
    close(before, whole[:, 2])
    close(states, whole[:, 3:])


def test_a_saved_and_loaded_memory_answers_alike(tmp_path: Path) -> None:
    model = gradient("llama", write_head=True, memory="accumulate", memory_last=2)
    with torch.no_grad():
        model.memory.log_rates.add_(0.3)
        model.memory.head.weight.mul_(1.1)
    save_pretrained(model, tmp_path)
    back = from_pretrained(tmp_path, base_model("llama"), IDENTITY).eval()
    assert back.config == model.config
    rows = rows_of((SEGMENT, 5, 4, 6), (4, SEGMENT, 3, 5))
    close(read_streams(back, [row[:-1] for row in rows]), read_streams(model, [row[:-1] for row in rows]))
    answers = [[row.ids for row in each.generate(rows, lambda _: None, 3)] for each in (model, back)]
    assert answers[0] == answers[1]


def test_a_row_keeps_its_gradient_beyond_other_rows_depth() -> None:
    model = gradient("gpt2")
    read_rows(model, rows_of((SEGMENT,) * 3, (4,)))[1].sum().backward()
    assert model.memory.tokens.weight.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("changes", "where", "what"),
    [
        ({"update": "latched"}, "update", "a memory written by gradient has no gate"),
        ({"kind": "encoder", "special_ids": (95, 96)}, "kind", "an encoder's memory is constant and written forward"),
    ],
)
def test_what_cannot_be_written_by_gradient_is_refused(changes: dict, where: str, what: str) -> None:
    with pytest.raises(UserError) as caught:
        settings("llama", form=form(), **changes)
    assert (caught.value.where, caught.value.what) == (where, what)


@pytest.mark.parametrize("name", ["inner_steps", "inner_rate", "first_order", "write_head", "window_tokens"])
def test_a_setting_of_gradient_steps_means_nothing_without_them(name: str) -> None:
    with pytest.raises(UserError, match="means nothing without --write gradient") as caught:
        MemoryForm(**{name: 5})
    assert caught.value.where == f"--set {name.replace('_', '-')}"


def test_files_of_a_usual_memory_do_not_name_its_form() -> None:
    assert "form" not in wrapped("llama").config.described()
    assert gradient("llama").config.described()["form"] == {"write": "gradient", "inner_rate": RATE}
