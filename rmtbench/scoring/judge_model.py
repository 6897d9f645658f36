"""The models that judge: one behind a server, or one on this machine. Both get the same prompt and answer greedily.

Neither is contacted or loaded before it is first asked, so that verdicts on disk need no model. Knows no metric.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from rmtbench.errors import AnswerError, UserError
from rmtbench.models.endpoint.address import find_address, is_endpoint, served_name
from rmtbench.models.endpoint.dialect import Dialect
from rmtbench.models.endpoint.endings import finish_of
from rmtbench.models.endpoint.line import Line, LineSettings, open_line
from rmtbench.models.endpoint.prices import Price, find_price, read_prices
from rmtbench.models.endpoint.retry import Patience
from rmtbench.models.reasoning import REASONING_MARKS, Reasoning
from rmtbench.options import flag
from rmtbench.scoring.judge_cache import Case
from rmtbench.scoring.judge_prompt import CUE, INSTRUCTION, case, prompt

if TYPE_CHECKING:
    from rmtbench.models.local import LocalModel
    from rmtbench.options.judge import Judging
    from rmtbench.options.request import Request

OPTION = flag.judge
VERDICT_TOKENS = 16
"""Longest verdict: a word of at most four tokens, with room for a reply that is none."""


@dataclass(frozen=True, slots=True)
class JudgeReply:
    """What a judge wrote, and what it cost; counts are None where a server does not tell them.

    Attributes:
        text: The reply without its reasoning; empty where the limit of tokens cut it off.
        prompt_tokens: Tokens read.
        cached_tokens: Of these, how many a server's cache held.
        output_tokens: Tokens written, reasoning included.
        seconds: Wall seconds.
        served: The model's name by the server; None of a local model.
    """

    text: str
    prompt_tokens: int | None
    cached_tokens: int | None
    output_tokens: int | None
    seconds: float
    served: str | None = None


class Judge(Protocol):
    """A model that is asked for verdicts."""

    @property
    def name(self) -> str:
        """As the user named it, without any path of this machine."""
        ...

    @property
    def identity(self) -> str:
        """Hash of what decides its verdicts, its prompt apart."""
        ...

    @property
    def facts(self) -> Mapping[str, Any]:
        """What is recorded of it; nothing secret."""
        ...

    @property
    def price(self) -> Price | None:
        """What its tokens cost; None where no price is known."""
        ...

    @property
    def at_once(self) -> int:
        """How many answers it is asked about at the same time."""
        ...

    def check(self) -> None:
        """Contact or load it.

        Raises:
            UserError: It cannot be used.
        """
        ...

    def ask(self, what: Case, *, again: bool) -> JudgeReply:
        """Ask about one answer.

        Args:
            what: The question, its references and the answer.
            again: Whether the first reply was no verdict.

        Raises:
            AnswerError: There is no reply to this prompt.
            UserError: There will be none to any other either.
        """
        ...


class ServedJudge:
    """A judge behind an OpenAI-compatible server, asked by its chat interface. Safe for many threads.

    Args:
        name: ``openai:`` and the model's name at the server.
        settings: How the server is spoken to.
        prices: The table of prices.
        at_once: As `Judge.at_once`.
        think_tokens: Most tokens of reasoning before a verdict.
    """

    def __init__(
        self, name: str, settings: LineSettings, prices: tuple[Price, ...] = (), at_once: int = 1, think_tokens: int = 0
    ) -> None:
        self.name, self.at_once = name, at_once
        self._served = served_name(name, OPTION)
        self._settings, self._longest = settings, VERDICT_TOKENS + think_tokens
        self.price = find_price(prices, self._served, settings.address.host)

    @property
    def identity(self) -> str:
        """Hash over host, path, model and longest reply; a server shows no weights."""
        address = self._settings.address
        path = "" if address.path in ("", "v1") else f"\npath {address.path}"
        told = f"openai chat\n{address.host}\n{self._served}\n{self._longest}{path}"
        return hashlib.sha256(told.encode()).hexdigest()

    @property
    def facts(self) -> Mapping[str, Any]:
        """The server's host, and how many tokens a reply may have."""
        return {"endpoint": self._settings.address.host, "longest_reply": self._longest}

    @cached_property
    def _open(self) -> tuple[Line, Dialect]:
        line = open_line(self._settings, self._served, option=OPTION)
        try:
            return line, line.find_dialect(Dialect(), self._longest)[0]
        except UserError as error:
            remedy = error.remedy.replace(flag.think_tokens, flag.judge_think_tokens)
            raise type(error)(error.what, where=f"{OPTION} ({error.where})", remedy=remedy) from None

    def check(self) -> None:
        """Ask the server something short."""
        _ = self._open

    def ask(self, what: Case, *, again: bool) -> JudgeReply:
        """Send the prompt as one message of a chat: see `Judge.ask`."""
        line, dialect = self._open
        text = prompt(what.question, what.references, what.answer, again=again)
        reply = line.ask(text, self._longest, dialect, lambda: len(text) // 4)
        parted = Reasoning(REASONING_MARKS).part(reply.text)
        whole = finish_of(reply.finish_reason) != "length"
        usage = reply.usage
        said = (parted.answer or "") if whole else ""
        return JudgeReply(said, usage.prompt, usage.cached, usage.output, reply.seconds, reply.served)


class LocalJudge:
    """A judge on this machine, asked about one answer after the other.

    Args:
        name: As for ``--model``.
        think_tokens: Most tokens of reasoning; None for the suite's default where the model reasons.
    """

    price: Price | None = None
    at_once = 1

    def __init__(self, name: str, think_tokens: int | None = None) -> None:
        self._path, self._think_tokens = name, think_tokens

    @cached_property
    def name(self) -> str:
        """The model's name in results."""
        from rmtbench.models.sources import find_source

        with _named_as_judge():
            return find_source(self._path, None, OPTION, fetch=False).public

    @cached_property
    def identity(self) -> str:
        """Hash over weights, tokenizer and chat format, and over the number format it computes in."""
        from rmtbench.models.identity import identity_here

        found = identity_here(self._path)
        files = found.sha256 if found is not None else str(self._model.provenance["identity"])
        told = f"{files}\n{self._dtype}\n{VERDICT_TOKENS}\n{self._think_tokens}"
        return hashlib.sha256(told.encode()).hexdigest()

    @property
    def facts(self) -> Mapping[str, Any]:
        """The number format."""
        return {"dtype": self._dtype}

    @cached_property
    def _device(self) -> str:
        from rmtbench.models.load import choose_device

        return choose_device("auto")

    @property
    def _dtype(self) -> str:
        from rmtbench.models.load import choose_dtype

        return choose_dtype("auto", self._device)

    @cached_property
    def _model(self) -> LocalModel:
        """The model under the judge's prompt in place of the suite's."""
        from rmtbench.models.load import load_model
        from rmtbench.models.prompt import CUE as SUITES_CUE
        from rmtbench.models.prompt import INSTRUCTION as SUITES
        from rmtbench.models.prompt import ChatSettings

        with _named_as_judge():
            model = load_model(
                self._path,
                style="direct",
                dtype=self._dtype,
                device=self._device,
                chat=ChatSettings(think_tokens=self._think_tokens),
            )
        contract = model.contract
        head = contract.head.replace(SUITES["direct"], INSTRUCTION, 1)
        cue = SUITES_CUE["direct"]
        tail = contract.tail.removesuffix(cue) + CUE if contract.tail.endswith(cue) else contract.tail
        if INSTRUCTION not in head:  # pragma: no cover - no template is known that changes the user's message
            raise UserError("its chat template changes the prompt", where=OPTION, remedy="choose another model")
        return replace(model, max_answer_tokens=VERDICT_TOKENS, contract=replace(contract, head=head, tail=tail))

    def check(self) -> None:
        """Look for its files; it is loaded when it is first asked."""
        _ = self.identity

    def ask(self, what: Case, *, again: bool) -> JudgeReply:
        """Read the prompt and write the verdict: see `Judge.ask`."""
        from rmtbench.models.base import Prompt

        model = self._model
        began = time.perf_counter()
        text = case(what.question, what.references, what.answer, again=again)
        [made] = model.generate([Prompt((), text)])
        seconds = time.perf_counter() - began
        if made.error is not None:
            raise AnswerError(made.error)
        said = made.final if made.finish != "length" else ""
        return JudgeReply(said, made.prompt_tokens, 0, made.written_tokens, seconds)


def find_judge(options: Judging | Request, environ: Mapping[str, str]) -> Judge | None:
    """Return the judge that a command names; None where it names none. Nothing is contacted or loaded.

    Args:
        options: What the user asked for.
        environ: Environment variables, for keys.

    Raises:
        UserError: A key is missing, a URL or a table of prices is none, or an option means nothing for this judge.
    """
    if options.judge is None:
        return None
    if not is_endpoint(options.judge):
        return LocalJudge(_checked_local(options), options.judge_think_tokens)
    # A key belongs to a server: where the judge's server is another one, the model's key is not sent to it.
    key_variable = options.judge_key_variable
    if key_variable is None and options.judge_base_url is None:
        key_variable = options.key_variable
    address = find_address(
        options.judge_base_url or options.base_url,
        key_variable,
        environ,
        options=(flag.judge_base_url, flag.judge_key_variable),
    )
    settings = LineSettings(
        address,
        Patience(attempts=options.attempts, deadline=options.deadline),
        requests_per_minute=options.requests_per_minute,
        tokens_per_minute=options.tokens_per_minute,
    )
    prices = read_prices(options.prices)
    return ServedJudge(options.judge, settings, prices, options.judge_concurrency, options.judge_think_tokens or 0)


def _checked_local(options: Judging | Request) -> str:
    """Return the name of a judge on this machine, if no option of servers was given for it."""
    for value, name in (
        (options.judge_base_url, flag.judge_base_url),
        (options.judge_key_variable, flag.judge_key_variable),
    ):
        if value is not None:
            raise UserError(
                "means nothing for a judge on this machine",
                where=name,
                remedy=f"leave it out, or give {flag.judge} openai:NAME",
            )
    return str(options.judge)


@contextmanager
def _named_as_judge() -> Iterator[None]:
    """Let errors name the option that the user gave."""
    try:
        yield
    except UserError as error:
        where = error.where.replace(flag.model, OPTION, 1)
        raise UserError(error.what, where=where, remedy=error.remedy.replace(flag.model, OPTION)) from error
