"""A sweep: many requests from one YAML file, all of them checked before the first one runs.

An entry of the file holds options of `rmtbench run`; lists of data sets, sizes and models multiply out, in order.
"""

from __future__ import annotations

import os
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rmtbench.corpora.open import has_official_files, is_folder, open_dataset
from rmtbench.corpora.registry import known_datasets
from rmtbench.errors import UserError, first_line, nearest
from rmtbench.options import flag
from rmtbench.options.check import as_keys
from rmtbench.options.declare import options_of
from rmtbench.options.engine import Engine
from rmtbench.options.request import Request, all_options, renamed
from rmtbench.options.sweeping import Sweeping
from rmtbench.runs.plan import named_systems
from rmtbench.spec import make_request, profile_defaults
from rmtbench.systems.registry import find_system

OPTIONS = {option.key: option for field, option in all_options().items() if field not in options_of(Engine)}
"""Keys of an entry: the options of `rmtbench run`, but for the profile, places and engine, which are the sweep's."""

FLAGS = frozenset(options_of(Sweeping))
"""Fields that `rmtbench sweep` takes as flags, too."""
COMMANDS = FLAGS - OPTIONS.keys()
"""Those that no entry may have."""

MULTIPLIED = tuple(key for key, option in OPTIONS.items() if option.multiplies)
LISTS = tuple(key for key, option in OPTIONS.items() if option.item_type is not None)
TRUTHS = tuple(key for key, option in OPTIONS.items() if option.on_off or option.type is bool)


@dataclass(frozen=True, slots=True)
class SweepRequest:
    """One request, and the entry of the file that it came from."""

    where: str
    request: Request

    @property
    def place(self) -> str:
        """The entry's place in the file, such as ``line 12``."""
        return self.where.rpartition(", ")[2]


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a file asks for, in the file's order; no request stands twice.

    `renamed` holds keys of the file that have another name today, with that name.
    """

    name: str
    description: str
    requests: tuple[SweepRequest, ...]
    renamed: Mapping[str, str]


class _File(BaseModel):
    """The outermost keys; what an entry holds is checked as a request."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str = ""
    profile: str = "mini"
    description: str = ""
    runs: Annotated[list[dict[str, Any]], Field(min_length=1)]


class _Loader(yaml.SafeLoader):
    """YAML in which nothing is silently lost or changed: no key stands twice, and ``010`` and ``1:30`` are texts.

    YAML 1.1 takes these for 8 and 90. An option that takes a number reads 10 of the first, and refuses the second.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set[str]()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"key '{name}' stands twice", problem_mark=key.start_mark
                )
            seen.add(name)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in pairs if tag.rpartition(":")[2] not in ("int", "timestamp")]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile("[-+]?(?:0|[1-9][0-9_]*)$"), list("-+0123456789"))


def read_sweep(
    path: Path,
    data_dir: Path | None = None,
    profile: str | None = None,
    rmt: Path | None = None,
    shard: str | None = None,
) -> Sweep:
    """Read a file and make every request of it; opens no official data and loads no model.

    Args:
        path: The YAML file.
        data_dir: Official files, in place of any that the file names.
        profile: In place of the file's.
        rmt: A trained memory, in place of any that the file names.
        shard: The part of every run's draws, in place of any that the file names.

    Raises:
        UserError: The file is missing or not YAML, or a key, value, system or data set in it does not exist: which
            entry, in which line, and what would be right. Or no entry uses one of the places.
    """
    content, lines = _load(path)
    try:
        file = _File.model_validate(content)
    except ValidationError as error:
        raise _in_words(error, path, lines) from error
    try:
        profile_defaults(profile or file.profile)
    except UserError as error:
        where = flag.profile if profile else f"{path}, profile"
        raise UserError(error.what, where=where, remedy=error.remedy) from error
    places = {"data_dir": data_dir, "rmt": rmt, "shard": shard}
    requests: dict[Request, str] = {}
    for number, entry in enumerate(file.runs):
        where = _entry_place(path, number, lines)
        for request in _requests(profile or file.profile, entry, places, where):
            requests.setdefault(request, where)
    for name, place in places.items():
        if place is not None and all(getattr(request, name) is None for request in requests):
            option = options_of(Sweeping)[name].flag
            raise UserError(f"no entry of {path.name} has use for it", where=option, remedy="leave it out")
    made = tuple(SweepRequest(where, request) for request, where in requests.items())
    old = {key: renamed()[key] for entry in file.runs for key in entry if key in renamed()}
    return Sweep(file.name or path.stem, file.description.strip(), made, old)


def _load(path: Path) -> tuple[object, list[int]]:
    """What the file holds, and the lines in which the entries of `runs` begin."""
    try:
        loader = _Loader(path.read_bytes())
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", where=str(path), remedy="check the path") from error
    except yaml.YAMLError as error:
        raise _not_yaml(error, path) from error
    try:
        node = loader.get_single_node()
        content = None if node is None else loader.construct_document(node)
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:  # of a tag such as !!int
        raise _not_yaml(error, path) from error
    finally:
        loader.dispose()
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    listings = [value for key, value in pairs if key.value == "runs" and isinstance(value, yaml.SequenceNode)]
    return content, [entry.start_mark.line + 1 for listing in listings for entry in listing.value]


def _not_yaml(error: Exception, path: Path) -> UserError:
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    what = error.problem if isinstance(error, yaml.MarkedYAMLError) else first_line(error)
    return UserError(
        f"not YAML: {what}",
        where=str(path) + (f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""),
        remedy="mend the file; experiments/smoke.yaml shows the format",
    )


def _entry_place(path: Path, number: int, lines: list[int]) -> str:
    # Entries merged in are elsewhere in the file.
    return f"{path}, {f'line {lines[number]}' if number < len(lines) else f'entry {number + 1}'}"


def _in_words(error: ValidationError, path: Path, lines: list[int]) -> UserError:
    """What pydantic found wrong with the outermost keys, for someone who does not know it."""
    first = error.errors(include_url=False)[0]
    kind, place = first["type"], first["loc"]
    remedy = "experiments/smoke.yaml shows the format"
    if kind == "extra_forbidden":
        return UserError(f"no key '{place[0]}'", where=str(path), remedy=nearest(str(place[0]), _File.model_fields))
    if kind == "missing":
        return UserError(f"key '{place[0]}' is missing", where=str(path), remedy=remedy)
    if not place:
        return UserError("must be keys with values: name, profile, description, runs", where=str(path), remedy=remedy)
    entry = _entry_place(path, int(place[1]), lines) if len(place) > 1 else f"{path}, {place[0]}"
    if kind == "too_short":
        return UserError("names nothing", where=entry, remedy=remedy)
    what = "must be options with values" if len(place) > 1 else first["msg"].replace("Input should", "must")
    return UserError(f"{what} (given: {first['input']!r})", where=entry, remedy=remedy)


def _requests(
    profile: str, entry: Mapping[str, Any], places: Mapping[str, Path | str | None], where: str
) -> list[Request]:
    for key in entry.keys() & renamed().keys():
        if renamed()[key] in entry:
            raise UserError(f"'{key}' is now '{renamed()[key]}'", where=where, remedy="keep one of both")
    entry = {renamed().get(key, key): value for key, value in entry.items()}
    for key in entry:
        if key in COMMANDS:
            remedy = f"leave it out, and give it behind rmtbench sweep: {options_of(Sweeping)[key].flag}"
            raise UserError(f"'{key}' is the whole command's", where=where, remedy=remedy)
        if key not in OPTIONS:
            raise UserError(f"no option '{key}'", where=where, remedy=nearest(str(key), OPTIONS))
    listed = {key: _values(entry[key], f"{where}, {key}") for key in entry if key in (*MULTIPLIED, *LISTS)}
    for key in entry.keys() - listed.keys():
        _check_single(entry[key], f"{where}, {key}", truth=key in TRUTHS)
    single = entry.keys() - set(MULTIPLIED)
    given = {OPTIONS[key].field: listed[key] if key in LISTS else entry[key] for key in single}
    made = []
    for values in product(*(listed.get(key, (None,)) for key in MULTIPLIED)):
        asked = given | dict(zip(MULTIPLIED, values, strict=True))
        try:
            request = make_request(profile, asked, os.environ)
            _check_names(request)
            named = {name: place for name, place in places.items() if place is not None and _uses(request, name, place)}
            if named:
                request = make_request(profile, asked | named, os.environ)
        except UserError as error:
            raise in_words_of_the_file(error, where) from error
        made.append(request)
    return made


def in_words_of_the_file(error: UserError, where: str) -> UserError:
    """Return an error of an entry's request as one of the file: with keys in place of flags.

    Args:
        error: As `rmtbench run` would say it.
        where: The entry's place in the file; empty where the caller names it.
    """
    what, option, remedy = (as_keys(text, FLAGS) for text in (error.what, error.where, error.remedy))
    return UserError(what, where=", ".join(filter(None, (where, option))), remedy=remedy)


def _values(value: object, where: str) -> tuple[object, ...]:
    """A value, or all of a list; YAML's other types, such as the truth that `on` and `no` are, are no option's."""
    values = value if isinstance(value, list) else [value]
    if not values or None in values:
        raise UserError("names nothing", where=where, remedy="fill it in, or leave the key out")
    for one in values:
        if isinstance(one, bool) or not isinstance(one, str | int):
            raise UserError(
                f"must be a text, a whole number or a list of these (given: {one!r})", where=where, remedy="mend it"
            )
    return tuple(values)


def _check_single(value: object, where: str, *, truth: bool) -> None:
    """One value of an option that takes no list; of what type, the request itself knows."""
    if value is None:
        raise UserError("names nothing", where=where, remedy="fill it in, or leave the key out")
    if isinstance(value, list | dict) or (isinstance(value, bool) and not truth):
        raise UserError(f"must be a text or a number (given: {value!r})", where=where, remedy="mend it")


def _uses(request: Request, name: str, place: Path | str) -> bool:
    """Whether official files, a trained memory or a shard has an effect on a request."""
    if name == "data_dir":
        return has_official_files(request.dataset)
    if name == "rmt":
        systems = named_systems(replace(request, rmt=Path(place)))
        return any(find_system(system).memory is not None for system in systems)
    return True


def _check_names(request: Request) -> None:
    """Refuse a misspelt system or data set now; a missing folder or file fails only its own request, later."""
    for name in request.systems:
        if name != "all":
            find_system(name)
    name = request.dataset
    if name not in known_datasets() and "/" not in name and not name.startswith((".", "~")) and not is_folder(name):
        open_dataset(name, None, {})
