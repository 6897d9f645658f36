"""A served model and embedder over a real socket: what is sent, what is understood, and what each failure means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiktoken
from chat_tokenizers import byte_level
from endpoint_server import KEY, Plan, Server, Written, serve
from tokenizers.processors import TemplateProcessing

from rmtbench.errors import AnswerError, ContextTooLongError, UserError
from rmtbench.models.base import Passage, Prompt
from rmtbench.models.embed_cache import CachedEmbedder
from rmtbench.models.endpoint.address import OPENAI_URL, find_address
from rmtbench.models.endpoint.faults import TransientError, _retry_after, _too_long
from rmtbench.models.endpoint.line import LineSettings
from rmtbench.models.endpoint.load import Endpoints, load_endpoint_embedder, load_endpoint_model
from rmtbench.models.endpoint.model import EndpointModel
from rmtbench.models.endpoint.prices import SHIPPED_PRICES, find_price, read_prices
from rmtbench.models.endpoint.replies import read_events
from rmtbench.models.endpoint.retry import Clock, Patience
from rmtbench.models.endpoint.tokenizer import TiktokenTokenizer, load_endpoint_tokenizer
from rmtbench.models.prompt import ChatSettings
from rmtbench.systems.rmt_text import NOTES_INSTRUCTION, note_writer

PROMPT = Prompt((Passage("Arden", "Arden lies on the Oss."),), "Where does Arden lie?")
TEXT = (
    "Answer the question with the documents. Give only the answer, in a few words, on one line.\n\n"
    "Arden\nArden lies on the Oss.\n\nQuestion: Where does Arden lie?\nAnswer:"
)


def endpoints(server: Server, api: Any = "chat", **patience: float) -> Endpoints:
    address = find_address(server.url, None, {"OPENAI_API_KEY": KEY})
    settings = LineSettings(address, Patience(attempts=2, first_wait=0.001, **patience))
    return Endpoints(settings, settings, api)


def model_of(server: Server, api: Any = "chat", **patience: float) -> EndpointModel:
    return load_endpoint_model(
        "openai:mini", endpoints(server, api, **patience), tokenizer="mini", style="direct", max_answer_tokens=8
    )


def says(text: str, finish: str = "stop") -> Callable[[str, int], Written]:
    return lambda _prompt, longest: Written([0] * 40, text, min(longest, 5), finish)


def test_the_prompt_is_contracts_text_in_one_message_or_as_it_is() -> None:
    for api in ("chat", "completions"):
        with serve() as server:
            model_of(server, api).generate([PROMPT])
        asked = server.seen[-1]
        sent = asked["messages"] if api == "chat" else asked["prompt"]
        assert sent == ([{"role": "user", "content": TEXT}] if api == "chat" else TEXT)
        assert (asked["temperature"], asked["max_tokens"], asked["stream"]) == (0, 8, True)


@pytest.mark.parametrize(
    ("written", "finish", "expected"),
    [
        ("on the Oss", "stop", ("on the Oss", "eos")),
        ("on the Oss\nand more\n", "stop", ("on the Oss", "stop")),
        ("\n\n on the Oss", "length", ("on the Oss", "length")),
        ("Answer: on the Oss", "stop", ("on the Oss", "eos")),
        ("Answer:\non the Oss", "stop", ("on the Oss", "eos")),
        ("\nAnswer:\non the Oss\nand more", "stop", ("on the Oss", "stop")),
    ],
)
def test_the_answer_ends_by_the_common_stop_rule(written: str, finish: str, expected: tuple[str, str]) -> None:
    with serve(says(written, finish)) as server:
        [generation] = model_of(server).generate([PROMPT])
    assert (generation.final, generation.finish) == expected


def test_an_answer_that_a_filter_ended_is_none() -> None:
    with serve(says("on the", "content_filter")) as server:
        model = model_of(replace(server, plan=Plan()))
        with pytest.raises(AnswerError, match="content_filter"):
            model.generate([PROMPT])


def test_tokens_are_servers_and_counted_here_where_it_tells_none() -> None:
    with serve(says("on the Oss")) as server:
        [told] = model_of(server).generate([PROMPT])
    assert (told.prompt_tokens, told.cached_tokens, told.written_tokens) == (40, 32, 5)
    with serve(says("on the Oss"), usage=False) as server:
        model = model_of(server)
        [counted] = model.generate([PROMPT])
    assert model.provenance["usage"] is False
    assert counted.prompt_tokens == model.count_tokens([TEXT])[0]
    assert counted.written_tokens == model.count_tokens(["on the Oss"])[0]


def test_times_are_to_the_first_text_and_from_there_to_the_end() -> None:
    with serve(says("on the Oss"), delay=0.05) as server:
        [generation] = model_of(server).generate([PROMPT])
    assert generation.prefill_seconds >= 0.05
    assert 0 <= generation.decode_seconds < 0.05


@pytest.mark.parametrize(
    ("refused", "sent", "gone"),
    [("max_tokens", "max_completion_tokens", "max_tokens"), ("temperature", "max_tokens", "temperature")],
)
def test_a_parameter_that_the_server_refuses_is_said_otherwise(refused: str, sent: str, gone: str) -> None:
    with serve(refuses=[refused]) as server:
        model = model_of(server)
        model.generate([PROMPT])
    assert sent in server.seen[-1]
    assert gone not in server.seen[-1]
    assert model.provenance["greedy"] is (refused != "temperature")


def test_model_without_end_of_stream_is_asked_again() -> None:
    with serve(plan=Plan(1.0, ("cut",), after=1)) as server, pytest.raises(AnswerError, match="cut in the middle, 2"):
        model_of(server).generate([PROMPT])


def test_a_server_that_is_too_slow_is_given_up_at_the_deadline() -> None:
    with serve() as server:
        model = model_of(server, deadline=0.3)
    slow = serve(delay=1.0, port=int(server.url.split(":")[2].split("/")[0]))
    with slow, pytest.raises(AnswerError, match="no reply in time"):
        model.generate([PROMPT])


def test_server_that_keeps_line_open_ends_at_deadline() -> None:
    seconds = iter(range(100))
    comments = (b": PROCESSING\n" for _ in range(90))
    with pytest.raises(TransientError, match="no reply in time"):
        read_events(comments, lambda: next(seconds), 0.0, 10.0)
    assert next(seconds) == 12


@pytest.mark.parametrize("key", ["sk-…", "“sk-abc”", "sk-a\nbc"])
def test_unsendable_key_is_refused_by_variable_and_not_shown(key: str) -> None:
    with pytest.raises(UserError, match="OPENAI_API_KEY holds characters") as caught:
        find_address("http://localhost:1/v1", None, {"OPENAI_API_KEY": key})
    assert key not in f"{caught.value} {caught.value.remedy}"


def test_a_prompt_that_is_too_long_is_told_by_how_many_tokens() -> None:
    with serve(limit=24) as server:
        model = model_of(server)
        with pytest.raises(ContextTooLongError, match=r"of \d+ tokens exceed the model's context of 24 by \d+ tokens"):
            model.generate([PROMPT])


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("maximum context length is 8192 tokens. However, you requested 9000 tokens (8936 in the messages)", "by 808 "),
        ("context window of 4,096 tokens is smaller than the prompt's 5,000 tokens", "by 904 "),
        ("input too long", "the server: input too long"),
    ],
)
def test_the_two_numbers_are_read_from_what_servers_write(message: str, told: str) -> None:
    assert told in _too_long(message, message)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": " 30s "}, 30.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "1.2.3"}, None),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_understood_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert _retry_after(headers) == seconds


def test_retry_after_may_be_a_date() -> None:
    in_an_hour = datetime.now(UTC) + timedelta(hours=1)
    assert _retry_after({"retry-after": format_datetime(in_an_hour)}) == pytest.approx(3600, abs=60)


def test_notes_are_written_under_words_and_without_stop_rule() -> None:
    with serve(says("one\ntwo\n")) as server:
        [notes] = note_writer(model_of(server), 16).generate([PROMPT])
    assert (notes.final, notes.finish) == ("one\ntwo", "eos")
    [message] = server.seen[-1]["messages"]
    assert message["content"].startswith(NOTES_INSTRUCTION)
    assert message["content"].endswith("Notes:")
    assert server.seen[-1]["max_tokens"] == 16


def test_credentials_show_in_no_text_of_an_address() -> None:
    address = find_address("https://me:p%40ss@host.example:8443/v1?api-key=q1w2", None, {"OPENAI_API_KEY": KEY})
    assert address.host == "host.example:8443"
    assert not any(secret in repr(address) for secret in (KEY, "p%40ss", "q1w2"))
    said = address.redact(f"no {KEY}, no p@ss, no p%40ss, no q1w2")
    assert said == "no [redacted], no [redacted], no [redacted], no [redacted]"


def test_openais_own_server_needs_key_and_another_may_need_none() -> None:
    with pytest.raises(UserError, match="OPENAI_API_KEY is not set"):
        find_address(None, None, {})
    assert find_address(None, None, {"OPENAI_API_KEY": "k"}).url == OPENAI_URL
    with serve(key=None) as server:
        address = find_address(server.url, None, {})
        load_endpoint_embedder("openai:mini", Endpoints(embedder=LineSettings(address)))
    assert server.keys == ["no-key"]


# Embeddings.
def test_embeddings_are_unit_length_in_order_and_made_once() -> None:
    texts = [f"text {number % 150}" for number in range(300)]
    with serve() as server:
        embedder, _ = load_endpoint_embedder("openai:mini", endpoints(server))
        vectors = embedder.embed(texts)
    assert [len(body["input"]) for body in server.seen] == [1, 128, 22]
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(300), abs=1e-6)
    assert (vectors[7] == vectors[157]).all()
    assert len({vector.tobytes() for vector in vectors}) == 150
    assert embedder.tokens == 2 + 150 * 2


def test_embeddings_are_looked_up_by_content_the_second_time(tmp_path: Path) -> None:
    with serve() as server:
        cache = CachedEmbedder(load_endpoint_embedder("openai:mini", endpoints(server))[0], tmp_path)
        first = cache.embed(["one", "two"])
        requests = len(server.seen)
        again = cache.embed(["two", "one"])
    assert (again[::-1] == first).all()
    assert len(server.seen) == requests


@pytest.mark.parametrize("kind", ["503", "429", "cut", "dropped", "malformed"])
def test_embeddings_are_asked_for_again(kind: str) -> None:
    with serve(plan=Plan(0.5, (kind,), seed=3)) as server:
        address = find_address(server.url, None, {"OPENAI_API_KEY": KEY})
        patient = Endpoints(embedder=LineSettings(address, Patience(attempts=20, first_wait=0.001)))
        embedder, _ = load_endpoint_embedder("openai:mini", patient)
        vectors = embedder.embed([f"text {number}" for number in range(600)])
    assert server.plan.done[kind] > 0
    assert vectors.shape == (600, 8)


def test_an_embedding_of_another_width_is_refused() -> None:
    with serve(plan=Plan(1.0, ("width",), after=1)) as server:
        embedder, _ = load_endpoint_embedder("openai:mini", endpoints(server))
        with pytest.raises(UserError, match="a vector of 9 numbers in place of 8"):
            embedder.embed(["one"])


def test_a_known_embedder_has_its_width_before_anything_is_asked() -> None:
    with serve(model="text-embedding-3-small") as server, pytest.raises(UserError, match="in place of 1536"):
        load_endpoint_embedder("openai:text-embedding-3-small", endpoints(server))


def test_only_a_text_longer_than_known_limit_is_cut_into_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    text, module = "The old mill by the café 🙂 " * 9, "rmtbench.models.endpoint.embedder"
    ranks = {bytes([number]): number for number in range(256)}
    of_bytes = tiktoken.Encoding("bytes", pat_str=r"\s?\S+|\s+", mergeable_ranks=ranks, special_tokens={})
    monkeypatch.setattr("tiktoken.encoding_name_for_model", lambda _: "bytes")
    monkeypatch.setattr("tiktoken.get_encoding", lambda _: of_bytes)
    with serve() as server:
        embedder, _ = load_endpoint_embedder("openai:mini", endpoints(server))
        assert embedder.max_tokens is None
        assert embedder.windows([text], ["Town\n"]) == [[(0, len(text))]]
        monkeypatch.setattr(f"{module}.MAX_TOKENS", {"mini": 60})
        embedder, _ = load_endpoint_embedder("openai:mini", endpoints(server))
    assert embedder.windows([text[:40]], ["Town\n"]) == [[(0, 40)]]
    [spans] = embedder.windows([text], ["Town\n"])
    assert len(spans) > 4
    assert (spans[0][0], spans[-1][1]) == (0, len(text))
    assert all(len(f"Town\n{text[start:end]}".encode()) <= 60 for start, end in spans)
    assert all(following <= end for (_, end), (following, _) in pairwise(spans))
    assert all(text[start].isspace() for start, _ in spans[1:])

    def unreachable(_name: str) -> None:
        raise ConnectionError

    monkeypatch.setattr("tiktoken.get_encoding", unreachable)
    with pytest.raises(UserError, match="long chunks cannot be cut into windows") as caught:
        embedder.windows([text], ["Town\n"])
    assert (caught.value.where, "embed-windows=off" in caught.value.remedy) == ("--embedder openai:mini", True)


# Prices and tokenizers.
def test_every_price_of_the_package_has_a_source_and_a_day() -> None:
    prices = read_prices()
    assert len(prices) >= 5
    assert all(price.source and price.date < "2027" and price.cached_input <= price.input for price in prices)
    assert find_price(prices, "gpt-4o-mini", "api.openai.com") is not None
    assert find_price(prices, "gpt-4o-mini", "localhost:8000") is None
    assert find_price(prices, "gpt-9", "api.openai.com") is None


def test_a_line_of_ones_own_goes_before(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    added = '[[price]]\nmodel = "gpt-4o"\ninput = 9\nsource = "bill"\ndate = 2026-01-01\n'
    path.write_text(SHIPPED_PRICES.read_text() + added)
    price = find_price(read_prices(path), "gpt-4o", "api.openai.com")
    assert price is not None
    assert (price.input, price.cached_input, price.output, price.date) == (9, 9, 0, "2026-01-01")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("price = 3", "holds no"),
        ("[[price", "no table of prices"),
        ('[[price]]\nmodel = "m"\ninput = 1\nsource = "s"', "'date'"),
        ('[[price]]\nmodel = "m"\ninput = -1\nsource = "s"\ndate = 2026-01-01', "'input'"),
        ('[[price]]\nmodel = "m"\ninput = 1\ndate = 2026-01-01', "'source'"),
        ('[[price]]\nmodel = "m"\nprice = 1', "fields are"),
    ],
)
def test_a_table_that_is_not_one_says_what_is_wrong(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=told):
        read_prices(path)


def test_tiktokens_encodings_serve_as_tokenizers() -> None:
    ranks = {bytes([number]): number for number in range(256)} | {b"ab": 256}
    tokenizer = TiktokenTokenizer(
        tiktoken.Encoding("tiny", pat_str=r"\w+|\W", mergeable_ranks=ranks, special_tokens={})
    )
    assert tokenizer.encode("abc", add_special_tokens=False) == [256, 99]
    assert tokenizer.decode([256, 99]) == "abc"
    assert tokenizer(["ab", "c"])["input_ids"] == [[256], [99]]
    assert len(tokenizer.get_vocab()) == 257


def test_a_model_whose_tokenizer_nobody_knows_must_name_one() -> None:
    with pytest.raises(UserError, match="no tokenizer is known for 'llama'") as caught:
        load_endpoint_tokenizer("llama", None)
    assert "--tokenizer" in caught.value.remedy


def test_the_real_clock_waits_and_chances_differ() -> None:
    clock = Clock()
    before = clock.now()
    clock.sleep(0.002)
    assert clock.now() > before
    assert len({clock.chance() for _ in range(5)}) == 5


def chatting(server: Server, chat: ChatSettings, api: Any = "chat") -> EndpointModel:
    return load_endpoint_model(
        "openai:mini", endpoints(server, api), tokenizer="mini", style="direct", max_answer_tokens=8, chat=chat
    )


@pytest.mark.parametrize(
    ("written", "finish", "expected"),
    [
        ("<think>\nArden\nlies\n</think>\n\non the Oss\nmore", "stop", ("on the Oss", "stop", "Arden\nlies")),
        ("<think>a</think>Answer:\non the Oss", "stop", ("on the Oss", "eos", "a")),
        ("opened by the server\n</think>\non the Oss", "stop", ("on the Oss", "eos", "opened by the server")),
        ("<think>\nArden lies", "length", ("", "length", "Arden lies")),
        ("on the Oss", "stop", ("on the Oss", "eos", "")),
    ],
)
def test_reasoning_in_a_reply_is_kept_apart(written: str, finish: str, expected: tuple[str, str, str]) -> None:
    with serve(says(written, finish)) as server:
        model = model_of(server)
        [generation] = model.generate([PROMPT])
    assert (generation.final, generation.finish, generation.reasoning) == expected
    assert generation.reasoning_tokens == model.count_tokens([expected[2]])[0]


def test_reasoning_budget_is_added_to_answer_cap() -> None:
    long = " ".join(["Oss"] * 30)
    with serve(says(f"<think>{long}</think>{long}")) as server:
        [generation] = chatting(server, ChatSettings(think_tokens=100)).generate([PROMPT])
    assert server.seen[-1]["max_tokens"] == 108
    assert generation.reasoning == long
    assert generation.finish == "length"
    assert 0 < len(generation.final.split()) <= 8


@pytest.mark.parametrize("api", ["chat", "completions"])
def test_a_system_prompt_comes_first(api: Any) -> None:
    with serve() as server:
        model = chatting(server, ChatSettings(system="Be brief."), api)
        model.generate([PROMPT])
    sent = [asked["messages"] if api == "chat" else asked["prompt"] for asked in server.seen]
    if api == "chat":
        assert [messages[0] for messages in sent] == [{"role": "system", "content": "Be brief."}] * 2
        assert sent[-1][1:] == [{"role": "user", "content": TEXT}]
    else:
        assert sent[-1] == f"Be brief.\n\n{TEXT}"
    assert model.provenance["system_prompt"] == "Be brief."


@pytest.mark.parametrize("added", [True, False])
def test_start_mark_is_sent_unless_the_server_adds_it(added: bool, tmp_path: Path) -> None:
    template = "<|im_start|>user\n{{ messages[-1]['content'] }}<|im_end|>\n<|im_start|>assistant\n"
    tokenizer = byte_level(("<|im_start|>", "<|im_end|>"), template)
    tokenizer.add_special_tokens({"bos_token": "<|im_start|>"})
    if added:
        start = ("<|im_start|>", tokenizer.convert_tokens_to_ids("<|im_start|>"))
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single="<|im_start|> $A", special_tokens=[start]
        )
    tokenizer.save_pretrained(tmp_path)
    with serve() as server:
        load_endpoint_model(
            "openai:mini", endpoints(server, "completions"), tokenizer=str(tmp_path), style="direct",
            max_answer_tokens=8,
        ).generate([PROMPT])  # fmt: skip
    assert server.seen[-1]["prompt"].startswith("user\nAnswer" if added else "<|im_start|>user\nAnswer")
