"""Which runs of a request are still to do: by their answers on disk, and by the model that made them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rmtbench.core import RunSpec
from rmtbench.errors import UserError
from rmtbench.journal.layout import RunFolder, run_id
from rmtbench.journal.lines import read_numbered
from rmtbench.journal.writer import finished_run
from rmtbench.models.embed_files import embedder_files_hash
from rmtbench.models.endpoint.address import is_endpoint
from rmtbench.models.identity import identity_here
from rmtbench.options import flag


def unfinished(
    specs: Sequence[RunSpec], results: Path, *, fresh: bool = False, draws: Sequence[int] | None = None
) -> list[RunSpec]:
    """Return the runs that are not complete on disk.

    A run that was begun is compared with the model and embedder that are on this machine now, by the hashes of their
    files. Models that are not here, and runs that recorded no identity, are not compared.

    Args:
        specs: The runs; they share their model, tokenizer and seed.
        results: Folder of all runs.
        fresh: Whether every run is done again.
        draws: The draws that are asked for; None for all.

    Raises:
        UserError: A run was begun with another model or embedder of the same name, is damaged, or would lose draws that
            are not asked for.
    """
    if fresh:
        for spec in specs:
            _refuse_losses(RunFolder(results / run_id(spec)), draws)
        return list(specs)
    begun = [spec for spec in specs if RunFolder(results / run_id(spec)).spec.exists()]
    parts = _parts(begun[0]) if begun else {}
    embedders = {spec.embedder for spec in begun if spec.embedder is not None}
    hashes = {name: None if is_endpoint(name) else embedder_files_hash(name) for name in embedders}
    return [spec for spec in specs if not finished_run(results, spec, parts, hashes.get(spec.embedder or ""), draws)]


def _refuse_losses(folder: RunFolder, draws: Sequence[int] | None) -> None:
    if draws is None or not folder.corpora.exists():
        return
    others = sorted({row["draw"] for _, row in read_numbered(folder.corpora)} - set(draws))
    if others:
        raise UserError(
            f"the run has draws that are not of this shard, such as draw {others[0]}, and {flag.fresh} would lose them",
            where=str(folder.path),
            remedy=f"remove that folder to begin all shards again, or give each shard a folder with {flag.results}",
        )


def _parts(spec: RunSpec) -> Mapping[str, str]:
    if is_endpoint(spec.model):
        return {}
    found = identity_here(spec.model, spec.adapter, spec.tokenizer, spec.seed, spec.options.weights)
    return found.parts if found is not None else {}
