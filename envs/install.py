"""Install requirements into this Python's environment: python envs/install.py -r envs/cpu.txt

uv does in seconds what takes pip minutes, but reads no pip configuration; so pip's indexes, local wheels
and certificate are handed on. Where uv cannot be had, pip installs.
"""

import os
import subprocess
import sys

# pip's option → uv's variable. Both separate several values by spaces, but for --find-links.
VARIABLES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
}


def pip(*arguments: str, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, text=True, **options)


def uv_environment() -> dict[str, str]:
    """This process's environment with pip's settings in uv's names; variables already set stay."""
    environment = dict(os.environ)
    for line in pip("config", "list", capture_output=True).stdout.splitlines():
        key, _, value = line.partition("=")
        variable = VARIABLES.get(key.rpartition(".")[2])
        if variable:
            separator = "," if variable == "UV_FIND_LINKS" else " "
            environment.setdefault(variable, separator.join(value.strip("'\"").split()))
    # pip takes the best version that any index has; uv by itself asks only the first that knows the name.
    environment.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    return environment


def main(arguments: list[str]) -> int:
    if pip("install", "--quiet", "uv").returncode == 0:
        # Compiled once here, not by every job: images often forbid Python to write bytecode when it runs.
        command = [sys.executable, "-m", "uv", "pip", "install", "--compile-bytecode"]
        command += ["--python", sys.executable, *arguments]
        if subprocess.run(command, env=uv_environment()).returncode == 0:
            return 0
        print("uv did not succeed; installing with pip, which takes some minutes", file=sys.stderr)
    return pip("install", *arguments).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
