"""`rmtbench doctor`: what this machine has, and what is missing for which job."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from rmtbench.errors import UserError
from rmtbench.hub import hub_is_off


def doctor() -> None:
    """Check the machine: versions, device, embedder, smollm2, data folder, hub access, plugins that are broken."""
    from rmtbench.models.embed_files import MINILM, model_folder
    from rmtbench.models.load import choose_device
    from rmtbench.models.native.build import library
    from rmtbench.models.sources import PACKAGED, describe
    from rmtbench.runs.provenance import surroundings

    device = choose_device("auto")
    facts = surroundings(device)
    machine = facts["machine"]
    for name, version in facts["versions"].items():
        typer.echo(f"{name:22} {version}")
    typer.echo(
        f"{'machine':22} {machine['processor']}, {machine['cores']} cores, {machine['memory_bytes'] / 2**30:.0f} GiB"
    )
    typer.echo(f"{'device':22} {machine.get('accelerator', device)}, {facts['threads']} threads")
    steps = f"by torch: {code}" if isinstance(code := library(), str) else "compiled for this processor"
    typer.echo(f"{'decode steps on a CPU':22} {steps}")
    typer.echo(f"{'embedder minilm':22} {'ready' if (model_folder(MINILM) / 'modules.json').is_file() else 'missing'}")
    for name in PACKAGED:
        typer.echo(f"{'model ' + name:22} {describe(name)}")
    data = os.environ.get("RMTBENCH_DATA")
    found = (
        "not set: official squad, hotpotqa and triviaqa come from the hub or --data-dir; the mini profile makes its own"
    )
    if data:
        found = data if Path(data).expanduser().exists() else f"{data} does not exist"
    typer.echo(f"{'RMTBENCH_DATA':22} {found}")
    hub = "offline by HF_HUB_OFFLINE" if hub_is_off() else "asked when a model or data set is not local"
    typer.echo(f"{'hub':22} {hub}")
    for kind, name, error in broken_plugins():
        typer.echo(f"{f'{kind} {name}':22} broken: {error}; {error.remedy}")


def broken_plugins() -> list[tuple[str, str, UserError]]:
    """Every plugin that cannot be used: what it is, its name, and why."""
    from rmtbench.corpora.registry import broken_datasets
    from rmtbench.plugins import unreadable_packages
    from rmtbench.scoring.kinds import broken_metrics
    from rmtbench.systems.registry import working_systems

    found = {"system": working_systems()[1], "data set": broken_datasets(), "metric": broken_metrics()}
    found["package"] = unreadable_packages()
    return [(kind, name, error) for kind, broken in found.items() for name, error in broken.items()]
