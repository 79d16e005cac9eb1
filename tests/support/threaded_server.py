"""The web app in a thread of the test's process, where gunicorn itself is not the subject: it is there at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from pipeline.settings import Settings
from web import create_app
from web.app_context import AppContext


class _Handler(WSGIRequestHandler):
    """As gunicorn, it lets the app have the socket; unlike werkzeug's, it writes no line a request."""

    def make_environ(self) -> Any:
        return {**super().make_environ(), "gunicorn.socket": self.connection}

    def log(self, type: str, message: str, *args: Any) -> None:
        return


class _Server(ThreadedWSGIServer):
    daemon_threads = False
    block_on_close = True  # no request outlives its test


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    """Serve the app on a free port; its URL. What it streams ends with the block."""
    with _Server("127.0.0.1", 0, lambda environ, start: [], _Handler) as server:
        url = f"http://127.0.0.1:{server.port}"
        own = settings.model_copy(update={"url": url, "port": server.port})
        with closing(AppContext.of(own)) as edges:
            app, stopping = create_app(own, context=edges), threading.Event()
            app.extensions["at_work"] = lambda: not stopping.is_set()
            server.app = app
            thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.05))
            thread.start()
            try:
                yield url
            finally:
                stopping.set()
                server.shutdown()
                thread.join()
                server.server_close()  # waits for what is still answered, before the edges close
