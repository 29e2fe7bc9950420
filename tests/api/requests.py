"""What the differential asks: (name of the login, method, path, body). Bodies: None, an object, or text that is sent as it is.

Every group starts from what the groups before it left; what a group needs it makes itself. `differential.py` says what is compared.
"""

GUEST, NOBODY = "guest", None

VHOST = "/d%2F1"
PEOPLE = {"plain": "", "manager": "management", "policymaker": "policymaker", "monitor": "monitoring", "admin": "administrator"}
# Bodies that are no JSON object, and ones with members of the wrong kind.
ODD = ["", "{", "[]", "null", "5", '"x"', "{}"]


def asked(method, path, body=None, login=GUEST):
    return (login, method, path, body)


def vhosts():
    for body in ODD:
        yield asked("PUT", "/api/vhosts/odd", body)
        yield asked("DELETE", "/api/vhosts/odd")
    for body in ({"tracing": True}, {}, {"tracing": False}, {"tracing": "true"}, {"description": "a", "tags": "b, c"},
                 {"description": "a", "tags": ["b"]}, {"unknown": 1}, {"tracing": True, "description": "traced"}):
        yield asked("PUT", "/api/vhosts/traced", body)
        yield asked("GET", "/api/vhosts/traced")
    yield asked("GET", "/api/vhosts/traced/permissions")
    yield asked("GET", "/api/vhosts/traced/topic-permissions")
    yield asked("GET", "/api/vhosts/traced/connections")
    yield asked("GET", "/api/vhosts/traced/channels")
    yield asked("DELETE", "/api/vhosts/traced")
    for tail in ("", "/permissions", "/topic-permissions", "/connections", "/channels"):
        yield asked("GET", f"/api/vhosts/none{tail}")
    yield asked("DELETE", "/api/vhosts/none")
    yield asked("POST", "/api/vhosts/none", {})
    yield asked("PUT", f"/api/vhosts{VHOST}", {})
    yield asked("GET", "/api/vhosts")
    yield asked("GET", "/api/vhosts/")


def users():
    for body in ODD:
        yield asked("PUT", "/api/users/odd", body)
        yield asked("DELETE", "/api/users/odd")
    for body in ({"password": "x"}, {"tags": "a"}, {"password": "x", "tags": "administrator"}, {"password": "x", "tags": ["a", "b"]},
                 {"password": "", "tags": ""}, {"password": "x", "tags": 5}, {"password": 5, "tags": ""}, {"password_hash": "", "tags": ""},
                 {"password_hash": "x", "tags": ""}, {"password_hash": "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR", "tags": "a"},
                 {"password_hash": "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR", "tags": "", "hashing_algorithm": "none"},
                 {"password": "x", "tags": "", "unknown": True}):
        yield asked("PUT", "/api/users/made", body)
        yield asked("GET", "/api/users/made")
    yield asked("GET", "/api/users/made/permissions")
    yield asked("GET", "/api/users/made/topic-permissions")
    yield asked("DELETE", "/api/users/made")
    for tail in ("", "/permissions", "/topic-permissions"):
        yield asked("GET", f"/api/users/none{tail}")
    yield asked("DELETE", "/api/users/none")
    yield asked("POST", "/api/users/bulk-delete", {"users": ["none"]})
    yield asked("POST", "/api/users/bulk-delete", {"users": "none"})
    yield asked("POST", "/api/users/bulk-delete", {})
    for name, tags in PEOPLE.items():
        yield asked("PUT", f"/api/users/{name}", {"password": name, "tags": tags})
        yield asked("PUT", f"/api/permissions{VHOST}/{name}", {"configure": "^own", "write": "^own", "read": "^own"})
    yield asked("GET", "/api/users")
    yield asked("GET", "/api/users/without-permissions")
    yield asked("GET", "/api/whoami")


def permissions():
    for kind, whole in (("permissions", {"configure": ".*", "write": ".*", "read": ".*"}),
                        ("topic-permissions", {"exchange": "amq.topic", "write": ".*", "read": ".*"})):
        for vhost, user in (("/%2F", "plain"), ("/none", "plain"), ("/%2F", "none"), ("/none", "none")):
            place = f"/api/{kind}{vhost}/{user}"
            yield asked("GET", place)
            yield asked("PUT", place, whole)
            yield asked("PUT", place, whole)
            yield asked("GET", place)
            yield asked("DELETE", place)
            yield asked("DELETE", place)
        place = f"/api/{kind}/%2F/plain"
        for body in ODD:
            yield asked("PUT", place, body)
        for member in whole:
            yield asked("PUT", place, {key: value for key, value in whole.items() if key != member})
            yield asked("PUT", place, {**whole, member: "*("})
            yield asked("PUT", place, {**whole, member: 5})
        yield asked("PUT", place, {**whole, "unknown": 1})
        yield asked("GET", f"/api/{kind}")
        yield asked("DELETE", place)


def exchanges():
    place = f"/api/exchanges{VHOST}"
    for body in [*ODD, {"type": "direct"}, {"type": "fanout"}, {"type": "none"}, {"type": 5}, {"type": "topic", "durable": "x"}]:
        yield asked("PUT", f"{place}/own-odd", body)
    yield asked("DELETE", f"{place}/own-odd")
    for body in ({"type": "topic", "durable": True}, {"type": "topic", "durable": False}, {"type": "topic", "durable": "true"},
                 {"type": "topic", "auto_delete": True}, {"type": "topic", "internal": True}, {"type": "fanout"},
                 {"type": "topic", "arguments": {"alternate-exchange": "own-a"}}, {"type": "topic", "arguments": []},
                 {"type": "topic", "arguments": {"alternate-exchange": 5}}, {"type": "topic", "arguments": "x"},
                 {"type": "topic", "unknown": 1}, {"type": "topic", "node": "none"}):
        yield asked("PUT", f"{place}/own-x", body)
    yield asked("GET", f"{place}/own-x")
    for tail in ("", "/bindings/source", "/bindings/destination"):
        for name in ("own-x", "amq.direct", "amq.default", "none"):
            yield asked("GET", f"{place}/{name}{tail}")
        yield asked("GET", f"/api/exchanges/none/amq.direct{tail}")
    for name in ("amq.direct", "amq.default", "amq.own", "none"):
        yield asked("PUT", f"{place}/{name}", {"type": "direct"})
        yield asked("PUT", f"{place}/{name}", {"type": "fanout"})
        yield asked("DELETE", f"{place}/{name}")
    for vhost in ("none", "%2F", VHOST[1:]):
        yield asked("GET", f"/api/exchanges/{vhost}")
    yield asked("DELETE", f"{place}/own-x?if-unused=true")
    yield asked("DELETE", f"{place}/own-x")
    yield asked("PUT", "/api/exchanges/none/x", {"type": "direct"})
    yield asked("DELETE", "/api/exchanges/none/x")
    yield asked("PUT", f"{place}/own-x", {"type": "headers", "durable": True})


def queues():
    place = f"/api/queues{VHOST}"
    for body in [*ODD, {"durable": "x"}, {"arguments": "x"}, {"arguments": 5}]:
        yield asked("PUT", f"{place}/own-odd", body)
        yield asked("DELETE", f"{place}/own-odd")
    for body in ({"durable": True}, {"durable": True}, {"durable": False}, {"durable": "true"}, {"auto_delete": True}, {"exclusive": True},
                 {"arguments": {"x-message-ttl": 5}}, {"arguments": {"x-message-ttl": "5"}}, {"arguments": []}, {"unknown": 1}, {"node": "none"}):
        yield asked("PUT", f"{place}/own-q", body)
    for value in (-1, "x", True, 1.5, 2 ** 70, None):
        yield asked("PUT", f"{place}/own-bad", {"arguments": {"x-message-ttl": value}})
        yield asked("PUT", f"{place}/own-bad", {"arguments": {"x-max-length": value}})
        yield asked("DELETE", f"{place}/own-bad")
    yield asked("PUT", f"{place}/own-bad", {"arguments": {"x-queue-type": "none"}})
    for tail in ("", "/bindings", "/unacked"):
        for name in ("own-q", "none", "amq.none"):
            yield asked("GET", f"{place}/{name}{tail}")
        yield asked("GET", f"/api/queues/none/own-q{tail}")
    for name in ("amq.own", "none"):
        yield asked("DELETE", f"{place}/{name}")
        yield asked("DELETE", f"{place}/{name}/contents")
        yield asked("POST", f"{place}/{name}/get", {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"})
    yield asked("PUT", f"{place}/amq.own", {})
    yield asked("PUT", f"{place}/amq.own", {"durable": True})
    yield asked("PUT", "/api/queues/none/q", {})
    yield asked("DELETE", "/api/queues/none/q")
    for vhost in ("none", "%2F", VHOST[1:]):
        yield asked("GET", f"/api/queues/{vhost}")
    yield asked("DELETE", f"{place}/own-q?if-empty=true")
    yield asked("PUT", f"{place}/own-q", {"durable": True})
    yield asked("DELETE", f"{place}/own-q/contents")
    for body in ({"action": "sync"}, {"action": "none"}, {}):
        yield asked("POST", f"{place}/own-q/actions", body)
    for query in ("?columns=name", "?columns=name,messages", "?sort=name", "?sort=none", "?sort=name&sort_reverse=true", "?page=1", "?page=1&page_size=2",
                  "?page=0", "?page=x", "?page=99", "?page=1&page_size=0", "?page=1&page_size=1000", "?page=1&name=own", "?page=1&name=%28&use_regex=true",
                  "?page=1&name=own.%2A&use_regex=true", "?disable_stats=true", "?disable_stats=true&enable_queue_totals=true", "?pagination=true"):
        yield asked("GET", f"{place}{query}")


def bindings():
    ends = f"/api/bindings{VHOST}/e/own-x/q/own-q"
    for body in [*ODD, {"routing_key": "k"}, {"routing_key": "k"}, {"routing_key": 5}, {"arguments": {"a": 5}}, {"arguments": []}, {"arguments": 5},
                 {"routing_key": "a/b"}, {"routing_key": "a%2Fb"}, {"routing_key": "k", "unknown": 1}]:
        yield asked("POST", ends, body)
    yield asked("GET", ends)
    for key in ("~", "k", "a%2Fb", "a%252Fb", "a%25252Fb", "none"):
        yield asked("GET", f"{ends}/{key}")
    for key in ("a%25252Fb", "k", "k", "none"):
        yield asked("DELETE", f"{ends}/{key}")
    yield asked("GET", ends)
    for source, kind, end in (("none", "q", "own-q"), ("own-x", "q", "none"), ("own-x", "e", "none"), ("none", "e", "none"), ("own-x", "z", "own-q"),
                              ("amq.default", "q", "own-q"), ("own-x", "e", "amq.default"), ("own-x", "e", "amq.direct")):
        place = f"/api/bindings{VHOST}/e/{source}/{kind}/{end}"
        yield asked("GET", place)
        yield asked("POST", place, {"routing_key": "k"})
        yield asked("GET", place)
        yield asked("GET", f"{place}/k")
        yield asked("DELETE", f"{place}/k")
    yield asked("GET", "/api/bindings/none")
    yield asked("GET", f"/api/bindings{VHOST}")
    yield asked("GET", "/api/bindings/none/e/a/q/b")
    yield asked("POST", "/api/bindings/none/e/a/q/b", {})
    yield asked("GET", f"/api/queues{VHOST}/own-q/bindings")


def messages():
    place = f"/api/exchanges{VHOST}"
    whole = {"properties": {}, "routing_key": "own-q", "payload": "x", "payload_encoding": "string"}
    for name in ("amq.default", "own-x", "none", "amq.direct"):
        yield asked("POST", f"{place}/{name}/publish", whole)
    yield asked("POST", "/api/exchanges/none/amq.default/publish", whole)
    for body in ODD:
        yield asked("POST", f"{place}/amq.default/publish", body)
    for member in whole:
        yield asked("POST", f"{place}/amq.default/publish", {key: value for key, value in whole.items() if key != member})
    for changed in ({"properties": []}, {"properties": {"headers": []}}, {"properties": {"headers": {}}}, {"properties": {"headers": {"a": [1, {"b": None}]}}},
                    {"properties": {"headers": 5}}, {"properties": {"unknown": 1}}, {"properties": {"delivery_mode": "2"}}, {"properties": {"delivery_mode": 2}},
                    {"properties": {"priority": "x"}}, {"properties": {"priority": 5}}, {"properties": {"expiration": 5}}, {"properties": {"expiration": "x"}},
                    {"properties": {"expiration": "60000"}}, {"properties": {"timestamp": 5}}, {"properties": {"timestamp": "x"}},
                    {"properties": {"content_type": 5}}, {"properties": {"user_id": "none"}}, {"properties": {"user_id": "guest"}},
                    {"properties": {"delivery_mode": 9}}, {"properties": {"priority": 300}}, {"properties": {"cluster_id": "x"}},
                    {"payload_encoding": "base64"}, {"payload_encoding": "base64", "payload": "eA=="}, {"payload_encoding": "none"}, {"payload": 5},
                    {"routing_key": 5}, {"payload": {}}, {"routing_key": "none"}):
        yield asked("POST", f"{place}/amq.default/publish", {**whole, **changed})
    ask = {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}
    queue = f"/api/queues{VHOST}"
    yield asked("POST", f"{queue}/own-q/get", ask)
    for body in ODD:
        yield asked("POST", f"{queue}/own-q/get", body)
    for changed in ({"count": "1"}, {"count": -1}, {"count": "x"}, {"count": 0}, {"ackmode": "none"}, {"ackmode": "reject_requeue_true"}, {"encoding": "base64"},
                    {"encoding": "none"}, {"truncate": 1}, {"truncate": "x"}, {"requeue": True}):
        yield asked("POST", f"{queue}/own-q/get", {**ask, **changed})
    for member in ask:
        yield asked("POST", f"{queue}/own-q/get", {key: value for key, value in ask.items() if key != member})
    yield asked("POST", f"{queue}/own-q/get", {"count": 1, "requeue": True, "encoding": "auto"})
    yield asked("DELETE", f"{queue}/own-q/contents")


def rules():
    for kind in ("policies", "operator-policies"):
        place = f"/api/{kind}{VHOST}"
        whole = {"pattern": "^own", "definition": {"max-length": 5}, "priority": 1, "apply-to": "queues"}
        yield asked("PUT", f"{place}/p", whole)
        yield asked("PUT", f"{place}/p", whole)
        yield asked("GET", f"{place}/p")
        yield asked("GET", place)
        yield asked("GET", f"/api/{kind}")
        for body in ODD:
            yield asked("PUT", f"{place}/odd", body)
        for member in whole:
            yield asked("PUT", f"{place}/odd", {key: value for key, value in whole.items() if key != member})
            yield asked("DELETE", f"{place}/odd")
        for changed in ({"pattern": "*("}, {"pattern": 5}, {"definition": {}}, {"definition": {"none": 1}}, {"definition": {"max-length": "x"}}, {"definition": 5},
                        {"priority": "x"}, {"priority": "5"}, {"priority": -1}, {"apply-to": "none"}, {"apply-to": "all"}, {"apply-to": "exchanges"}, {"unknown": 1}):
            yield asked("PUT", f"{place}/odd", {**whole, **changed})
            yield asked("DELETE", f"{place}/odd")
        yield asked("DELETE", f"{place}/p")
        yield asked("GET", f"{place}/none")
        yield asked("DELETE", f"{place}/none")
        for method in ("GET", "PUT", "DELETE"):
            yield asked(method, f"/api/{kind}/none/p", whole if method == "PUT" else None)
        yield asked("GET", f"/api/{kind}/none")


def limits():
    for kind, names, one in (("vhost-limits", ("max-connections", "max-queues", "none"), VHOST), ("user-limits", ("max-connections", "max-channels", "none"), "/plain")):
        for name in names:
            for body in ({"value": 5}, {"value": "5"}, {"value": -1}, {"value": "x"}, {}, {"value": None}, {"value": 1.5}, "{", "[]"):
                yield asked("PUT", f"/api/{kind}{one}/{name}", body)
            yield asked("GET", f"/api/{kind}{one}")
            yield asked("GET", f"/api/{kind}")
            yield asked("DELETE", f"/api/{kind}{one}/{name}")
            yield asked("DELETE", f"/api/{kind}{one}/{name}")
        yield asked("GET", f"/api/{kind}{one}")
        yield asked("GET", f"/api/{kind}/none")
        yield asked("PUT", f"/api/{kind}/none/{names[0]}", {"value": 5})
        yield asked("DELETE", f"/api/{kind}/none/{names[0]}")


def parameters():
    place = "/api/global-parameters"
    for body in [*ODD, {"value": 5}, {"value": {"a": [1]}}, {"value": "x", "unknown": 1}, {"name": "other", "value": 1}]:
        yield asked("PUT", f"{place}/own", body)
        yield asked("GET", f"{place}/own")
    yield asked("GET", place)
    yield asked("DELETE", f"{place}/own")
    yield asked("GET", f"{place}/own")
    yield asked("DELETE", f"{place}/own")
    yield asked("GET", "/api/parameters")
    yield asked("GET", "/api/parameters/none")
    yield asked("GET", f"/api/parameters/none{VHOST}")
    for vhost in (VHOST, "/none"):
        for method in ("GET", "PUT", "DELETE"):
            yield asked(method, f"/api/parameters/none{vhost}/p", {"value": 5} if method == "PUT" else None)
    yield asked("PUT", f"/api/parameters/operator_policy{VHOST}/op", {"value": {"pattern": "^own", "definition": {"max-length": 5}}})


def definitions():
    yield asked("GET", "/api/definitions")
    yield asked("GET", f"/api/definitions{VHOST}")
    yield asked("GET", "/api/definitions/none")
    yield asked("POST", "/api/definitions/none", {"queues": []})
    for body in [*ODD, {"queues": []}, {"unknown": 1}, {"queues": {}}, {"vhosts": [{"name": "imported", "tracing": True}]},
                 {"queues": [{"name": "q", "vhost": "missing", "durable": True, "auto_delete": False, "arguments": {}}]},
                 {"vhosts": [{}]}, {"users": [{"name": "u"}]}]:
        yield asked("POST", "/api/definitions", body)
    yield asked("GET", "/api/vhosts/imported")
    yield asked("DELETE", "/api/vhosts/imported")


def broker():
    for path in ("overview", "cluster-name", "nodes", "nodes/none", "extensions", "whoami", "connections", "connections/none", "connections/none/channels", "channels",
                 "channels/none", "consumers", f"consumers{VHOST}", "consumers/none", "connections/username/none", "connections/username/guest", "none", "auth",
                 "vhosts/none/none", "aliveness-test/%2F", "aliveness-test/none", "healthchecks/node", "healthchecks/node/none", "feature-flags",
                 "health/checks/alarms", "health/checks/local-alarms", "health/checks/virtual-hosts", "health/checks/node-is-mirror-sync-critical",
                 "health/checks/node-is-quorum-critical", "health/checks/port-listener/1", "health/checks/port-listener/x", "health/checks/protocol-listener/amqp",
                 "health/checks/protocol-listener/none", "health/checks/certificate-expiration/1/months", "health/checks/certificate-expiration/1/none", "health/checks/none",
                 "auth/hash_password/x", "rebalance/queues"):
        yield asked("GET", f"/api/{path}")
    yield asked("DELETE", "/api/connections/none")
    yield asked("DELETE", "/api/connections/username/none")
    yield asked("PUT", "/api/cluster-name", {})
    for method in ("PUT", "POST", "DELETE", "PATCH"):
        for path in ("overview", "nodes", "whoami", "vhosts", "users", "queues", "channels", f"queues{VHOST}", "none"):
            yield asked(method, f"/api/{path}", {} if method != "DELETE" else None)


def rights():
    """The same requests by everybody: who may look at, and change, what."""
    for login in [*PEOPLE, "stranger", NOBODY]:
        for path in ("overview", "nodes", "vhosts", f"vhosts{VHOST}", "vhosts/%2F", "users", f"users/{login}", "permissions", "queues", f"queues{VHOST}", "queues/%2F",
                     f"queues{VHOST}/own-q", "exchanges/%2F/amq.direct", "policies", f"policies{VHOST}", "definitions", f"definitions{VHOST}", "vhost-limits", "user-limits",
                     "connections", "channels", "consumers", "whoami", "global-parameters", "parameters", "feature-flags", "cluster-name", "bindings"):
            yield asked("GET", f"/api/{path}", None, login)
        for method, path, body in (
            ("PUT", f"queues{VHOST}/own-{login}", {}), ("PUT", f"queues{VHOST}/other-{login}", {}), ("PUT", f"queues/%2F/own-{login}", {}),
            ("PUT", f"exchanges{VHOST}/own-{login}", {"type": "direct"}), ("PUT", f"exchanges{VHOST}/other", {"type": "direct"}),
            ("POST", f"exchanges{VHOST}/amq.default/publish", {"properties": {}, "routing_key": "own-q", "payload": "x", "payload_encoding": "string"}),
            ("POST", f"queues{VHOST}/other/get", {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}),
            ("POST", f"bindings{VHOST}/e/own-x/q/own-q", {"routing_key": f"{login}"}), ("PUT", "vhosts/more", {}), ("PUT", "users/more", {"password": "x", "tags": ""}),
            ("PUT", f"policies{VHOST}/p", {"pattern": "^a", "definition": {"max-length": 5}}), ("PUT", f"permissions{VHOST}/plain", {"configure": "", "write": "", "read": ""}),
            ("PUT", f"vhost-limits{VHOST}/max-queues", {"value": 100}), ("PUT", "global-parameters/g", {"value": 1}), ("POST", "definitions", {"queues": []}),
            ("DELETE", f"queues{VHOST}/own-{login}", None), ("DELETE", f"policies{VHOST}/p", None),
        ):
            yield asked(method, f"/api/{path}", body, login)
    for path in ("vhosts/more", "users/more", "global-parameters/g", f"vhost-limits{VHOST}/max-queues"):
        yield asked("DELETE", f"/api/{path}")


def live():
    """Asked while a client is connected that publishes, consumes and gets."""
    for path in ("overview", "nodes", "nodes/{node}", "nodes/{node}/memory", f"queues{VHOST}", f"queues{VHOST}/live", f"queues{VHOST}/single", f"exchanges{VHOST}",
                 f"exchanges{VHOST}/own-x", "connections", "connections/{connection}", "connections/{connection}/channels", "channels", "channels/{channel}",
                 f"consumers{VHOST}", f"vhosts{VHOST}", "vhosts", f"vhosts{VHOST}/connections", f"vhosts{VHOST}/channels", f"bindings{VHOST}", "healthchecks/node/{node}",
                 "users", "permissions", "definitions"):
        yield asked("GET", f"/api/{path}")


GROUPS = [vhosts, users, permissions, exchanges, queues, bindings, messages, rules, limits, parameters, definitions, broker, rights]


def afterwards():
    yield asked("DELETE", f"/api/vhosts{VHOST}")
    for name in PEOPLE:
        yield asked("DELETE", f"/api/users/{name}")
