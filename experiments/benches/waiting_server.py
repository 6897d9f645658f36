"""A server that says the same words after the same time, in a process of its own: all it measures is its client."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection

WORDS = ("The", " mayor", " of", " Arden", " is", " Tam", " Nedra", ".")


class WaitingServer:
    """The other end of the server's process.

    Attributes:
        url: Its base URL.
    """

    def __init__(self, url: str, pipe: Connection) -> None:
        self.url, self._pipe = url, pipe

    def seconds(self) -> list[float]:
        """What each answer took the server, from the request's last byte to the answer's, since this was last asked."""
        self._pipe.send("seconds")
        taken: list[float] = self._pipe.recv()
        return taken


@contextmanager
def waiting_server(seconds: float) -> Iterator[WaitingServer]:
    """Run the server while the block lasts.

    Args:
        seconds: What it takes for an answer by mean, from half to one and a half of it, so that answers to questions
            asked together do not come together; spread evenly over the words.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_work, args=(seconds, there), daemon=True)
    process.start()
    there.close()
    try:
        yield WaitingServer(f"http://127.0.0.1:{here.recv()}/v1", here)
    finally:
        process.terminate()
        process.join()
        here.close()


def _work(seconds: float, pipe: Connection) -> None:
    with suppress(KeyboardInterrupt, EOFError):
        asyncio.run(_serve(seconds, pipe))


async def _serve(seconds: float, pipe: Connection) -> None:
    taken: list[float] = []
    chance = random.Random(0)  # noqa: S311 - no secret
    server = await asyncio.start_server(partial(_connection, seconds, chance, taken), "127.0.0.1", 0, backlog=512)
    pipe.send(server.sockets[0].getsockname()[1])
    while True:
        await asyncio.to_thread(pipe.recv)
        pipe.send(taken.copy())
        taken.clear()


async def _connection(
    seconds: float,
    chance: random.Random,
    taken: list[float],
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            began = time.perf_counter()
            whole = seconds * chance.uniform(0.5, 1.5)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            for number, word in enumerate(WORDS, start=1):
                # Towards a moment, not for a time: what writing takes is not added.
                await asyncio.sleep(max(0.0, began + whole * number / len(WORDS) - time.perf_counter()))
                writer.write(_event({"choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]}))
            writer.write(_event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))
            usage = {"prompt_tokens": 40, "completion_tokens": len(WORDS), "total_tokens": 40 + len(WORDS)}
            writer.write(_event({"choices": [], "usage": usage}) + _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
            await writer.drain()
            taken.append(time.perf_counter() - began)
    writer.close()


def _event(fields: dict[str, object]) -> bytes:
    whole = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "waiting", **fields}
    return _chunk(f"data: {json.dumps(whole)}\n\n".encode())


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"
