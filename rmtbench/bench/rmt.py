"""How accurate and fast a recurrent memory is by length of text; every length runs in a process of its own.

The base model can read the same texts in full. Published figures of others are always shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rmtbench.analysis.published.figures import published_for
from rmtbench.bench.apart import Job, ProcessEndedError, run_apart
from rmtbench.bench.figures import Figures
from rmtbench.bench.rmt_reading import read_by_memory, read_in_full
from rmtbench.bench.rmt_texts import Length, Opening, Texts, load_base, load_memory, make_texts
from rmtbench.core import AnswerStyle
from rmtbench.errors import UserError
from rmtbench.models.load import choose_device, choose_dtype
from rmtbench.models.local import LocalModel
from rmtbench.options import flag
from rmtbench.options.benches import MemoryReading, RmtBench
from rmtbench.options.declare import refusal, refuse_given
from rmtbench.options.texts import large_number
from rmtbench.rmt.storage import CONFIG, Stored, read_stored
from rmtbench.rmt.tasks.registry import BABILONG, check_task, make_task
from rmtbench.runs.memories import SHIPPED
from rmtbench.runs.provenance import surroundings

SHORT, LONG = 32_000, 2_000_000
"""The two lengths whose ratios are reported."""


@dataclass(frozen=True, slots=True)
class LengthProgress:
    """Progress of one length.

    Attributes:
        name: Who reads what.
        done: Tokens read so far, in all texts.
        total: Tokens of all texts.
        row: The finished row; None before.
    """

    name: str
    done: int
    total: int
    row: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class _Order:
    """The work of one process."""

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
        rows: One for each length: `length`, `tokens` (of a text, mean), `segments`, `samples`, `batch`, `accuracy` of
            the final answers (exact match) with `standard_error`, `low` and `high` (95 %), the same `by_kind`,
            `unfinished` answers; `seconds` of all texts together = `read_seconds` (which include `text_seconds` of
            making the texts) + `answer_seconds`; `tokens_per_second` and `seconds_per_token` of reading;
            `peak_memory_bytes` while reading (device memory on a GPU, else resident), `peak_resident_bytes`, and
            `loaded_resident_bytes` before reading. `error` says why a length could not be read; None where it was.
        memory_ratio_2m_to_32k: Peak memory at 2M divided by that at 32k. None if one of the two lengths is missing, or
            if fewer texts were read side by side at one of them.
        time_per_token_ratio_2m_to_32k: The same for the time per token.
        base_rows: The same rows for the base model, with `error` if it cannot read the texts.
        published: Published figures of others.
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


def run(asked: RmtBench, *, report: Callable[[LengthProgress], None] = lambda _progress: None) -> RmtFigures:
    """Measure a trained memory by length of text, in the mode that its notes say it was trained in.

    Args:
        asked: A text fills its last segment. Texts of one length are the same whatever the batch. Peaks of memory are
            comparable only where as many texts are read side by side.
        report: Gets the progress of each length.

    Raises:
        UserError: Memory, model, task or the first length is wrong, or its process ran out of memory.
    """
    wanted = parse_lengths(asked.lengths, asked.samples)
    check_task(asked.task)
    if asked.task.startswith(BABILONG):
        refuse_given(asked, ("names",), "for an official file, which has names of its own", "leave it out")
    folder = shipped_memory(asked.task) if asked.memory is None else asked.memory
    stored = read_stored(folder)
    opening = open_by(asked, folder, stored)
    query_first = stored.notes.get("mode") == "query-first"
    rows, base_rows, made_by = [], [], dict[str, Any]()
    for length in wanted:
        order = _Order(opening, asked.task, asked.names, length, asked.batch, query_first, asked.seed)
        try:
            row, made_by = _followed(partial(_measure_memory, order), f"memory {length.label}", length, report)
        except ProcessEndedError as error:
            if not made_by:
                raise not_read(length.label, f"the process ended with code {error.code}") from error
            row = _failed(length, error)
        except UserError as error:
            if not made_by:
                raise
            row = _failed(length, error)
        rows.append(row)
    for length in wanted if asked.base_too else ():
        fewer = Length(length.label, length.tokens, min(asked.base_samples, length.samples))
        order = _Order(opening, asked.task, asked.names, fewer, 1, query_first, asked.seed)
        base_rows.append(_base_row(order, report))
    return RmtFigures(
        rows=rows,
        memory_ratio_2m_to_32k=_ratio(wanted, rows, "peak_memory_bytes"),
        time_per_token_ratio_2m_to_32k=_ratio(wanted, rows, "seconds_per_token"),
        base_rows=base_rows,
        published=[asdict(point) for point in published_for(asked.task)],
        task=asked.task,
        names=asked.names,
        mode="query-first" if query_first else "memory",
        seed=asked.seed,
        memory=described(stored),
        made_by=made_by,
    )


def parse_lengths(lengths: Sequence[str], samples: Sequence[int] | None = None) -> list[Length]:
    """Return lengths with their numbers of texts.

    Args:
        lengths: Such as ``500``, ``32k`` or ``1.5M``: k is a thousand, M a million.
        samples: One number for all lengths, or one for each; None for 200 up to 128k and 20 beyond.

    Raises:
        UserError: A length has another form, or the number of samples fits neither rule.
    """
    tokens = [parse_tokens(text) for text in lengths]
    if samples is None:
        samples = [200 if each <= 128_000 else 20 for each in tokens]
    if len(samples) not in (1, len(lengths)) or min(samples) < 1:
        raise UserError(
            f"{len(samples)} numbers of samples for {len(lengths)} lengths",
            where=flag.samples,
            remedy="give one number for all lengths or one for each, all at least 1",
        )
    numbers = list(samples) * (len(lengths) if len(samples) == 1 else 1)
    return [Length(*each) for each in zip(lengths, tokens, numbers, strict=True)]


def parse_tokens(text: str, where: str = flag.lengths) -> int:
    """Return a number of tokens that is given as ``500``, ``32k`` or ``1.5M``.

    Args:
        text: The number.
        where: The option, for the error.

    Raises:
        UserError: The text has another form.
    """
    try:
        return large_number(text)
    except ValueError as error:
        raise refusal(error, where) from error


def shipped_memory(task: str) -> Path:
    """Return the folder of the memory that comes with the package for a task.

    Raises:
        UserError: The package has no memory for the task.
    """
    for path in sorted(SHIPPED.glob(f"*/{CONFIG}")):
        if read_stored(path.parent).notes.get("task") == task:
            return path.parent
    raise UserError(
        f"no memory is shipped for task '{task}'",
        where=flag.memory,
        remedy=f"train one with `rmtbench train rmt {flag.task} {task}` and name its folder",
    )


def open_by(asked: MemoryReading, folder: Path, stored: Stored) -> Opening:
    """Return what to load for a bench of a trained memory, and how.

    Args:
        asked: Without a style, the memory's own is used: the one that it was trained with, or else `bridge`.
        folder: The memory.
        stored: The folder's content.

    Raises:
        UserError: There is no such device or dtype.
    """
    trained: AnswerStyle = "direct" if stored.notes.get("style") == "direct" else "bridge"
    device = choose_device(asked.device)
    dtype = choose_dtype(asked.dtype, device)
    return Opening(folder, asked.model, asked.style or trained, device, dtype, asked.threads)


def described(stored: Stored) -> dict[str, Any]:
    """Return what a bench records of a trained memory: its settings, the hash of its weights, and its notes."""
    return {"config": stored.config.described(), "weights_sha256": stored.weights_sha256, "notes": dict(stored.notes)}


def _base_row(order: _Order, report: Callable[[LengthProgress], None]) -> dict[str, Any]:
    length = order.length
    try:
        return _followed(partial(_measure_base, order), f"base model {length.label}", length, report)[0]
    except (ProcessEndedError, UserError) as error:
        return _failed(length, error)


def _failed(length: Length, error: ProcessEndedError | UserError) -> dict[str, Any]:
    """The row of a length that could not be read: those before it are not lost."""
    row = {"length": length.label, "tokens": length.tokens, "samples": 0, "accuracy": None}
    return row | {"error": error.what if isinstance(error, UserError) else str(error)}


def not_read(length: str, why: str) -> UserError:
    """What to say to the user where a length could not be read."""
    return UserError(
        f"{length} could not be read ({why})",
        where="rmtbench bench rmt",
        remedy=f"see above, if it said why; a process that was killed lacked memory: try a smaller {flag.batch}",
    )


def _followed(
    job: Job[tuple[dict[str, Any], dict[str, Any]]],
    name: str,
    length: Length,
    report: Callable[[LengthProgress], None],
) -> tuple[dict[str, Any], dict[str, Any]]:
    total = length.samples * length.tokens
    report(LengthProgress(name, 0, total))
    found = run_apart(job, lambda done: report(LengthProgress(name, min(done, total), total)))
    report(LengthProgress(name, total, total, found[0]))
    return found


def _measure_memory(order: _Order, watch: Callable[[int], None]) -> tuple[dict[str, Any], dict[str, Any]]:
    local, model = load_memory(order.opening)
    texts = _texts(order, local)
    row = read_by_memory(local, model, texts, batch=order.batch, query_first=order.query_first, watch=watch)
    return row, {"model": dict(local.provenance), **surroundings(local.device)}


def _measure_base(order: _Order, watch: Callable[[int], None]) -> tuple[dict[str, Any], dict[str, Any]]:
    local = load_base(order.opening)
    row = read_in_full(local, _texts(order, local), watch=watch)
    return row, {"model": dict(local.provenance), **surroundings(local.device)}


def _texts(order: _Order, local: LocalModel) -> Texts:
    size = read_stored(order.opening.memory).config.segment_tokens
    make = partial(make_task, order.task, local.contract, names=order.names)
    return make_texts(make, order.length, size, query_first=order.query_first, seed=order.seed)


def _ratio(lengths: Sequence[Length], rows: Sequence[Mapping[str, Any]], figure: str) -> float | None:
    """The figure at 2M divided by that at 32k; None unless both are there, in full length and with equal batches."""
    found = {length.tokens: row for length, row in zip(lengths, rows, strict=True)}
    if not {SHORT, LONG} <= found.keys() or any(found[tokens]["error"] for tokens in (SHORT, LONG)):
        return None
    if found[SHORT]["batch"] != found[LONG]["batch"]:
        return None
    if any(found[tokens]["tokens"] < tokens for tokens in (SHORT, LONG)):
        return None  # the texts of a file are as long as they are
    return float(found[LONG][figure] / found[SHORT][figure])
