"""A server that speaks the part of Qdrant's HTTP protocol that rmtbench uses, over the client's own search in Python.

Qdrant's server is not in the package index. Run as a script, it serves from a process of its own.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from qdrant_client import QdrantClient
from qdrant_client.http import models


def answer(client: QdrantClient, method: str, path: str, asked: Any) -> Any:  # noqa: PLR0911 - a call a line
    """What the protocol's ``result`` is; None for an unknown request."""
    if (method, path) == ("GET", "/collections"):
        return client.get_collections().model_dump(mode="json")
    found = re.fullmatch(r"/collections/([^/]+)(/.*)?", path)
    if found is None:
        return None
    name, rest = found[1], found[2] or ""
    if (method, rest) == ("GET", "/exists"):
        return {"exists": client.collection_exists(name)}
    if (method, rest) == ("GET", ""):
        return client.get_collection(name).model_dump(mode="json")
    if (method, rest) == ("PUT", ""):
        made = models.CreateCollection.model_validate(asked)
        return client.create_collection(name, vectors_config=made.vectors)
    if (method, rest) == ("PUT", "/index"):
        return {"operation_id": 0, "status": "completed"}
    if (method, rest) == ("PUT", "/points"):
        points = [models.PointStruct.model_validate(point) for point in asked["points"]]
        return client.upsert(name, points).model_dump(mode="json")
    if (method, rest) == ("POST", "/points/count"):
        return client.count(name).model_dump(mode="json")
    if (method, rest) == ("POST", "/points/query"):
        query = models.QueryRequest.model_validate(asked)
        kept = client.query_points(
            name, query=query.query, limit=query.limit or 10, with_payload=True, using=query.using or None
        )
        return kept.model_dump(mode="json")
    return None


def main(port: int = 0) -> None:
    """Serve until the process ends; its address is the first line said."""
    client, turn = QdrantClient(location=":memory:"), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            code, result = 200, None
            status: Any = "ok"
            try:
                with turn:
                    result = answer(client, self.command, self.path.partition("?")[0], json.loads(body or b"null"))
            except ValueError as error:  # what Qdrant says of a collection that is there already
                code, status = 409, {"error": f"Wrong input: {error}!"}
            data = json.dumps({"result": result, "status": status, "time": 0.0}).encode()
            self.send_response(404 if (code, result) == (200, None) else code)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_POST = _serve  # noqa: N815 - as the library calls them

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


@contextmanager
def qdrant_server() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run the server in its own process; yields its address and the process."""
    process = subprocess.Popen([sys.executable, str(Path(__file__))], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), process
    finally:
        process.kill()
        process.communicate()


if __name__ == "__main__":
    main()
