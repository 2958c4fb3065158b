"""`make lock`: resolve the pins anew into files of exact versions with hashes, and show what changed.

uv resolves them for every platform and for Python 3.11 and newer at once. requirements-book.lock holds what renders
the book, requirements.lock all but PyTorch, requirements-cuda.lock adds the PyTorch of PyPI with the libraries that it
needs, and requirements-cpu.lock its build for processors alone, where pip finds that.

A bill of materials in CycloneDX's format lists all of it, and what the book uses of MathJax, which npm takes from
MathJax's own package.
"""

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from here import ROOT

LOCKS = [ROOT / f"requirements{build}.lock" for build in ("", "-cuda", "-cpu", "-book")]
BILL = ROOT / "requirements.cdx.json"
MATHJAX = ROOT / "book" / "_ext" / "mathjax"
GPU = re.compile(r"(nvidia|cuda)-|(triton|torch)$")  # PyTorch, and what only its build for GPUs needs
PACKAGE = re.compile(r"^([\w.-]+)==(\S+)([^\\\n]*)\\?((?:\n    --hash=[^\n]+)*)\n?", re.M)
HEAD = "# Made by `make lock` from requirements.txt; see book/rerun.md.\n"


def packages(text: str) -> dict[str, str]:
    """Return the versions of a lock's packages: `1.3 or 1.4` where they depend on the platform or on Python."""
    found: dict[str, str] = {}
    for name, version, _, _ in PACKAGE.findall(text):
        found[name] = f"{found[name]} or {version}" if name in found else version
    return found


def hashes(text: str, name: str) -> set[str]:
    """Return the hashes that a lock admits of a package."""
    return {each for found in PACKAGE.finditer(text) if found[1] == name for each in re.findall(r"\w{64}", found[4])}


def split(compiled: str) -> tuple[str, str]:
    """Return the contents of requirements.lock and of requirements-cuda.lock from what uv wrote.

    PyTorch stands first in its lock, so that pip knows at once whether it finds that build.
    """
    common, cuda, torch = [], [], []
    for entry in PACKAGE.finditer(compiled):
        (torch if entry[1] == "torch" else cuda if GPU.match(entry[1]) else common).append(entry[0])
    return "".join([HEAD, *common]), "".join([HEAD, *torch, *cuda, f"-r {LOCKS[0].name}\n"])


def cpu(version: str, files: list[Path]) -> str:
    """Return the contents of requirements-cpu.lock for these files of PyTorch; nothing without one."""
    digests = sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in files)
    lines = [f"torch=={version}+cpu", *(f"    --hash=sha256:{digest}" for digest in digests)]
    return " \\\n".join(lines).join([HEAD, f"\n-r {LOCKS[0].name}\n"]) if digests else ""


def changes(old: str, new: str) -> list[str]:
    """Return a line per package that came, went, or has another version or other files."""
    before, after = packages(old), packages(new)
    lines = []
    for name in sorted(before | after):
        a, b = before.get(name), after.get(name)
        if a != b:
            lines.append(f"{name}: {a or 'new'} -> {b or 'gone'}")
        elif hashes(old, name) != hashes(new, name):
            lines.append(f"{name} {a}: other files")
    return lines


def without_hashes(text: str) -> str:
    """Return the lines of a lock that name packages."""
    return re.sub(r" *\\\n +--hash=\S+", "", text)


def mathjax(folder: Path) -> None:
    """Copy what the book uses of MathJax from the npm package that its package.json pins."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(MATHJAX / "package.json", folder)
    options = ["--silent", "--ignore-scripts", "--omit-lockfile-registry-resolved"]
    subprocess.run(["npm", "install", *options], cwd=folder, check=True)
    package, fonts = folder / "node_modules" / "mathjax", Path("output/chtml/fonts/woff-v2")
    shutil.copytree(package / "es5" / fonts, MATHJAX / fonts, dirs_exist_ok=True)
    for path in (package / "es5" / "tex-chtml.js", package / "LICENSE", folder / "package-lock.json"):
        shutil.copyfile(path, MATHJAX / path.name)


def bill(made: str, npm: dict) -> str:
    """Return the bill of materials from what cyclonedx-py wrote and from the packages of an npm lock.

    A package is referred to by its name and version, and not by its line; where its files are is left to pip.
    """
    every = json.loads(made)
    for each in every["components"]:
        made = made.replace(f'"{each["bom-ref"]}"', f'"{each["purl"]}"')
    every = json.loads(made, object_hook=lambda each: {key: each[key] for key in each if key != "externalReferences"})
    for each in every["components"]:
        del each["description"]
    for path, each in npm["packages"].items():
        name, (kind, _, digest) = path.rpartition("node_modules/")[2], each.get("integrity", "").partition("-")
        if name:
            purl = f"pkg:npm/{name}@{each['version']}"
            every["components"].append(
                {
                    "bom-ref": purl,
                    "hashes": [{"alg": kind.replace("sha", "SHA-"), "content": base64.b64decode(digest).hex()}],
                    "licenses": [{"license": {"id": each["license"]}}],
                    "name": name,
                    "purl": purl,
                    "type": "library",
                    "version": each["version"],
                }
            )
            every["dependencies"].append({"ref": purl})
    return json.dumps(every, indent=1) + "\n"


def main() -> None:
    """Resolve, write, tell."""
    made = ROOT / "_build" / "lock"
    tools = made / "tools" / "bin"
    if not (tools / "cyclonedx-py").exists():
        venv.create(made / "tools", with_pip=True, clear=True)
        subprocess.run([tools / "python", "-m", "pip", "install", "-qq", "uv", "cyclonedx-bom"], check=True)
    book, all_ = ((ROOT / name).read_text() for name in ("requirements-book.txt", "requirements.txt"))
    pins = re.sub(r"(?m)^-.*$", "", book + all_)

    def compiled(pins: str, constraints: str = "") -> str:
        (made / "pins.txt").write_text(pins)
        (made / "constraints.txt").write_text(constraints)
        command = [tools / "uv", "pip", "compile", "-q", "--universal", "--python-version=3.11", "--generate-hashes"]
        command += ["--no-header", "--no-annotate", "--no-emit-index-url", "-c", made / "constraints.txt"]
        return subprocess.run([*command, made / "pins.txt"], check=True, stdout=subprocess.PIPE, text=True).stdout

    everything = compiled(pins)
    version = packages(everything)["torch"]
    command = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "-d", made, f"torch=={version}+cpu"]
    subprocess.run(command, check=False, stderr=subprocess.DEVNULL)
    built = cpu(version, list(made.glob(f"torch-{version}+cpu-*.whl")))
    texts = [*split(everything), built, HEAD + compiled(book, without_hashes(everything))]
    for path, text in zip(LOCKS, texts, strict=True):
        if not text:
            print(f"{path.name} is left as it is: no build of PyTorch {version} for processors alone was found")
            continue
        told = changes(path.read_text() if path.exists() else "", text)
        path.write_text(text)
        print(f"{path.name}: {len(packages(text))} packages, {len(told) or 'nothing'} changed", *told, sep="\n  ")
    if shutil.which("npm"):
        mathjax(made / "npm")
    else:
        print("MathJax is left as it is: there is no npm")
    command = [tools / "python", "-W", "ignore", "-m", "cyclonedx_py", "requirements", "--output-reproducible"]
    command += ["--pyproject", ROOT / "pyproject.toml", "-"]
    listed = subprocess.run(command, input=without_hashes(everything), check=True, stdout=subprocess.PIPE, text=True)
    BILL.write_text(bill(listed.stdout, json.loads((MATHJAX / "package-lock.json").read_text())))


if __name__ == "__main__":
    main()
