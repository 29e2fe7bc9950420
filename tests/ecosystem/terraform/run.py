#!/usr/bin/env python3
"""The acceptance tests of Terraform's provider for RabbitMQ against a broker that this starts.

    tests/ecosystem/terraform/run.py

Takes the `terraform` that is installed, or builds the last one under a free licence, which takes some minutes once.
"""

import pathlib
import re
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import golang  # noqa: E402
from broker import Broker, Missing  # noqa: E402

MODULE, VERSION = "github.com/cyrilgdn/terraform-provider-rabbitmq", "v1.8.0"
TERRAFORM, TERRAFORM_VERSION = "github.com/hashicorp/terraform", "v1.5.7"

NO_FEDERATION = "there is no federation: its parameters are refused, as RabbitMQ refuses them without the plugin"
NO_SHOVEL = "there are no shovels: their parameters are refused, as RabbitMQ refuses them without the plugin"
NO_MIRRORS = "its policy has ha-mode: queues are not mirrored, and the policy is refused, as RabbitMQ 4 does"
KNOWN = {
    "TestAccFederationUpstream": NO_FEDERATION,
    "TestAccFederationUpstream_defaults": NO_FEDERATION,
    "TestAccFederationUpstream_hasComponent": NO_FEDERATION,
    "TestAccFederationUpstream_importBasic": NO_FEDERATION,
    "TestAccPolicy": NO_MIRRORS,
    "TestAccPolicy_importBasic": NO_MIRRORS,
    "TestAccShovel": NO_SHOVEL,
    "TestAccShovel_importBasic": NO_SHOVEL,
}


def terraform():
    """The program."""
    return shutil.which("terraform") or str(golang.program(TERRAFORM, TERRAFORM_VERSION))


def ask_this_broker(folder):
    """One test asks the address that its authors' broker has; the others take it from the environment."""
    file = folder / "rabbitmq/resource_user_test.go"
    source = file.read_text()
    if '"http://localhost:15672"' in source:
        source = source.replace('"http://localhost:15672"', 'os.Getenv("RABBITMQ_ENDPOINT")')
        file.write_text(re.sub(r"import \(", 'import (\n\t"os"', source, count=1))


def main():
    try:
        program = terraform()
        folder = golang.sources(MODULE, VERSION)
        ask_this_broker(folder)
        with Broker() as addresses, tempfile.NamedTemporaryFile(suffix=".tfrc") as settings:
            tested = golang.test(folder, "./rabbitmq", TF_ACC="1", TF_ACC_TERRAFORM_PATH=program, TF_CLI_CONFIG_FILE=settings.name, CHECKPOINT_DISABLE="1",
                                 RABBITMQ_ENDPOINT=f"http://{addresses['http']}", RABBITMQ_USERNAME="guest", RABBITMQ_PASSWORD="guest")
    except Missing as missing:
        print(f"FAILED terraform: {missing}\nterraform: 0 passed, 1 failed")
        return 1
    return golang.conclude("terraform", tested, KNOWN)


if __name__ == "__main__":
    sys.exit(main())
