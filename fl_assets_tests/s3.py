"""A real S3 API on loopback, for tests: moto, which keeps `If-Match` and `If-None-Match` on a put.

What goes here: starting it, and what a client's environment says of it. What does not: tests.
"""

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import pytest

BUCKET = "lake"
SERVER = """
import socket, threading
from werkzeug.serving import make_server
from moto.server import DomainDispatcherApplication, create_backend_app
server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
print(server.port, flush=True)
server.serve_forever()
"""
needs_s3 = pytest.mark.skipif(
    find_spec("moto") is None or find_spec("obstore") is None, reason="moto or obstore is not installed"
)


@contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """Start a server with an empty bucket; give the environment that leads a client to it."""
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SERVER],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        try:
            url = f"http://127.0.0.1:{int(server.stdout.readline())}"
            for _ in range(100):
                try:
                    urllib.request.urlopen(urllib.request.Request(f"{url}/{BUCKET}", method="PUT")).close()
                    break
                except urllib.error.URLError:
                    time.sleep(0.1)
            yield {
                "AWS_ENDPOINT_URL": url,
                "AWS_ALLOW_HTTP": "true",
                "AWS_ACCESS_KEY_ID": "testing",
                "AWS_SECRET_ACCESS_KEY": "testing",
                "AWS_REGION": "us-east-1",
            }
        finally:
            server.kill()
