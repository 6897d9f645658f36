"""A real HTTP server that speaks the OpenAI protocol on 127.0.0.1: chat, completions and embeddings, streamed, with
usage and cached tokens, and with faults by a seeded plan. What answers behind it is given.
"""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from rmtbench.models.local import LocalModel

KEY = "sk-test-5up3rs3cr3tk3y-do-not-show"
BLOCK = 16
"""Cached tokens come in blocks of so many."""
PASSING = ("408", "409", "429", "500", "503", "dropped", "cut", "malformed")
"""Faults after which asking again helps."""


@dataclass(frozen=True)
class Written:
    """What stood in a prompt, as tokens, and what was written."""

    prompt: Sequence[Any]
    text: str
    output_tokens: int
    finish: str


Answer = Callable[[str, int], Written]


@dataclass(frozen=True)
class Sent:
    """A response as it goes out."""

    body: bytes
    kind: str = "text/event-stream"
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    lacks: int = 0
    """Bytes that are promised and never sent."""


Instead = Callable[[dict[str, Any]], Sent | None]
"""What a server sends for a request in place of what the protocol wants; None for just that."""


def event(text: Any = None, finish: Any = None, **more: Any) -> dict[str, Any]:
    """One event of a chat; `more` are fields of the event or, as ``delta``, of its message."""
    delta = {"content": text, **more.pop("delta", {})}
    return {
        "id": None,
        "model": "mini-2026",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        **more,
    }


def stream(*events: dict[str, Any], done: bool = True, end: str = "\n") -> Sent:
    """Server-sent events, with characters outside ASCII as they are."""
    lines = [f"data: {json.dumps(one, ensure_ascii=False)}{end}{end}" for one in events]
    return Sent("".join([*lines, f"data: [DONE]{end}{end}" if done else ""]).encode())


def refusal(message: str, param: str | None = None, status: int = 400, code: str | None = None) -> Sent:
    """An error as OpenAI writes it."""
    return Sent(
        json.dumps({"error": {"message": message, "param": param, "code": code}}).encode(), "application/json", status
    )


def echo(text: str, max_tokens: int) -> Written:
    """An instant model: says the question again."""
    question = text.rpartition("Question: ")[2].partition("\n")[0]
    words = question.split()[:max_tokens]
    return Written(text.split(), " ".join(words), len(words), "stop" if len(words) < max_tokens else "length")


def of_local(model: LocalModel) -> Answer:
    """A model on this machine, which reads the text as its tokenizer has it and writes greedily to the end."""
    import torch

    lock = threading.Lock()

    def answer(text: str, max_tokens: int) -> Written:
        with lock, torch.inference_mode():
            ids = model.contract.tokenizer(text, return_tensors="pt")["input_ids"]
            made = model.model.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=max_tokens, do_sample=False,
                eos_token_id=sorted(model.end_ids), pad_token_id=min(model.end_ids),
            )[0, ids.shape[1] :].tolist()  # fmt: skip
        ended = bool(made) and made[-1] in model.end_ids
        kept = made[:-1] if ended else made
        return Written(ids[0].tolist(), model.contract.tokenizer.decode(kept), len(kept), "stop" if ended else "length")

    return answer


@dataclass
class Plan:
    """Which requests fail, and how: decided by the seed, the request's bytes and how often it was made before."""

    share: float = 0.0
    kinds: Sequence[str] = PASSING
    seed: int = 0
    retry_after: str = "0.01"
    after: int = 0
    """Requests that are served before any fails."""

    def __post_init__(self) -> None:
        self._made: Counter[bytes] = Counter()
        self._lock = threading.Lock()
        self.done: Counter[str] = Counter()
        self.requests = 0

    def next(self, body: bytes) -> str | None:
        """The fault of this request; None if it is served."""
        with self._lock:
            self.requests += 1
            self._made[body] += 1
            chance = random.Random(f"{self.seed}|{self._made[body]}|{body!r}")
            if self.requests <= self.after or chance.random() >= self.share:
                return None
            kind = chance.choice(list(self.kinds))
            self.done[kind] += 1
            return kind


@dataclass
class Server:
    """What a test sees of a running server."""

    url: str
    plan: Plan
    seen: list[dict[str, Any]] = field(default_factory=list)
    """Bodies of all requests that were served."""
    keys: list[str] = field(default_factory=list)
    """Keys that were sent."""
    paths: list[str] = field(default_factory=list)
    """Paths with their queries, of all requests."""
    headers: list[dict[str, str]] = field(default_factory=list)
    most_at_once: int = 0


@contextmanager
def serve(  # noqa: C901 - a server in one piece
    answer: Answer = echo,
    *,
    plan: Plan | None = None,
    model: str = "mini",
    key: str | None = KEY,
    usage: bool = True,
    caches: bool = True,
    width: int = 8,
    limit: int | None = None,
    refuses: Sequence[str] = (),
    details: bool = False,
    delay: float = 0.0,
    port: int = 0,
    instead: Instead = lambda _asked: None,
) -> Iterator[Server]:
    """Run a server while the block lasts.

    Args:
        answer: Writes answers.
        plan: Faults.
        model: The one model's name.
        key: The one that is taken; None takes any.
        usage: Whether usage is told.
        caches: Whether prefixes are cached.
        width: Of embeddings.
        limit: The model's context; None for any length.
        refuses: Parameters that are refused.
        details: Whether errors are told as FastAPI tells them, and an unknown model as a wrong request.
        delay: Seconds that every answer takes.
        port: 0 for any.
        instead: What is sent in place of the protocol's responses.
    """
    lock = threading.Lock()
    prompts: list[Sequence[Any]] = []
    inside = [0]

    def cached(prompt: Sequence[Any]) -> int:
        with lock:
            best = max((common(prompt, other) for other in prompts), default=0) if caches else 0
            prompts.append(prompt)
        return best // BLOCK * BLOCK

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            with lock:
                inside[0] += 1
                server.most_at_once = max(server.most_at_once, inside[0])
            try:
                self._serve(json.loads(body), body)
            finally:
                with lock:
                    inside[0] -= 1

        def _serve(self, asked: dict[str, Any], body: bytes) -> None:
            given = self.headers.get("authorization", "").removeprefix("Bearer ")
            server.keys.append(given)
            server.paths.append(self.path)
            server.headers.append({name.lower(): value for name, value in self.headers.items()})
            if (sent := instead(asked)) is not None:
                server.seen.append(asked)
                self.send_response(sent.status)
                self.send_header("content-type", sent.kind)
                self.send_header("content-length", str(len(sent.body) + sent.lacks))
                for name, value in sent.headers:
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(sent.body)
                self.close_connection = sent.lacks > 0
                return
            fault = server.plan.next(body)
            if fault == "dropped":
                self.close_connection = True
                return
            if fault is not None and fault.isdigit():
                self._error(int(fault), f"fault {fault} for the key {given}")
                return
            if key is not None and given != key:
                self._error(401, f"Incorrect API key provided: {given}")
            elif asked["model"] != model:
                self._error(400 if details else 404, f"The model `{asked['model']}` does not exist")
            elif refused := next((name for name in refuses if name in asked), None):
                self._error(400, f"Unsupported parameter: '{refused}' is not supported with this model.")
            elif self.path.partition("?")[0].endswith("/embeddings"):
                self._embeddings(asked, fault)
            else:
                self._completion(asked, fault)

        def _completion(self, asked: dict[str, Any], fault: str | None) -> None:
            chat = self.path.partition("?")[0].endswith("/chat/completions")
            text = "".join(message["content"] for message in asked["messages"]) if chat else asked["prompt"]
            longest = asked.get("max_tokens") or asked["max_completion_tokens"]
            server.seen.append(asked)
            time.sleep(delay)
            made = answer(text, longest)
            needed = len(made.prompt) + longest
            if limit is not None and needed > limit:
                message = (
                    f"This model's maximum context length is {limit} tokens. However, you requested {needed} tokens."
                )
                self._error(400, message, code="context_length_exceeded")
                return
            pieces = [made.text[start : start + 4] for start in range(0, len(made.text), 4)] or [""]
            events = [self._event(chat, piece, None) for piece in pieces] + [self._event(chat, "", made.finish)]
            if usage and asked.get("stream_options"):
                counts = {
                    "prompt_tokens": len(made.prompt), "completion_tokens": made.output_tokens,
                    "total_tokens": len(made.prompt) + made.output_tokens,
                    "prompt_tokens_details": {"cached_tokens": cached(made.prompt)},
                }  # fmt: skip
                events.append({**self._event(chat, "", None), "choices": [], "usage": counts})
            self._start("text/event-stream", chunked=True)
            lines = [f"data: {json.dumps(event)}\n\n".encode() for event in events] + [b"data: [DONE]\n\n"]
            if fault == "malformed":
                lines = [lines[0], b'data: {"choices": [{"del\n\n']
            for number, line in enumerate(lines):
                if fault == "cut" and number == len(pieces) // 2 + 1:
                    self.close_connection = True
                    return
                self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")

        def _event(self, chat: bool, piece: str, finish: str | None) -> dict[str, Any]:
            choice = {"delta": {"content": piece}} if chat else {"text": piece}
            return {
                "id": "x", "object": "chat.completion.chunk" if chat else "text_completion", "created": 1,
                "model": f"{model}-2026", "system_fingerprint": "fp_test",
                "choices": [{"index": 0, "finish_reason": finish, **choice}],
            }  # fmt: skip

        def _embeddings(self, asked: dict[str, Any], fault: str | None) -> None:
            server.seen.append(asked)
            wide = width + (fault == "width")
            chances = [random.Random(text) for text in asked["input"]]
            vectors = [[chance.uniform(-9, 9) for _ in range(wide)] for chance in chances]
            rows = [{"object": "embedding", "index": i, "embedding": v} for i, v in enumerate(vectors)]
            tokens = sum(len(text.split()) for text in asked["input"])
            rows.reverse()  # the protocol promises no order
            self._json({"object": "list", "model": model, "data": rows,
                        "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}, fault)  # fmt: skip

        def _json(self, value: dict[str, Any], fault: str | None) -> None:
            data = json.dumps(value).encode()
            self._start("application/json", length=len(data))
            if fault == "malformed":
                data = b"{" * len(data)
            self.wfile.write(data[: len(data) // 2] if fault == "cut" else data)
            self.close_connection = fault == "cut"

        def _error(self, status: int, message: str, code: str | None = None) -> None:
            told = {"error": {"message": message, "type": "x", "param": None, "code": code}}
            data = json.dumps({"detail": message} if details else told).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            if status == 429:
                self.send_header("retry-after", server.plan.retry_after)
            self.end_headers()
            self.wfile.write(data)

        def _start(self, kind: str, *, length: int | None = None, chunked: bool = False) -> None:
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("transfer-encoding", "chunked") if chunked else None
            self.send_header("content-length", str(length)) if length is not None else None
            self.end_headers()

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def get_request(self) -> Any:
            connection, address = super().get_request()
            connections.append(connection)
            return connection, address

        def handle_error(self, *_: object) -> None:
            """A client that is gone is no news."""

    connections: list[socket.socket] = []
    http = Quiet(("127.0.0.1", port), Handler)
    server = Server(f"http://127.0.0.1:{http.server_address[1]}/v1", plan or Plan())
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        for connection in connections:  # those kept alive would be served on
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        thread.join()


def common(one: Sequence[Any], other: Sequence[Any]) -> int:
    """How many first tokens two prompts share."""
    return next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
