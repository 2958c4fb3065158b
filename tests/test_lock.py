"""The locks hold every pin, with hashes, and nothing of the machine that made them; changes are told."""

import re

import lock
import pytest

COMPILED = f"""numpy==2.4.6 \\
    --hash=sha256:{"a" * 64} \\
    --hash=sha256:{"b" * 64}
torch==2.13.0{{build}} \\
    --hash=sha256:{"c" * 64}
"""


def report(**packages):
    """What pip says about an installation."""
    return {
        "install": [
            {
                "metadata": {"name": name.replace("_", "-"), "version": version},
                "download_info": {"url": "https://host/file", "archive_info": {"hashes": {"sha256": "d" * 64}}},
            }
            for name, version in packages.items()
        ]
    }


def test_each_build_of_pytorch_has_its_own_lock():
    told = report(torch="2.13.0", nvidia_cublas="13.1", numpy="2.4.6", triton="3.7.1")
    common, cuda, cpu = lock.locks(COMPILED.format(build="+cpu"), told)
    assert lock.packages(common) == {"numpy": "2.4.6"} and len(lock.hashes(common, "numpy")) == 2
    assert lock.packages(cuda) == {"torch": "2.13.0", "nvidia-cublas": "13.1", "triton": "3.7.1"}
    assert lock.packages(cpu) == {"torch": "2.13.0+cpu"} and lock.hashes(cpu, "torch") == [f"sha256:{'c' * 64}"]
    assert "-r requirements.lock\n" in cuda and "-r requirements.lock\n" in cpu and "host" not in cuda
    plain = COMPILED.format(build="") + f"triton==3.7.1 \\\n    --hash=sha256:{'e' * 64}\n"
    assert lock.packages(lock.locks(plain, told)[0]) == {"numpy": "2.4.6"} and lock.locks(plain, told)[2] == ""


def test_changes_are_told():
    old, new = (lock.entry("numpy", version, ["sha256:x"]) for version in ("2.4.5", "2.4.6"))
    assert lock.changes(old, old) == []
    assert lock.changes(old, new + lock.entry("six", "1.0", [])) == ["numpy: 2.4.5 -> 2.4.6", "six: new -> 1.0"]
    assert lock.changes(lock.entry("six", "1.0", []), "") == ["six: 1.0 -> gone"]
    a, b = (lock.entry("six", "1.0", [f"sha256:{each * 64}"]) for each in "ab")
    assert lock.changes(a, b) == ["six 1.0: other files"]


@pytest.mark.parametrize("path", lock.LOCKS, ids=lambda path: path.name)
def test_the_locks_hold_the_pins_with_hashes_and_no_address(path):
    text = path.read_text()
    locked = lock.packages("".join(each.read_text() for each in lock.LOCKS[:1]) + text)
    pins = "".join((lock.ROOT / name).read_text() for name in ("requirements.txt", "requirements-book.txt"))
    pins = {name.lower(): version for name, version in re.findall(r"(?m)^([\w.-]+)==(\S+)", pins)}
    if path == lock.LOCKS[0]:
        del pins["torch"]
    assert {name: locked[name].partition("+")[0] for name in pins} == pins
    assert all(lock.hashes(text, name) for name in lock.packages(text))
    assert not re.search(r"//|file:|index|find-links|trusted", text)
