"""`make lock`: resolve the pins anew into files of exact versions with hashes, and show what changed.

requirements.lock holds all but PyTorch, requirements-cuda.lock adds the build of PyPI with the libraries that it needs,
and requirements-cpu.lock the build for processors alone, where pip finds that.
"""

import json
import os
import re
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = [ROOT / f"requirements{build}.lock" for build in ("", "-cuda", "-cpu")]
GPU = re.compile(r"(nvidia|cuda)-|triton$")  # what only the build for GPUs needs
PACKAGE = re.compile(r"^([\w.-]+)==([^\s;\\]+)([^\n]*(?:\n    --hash=[^\n]+)*)", re.M)
PUBLIC = {"PIP_CONFIG_FILE": "/dev/null", "PIP_FIND_LINKS": "", "PIP_EXTRA_INDEX_URL": ""}  # PyPI and nothing else
HEAD = "# Made by `make lock` from requirements.txt with Python {}.{} on {}; see book/rerun.md.\n"


def packages(text: str) -> dict[str, str]:
    """Return the versions of a lock's packages."""
    return {name.lower().replace("_", "-"): version for name, version, _ in PACKAGE.findall(text)}


def hashes(text: str, name: str) -> list[str]:
    """Return the hashes that a lock admits of a package."""
    (found,) = [rest for each, _, rest in PACKAGE.findall(text) if each == name]
    return re.findall(r"--hash=(sha256:[0-9a-f]{64})", found)


def entry(name: str, version: str, admitted: list[str]) -> str:
    """Return the lines of a package."""
    return " \\\n".join([f"{name}=={version}", *(f"    --hash={each}" for each in sorted(set(admitted)))]) + "\n"


def locks(compiled: str, report: dict) -> list[str]:
    """Return the contents of the locks, without a word on where this machine takes its packages from; of the last one
    nothing, if pip found no build of PyTorch for processors alone.

    Args:
        compiled: what pip-compile wrote. report: of pip, how it would install PyTorch from PyPI.
    """
    head = HEAD.format(*sys.version_info[:2], sys.platform)
    ours = packages(compiled)
    common = [
        entry(each, ours[each], hashes(compiled, each)) for each in ours if each != "torch" and not GPU.match(each)
    ]
    public = {
        each["metadata"]["name"].lower().replace("_", "-"): (
            each["metadata"]["version"],
            [f"sha256:{each['download_info']['archive_info']['hashes']['sha256']}"],
        )
        for each in report["install"]
    }
    cuda = [entry(name, *public[name]) for name in sorted(public) if name == "torch" or GPU.match(name)]
    built = entry("torch", ours["torch"], hashes(compiled, "torch")) if "+" in ours["torch"] else ""
    more = f"{head}-r {LOCKS[0].name}\n"
    return ["".join([head, *common]), "".join([more, *cuda]), built and more + built]


def changes(old: str, new: str) -> list[str]:
    """Return a line per package that came, went, or has another version or other files."""
    before, after = packages(old), packages(new)
    lines = []
    for name in sorted(before | after):
        a, b = before.get(name), after.get(name)
        if a != b:
            lines.append(f"{name}: {a or 'new'} -> {b or 'gone'}")
        elif set(hashes(old, name)) != set(hashes(new, name)):
            lines.append(f"{name} {a}: other files")
    return lines


def main() -> None:
    """Resolve, write, tell."""
    made = ROOT / "_build" / "lock"
    python = made / "tools" / "bin" / "python"
    if not python.exists():
        venv.create(made / "tools", with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "-qq", "pip-tools"], check=True)
    pins = "".join((ROOT / name).read_text() for name in ("requirements-book.txt", "requirements.txt"))
    (made / "pins.txt").write_text(re.sub(r"(?m)^-.*$", "", pins))
    print("Resolving, which takes minutes: every file of every package is hashed ...", flush=True)
    options = ["--generate-hashes", "--allow-unsafe", "--strip-extras", "--no-header", "--no-annotate", "--quiet"]
    options += ["--no-emit-index-url", "--no-emit-trusted-host", "--no-emit-find-links", "--output-file=-"]
    command = [python, "-m", "piptools", "compile", *options, made / "pins.txt"]
    compiled = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    torch = next(line for line in pins.splitlines() if line.startswith("torch=="))
    command = [python, "-m", "pip", "install", "-qq", "--dry-run", "--ignore-installed", "--only-binary", ":all:"]
    command += ["--report", made / "report.json", torch]
    subprocess.run(command, check=True, env=os.environ | PUBLIC)
    for path, text in zip(LOCKS, locks(compiled, json.loads((made / "report.json").read_bytes())), strict=True):
        if not text:
            print(f"{path.name} is left as it is: no build of PyTorch for processors alone was found")
            continue
        told = changes(path.read_text() if path.exists() else "", text)
        path.write_text(text)
        print(f"{path.name}: {len(packages(text))} packages, {len(told) or 'nothing'} changed", *told, sep="\n  ")


if __name__ == "__main__":
    main()
