"""The README's two programs, one after the other."""

import pathlib
import subprocess
import sys

from scenarios import run

HERE = pathlib.Path(__file__).parent


def readme():
    subprocess.run([sys.executable, HERE / "publish.py"], check=True, timeout=180)
    done = subprocess.run([sys.executable, HERE / "consume.py"], check=True, timeout=180, capture_output=True, text=True)
    assert done.stdout == "Hello, Leveret!\n", done.stdout


if __name__ == "__main__":
    run({"readme": readme})
