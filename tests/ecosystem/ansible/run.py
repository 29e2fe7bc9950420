#!/usr/bin/env python3
"""Ansible's collection community.rabbitmq against a broker that this starts.

    tests/ecosystem/ansible/run.py

Every task runs twice: the first time it has to change something, the second time nothing, and at the end all is taken away the same way.
Modules that call rabbitmqctl and rabbitmq-plugins find the binary under these names; exchanges, queues and bindings go over HTTP, messages
over AMQP. Fetches ansible-core, the collection (out of the package ansible, of 50 MB) and what the modules import from PyPI, once.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))
from broker import ROOT, Broker, Missing, call, need  # noqa: E402

PACKAGES = ["ansible-core==2.16.14", "requests==2.32.4", "pika==1.3.2"]
# Its collections are those of ansible-core 2.16.
COLLECTIONS = "9.13.0"
TOOLS = ["rabbitmqctl", "rabbitmq-plugins", "rabbitmq-diagnostics", "rabbitmq-queues", "rabbitmq-upgrade", "rabbitmqadmin"]


def installed():
    """The folder of a virtual environment with all of it."""
    folder = ROOT / ".venv-ansible"
    collection = folder / "collections/ansible_collections/community/rabbitmq"
    if not collection.is_dir():
        need("python3", "unzip")
        call("python3", "-m", "venv", folder)
        call(folder / "bin/pip", "install", "-q", *PACKAGES)
        with tempfile.TemporaryDirectory() as fetched:
            call(folder / "bin/pip", "download", "-q", "--no-deps", "-d", fetched, f"ansible=={COLLECTIONS}")
            (wheel,) = pathlib.Path(fetched).glob("*.whl")
            call("unzip", "-q", "-o", wheel, "ansible_collections/community/rabbitmq/*", "-d", folder / "collections")
    return folder


def tasks(port):
    """Name of the module, its arguments, and what takes it away again."""
    api = {"login_host": "127.0.0.1", "login_port": port, "vhost": "shop"}
    return [
        ("vhost", {"name": "shop", "state": "present"}, {"name": "shop", "state": "absent"}),
        ("vhost", {"name": "shop", "tracing": True}, {"name": "shop", "tracing": False}),
        ("user", {"user": "joe", "password": "changeme", "vhost": "shop", "configure_priv": ".*", "read_priv": ".*", "write_priv": "^a", "tags": "monitoring,own"},
         {"user": "joe", "state": "absent"}),
        ("user", {"user": "ann", "password": "secret", "update_password": "always",
                  "permissions": [{"vhost": "/", "configure_priv": "^c", "read_priv": "", "write_priv": ".*"}, {"vhost": "shop", "configure_priv": ".*", "read_priv": ".*", "write_priv": ".*"}],
                  "topic_permissions": [{"vhost": "shop", "exchange": "amq.topic", "read_priv": "^r", "write_priv": "^w"}]},
         {"user": "ann", "state": "absent"}),
        ("policy", {"name": "limited", "vhost": "shop", "pattern": "^a.*", "apply_to": "queues", "priority": 1, "tags": {"max-length": 5, "message-ttl": 60000}},
         {"name": "limited", "vhost": "shop", "pattern": "^a.*", "state": "absent"}),
        ("policy", {"name": "all", "pattern": ".*", "tags": {"expires": 3600000}}, {"name": "all", "state": "absent"}),
        ("global_parameter", {"name": "own", "value": "{\"a\": 1}"}, {"name": "own", "state": "absent"}),
        ("user_limits", {"user": "joe", "max_connections": 10, "max_channels": 20}, {"user": "joe", "state": "absent"}),
        ("vhost_limits", {"vhost": "shop", "max_connections": 64, "max_queues": 256}, {"vhost": "shop", "state": "absent"}),
        ("feature_flag", {"name": "user_limits"}, None),
        ("plugin", {"names": "rabbitmq_management,rabbitmq_prometheus", "new_only": True}, {"names": "rabbitmq_prometheus", "state": "disabled"}),
        ("exchange", {**api, "name": "orders", "exchange_type": "topic"}, {**api, "name": "orders", "state": "absent"}),
        ("queue", {**api, "name": "a.orders", "max_priority": 5, "message_ttl": 60000}, {**api, "name": "a.orders", "state": "absent"}),
        ("binding", {**api, "name": "orders", "destination": "a.orders", "destination_type": "queue", "routing_key": "order.#"},
         {**api, "name": "orders", "destination": "a.orders", "destination_type": "queue", "routing_key": "order.#", "state": "absent"}),
    ]


class Ansible:
    def __init__(self, folder, names, data):
        self.program = folder / "bin/ansible"
        self.environment = {
            "PATH": f"{names}:{folder / 'bin'}:/usr/bin:/bin", "HOME": str(names), "LEVERET_DATA_DIR": data, "LC_ALL": "C.UTF-8",
            "ANSIBLE_COLLECTIONS_PATH": str(folder / "collections"), "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1", "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.oneline",
            "ANSIBLE_LOCAL_TEMP": str(names / "tmp"), "ANSIBLE_REMOTE_TEMP": str(names / "tmp"), "ANSIBLE_NOCOLOR": "1",
        }

    def run(self, module, arguments):
        """Whether it changed something; or why it failed."""
        done = subprocess.run(
            [self.program, "localhost", "-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={self.program.with_name('python')}",
             "-m", f"community.rabbitmq.rabbitmq_{module}", "-a", json.dumps(arguments)],
            env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
        )
        said, _, result = done.stdout.strip().rpartition("=> ")
        try:
            result = json.loads(result)
        except ValueError:
            return None, done.stdout[-1500:]
        if done.returncode or result.get("failed"):
            return None, json.dumps(result)[-1500:]
        return result.get("changed"), ""


def main():
    try:
        folder = installed()
    except Missing as missing:
        print(f"FAILED ansible: {missing}\nansible: 0 passed, 1 failed")
        return 1
    failures, count = [], 0
    broker = Broker()
    with broker as addresses, tempfile.TemporaryDirectory() as names:
        names = pathlib.Path(names)
        port, amqp = (int(addresses[what].rsplit(":", 1)[1]) for what in ("http", "amqp"))
        for tool in TOOLS:
            (names / tool).symlink_to(broker.binary)
        ansible = Ansible(folder, names, f"{broker.folder.name}/data")

        def expect(module, arguments, wanted):
            nonlocal count
            count += 1
            changed, why = ansible.run(module, arguments)
            if changed is not wanted:
                failures.append(f"{module} {json.dumps(arguments)}: changed is {changed}, not {wanted} {why}")

        # What the API's modules log in as has to have permissions in the vhost that the first one makes.
        todo = tasks(str(port))
        for number, (module, arguments, _) in enumerate(todo):
            expect(module, arguments, module != "feature_flag")
            expect(module, arguments, False)
            if number == 0:
                call(names / "rabbitmqctl", "-q", "set_permissions", "-p", "shop", "guest", ".*", ".*", ".*", env=ansible.environment)
        expect("publish", {"url": f"amqp://guest:guest@127.0.0.1:{amqp}/shop", "exchange": "orders", "routing_key": "order.1", "body": "hello", "content_type": "text/plain"}, True)
        got = call(names / "rabbitmqctl", "-q", "-s", "list_queues", "-p", "shop", "name", "messages", env=ansible.environment)
        if got != "a.orders\t1\n":
            failures.append(f"publish: the queue has {got!r}")
        for module, _, undone in reversed(todo):
            if undone:
                expect(module, undone, True)
                expect(module, undone, False)
    for failure in failures:
        print(f"FAILED {failure}")
    print(f"ansible: {count - len(failures)} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
