"""A server like Argo CD's with many Applications: the part of its API that following them uses.

Documents are as large as a recorded one. Fields are selected as the stand-in does it, which is
compared with recordings. Whatever else is asked is answered 200, so that it is every instance, too.
"""

from __future__ import annotations

import json
import queue
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tenantry.devcluster.selection import select, select_item

RECORDED = Path(__file__).parent.parent / "tests/data/argocd/get-healthy.json"
API = "/api/v1/"
APPLICATIONS = "applications"
STREAM = "stream/applications"
KEEP_ALIVE = 15.0  # seconds between signs of life of a stream

Document = Mapping[str, Any]
_MISSING = {"error": "not found", "code": 5, "message": "not found"}


class Applications:
    """What the server knows. `asked` counts requests: lists, streams, "one", and "instance"."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self._recorded: Document = json.loads(RECORDED.read_text("utf-8"))["body"]
        self._documents: dict[str, Document] = {}
        self._hearers: list[queue.SimpleQueue[Document | None]] = []
        self._lock = threading.Lock()

    def put(self, name: str, commit: str, *, health: str) -> None:
        """An Application that is synced to the commit; whoever hears the stream is told."""
        document = self._document(name, commit, health)
        with self._lock:
            self._documents[name] = document
            for hearer in self._hearers:
                hearer.put(document)

    def find(self, name: str) -> Document | None:
        """The whole document."""
        return self._documents.get(name)

    def list(self, fields: Sequence[str]) -> bytes:
        """The answer to a LIST of these fields."""
        wanted = [field.removeprefix("items.") for field in fields]
        items = [select_item(each, wanted) for each in list(self._documents.values())]
        return json.dumps({"items": items, "metadata": {"resourceVersion": "1"}}).encode()

    def hear(self) -> Iterator[Document | None]:
        """Those that are there, then each that is put; None for a sign of life. Ends at `stop`."""
        hearer: queue.SimpleQueue[Document | None] = queue.SimpleQueue()
        with self._lock:
            there = list(self._documents.values())
            self._hearers.append(hearer)
        try:
            yield from there
            while True:
                try:
                    document = hearer.get(timeout=KEEP_ALIVE)
                except queue.Empty:
                    yield None
                    continue
                if document is None:
                    return
                yield document
        finally:
            self._hearers.remove(hearer)

    def stop(self) -> None:
        """End every stream."""
        with self._lock:
            for hearer in self._hearers:
                hearer.put(None)

    def _document(self, name: str, commit: str, health: str) -> Document:
        """The recorded one with another name, commit and health; shares all else with it."""
        metadata, status = self._recorded["metadata"], self._recorded["status"]
        operation = status["operationState"]
        result = {**operation["syncResult"], "revision": commit}
        told = {
            **status,
            "sync": {**status["sync"], "revision": commit},
            "health": {**status["health"], "status": health},
            "operationState": {**operation, "syncResult": result},
        }
        named = {**metadata, "name": name, "uid": f"uid-of-{name}"}
        return {**self._recorded, "metadata": named, "status": told}


@contextmanager
def serve(port: int) -> Iterator[Applications]:
    """The server, at a loopback port while the block runs."""
    applications = Applications()
    server = ThreadingHTTPServer(("127.0.0.1", port), partial(_Handler, applications))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="argocd")
    thread.start()
    try:
        yield applications
    finally:
        applications.stop()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, applications: Applications, *arguments: Any) -> None:
        self._applications = applications
        super().__init__(*arguments)

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        fields = parse_qs(url.query).get("fields", [""])[0].split(",")
        path = url.path.removeprefix(API)
        if path == APPLICATIONS:
            self._count("list")
            self._answer(self._applications.list(fields))
        elif path == STREAM:
            self._count("stream")
            self._stream(fields)
        elif path.startswith(f"{APPLICATIONS}/"):
            self._count("one")
            self._answer_about(*path.split("/")[1:])
        else:
            self._count("instance")
            self._answer(b"{}")

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""

    def _count(self, kind: str) -> None:
        self._applications.asked[kind] += 1

    def _answer_about(self, name: str, part: str = "") -> None:
        """The Application; of its objects, events and sync windows there is nothing to tell."""
        found = self._applications.find(name)
        body = _MISSING if found is None else {} if part else found
        self._answer(json.dumps(body).encode(), 404 if found is None else 200)

    def _answer(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, fields: Sequence[str]) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        with suppress(OSError):  # the reader has gone
            for document in self._applications.hear():
                self.wfile.write(_event(document, fields))


def _event(document: Document | None, fields: Sequence[str]) -> bytes:
    if document is None:
        return b":\n\n"
    message = {"result": {"type": "MODIFIED", "application": document}}
    return f"data: {json.dumps(select(message, fields))}\n\n\n".encode()
