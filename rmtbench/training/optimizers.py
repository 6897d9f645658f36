"""Which optimizer moves which parameter, and how fast: Muon for hidden matrices, AdamW for all else."""

from __future__ import annotations

import torch

from rmtbench.training.base import Recipe


def make_optimizers(module: torch.nn.Module, learning_rate: float) -> list[torch.optim.Optimizer]:
    """Share the trainable parameters between Muon and AdamW, so that one learning rate serves both.

    Muon (Jordan et al., 2024) takes the matrices, its update scaled to AdamW's root mean square as in "Muon is
    Scalable for LLM Training" (Liu et al., arXiv:2502.16982). Embeddings, with any head tied to one, are tables of
    rows rather than maps between spaces, and go to AdamW with vectors and scalars. So does all of a module that says
    `by_adamw`, such as a head: Muon's steps are of full size along every direction, however weak its gradient.

    Args:
        module: Holds the parameters; frozen ones are left out.
        learning_rate: The rate until another one is set.

    Returns:
        One or two optimizers, the same for the same module.

    Raises:
        ValueError: Nothing is trainable.
    """
    # By identity: a head tied to an embedding is the same parameter.
    tables = {
        id(parameter)
        for child in module.modules()
        if isinstance(child, torch.nn.Embedding) or getattr(child, "by_adamw", False)
        for parameter in child.parameters()
    }
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trainable if parameter.ndim == 2 and id(parameter) not in tables]
    taken = {id(parameter) for parameter in matrices}
    others = [parameter for parameter in trainable if id(parameter) not in taken]
    optimizers: list[torch.optim.Optimizer] = []
    if matrices:
        optimizers.append(
            torch.optim.Muon(
                matrices, lr=learning_rate, momentum=0.95, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"
            )
        )
    if others:
        optimizers.append(torch.optim.AdamW(others, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.0))
    if not optimizers:
        raise ValueError("no parameter is trainable")
    return optimizers


def adapter_factors(model: torch.nn.Module) -> torch.nn.ModuleList:
    """Return the low-rank factors of a model's adapter, and have AdamW move them.

    Muon's steps are of full size in every direction, which is too much for factors of a few rows or columns.

    Args:
        model: Has an adapter of peft.
    """
    factors = torch.nn.ModuleList(
        each for name, each in model.named_modules() if name.endswith(("lora_A.default", "lora_B.default"))
    )
    for each in factors:
        each.by_adamw = True  # type: ignore[assignment]
    return factors


def rate_at(recipe: Recipe, step: int) -> float:
    """The learning rate of a step: a linear rise, a plateau, a linear fall, and another one where steps settle.

    Args:
        recipe: Says how high, and when it rises and falls.
        step: Steps done before it, from 0; the rate is at its floor when those that settle begin.

    Returns:
        The rate, above 0 at every step of the recipe.
    """
    rise = min(1.0, (step + 1) / recipe.warmup_steps) if recipe.warmup_steps else 1.0
    end = recipe.steps - recipe.settle_steps
    start = recipe.decay_from * end
    fallen = min(1.0, (step - start) / (end - start)) if step > start else 0.0
    settled = max(0, step - end) / max(1, recipe.settle_steps)
    return recipe.learning_rate * rise * (1.0 - (1.0 - recipe.floor) * fallen) * (1.0 - settled)
