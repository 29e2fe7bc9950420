"""A call on the management API."""

import base64
import json
import urllib.request

# Longer than an answer takes on a machine that has much else to do.
ANSWER_S = 180


def ask(address, method, path, body=None):
    """The answer's bytes; an answer that refuses is an error."""
    request = urllib.request.Request(
        f"http://{address}/api/{path}", method=method, data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": "Basic " + base64.b64encode(b"guest:guest").decode(), "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
        return answer.read()
