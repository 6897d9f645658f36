"""What a recurrent memory holds at which length of text, and at what cost: every length in a process of its own.

Beside it, where wanted, the base model that reads the same texts in full, and always what others have published.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rmtbench.analysis.published.figures import published_for
from rmtbench.bench.apart import Job, ProcessEndedError, run_apart
from rmtbench.bench.figures import Figures
from rmtbench.bench.rmt_reading import read_by_memory, read_in_full
from rmtbench.bench.rmt_texts import Length, Opening, load_base, load_memory, make_pieces
from rmtbench.core import AnswerStyle
from rmtbench.errors import UserError
from rmtbench.models.load import choose_device, choose_dtype
from rmtbench.models.local import LocalModel
from rmtbench.rmt.storage import CONFIG, Stored, read_stored
from rmtbench.rmt.tasks.base import Task
from rmtbench.rmt.tasks.registry import check_task, make_task
from rmtbench.runs.memories import SHIPPED
from rmtbench.runs.provenance import surroundings

SHORT, LONG = 32_000, 2_000_000
"""Lengths whose quotients are reported."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How far one length is.

    Attributes:
        name: Who reads what.
        done: Tokens read so far, of all texts together.
        total: Tokens of all texts.
        row: The finished row; None until then.
    """

    name: str
    done: int
    total: int
    row: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class _Order:
    """What one process has to do."""

    opening: Opening
    task: str
    names: str
    length: Length
    batch: int
    query_first: bool
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RmtFigures(Figures):
    """What `run` measured.

    Attributes:
        rows: One a length: `length`, `tokens` (of a text, mean), `segments`, `samples`, `batch`, `accuracy` of the
            final answers (exact match) with `standard_error`, `low` and `high` (95 %), the same `by_kind`,
            `unfinished` answers; `seconds` of all texts together = `read_seconds` (in which `text_seconds` went into
            making the texts) + `answer_seconds`; `tokens_per_second` and `seconds_per_token` of reading;
            `peak_memory_bytes` while reading (device memory on a GPU, else resident), `peak_resident_bytes`, and
            `loaded_resident_bytes` before reading.
        memory_ratio_2m_to_32k: Peak memory at 2M over that at 32k. None where a length was not asked for, or fewer
            texts were read side by side at one of them.
        time_per_token_ratio_2m_to_32k: As above.
        base_rows: The same of the base model, with `error` where it cannot.
        published: Points of others.
        memory: Its settings, notes and the hash of its weights.
    """

    rows: Sequence[Mapping[str, Any]]
    memory_ratio_2m_to_32k: float | None
    time_per_token_ratio_2m_to_32k: float | None
    base_rows: Sequence[Mapping[str, Any]]
    published: Sequence[Mapping[str, Any]]
    task: str
    names: str
    mode: str
    seed: int
    memory: Mapping[str, Any]


def run(  # many: the command's options
    *,
    memory: Path | None = None,
    task: str = "detect",
    lengths: Sequence[str] = ("4k", "32k", "128k", "1M", "2M"),
    samples: Sequence[int] | None = None,
    batch: int = 20,
    base_too: bool = False,
    base_samples: int = 10,
    model: str | None = None,
    names: str = "all",
    style: AnswerStyle | None = None,
    seed: int = 0,
    device: str = "auto",
    dtype: str = "auto",
    threads: int | None = None,
    report: Callable[[Reading], None] = lambda _reading: None,
) -> RmtFigures:
    """Measure a trained memory by length of text, in the mode that its notes say it was trained in.

    Args:
        memory: Folder of a trained memory; None for the one that is shipped for the task.
        task: A name of `rmtbench.rmt.tasks.registry`.
        lengths: Such as ``32k`` or ``2M`` (thousands and millions of tokens); a text fills its last segment.
        samples: Texts of each length, or one number for all; None for 200 up to 128k and 20 beyond. Peaks compare only
            where as many are read side by side.
        batch: Texts read side by side, at most.
        base_too: Also let the base model, as it was before, read the same texts in full.
        base_samples: Of so many of them.
        model: Id or path of the base model; None for the one that the memory names.
        names: Which name words the texts are made of: ``all``, ``seen`` or ``held-out``.
        style: Answer style of the prompts; None for the one that the memory was trained with.
        seed: Decides the texts; those of one length are the same whatever the batch.
        device: ``auto`` or a torch device name.
        dtype: ``auto`` or a dtype's name.
        threads: CPU threads; None for torch's own choice.
        report: Told how far it is.

    Raises:
        UserError: Memory, model, task or a length is wrong, or a process ran out of memory.
    """
    wanted = parse_lengths(lengths, samples)
    check_task(task)
    folder = shipped_memory(task) if memory is None else memory
    stored = read_stored(folder)
    device = choose_device(device)
    opening = Opening(folder, model, style or trained_style(stored), device, choose_dtype(dtype, device), threads)
    query_first = stored.notes.get("mode") == "query-first"
    rows, base_rows, made_by = [], [], dict[str, Any]()
    for length in wanted:
        order = _Order(opening, task, names, length, batch, query_first, seed)
        try:
            row, made_by = _followed(partial(_measure_memory, order), f"memory {length.label}", length, report)
        except ProcessEndedError as error:
            raise UserError(
                f"the process that read {length.label} ended with code {error.code}",
                where="rmtbench bench rmt",
                remedy="see above, if it said why; a process that was killed lacked memory: try a smaller --batch",
            ) from error
        rows.append(row)
    for length in wanted if base_too else ():
        fewer = Length(length.label, length.tokens, min(base_samples, length.samples))
        base_rows.append(_base_row(_Order(opening, task, names, fewer, 1, query_first, seed), report))
    return RmtFigures(
        rows=rows,
        memory_ratio_2m_to_32k=_ratio(wanted, rows, "peak_memory_bytes"),
        time_per_token_ratio_2m_to_32k=_ratio(wanted, rows, "seconds_per_token"),
        base_rows=base_rows,
        published=[asdict(point) for point in published_for(task)],
        task=task,
        names=names,
        mode="query-first" if query_first else "memory",
        seed=seed,
        memory={
            "config": asdict(stored.config),
            "weights_sha256": stored.weights_sha256,
            "notes": dict(stored.notes),
        },
        made_by=made_by,
    )


def parse_lengths(lengths: Sequence[str], samples: Sequence[int] | None = None) -> list[Length]:
    """Lengths as they are typed, each with its number of texts.

    Args:
        lengths: Such as ``500``, ``32k`` or ``1.5M``: k is a thousand, M a million.
        samples: One number for all lengths, or one for each; None for 200 up to 128k and 20 beyond.

    Raises:
        UserError: One is no length, or there are neither one nor as many numbers.
    """
    tokens = [parse_tokens(text) for text in lengths]
    if samples is None:
        samples = [200 if each <= 128_000 else 20 for each in tokens]
    if len(samples) not in (1, len(lengths)) or min(samples) < 1:
        raise UserError(
            f"{len(samples)} numbers of samples for {len(lengths)} lengths",
            where="--samples",
            remedy="give one number for all lengths or one for each, all at least 1",
        )
    numbers = list(samples) * (len(lengths) if len(samples) == 1 else 1)
    return [Length(*each) for each in zip(lengths, tokens, numbers, strict=True)]


def parse_tokens(text: str, where: str = "--lengths") -> int:
    """A number of tokens as it is typed: ``500``, ``32k``, ``1.5M``.

    Args:
        text: What was typed.
        where: Behind which option.

    Raises:
        UserError: It is none.
    """
    found = re.fullmatch(r"(\d{1,12}(?:\.\d+)?)([kKmM]?)", text.strip())
    tokens = round(float(found[1]) * {"": 1, "k": 1e3, "m": 1e6}[found[2].lower()]) if found else 0
    if tokens < 1:
        raise UserError(f"'{text}' is no length", where=where, remedy="give such as 4k, 128k or 2M")
    return tokens


def shipped_memory(task: str) -> Path:
    """The folder of the memory that comes with the package for a task.

    Raises:
        UserError: There is none.
    """
    for path in sorted(SHIPPED.glob(f"*/{CONFIG}")):
        if read_stored(path.parent).notes.get("task") == task:
            return path.parent
    raise UserError(
        f"no memory is shipped for task '{task}'",
        where="--memory",
        remedy=f"train one with `rmtbench train rmt --task {task}` and name its folder",
    )


def trained_style(stored: Stored) -> AnswerStyle:
    """The answer style that a memory was trained with; `bridge` where its notes do not say."""
    return "direct" if stored.notes.get("style") == "direct" else "bridge"


def _base_row(order: _Order, report: Callable[[Reading], None]) -> dict[str, Any]:
    length = order.length
    try:
        return _followed(partial(_measure_base, order), f"base model {length.label}", length, report)[0]
    except ProcessEndedError as error:
        if error.code is None or error.code >= 0:
            raise  # no want of memory, which ends by a signal
        row = {"length": length.label, "tokens": length.tokens, "samples": 0, "accuracy": None}
        return row | {"error": f"the process ended with code {error.code}"}


def _followed(
    job: Job[tuple[dict[str, Any], dict[str, Any]]],
    name: str,
    length: Length,
    report: Callable[[Reading], None],
) -> tuple[dict[str, Any], dict[str, Any]]:
    total = length.samples * length.tokens
    report(Reading(name, 0, total))
    found = run_apart(job, lambda done: report(Reading(name, min(done, total), total)))
    report(Reading(name, total, total, found[0]))
    return found


def _measure_memory(order: _Order, watch: Callable[[int], None]) -> tuple[dict[str, Any], dict[str, Any]]:
    local, model = load_memory(order.opening)
    task, piece = _pieces(order, local)
    row = read_by_memory(
        local,
        model,
        task,
        piece,
        order.length,
        batch=order.batch,
        query_first=order.query_first,
        seed=order.seed,
        watch=watch,
    )
    return row, {"model": dict(local.provenance), **surroundings(local.device)}


def _measure_base(order: _Order, watch: Callable[[int], None]) -> tuple[dict[str, Any], dict[str, Any]]:
    local = load_base(order.opening)
    task, piece = _pieces(order, local)
    row = read_in_full(local, task, piece, order.length, seed=order.seed, watch=watch)
    return row, {"model": dict(local.provenance), **surroundings(local.device)}


def _pieces(order: _Order, local: LocalModel) -> tuple[Task, int]:
    size = read_stored(order.opening.memory).config.segment_tokens
    make = partial(make_task, order.task, local.contract, names=order.names)
    return make_pieces(make, order.length, size, query_first=order.query_first)


def _ratio(lengths: Sequence[Length], rows: Sequence[Mapping[str, Any]], figure: str) -> float | None:
    """The figure at 2M over that at 32k, both of as many texts side by side."""
    found = {length.tokens: row for length, row in zip(lengths, rows, strict=True)}
    if not {SHORT, LONG} <= found.keys() or found[SHORT]["batch"] != found[LONG]["batch"]:
        return None
    return float(found[LONG][figure] / found[SHORT][figure])
