"""The locks hold every pin, with hashes, and nothing of the machine that made them; changes are told."""

import json
import re

import lock
import pytest

COMPILED = f"""numpy==2.4.6 \\
    --hash=sha256:{"a" * 64} \\
    --hash=sha256:{"b" * 64}
nvidia-cublas==13.1 ; sys_platform == 'linux' \\
    --hash=sha256:{"c" * 64}
scipy==1.17.1 ; python_full_version < '3.12' \\
    --hash=sha256:{"d" * 64}
scipy==1.18.0 ; python_full_version >= '3.12' \\
    --hash=sha256:{"e" * 64}
torch==2.13.0 \\
    --hash=sha256:{"f" * 64}
"""


def test_each_build_of_pytorch_has_its_own_lock(tmp_path):
    common, cuda = lock.split(COMPILED)
    assert lock.packages(common) == {"numpy": "2.4.6", "scipy": "1.17.1 or 1.18.0"}
    assert lock.hashes(common, "numpy") == {"a" * 64, "b" * 64}
    assert lock.packages(cuda) == {"torch": "2.13.0", "nvidia-cublas": "13.1"}
    assert "; sys_platform == 'linux'" in cuda and cuda.index("torch==") < cuda.index("nvidia-")
    (tmp_path / "torch.whl").write_bytes(b"")
    cpu = lock.cpu("2.13.0", [tmp_path / "torch.whl"])
    assert lock.packages(cpu) == {"torch": "2.13.0+cpu"} and len(lock.hashes(cpu, "torch")) == 1
    assert all(each.endswith("\n-r requirements.lock\n") for each in (cuda, cpu))
    assert lock.cpu("2.13.0", []) == ""


def test_changes_are_told():
    old, new = ("six==1.0 \\\n    --hash=sha256:" + each * 64 + "\n" for each in "ab")
    assert lock.changes(old, old) == []
    assert lock.changes(old, new) == ["six 1.0: other files"]
    assert lock.changes(old, old + "numpy==2.4.6\n") == ["numpy: new -> 2.4.6"]
    assert lock.changes(old, old.replace("1.0", "1.1")) == ["six: 1.0 -> 1.1"]
    assert lock.changes(old, "") == ["six: 1.0 -> gone"]


@pytest.mark.parametrize("path", lock.LOCKS, ids=lambda path: path.name)
def test_the_locks_hold_the_pins_with_hashes_and_no_address(path):
    text = path.read_text()
    book = path.name == "requirements-book.lock"
    locked = lock.packages(text) | ({} if book else lock.packages(lock.LOCKS[0].read_text()))
    names = ["requirements-book.txt"] if book else ["requirements-book.txt", "requirements.txt"]
    pins = "".join((lock.ROOT / name).read_text() for name in names)
    pins = {name.lower(): version for name, version in re.findall(r"(?m)^([\w.-]+)==(\S+)", pins)}
    if path == lock.LOCKS[0]:
        del pins["torch"]
    assert {name: locked.get(name, "").partition("+")[0] for name in pins} == pins
    assert all(lock.hashes(text, name) for name in lock.packages(text))
    assert not re.search(r"//|file:|index|find-links|trusted", text)


def test_the_book_is_rendered_by_the_same_versions_everywhere():
    book, everything = (
        lock.packages(lock.ROOT.joinpath(f"requirements{part}.lock").read_text()) for part in ("-book", "")
    )
    assert book.items() <= everything.items()


def test_the_bill_of_materials_lists_what_the_locks_hold_and_no_address():
    text = lock.BILL.read_text()
    listed = {
        (each["purl"].partition("/")[0], each["name"], each["version"]) for each in json.loads(text)["components"]
    }
    locked = "".join(path.read_text() for path in lock.LOCKS[:2])
    npm = json.loads((lock.MATHJAX / "package-lock.json").read_text())["packages"]
    assert listed == {("pkg:pypi", name, version) for name, version, *_ in lock.PACKAGE.findall(locked)} | {
        ("pkg:npm", path.rpartition("/")[2], each["version"]) for path, each in npm.items() if path
    }
    assert "pypi.org" not in text and "resolved" not in str(npm)


def test_the_licence_of_every_package_is_listed():
    rows = re.findall(r"(?m)^\| (\S+) +\| (\S+) +\| (\S.*?) +\|$", (lock.ROOT / "requirements-licences.md").read_text())
    listed = {re.sub(r"[._]+", "-", name).lower(): (version, licence) for name, version, licence in rows}
    everywhere = [found for found in lock.PACKAGE.findall(lock.LOCKS[0].read_text()) if ";" not in found[2]]
    assert {name: listed[name][0] for name, *_ in everywhere} == {name: version for name, version, *_ in everywhere}
    untold = [name for name, *_ in everywhere if listed[name][1] == "UNKNOWN"]
    assert untold == ["axe-playwright-python"]  # MIT by its LICENSE, with axe-core under MPL 2.0; its metadata lack it


def test_mathjax_is_the_one_that_is_pinned():
    pinned = json.loads((lock.MATHJAX / "package.json").read_text())["dependencies"]["mathjax"]
    assert f'VERSION="{pinned}"' in (lock.MATHJAX / "tex-chtml.js").read_text()
    locked = json.loads((lock.MATHJAX / "package-lock.json").read_text())["packages"]
    assert locked["node_modules/mathjax"]["version"] == pinned
