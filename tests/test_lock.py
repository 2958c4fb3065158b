"""The locks hold every pin, with hashes, and nothing of the machine that made them; changes are told."""

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
