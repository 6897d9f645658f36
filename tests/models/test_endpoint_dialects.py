"""What servers do that the protocol does not say, each over a real socket: ends, lines, caps, streaming and counts."""

from __future__ import annotations

import gzip
import json
import ssl
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import openai
import pytest
from endpoint_server import KEY, Sent, Server, event, refusal, serve, stream

from rmtbench.errors import AnswerError, ContextTooLongError, ServerGoneError, UserError
from rmtbench.models.base import Generation, Passage, Prompt
from rmtbench.models.endpoint.address import find_address
from rmtbench.models.endpoint.faults import CERTIFICATES, PROXIES, RequestTarget, explain
from rmtbench.models.endpoint.line import LineSettings
from rmtbench.models.endpoint.load import Endpoints, load_endpoint_embedder, load_endpoint_model
from rmtbench.models.endpoint.model import EndpointModel
from rmtbench.models.endpoint.prices import Price
from rmtbench.models.endpoint.replies import lines_of
from rmtbench.models.endpoint.retry import Patience
from rmtbench.models.endpoint.usage import read_usage
from rmtbench.models.prompt import ChatSettings

PROMPT = Prompt((Passage("Arden", "Arden lies on the Oss."),), "Where does Arden lie?")
COUNTS = {"prompt_tokens": 100, "completion_tokens": 3}
USED = json.dumps({"choices": [], "usage": COUNTS})


def model_of(server: Server, style: Any = "direct", think: int | None = None, **settings: Any) -> EndpointModel:
    address = find_address(server.url, None, {"OPENAI_API_KEY": KEY})
    line = LineSettings(address, Patience(attempts=2, first_wait=0.001), **settings)
    chat = ChatSettings(think_tokens=think)
    return load_endpoint_model(
        "openai:mini", Endpoints(line), tokenizer="mini", style=style, max_answer_tokens=64, chat=chat
    )


def answered(*events: dict[str, Any], style: Any = "direct", **how: Any) -> Generation:
    """The answer to one question by a server that always says the same."""
    with serve(instead=lambda _asked: stream(*events, **how)) as server:
        [generation] = model_of(server, style).generate([PROMPT])
    return generation


def usage(**counts: Any) -> dict[str, Any]:
    return {"choices": [], "usage": {**COUNTS, **counts}}


# 1. Why an answer ended.
@pytest.mark.parametrize("reason", ["stop", "eos", "eos_token", "end_turn", "STOP", "stop_sequence", "", None, "new"])
def test_unknown_finish_reason_is_normal_and_kept(reason: str | None) -> None:
    generation = answered(event("Old "), event("Mill"), event(None, reason))
    assert (generation.final, generation.finish, generation.finish_reason) == ("Old Mill", "eos", reason)


@pytest.mark.parametrize(
    "reason", ["length", "max_tokens", "MAX_TOKENS", "model_length", "model_context_window_exceeded"]
)
def test_every_word_for_the_cap_is_the_cap(reason: str) -> None:
    assert answered(event("Old Mill"), event(None, reason)).finish == "length"


@pytest.mark.parametrize("reason", ["content_filter", "refusal", "SAFETY", "sensitive", "tool_calls"])
def test_what_a_filter_or_a_function_ended_is_no_answer(reason: str) -> None:
    with pytest.raises(AnswerError, match=f"for another reason: {reason}"):
        answered(event("Old"), event(None, reason))


@pytest.mark.parametrize("reason", ["abort", "network_error"])
def test_an_answer_that_the_server_gave_up_is_asked_for_again(reason: str) -> None:
    asked: list[Any] = []

    def instead(body: dict[str, Any]) -> Sent:
        asked.append(body)
        return stream(event("Old"), event(" Mill", reason if len(asked) == 2 else "stop"))

    with serve(instead=instead) as server:
        [generation] = model_of(server).generate([PROMPT])
    assert (generation.final, len(asked)) == ("Old Mill", 3)


@pytest.mark.parametrize("reason", [None, "", "null"])
def test_a_stream_without_a_reason_and_without_done_is_cut(reason: str | None) -> None:
    with pytest.raises(UserError, match="cut in the middle"):
        answered(event("Old"), event(None, reason), done=False)


def test_a_refusal_in_a_field_of_its_own_is_no_answer() -> None:
    with pytest.raises(AnswerError, match="for another reason: refusal"):
        answered(event(None, delta={"refusal": "I cannot say."}), event(None, "stop"))


@pytest.mark.parametrize("tail", ["data: [DONE]\n\n", "data: [DONE]\n\ndata: no JSON\n\n", f"data: {USED}\n\n"])
def test_a_whole_answer_is_kept_however_its_connection_ends(tail: str) -> None:
    sent = stream(event("Old Mill"), event(None, "stop"), done=False)
    with serve(instead=lambda _asked: Sent(sent.body + tail.encode(), lacks=9)) as server:
        [generation] = model_of(server).generate([PROMPT])
    assert generation.final == "Old Mill"
    assert len(server.seen) == 2, "nothing is paid for twice"


def test_an_answer_that_lacks_its_usage_too_is_cut() -> None:
    with (
        serve(instead=lambda _asked: replace(stream(event("Old Mill", "stop"), done=False), lacks=9)) as server,
        pytest.raises(UserError, match="cut in the middle"),
    ):
        model_of(server)


def test_nothing_behind_the_end_of_a_stream_is_part_of_it() -> None:
    sent = stream(event("Old Mill", "stop"))
    again = Sent(sent.body + sent.body + b"data: no JSON\n\n")
    with serve(instead=lambda _asked: again) as server:
        [generation] = model_of(server).generate([PROMPT])
    assert generation.final == "Old Mill"


@pytest.mark.parametrize(
    "sent",
    [
        Sent(b'{"message": "Internal error"}', "application/json"),
        Sent(b'{"model": "mini-2026", "choices": []}', "application/json"),
        stream(),
        stream({"choices": [], "usage": {"prompt_tokens": 9}}),
    ],
)
def test_a_reply_without_an_answer_is_not_an_empty_one(sent: Sent) -> None:
    instead, asked = first_yes_then(sent)
    with serve(instead=instead) as server:
        model = model_of(server)
        with pytest.raises(AnswerError, match="a malformed reply, 2 requests"):
            model.generate([PROMPT])
    assert len(asked) == 3


def test_an_error_that_is_cut_off_is_asked_again() -> None:
    sent = Sent(b'{"err', "application/json", 503, lacks=900)
    asked: list[Any] = []

    def instead(body: dict[str, Any]) -> Sent:
        asked.append(body)
        return sent if len(asked) == 2 else stream(event("Old Mill", "stop"))

    with serve(instead=instead) as server:
        [generation] = model_of(server).generate([PROMPT])
    assert (generation.final, len(asked)) == ("Old Mill", 3)


# 2. Lines.
@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_only_carriage_return_and_line_feed_end_a_line(character: str, end: str) -> None:
    # Control characters below 0x20 are escaped by JSON; the three of Unicode are sent as they are.
    assert answered(event(f"Old{character}Mill"), event(None, "stop"), end=end).final == f"Old{character}Mill"


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
def test_lines_are_the_same_however_the_bytes_are_cut(size: int) -> None:
    text = "a\r\nb\u2028c\n\n\rd\x85\r\n\r\ne".encode()
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    assert list(lines_of(pieces)) == ["a", "b\u2028c", "", "", "d\x85", "", "e"]


def test_a_compressed_stream_is_read() -> None:
    packed = gzip.compress(stream(event("Old Mill", "stop")).body)
    with serve(instead=lambda _asked: Sent(packed, headers=(("content-encoding", "gzip"),))) as server:
        assert model_of(server).generate([PROMPT])[0].final == "Old Mill"


def test_byte_order_mark_and_multiline_events_are_read() -> None:
    body = b'\xef\xbb\xbf: hello\nevent: x\ndata: {"choices": [{"index": 0,\ndata: "delta": {"content": "Old Mill"},'
    body += b'\ndata: "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
    with serve(instead=lambda _asked: Sent(body)) as server:
        [generation] = model_of(server).generate([PROMPT])
    assert generation.final == "Old Mill"


# 3. Caps and reasoning.
def capped(least: int, param: str | None = None) -> Any:
    """A server that refuses caps below `least`."""

    def instead(body: dict[str, Any]) -> Sent:
        if body["max_tokens"] >= least:
            return stream(event("Old Mill", "stop"), usage())
        return refusal(
            "Could not finish the message because max_tokens or model output limit was reached. Please try again with "
            "higher max_tokens.",
            param,
        )

    return instead


def caps(server: Server) -> Sequence[int]:
    return [body["max_tokens"] for body in server.seen]


@pytest.mark.parametrize("param", [None, "max_tokens"])
@pytest.mark.parametrize(
    ("least", "probe", "warming"), [(1, [16], [1]), (16, [16], [1, 16]), (17, [16, 64], [1, 16, 64])]
)
def test_a_server_that_wants_larger_cap_is_asked_again_with_more(
    least: int, probe: list[int], warming: list[int], param: str | None
) -> None:
    with serve(instead=capped(least, param)) as server:
        model = model_of(server)
        assert caps(server) == probe
        model.hold_context(PROMPT.passages)
        assert caps(server) == [*probe, *warming]
        [generation] = model.generate([PROMPT])
    assert generation.final == "Old Mill"
    assert "max_completion_tokens" not in server.seen[-1]


def test_too_small_cap_names_option_that_raises_it() -> None:
    with serve(instead=capped(65)) as server, pytest.raises(UserError, match="so small a cap") as caught:
        model_of(server)
    assert "--set think-tokens" in caught.value.remedy
    with serve(instead=capped(65)) as server:
        model_of(server, think=100)
    assert caps(server) == [16, 164]


def test_a_cap_below_nothing_means_a_prompt_that_is_too_long() -> None:
    def instead(body: dict[str, Any]) -> Sent | None:
        if "Say yes." in str(body["messages"]):
            return None
        return refusal("max_tokens must be at least 1, got -952.", "max_tokens")

    with serve(instead=instead) as server:
        model = model_of(server)
        with pytest.raises(ContextTooLongError):
            model.generate([PROMPT])


def thinking(needed: int, counted: bool = True) -> Any:
    """A server whose model spends `needed` tokens on reasoning before its text."""

    def instead(body: dict[str, Any]) -> Sent:
        longest = body["max_tokens"]
        spent = min(needed, longest)
        thoughts = [event(None, delta={"reasoning_content": "hm "}) for _ in range(spent)]
        counts = {"completion_tokens_details": {"reasoning_tokens": spent}} if counted else {}
        told = usage(completion_tokens=min(longest, needed + 2), **counts)
        if longest < needed + 2:
            return stream(*thoughts, event(None, "length"), told)
        return stream(*thoughts, event("Old Mill"), event(None, "stop"), told)

    return instead


def test_reasoning_that_uses_whole_cap_is_found_in_probe() -> None:
    with serve(instead=thinking(500)) as server, pytest.raises(UserError, match="spends all of 64 tokens") as caught:
        model_of(server)
    assert "--set think-tokens" in caught.value.remedy
    assert caps(server) == [16, 64]


@pytest.mark.parametrize("counted", [True, False])
def test_reasoning_has_a_cap_of_its_own_and_is_counted_apart(counted: bool) -> None:
    with serve(instead=thinking(500, counted)) as server:
        model = model_of(server, think=1000, reasoning_effort="low")
        [generation] = model.generate([PROMPT])
    assert caps(server) == [16, 1064, 1064]
    assert {body["reasoning_effort"] for body in server.seen} == {"low"}
    assert (generation.final, generation.raw, generation.written_tokens) == ("Old Mill", "Old Mill", 502)
    assert generation.reasoning == " ".join(["hm"] * 500)
    assert generation.reasoning_tokens == (500 if counted else model.count_tokens([generation.reasoning])[0])
    assert (model.provenance["reasoning_effort"], model.provenance["think_tokens"]) == ("low", 1000)


def untokenized(server: Server, think: int) -> EndpointModel:
    """A served model without a tokenizer."""
    line = LineSettings(find_address(server.url, None, {"OPENAI_API_KEY": KEY}))
    return load_endpoint_model(
        "openai:mini", Endpoints(line), tokenizer=None, style="direct", max_answer_tokens=2, counted_for=None,
        chat=ChatSettings(think_tokens=think),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "stated", "reasoning", "tokens"),
    [
        ("<think>it is old</think>Old Mill", None, "it is old", None),  # nothing here counts it
        ("<think>it is old</think>Old Mill", 9, "it is old", 9),
        ("Old Mill", None, "", 0),
        ("Old Mill", 9, "", 9),  # the server reasons, and does not show it
    ],
)
def test_reasoning_tokens_are_as_stated_or_unknown(
    text: str, stated: int | None, reasoning: str, tokens: int | None
) -> None:
    counts = {} if stated is None else {"completion_tokens_details": {"reasoning_tokens": stated}}
    with serve(instead=lambda _asked: stream(event(text, "stop"), usage(**counts))) as server:
        [generation] = untokenized(server, 10).generate([PROMPT])
    assert (generation.final, generation.reasoning) == ("Old Mill", reasoning)
    assert generation.reasoning_tokens == tokens


def test_reasoning_sent_apart_and_between_marks_is_one_text() -> None:
    thought = event(None, delta={"reasoning_content": "it is old"})
    generation = answered(thought, event("<think>and a mill</think>Old Mill", "stop"), usage())
    assert (generation.final, generation.reasoning) == ("Old Mill", "it is old\nand a mill")


def test_warming_says_the_system_prompt_that_the_questions_say() -> None:
    with serve() as server:
        line = LineSettings(find_address(server.url, None, {"OPENAI_API_KEY": KEY}))
        chat = ChatSettings(system="Be brief.")
        model = load_endpoint_model(
            "openai:mini", Endpoints(line), tokenizer="mini", style="direct", max_answer_tokens=8, chat=chat
        )
        model.hold_context(PROMPT.passages).value.cache.generate([PROMPT.question])
    assert [body["messages"][0]["content"] for body in server.seen] == ["Be brief."] * 3


def test_without_option_no_effort_is_sent() -> None:
    with serve() as server:
        model_of(server)
    assert "reasoning_effort" not in server.seen[-1]
    with (
        serve(instead=lambda _asked: refusal("Unsupported value: 'huge'", "reasoning_effort")) as server,
        pytest.raises(UserError) as caught,
    ):
        model_of(server, reasoning_effort="huge")
    assert "--set reasoning-effort" in caught.value.remedy


# 4. Servers that do not stream, and what a refusal is about.
WHOLE = {
    "model": "mini-2026",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Old Mill"}}],
    "usage": COUNTS,
}


def whole(indent: int | None = None) -> Sent:
    return Sent(json.dumps(WHOLE, indent=indent).encode(), "application/json")


@pytest.mark.parametrize("indent", [None, 2])
def test_non_streaming_proxy_has_no_first_token_time(indent: int | None) -> None:
    with serve(instead=lambda _asked: whole(indent)) as server:
        model = model_of(server)
        [generation] = model.generate([PROMPT])
    assert (generation.final, generation.prompt_tokens, generation.written_tokens) == ("Old Mill", 100, 3)
    assert generation.prefill_seconds is None
    assert generation.seconds > 0
    assert model.provenance["streams"] is False


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ("Your organization must be verified to stream this model.", "stream"),
        ("Unsupported value.", "stream"),
        ("Streaming is not supported.", None),
        ("Only whole answers. See temperature.", "stream"),
    ],
)
def test_a_server_that_refuses_to_stream_is_asked_without(message: str, param: str | None) -> None:
    def instead(body: dict[str, Any]) -> Sent:
        return refusal(message, param) if body.get("stream") else whole()

    with serve(instead=instead) as server:
        [generation] = model_of(server).generate([PROMPT])
    assert generation.final == "Old Mill"
    assert not {"stream", "stream_options"} & set(server.seen[-1])
    assert server.seen[-1]["temperature"] == 0


DETAIL = {
    "type": "extra_forbidden",
    "url": "https://errors.pydantic.dev/" + "long/" * 60,
    "loc": ["body", "stream_options"],
}


@pytest.mark.parametrize(
    ("sent", "refused"),
    [
        (refusal("Only the default value is supported.", "temperature"), "temperature"),
        (refusal("Not with max_tokens at this temperature.", "temperature"), "temperature"),
        (Sent(json.dumps({"detail": [DETAIL]}).encode(), "application/json", 422), "stream_options"),
        (Sent(json.dumps({"message": {"detail": [DETAIL]}}).encode(), "application/json", 422), "stream_options"),
        (refusal("'max_tokens' is not supported. Use 'max_completion_tokens' instead."), "max_tokens"),
        (refusal("x" * 500 + " stream_options"), "stream_options"),
    ],
)
def test_error_field_says_what_refusal_is_about(sent: Sent, refused: str) -> None:
    with serve(instead=lambda body: sent if refused in body else None) as server:
        model_of(server).generate([PROMPT])
    assert refused not in server.seen[-1]
    assert {"max_tokens", "temperature", "stream_options"} - set(server.seen[-1]) == {refused}


def test_a_refused_parameter_is_no_prompt_that_is_too_long() -> None:
    with (
        serve(instead=lambda _asked: refusal("With this context window only 1 is allowed.", "top_p")) as server,
        pytest.raises(UserError, match="With this context window"),
    ):
        model_of(server)


def first_yes_then(sent: Sent) -> tuple[Any, list[Any]]:
    """A server that takes the first request and refuses every question; and what it was asked."""
    asked: list[Any] = []

    def instead(body: dict[str, Any]) -> Sent:
        asked.append(body)
        return stream(event("yes", "stop")) if len(asked) == 1 else sent

    return instead, asked


def in_a_stream(message: str, **more: Any) -> Sent:
    return Sent(f"data: {json.dumps({'error': {'message': message, **more}})}\n\n".encode())


FLAGGED = {"metadata": {"reasons": ["violence"], "flagged_input": "...", "provider_name": "a"}}


@pytest.mark.parametrize(
    "sent",
    [
        Sent(json.dumps({"error": {"code": 403, "message": "flagged", **FLAGGED}}).encode(), "application/json", 403),
        in_a_stream("flagged", code=403, **FLAGGED),
        in_a_stream("no such grammar", code=400),
    ],
)
def test_what_is_wrong_with_one_question_fails_it_alone(sent: Sent) -> None:
    instead, asked = first_yes_then(sent)
    with serve(instead=instead) as server:
        model = model_of(server)
        with pytest.raises(AnswerError, match="refuses the request"):
            model.generate([PROMPT])
    assert len(asked) == 2, "it is not asked again"


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (
            in_a_stream("The input (9000 tokens) is longer than the model's context length (8192 tokens).", code=400),
            "prompt and answer of 9,000 tokens exceed the model's context of 8,192 by 808 tokens",
        ),
        (
            Sent(b'data: {"error": "Trying to keep the first 9000 tokens, with context length of only 8192"}\n\n'),
            "prompt and answer of 9,000 tokens exceed the model's context of 8,192 by 808 tokens",
        ),
        (
            refusal("The decoder prompt (length 9000) is longer than the maximum model length of 8192."),
            "prompt and answer of 9,000 tokens exceed the model's context of 8,192 by 808 tokens",
        ),
        (
            Sent(
                b'[{"error": {"code": 400, "message": "The input token count (9000) exceeds the maximum number of '
                b'tokens allowed (8192)."}}]',
                "application/json",
                400,
            ),
            "prompt and answer of 9,000 tokens exceed the model's context of 8,192 by 808 tokens",
        ),
        (
            refusal("This model's maximum prompt length is 8192 but the request contains 9000 tokens."),
            "prompt and answer of 9,000 tokens exceed the model's context of 8,192 by 808 tokens",
        ),
        (
            refusal("Range of input length should be [1, 30720]", "input"),
            "the prompt exceeds the model's context",
        ),
        (
            refusal(
                "'max_tokens' is too large: 64. This model's maximum context length is 4096 tokens and your "
                "request has 4090 input tokens (64 > 4096 - 4090).",
                "max_tokens",
            ),
            "the prompt exceeds the model's context",
        ),
        (
            refusal("Request too large for mini on tokens per min (TPM): Limit 30000, Requested 85000", status=429),
            "the prompt exceeds the account's limit a minute",
        ),
    ],
)
def test_too_long_a_prompt_is_told_as_that_and_never_repeated(sent: Sent, told: str) -> None:
    instead, asked = first_yes_then(sent)
    with serve(instead=instead) as server:
        model = model_of(server)
        with pytest.raises(ContextTooLongError, match=told):
            model.generate([PROMPT])
    assert len(asked) == 2


def test_a_used_up_account_in_a_stream_fails_no_question_alone() -> None:
    instead, asked = first_yes_then(in_a_stream("no credits", code=402))
    with serve(instead=instead) as server:
        model = model_of(server)
        for _ in range(2):
            with pytest.raises(AnswerError, match="no credits"):
                model.generate([PROMPT])
        with pytest.raises(ServerGoneError, match="no credits"):
            model.generate([PROMPT])
    assert len(asked) == 1 + 3 * 2


def test_what_will_never_pass_is_not_asked_again() -> None:
    with (
        serve(instead=lambda _asked: refusal("not built", status=501)) as server,
        pytest.raises(UserError, match="501"),
    ):
        model_of(server)
    assert len(server.seen) == 1
    with (
        serve(instead=lambda _asked: refusal("Insufficient Balance", status=402)) as server,
        pytest.raises(UserError, match=r"quota is used up \(402\)"),
    ):
        model_of(server)
    assert len(server.seen) == 1


# 5. Cached tokens.
@pytest.mark.parametrize(
    ("counts", "prompt", "cached"),
    [
        ({}, 100, None),
        ({"prompt_tokens_details": None}, 100, None),
        ({"prompt_tokens_details": {}}, 100, None),
        ({"prompt_tokens_details": {"cached_tokens": None}}, 100, None),
        ({"prompt_tokens_details": {"cached_tokens": 0}}, 100, 0),
        ({"prompt_tokens_details": {"cached_tokens": 64}}, 100, 64),
        ({"prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36}, 100, 64),
        ({"prompt_cache_hit_tokens": 0, "prompt_cache_miss_tokens": 100}, 100, 0),
        ({"cache_read_input_tokens": 64, "cache_creation_input_tokens": 0}, 100, 64),
        ({"cache_read_input_tokens": 900}, 1000, 900),  # counted apart: added
        ({"prompt_tokens_details": None, "cached_tokens": 64}, 100, 64),
        ({"prompt_tokens_details": {"cached_tokens": 64}, "prompt_cache_hit_tokens": 0}, 100, 64),
        # proxies that send 0 under each name that they know
        ({"prompt_tokens_details": {"cached_tokens": 0}, "prompt_cache_hit_tokens": 64}, 100, 64),
        ({"prompt_cache_hit_tokens": 0, "cached_tokens": 64, "input_tokens": 0}, 100, 64),
        ({"prompt_tokens_details": {"cached_tokens": 0}, "input_tokens_details": {"cached_tokens": 64}}, 100, 64),
        # counted apart, as the total shows
        ({"cache_read_input_tokens": 64, "total_tokens": 167}, 164, 64),
        ({"cache_read_input_tokens": 64, "total_tokens": 103}, 100, 64),
    ],
)
def test_cached_tokens_have_many_names_absence_is_not_zero(
    counts: dict[str, Any], prompt: int, cached: int | None
) -> None:
    generation = answered(event("Old Mill", "stop"), usage(**counts))
    assert (generation.prompt_tokens, generation.cached_tokens) == (prompt, cached)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        # xAI: reasoning is named, and no part of what was written; Google: it is in the total alone
        (
            {"completion_tokens": 9, "total_tokens": 203, "completion_tokens_details": {"reasoning_tokens": 94}},
            (103, 94),
        ),
        ({"completion_tokens": 9, "total_tokens": 203}, (103, 94)),
        ({"completion_tokens": None, "total_tokens": 194}, (94, None)),
        (
            {"completion_tokens": 0, "total_tokens": 160, "completion_tokens_details": {"reasoning_tokens": 60}},
            (60, 60),
        ),
        # OpenAI: it is part of what was written
        (
            {"completion_tokens": 103, "total_tokens": 203, "completion_tokens_details": {"reasoning_tokens": 94}},
            (103, 94),
        ),
        # Anthropic: what is cached is counted apart
        ({"completion_tokens": 9, "total_tokens": 1009, "cache_read_input_tokens": 900}, (9, None)),
    ],
)
def test_reasoning_beside_the_written_tokens_is_paid_for_too(
    counts: dict[str, Any], expected: tuple[int, int | None]
) -> None:
    found = read_usage({"prompt_tokens": 100, **counts})
    assert (found.output, found.reasoning) == expected


def test_a_prompt_of_no_tokens_is_no_count() -> None:
    generation = answered(event("Old Mill", "stop"), usage(prompt_tokens=0, completion_tokens=0))
    assert generation.prompt_tokens > 0
    assert generation.written_tokens > 0


@pytest.mark.parametrize(
    "events",
    [
        [{**event("Old Mill", "stop"), "timings": {"cache_n": -1}},
         {"choices": [], "usage": COUNTS, "timings": {"cache_n": 64, "prompt_n": 36}}],
        [{"choices": [{"index": 0, "delta": {"content": "Old Mill"}, "finish_reason": "stop",
                       "usage": {**COUNTS, "cached_tokens": 64}}]}],
        [{**event("Old "), "usage": {"prompt_tokens": 100, "cached_tokens": 64}},
         {**event("Mill", "stop"), "usage": {"prompt_tokens": None, "completion_tokens": 3}}],
    ],
    ids=["llama.cpp", "Moonshot", "in parts"],
)  # fmt: skip
def test_counts_are_found_wherever_a_server_sends_them(events: list[dict[str, Any]]) -> None:
    generation = answered(*events)
    assert (generation.prompt_tokens, generation.cached_tokens, generation.written_tokens) == (100, 64, 3)


# 6. Content, names and cues.
@pytest.mark.parametrize(
    "last",
    [
        {"index": 0, "delta": {}, "message": {"content": "Old Mill"}, "finish_reason": "stop"},
        {"index": 0, "delta": None, "message": {"content": "Old Mill"}, "finish_reason": "stop"},
        {"index": 0, "text": "Old Mill", "delta": {"content": ""}, "finish_reason": "stop"},
    ],
)
def test_a_message_that_is_sent_once_more_is_not_doubled(last: dict[str, Any]) -> None:
    assert answered(event("Old Mill"), {"choices": [last]}).final == "Old Mill"


def test_text_beside_an_empty_text_field_is_not_lost() -> None:
    both = {"index": 0, "text": "", "delta": {"content": "Old Mill"}, "finish_reason": "stop"}
    assert answered({"choices": [both]}).final == "Old Mill"


@pytest.mark.parametrize(
    "parts",
    [
        [{"type": "text", "text": "Old Mill"}],
        [{"type": "text", "text": "Old "}, {"type": "text", "text": "Mill"}],
        [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "Old Mill"}],
        [{"type": "reasoning", "text": "hm"}, {"text": "Old Mill"}],
        ["Old ", "Mill"],
    ],
)
def test_content_may_be_a_list_of_parts(parts: list[Any]) -> None:
    generation = answered(event("", delta={"role": "assistant"}), event(parts), event(None, "stop"), usage())
    assert generation.final == "Old Mill"
    assert ((generation.reasoning_tokens or 0) > 0) == ("hm" in str(parts))


def test_an_event_may_lack_what_nobody_needs() -> None:
    bare = {"id": None, "choices": [{"index": 0, "delta": None, "finish_reason": None}], "usage": None}
    assert answered(bare, {"choices": None}, event("Old Mill", "stop"), usage()).final == "Old Mill"


@pytest.mark.parametrize("style", ["direct", "bridge"])
@pytest.mark.parametrize(
    "cue", ["**Answer:** Old Mill", "**Answer**: Old Mill", "__Answer:__ Old Mill", "## Answer:\nOld Mill",
            "**Answer:**\n\nOld Mill\nand more", "answer: Old Mill" , "Answer: Old Mill"],
)  # fmt: skip
def test_a_cue_in_bold_is_no_part_of_the_answer(cue: str, style: str) -> None:
    if style == "bridge":
        cue = f"**Reasoning:** it is old.\n{cue.replace('answer', 'Answer')}"
    generation = answered(event(cue, "stop"), style=style)
    assert generation.final == "Old Mill"
    assert generation.raw.endswith(("Old Mill", "Old Mill\n"))


def test_another_served_name_stops_run_and_answer_is_not_kept() -> None:
    names = iter(["a", None, "a", "b"])

    def instead(_asked: dict[str, Any]) -> Sent:
        return stream({**event("Old Mill", "stop"), "model": next(names)})

    with serve(instead=instead) as server:
        model = model_of(server)
        assert len(model.generate([PROMPT, PROMPT])) == 2
        with pytest.raises(ServerGoneError, match="has changed from 'a' to 'b'") as caught:
            model.generate([PROMPT])
    assert "resumes" in caught.value.remedy


# 7. Batches of texts to embed.
def limited(refused: Sent, too_many: Any) -> Any:
    """An embedder that refuses some requests."""
    return lambda body: refused if too_many(body["input"]) else None


TEXTS = [f"text {number} of many words" for number in range(100)]
LIMITS = {
    "items, 413": (refusal("batch size 100 > 32", status=413), lambda texts: len(texts) > 32),
    "items, 400": (refusal("batch size is invalid, it should not be larger than 10"), lambda texts: len(texts) > 10),
    "items, 422": (Sent(b'{"detail": "too many inputs"}', "application/json", 422), lambda texts: len(texts) > 7),
    "one": (refusal("one text only", "input"), lambda texts: len(texts) > 1),
    "tokens": (
        refusal("maximum request size is 300 tokens per request.", "input", code="max_tokens_per_request"),
        lambda texts: sum(len(text.split()) for text in texts) > 300,
    ),
    "tokens, as a length": (
        refusal("This model's maximum context length is 300 tokens, however you requested 500 tokens"),
        lambda texts: sum(len(text.split()) for text in texts) > 300,
    ),
}  # fmt: skip


def embedder_of(server: Server, **how: Any) -> Any:
    line = LineSettings(find_address(server.url, None, {"OPENAI_API_KEY": KEY}), Patience(attempts=2, first_wait=0.001))
    return load_endpoint_embedder("openai:mini", Endpoints(embedder=line, **how))[0]


@pytest.mark.parametrize("case", LIMITS)
def test_a_batch_that_server_refuses_is_halved_and_so_are_next(case: str) -> None:
    refused, too_many = LIMITS[case]
    with serve() as server:
        expected = embedder_of(server).embed(TEXTS)
    with serve(instead=limited(refused, too_many)) as server:
        embedder = embedder_of(server)
        vectors = embedder.embed(TEXTS)
        first = [len(body["input"]) for body in server.seen]
        embedder.embed([f"{text}!" for text in TEXTS])
    again = server.seen[len(first) :]
    assert (vectors == expected).all()
    assert first[1:3] == [100, 50]
    assert not any(too_many(body["input"]) for body in again)


def test_a_text_that_is_refused_by_itself_stops_the_run() -> None:
    with serve(instead=limited(refusal("input too long"), lambda texts: "text 7 of many words" in texts)) as server:
        embedder = embedder_of(server)
        with pytest.raises(UserError, match="input too long"):
            embedder.embed(TEXTS)


def test_the_first_batch_is_as_large_as_the_user_says() -> None:
    with serve() as server:
        embedder_of(server, embed_batch=40).embed(TEXTS)
    assert [len(body["input"]) for body in server.seen] == [1, 40, 40, 20]


def vectors(numbers: Sequence[int], model: str = "mini", value: str = "1.0") -> Sent:
    rows = [f'{{"index": {number}, "embedding": [{value}, {place}.5]}}' for place, number in enumerate(numbers)]
    return Sent(f'{{"data": [{", ".join(rows)}], "model": "{model}"}}'.encode(), "application/json")


def test_an_embedder_that_numbers_nothing_is_read_in_order() -> None:
    with serve(instead=lambda body: vectors([0] * len(body["input"]))) as server:
        made = embedder_of(server).embed(["a", "b", "c"])
    assert list(made[:, 1] / made[:, 0]) == pytest.approx([0.5, 1.5, 2.5])


def rows(*rows: dict[str, Any], **more: Any) -> Sent:
    return Sent(json.dumps({"data": rows, "model": "mini", **more}).encode(), "application/json")


def test_an_embedder_may_number_nothing_or_send_base64() -> None:
    sent = rows({"embedding": [3.0, 4.0]}), rows({"index": 0, "embedding": "AABAQAAAgEA="})
    for one in sent:
        with serve(instead=lambda _asked, one=one: one) as server:
            assert embedder_of(server).embed(["a"]).tolist() == [[pytest.approx(0.6), pytest.approx(0.8)]]


@pytest.mark.parametrize(
    ("usage", "tokens"), [({"prompt_tokens": None, "total_tokens": None}, 0), ({"total_tokens": 5}, 5), (None, 0)]
)
def test_an_embedder_that_tells_no_tokens_has_no_cost(usage: Any, tokens: int) -> None:
    sent = rows({"index": 0, "embedding": [3.0, 4.0]}, usage=usage)
    price = Price("mini", None, 1.0, 1.0, 0.0, "USD", "us", "2026-01-02")
    with serve(instead=lambda _asked: sent) as server:
        line = LineSettings(find_address(server.url, None, {"OPENAI_API_KEY": KEY}))
        embedder, facts = load_endpoint_embedder("openai:mini", Endpoints(embedder=line, prices=(price,)))
    assert embedder.tokens == tokens
    assert (facts["price"] is None) == (tokens == 0)


def test_an_error_in_place_of_embeddings_says_what_server_said() -> None:
    sent = Sent(b'{"error": {"message": "no such engine"}}', "application/json")
    with serve(instead=lambda _asked: sent) as server, pytest.raises(UserError, match="no such engine"):
        embedder_of(server)


@pytest.mark.parametrize("value", ["NaN", "1e300", "null"])
def test_vectors_without_a_direction_are_refused(value: str) -> None:
    with serve(instead=lambda _body: vectors([0], value=value)) as server, pytest.raises(UserError, match="not finite"):
        embedder_of(server)


@pytest.mark.parametrize("vector", [[], [0.0, 0.0], None])
def test_a_vector_of_zeros_is_refused(vector: list[float] | None) -> None:
    sent = rows({"index": 0, "embedding": vector})
    with serve(instead=lambda _asked: sent) as server, pytest.raises(UserError, match="a vector that is zero"):
        embedder_of(server)


def test_vectors_of_another_model_are_refused() -> None:
    names = iter(["a", "a", "b"])
    with serve(instead=lambda _body: vectors([0], next(names))) as server:
        embedder = embedder_of(server)
        embedder.embed(["one"])
        with pytest.raises(ServerGoneError, match="has changed from 'a' to 'b'"):
            embedder.embed(["two"])


def test_what_tells_two_embedders_apart_is_in_their_hash() -> None:
    names = iter(["mini", "mini", "bge-small", "e5-small"])
    with serve(instead=lambda body: vectors(range(len(body["input"])), next(names))) as server:
        hashes = [embedder_of(server).sha256 for _ in range(4)]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3, "a server that changed its model under one name"
    with serve() as server:
        there = replace(server, url=server.url.replace("/v1", "/team-b/v1"))
        assert embedder_of(server).sha256 != embedder_of(there).sha256, "two paths behind one host"


# 8. The way to the server.
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("ask", [model_of, embedder_of])
def test_no_redirect_gets_the_key_or_a_prompt(ask: Any, status: int) -> None:
    with serve() as other:
        place = other.url.replace("127.0.0.1", "me:hunter2@localhost") + "/chat/completions?token=q1w2"
        sent = Sent(b"", status=status, headers=(("location", place),))
        with serve(instead=lambda _asked: sent) as server, pytest.raises(UserError, match="redirects to") as caught:
            ask(replace(server, url=f"{server.url}?api-version=2024-10-21"))
    assert f"localhost:{other.url.split(':')[2].removesuffix('/v1')} ({status})" in str(caught.value)
    assert not {"hunter2", "q1w2"} & set(str(caught.value).replace("@", " ").replace("=", " ").split())
    assert (len(server.seen), other.keys) == (1, [])


def test_a_query_of_base_url_goes_with_every_request_behind_path() -> None:
    with serve() as server:
        address = find_address(f"{server.url}?api-version=2024-02-01&tenant=s3cr3t", None, {"OPENAI_API_KEY": KEY})
        line = LineSettings(address)
        load_endpoint_model("openai:mini", Endpoints(line), tokenizer="mini", style="direct", max_answer_tokens=8)
        load_endpoint_embedder("openai:mini", Endpoints(embedder=line))
    assert server.paths == [
        f"/v1/{path}?api-version=2024-02-01&tenant=s3cr3t" for path in ("chat/completions", "embeddings")
    ]
    assert {headers["api-key"] for headers in server.headers} == {KEY}
    assert address.redact("2024-02-01 s3cr3t") == "2024-02-01 [redacted]"


def test_without_a_version_in_query_key_goes_in_one_header_alone() -> None:
    with serve() as server:
        model_of(server)
    assert server.paths == ["/v1/chat/completions"]
    assert "api-key" not in server.headers[0]


def test_headers_for_openais_own_server_go_to_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Gateway: hunter2\nAuthorization: Bearer hunter2")
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_ADMIN_KEY"):
        monkeypatch.setenv(name, "hunter2")
    with serve() as server:
        model_of(server)
        embedder_of(server)
    assert server.keys == [KEY, KEY]
    assert "hunter2" not in str(server.headers)


@pytest.mark.parametrize(
    ("variable", "value", "what"),
    [
        ("ALL_PROXY", "socks5://me:hunter2@localhost:1", "is a SOCKS proxy"),
        ("all_proxy", "socks5://me:hunter2@localhost:1", "is a SOCKS proxy"),
        ("HTTPS_PROXY", "ftp://me:hunter2@localhost:1", "cannot be used"),
        ("ALL_PROXY", "::hunter2::", "cannot be used"),
        ("SSL_CERT_FILE", "/nowhere/certificates.pem", "cannot be read"),
        ("SSL_CERT_FILE", __file__, "cannot be read"),
        ("SSL_CERT_FILE", "/", "cannot be read"),
    ],
)
def test_unusable_proxy_or_certificates_name_their_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, what: str
) -> None:
    for name in (*PROXIES, *CERTIFICATES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, value)
    with serve() as server, pytest.raises(UserError, match=f"{variable} .*{what}") as caught:
        model_of(server)
    assert "hunter2" not in f"{caught.value} {caught.value.remedy}"
    assert caught.value.remedy
    assert not server.seen


def test_untrusted_certificate_is_reported_and_not_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    error = openai.APIConnectionError(request=None)  # type: ignore[arg-type]
    error.__cause__ = ConnectionError("TLS")
    error.__cause__.__context__ = ssl.SSLCertVerificationError(1, "verify failed")
    address = find_address("https://localhost:1/v1", None, {})
    told = explain(error, RequestTarget(address, "mini"))
    assert isinstance(told, UserError)
    assert "certificate of localhost:1 is not trusted" in str(told)
    assert "SSL_CERT_FILE" in told.remedy
