#!/usr/bin/env python3
"""Puppet's module puppetlabs-rabbitmq against a broker that this starts.

    tests/ecosystem/puppet/run.py

Each manifest is applied twice: the first time it has to change just so many resources, the second time none; absent*.pp take away what
create.pp made. The module calls rabbitmqctl and rabbitmq-plugins by name and finds the binary under these names, without a password;
exchanges, queues and bindings it makes with rabbitmqadmin. Needs puppet and puppet-module-puppetlabs-rabbitmq, as Debian 12 has them.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))
from broker import Broker, Missing, call, need  # noqa: E402

MODULES = pathlib.Path("/usr/share/puppet/modules")
TOOLS = ["rabbitmqctl", "rabbitmq-plugins", "rabbitmq-diagnostics", "rabbitmqadmin"]
# Manifest, what its first run changes (a resource counts once for each of its properties), and the second.
# The module never sees the arguments of a binding, so that it makes one with arguments again each time.
MANIFESTS = [("create", 25, 1), ("change", 12, 0), ("absent1", 3, 0), ("absent2", 12, 0), ("absent3", 6, 0)]
# What `puppet resource` tells after create.pp, where it holds each of these.
RESOURCES = {
    "rabbitmq_user": [r"'joe':\n  ensure   => 'present',\n  admin    => 'true',\n.*\n  tags     => \['monitoring', 'own'\]", r"'bob':\n  ensure   => 'present',\n  admin    => 'false'"],
    "rabbitmq_vhost": ["'/':", "'shop':", "'own/shop':"],
    "rabbitmq_queue": ["'a.orders@shop':", "'plain@shop':", "'lazy@shop':"],
    "rabbitmq_binding": [r"destination +=> 'inner',\n  destination_type => 'exchange',"],
    "rabbitmq_plugin": ["'rabbitmq_prometheus':"],
}


class Puppet:
    def __init__(self, folder, broker, port):
        self.folder = folder
        names = folder / "bin"
        names.mkdir()
        for tool in TOOLS:
            (names / tool).symlink_to(broker.binary)
        # Two places are written into the module, both of them root's.
        for module in ("rabbitmq", "stdlib"):
            shutil.copytree((MODULES / module).resolve(), folder / "modules" / module)
        configuration = folder / "rabbitmqadmin.conf"
        configuration.write_text(f"[default]\nhostname = 127.0.0.1\nport = {port}\n")
        for file in (folder / "modules/rabbitmq/lib/puppet/provider").rglob("*.rb"):
            text = file.read_text()
            file.write_text(text.replace("/usr/bin/rabbitmqadmin", str(names / "rabbitmqadmin")).replace("/etc/rabbitmq/rabbitmqadmin.conf", str(configuration)))
        self.environment = {"PATH": f"{names}:/usr/bin:/bin", "HOME": str(folder), "LEVERET_DATA_DIR": f"{broker.folder.name}/data", "LC_ALL": "C.UTF-8"}

    def run(self, what, *arguments):
        """The exit code and what is said."""
        done = subprocess.run(
            ["puppet", what, "--modulepath", self.folder / "modules", "--confdir", self.folder / "conf", "--vardir", self.folder / "var", "--color=false", *arguments],
            env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900,
        )
        return done.returncode, done.stdout

    def changes(self, manifest):
        """How many it makes; or None, and what is said. Exit code 0 is none, 2 is some, all others are failures."""
        code, said = self.run("apply", "--detailed-exitcodes", HERE / f"{manifest}.pp")
        return (len(re.findall(r"^Notice: /Stage", said, re.M)) if code in (0, 2) else None), said


def main():
    failures, count = [], 0

    def expect(name, right, said=""):
        nonlocal count
        count += 1
        if not right:
            failures.append(f"{name}\n{said[-3000:]}")

    try:
        need("puppet")
        if not (MODULES / "rabbitmq").exists():
            raise Missing("puppet-module-puppetlabs-rabbitmq is not installed")
        broker = Broker()
        with broker as addresses, tempfile.TemporaryDirectory() as folder:
            puppet = Puppet(pathlib.Path(folder), broker, addresses["http"].rsplit(":", 1)[1])
            rabbitmqctl = [puppet.folder / "bin/rabbitmqctl", "-q", "-s"]

            def users():
                return call(*rabbitmqctl, "list_users", env=puppet.environment)

            before = users()
            for manifest, first, second in MANIFESTS:
                for wanted in (first, second):
                    changed, said = puppet.changes(manifest)
                    expect(f"{manifest}: {changed} changes, not {wanted}", changed == wanted, said)
                if manifest == "create":
                    for kind, texts in RESOURCES.items():
                        code, said = puppet.run("resource", kind)
                        expect(f"resource {kind}", code == 0 and all(re.search(text, said) for text in texts), said)
                elif manifest == "change":
                    # A password that Puppet set is one.
                    call(*rabbitmqctl, "authenticate_user", "joe", "changed", env=puppet.environment)
            after = users()
            expect(f"users are {after!r}, were {before!r}", after == before)
    except Missing as missing:
        failures.append(str(missing))
    for failure in failures:
        print(f"FAILED {failure}")
    print(f"puppet: {count - len(failures) if count else 0} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
