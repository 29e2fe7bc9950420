#!/usr/bin/env python3
"""The same requests at two brokers' management APIs: statuses, errors and the shapes of answers are compared.

    tests/api/differential.py --record THEIRS   writes what RabbitMQ answers to recorded.json
    tests/api/differential.py OURS              compares OURS with what is recorded
    tests/api/differential.py OURS THEIRS       compares two that run

URLs are those of the API, e.g. http://127.0.0.1:15672; guest logs in; AMQP's port is asked for. The requests are those of requests.py;
a shape is the names and kinds of members, all the way down, those of a list merged. What may differ is listed in differences.txt, with
the reason. Needs pika, for the answers about clients. Names that begin with `own` and the vhost `d/1` are made and deleted.
"""

import base64
import http.client
import json
import pathlib
import re
import sys
import time
import urllib.parse

import requests as table

HERE = pathlib.Path(__file__).resolve().parent
RECORDED = HERE / "recorded.json"
# Members whose names are data.
DATA = re.compile(r"\.(arguments|headers|value|metadata\.vhosts|client_properties|applications|definition|socket_opts|cluster_state)\..*|\.context(_switches)?_.*")


class Api:
    def __init__(self, url):
        self.place = urllib.parse.urlsplit(url)
        self.facts = {}

    def ask(self, login, method, path, body):
        connection = http.client.HTTPConnection(self.place.hostname, self.place.port, timeout=30)
        headers = {}
        if login:
            headers["Authorization"] = "Basic " + base64.b64encode(f"{login}:{login}".encode()).decode()
        if body is not None:
            headers["Content-Type"] = "application/json"
            body = body if isinstance(body, str) else json.dumps(body)
        for name, value in self.facts.items():
            path = path.replace("{%s}" % name, urllib.parse.quote(value, safe=""))
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
        connection.close()
        try:
            return answer.status, json.loads(text) if text else None
        except ValueError:
            return answer.status, "not JSON"


def shape(value, place="", found=None):
    """Paths of members with the kinds of what is there."""
    found = {} if found is None else found
    kind = {bool: "boolean", int: "number", float: "number", str: "text", type(None): "null", list: "list", dict: "object"}[type(value)]
    if not DATA.match(place):
        found.setdefault(place, set()).add(kind)
    if isinstance(value, dict):
        for name, member in value.items():
            shape(member, f"{place}.{name}", found)
    if isinstance(value, list):
        for member in value:
            shape(member, f"{place}[]", found)
    return found


def seen(status, answer):
    said = {"status": status}
    if status >= 400 and isinstance(answer, dict):
        said["error"] = str(answer.get("error"))
        said["reason"] = str(answer.get("reason"))
    elif status < 400 and answer is not None:
        said["shape"] = {place: sorted(kinds) for place, kinds in sorted(shape(answer).items())}
    return said


class Traffic:
    """A client that has published, consumes and gets, so that everything that has numbers has some."""

    def __init__(self, api):
        import pika

        overview = api.ask("guest", "GET", "/api/overview", None)[1]
        port = next(one["port"] for one in overview["listeners"] if one["protocol"] == "amqp")
        vhost = urllib.parse.quote(urllib.parse.unquote(table.VHOST[1:]), safe="")
        self.connection = pika.BlockingConnection(pika.URLParameters(f"amqp://guest:guest@{api.place.hostname}:{port}/{vhost}"))
        self.channel = channel = self.connection.channel()
        self.other = self.connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("live", durable=True)
        channel.queue_declare("single", durable=True, arguments={"x-single-active-consumer": True})
        channel.queue_bind("live", "own-x", "", {"x-match": "any-with-x", "a": 1})
        channel.exchange_declare("own-y", "fanout")
        channel.exchange_bind("own-x", "own-y", "")
        for queue in ("live", "single"):
            self.other.basic_consume(queue, lambda *_: None, consumer_tag=queue)
        channel.basic_consume("single", lambda *_: None, consumer_tag="waiting")
        self.api, self.node = api, overview["node"]
        until = time.monotonic() + 60
        while time.monotonic() < until:
            self.some()
            self.connection.process_data_events(0.2)
            if self.told():
                return
        raise SystemExit(f"{api.place.netloc} does not tell of traffic")

    def some(self):
        import pika

        stamped = pika.BasicProperties(headers={"a": 1}, delivery_mode=2, timestamp=5)
        self.channel.basic_publish("own-y", "live", b"x", stamped)
        self.channel.basic_publish("", "live", b"x", stamped)
        self.other.basic_publish("", "none", b"x")
        self.other.basic_get("live", auto_ack=True)
        self.other.basic_get("live", auto_ack=False)
        self.other.basic_get("single")
        try:
            self.channel.basic_publish("", "none", b"x", mandatory=True)
        except pika.exceptions.UnroutableError:
            pass

    def told(self):
        """Whether the answers have the traffic in them."""
        for path in (f"/api/queues{table.VHOST}/live", f"/api/exchanges{table.VHOST}/own-y", "/api/overview"):
            stats = self.api.ask("guest", "GET", path, None)[1].get("message_stats", {})
            if not any(stats.get(name) for name in ("publish", "publish_in")):
                return False
        channels = self.api.ask("guest", "GET", "/api/channels", None)[1]
        connections = self.api.ask("guest", "GET", "/api/connections", None)[1]
        if len(channels) < 2 or not all(one.get("message_stats") for one in channels) or not connections[0].get("recv_oct"):
            return False
        channel = next(one for one in channels if one["number"] == 2)
        self.api.facts = {"node": self.node, "connection": connections[0]["name"], "channel": channel["name"]}
        return True


def tour(url):
    """What a broker says to every request, by what was asked."""
    api, said, number = Api(url), {}, {}

    def ask(request):
        login, method, path, body = request
        name = f"{login or 'nobody'} {method} {path}" + ("" if body is None else f" {body if isinstance(body, str) else json.dumps(body)}")
        number[name] = number.get(name, 0) + 1
        if number[name] > 1:
            name += f" #{number[name]}"
        said[name] = seen(*api.ask(*request))

    for group in table.GROUPS:
        for request in group():
            ask(request)
    traffic = Traffic(api)
    for request in table.live():
        ask(request)
    traffic.connection.close()
    for request in table.afterwards():
        ask(request)
    return said


def kinds_differ(ours, theirs):
    return bool(set(ours) - {"null"}) and bool(set(theirs) - {"null"}) and not set(ours) & set(theirs) and not {"list", "object"} >= set(ours) | set(theirs)


def differences(ours, theirs):
    """Each as a line: what was asked, what differs."""
    for name, wanted in theirs.items():
        got = ours.get(name, {})
        if got.get("status") != wanted["status"]:
            yield f"{name} | status {got.get('status')} not {wanted['status']} ({got.get('reason', '')[:80]!r}; {wanted.get('reason', '')[:80]!r})"
            continue
        if got.get("error") != wanted.get("error"):
            yield f"{name} | error {got.get('error')!r} not {wanted.get('error')!r}"
        elif wanted.get("error") == "Object Not Found" and got.get("reason") != wanted.get("reason"):
            yield f"{name} | reason {got.get('reason')!r} not {wanted.get('reason')!r}"
        mine, other = got.get("shape", {}), wanted.get("shape", {})
        for place in other:
            if place not in mine:
                above = place.rsplit(".", 1)[0] if "." in place else ""
                # What lies in something that is missing or empty is not missing itself.
                if above.rstrip("[]") in mine and not (place.endswith("[]") and mine.get(place[:-2]) == ["list"]):
                    yield f"{name} | missing {place}"
            elif kinds_differ(mine[place], other[place]):
                yield f"{name} | kind of {place}: {mine[place]} not {other[place]}"


def accepted():
    """Pairs of expressions: what is asked, what differs."""
    pairs = []
    for line in (HERE / "differences.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            asked, differs, _reason = (part.strip() for part in line.split(" | "))
            pairs.append((re.compile(asked), re.compile(differs), line))
    return pairs


def judged(ours, theirs):
    """Differences that are not accepted, and entries of the list that say nothing any more."""
    known, used, found = accepted(), set(), []
    for line in differences(ours, theirs):
        asked, differs = line.rsplit(" | ", 1)
        match = next((pair for pair in known if pair[0].search(asked) and pair[1].search(differs)), None)
        if match:
            used.add(match[2])
        else:
            found.append(line)
    return found + [f"differences.txt: nothing differs so: {pair[2]}" for pair in known if pair[2] not in used]


def recorded():
    return json.loads(RECORDED.read_text())


def main():
    urls = [one for one in sys.argv[1:] if not one.startswith("--")]
    if "--record" in sys.argv:
        lines = (f"{json.dumps(name)}: {json.dumps(said)}" for name, said in tour(urls[0]).items())
        RECORDED.write_text("{\n" + ",\n".join(lines) + "\n}\n")
        return 0
    ours = tour(urls[0])
    found = judged(ours, tour(urls[1]) if len(urls) > 1 else recorded())
    print("\n".join(found))
    print(f"{len(ours)} requests, {len(found)} differences that are not listed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
