"""Files are whole or absent, and refusals are one sentence."""

import errno
import os
import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labbook.errors import ConfigurationError, choose, nearest, within
from labbook.runtime import files


@given(st.binary(max_size=200))
def test_sealed_content_comes_back(tmp_path_factory, content):
    assert files.unseal(files.seal(content), "any") == content


@given(st.binary(min_size=1, max_size=60), st.data())
def test_every_flipped_bit_and_every_cut_is_found(content, data):
    sealed = bytearray(files.seal(content))
    place = data.draw(st.integers(0, len(sealed) - 1))
    if data.draw(st.booleans()):
        sealed[place] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del sealed[place:]
    with pytest.raises(ConfigurationError, match="some/file is foreign, truncated or altered"):
        files.unseal(bytes(sealed), "some/file")


def test_a_file_is_written_with_its_folders_and_replaced(tmp_path):
    path = tmp_path / "a" / "b" / "file"
    files.write(path, b"old")
    files.write(path, b"new")
    assert path.read_bytes() == b"new" and os.listdir(path.parent) == ["file"]


def test_no_two_drafts_have_one_name(tmp_path, monkeypatch):
    """Containers that share a folder may have equal process numbers."""
    drafts, replacing = [], os.replace
    monkeypatch.setattr(files.os, "getpid", lambda: 7)
    monkeypatch.setattr(files.os, "replace", lambda draft, path: drafts.append(draft) or replacing(draft, path))
    for _ in range(3):
        files.write(tmp_path / "file", b"")
    assert len(set(drafts)) == 3


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, broken):
    path = tmp_path / "file"
    files.write(path, b"old")

    def full(*given):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, broken, full)
    with pytest.raises(ConfigurationError, match=f"Cannot write {path}: No space left on device; nothing was changed."):
        files.write(path, b"new")
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]


def test_a_write_that_the_system_cuts_short_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    files.write(path, b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(ConfigurationError, match="File too large; nothing was changed"):
            files.write(path, bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(ConfigurationError, match=r"Cannot write .*taken/file: "):
        files.write(tmp_path / "taken" / "file", b"new")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigurationError, match=r"Cannot write .*: Permission denied; nothing was changed"):
        files.write(tmp_path / "file", b"new")


def test_a_read_only_file_system_is_named(tmp_path, monkeypatch):
    """There even the removal of a draft that was never made is refused."""

    def read_only(*given, **options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("builtins.open", read_only)
    monkeypatch.setattr(files.Path, "unlink", read_only)
    with pytest.raises(ConfigurationError, match=r"Cannot write .*: Read-only file system; nothing was changed"):
        files.write(tmp_path / "file", b"new")


# ---- refusals --------------------------------------------------------------------------------------------------------


def test_refusals_name_the_value_and_the_nearest_choice():
    assert choose("device", "cpu", ("cpu", "cuda")) == "cpu"
    with pytest.raises(ConfigurationError, match=r"device='gpu' is not one of cpu, cuda. Did you mean 'cpu'\?"):
        choose("device", "gpu", ("cpu", "cuda"))
    assert nearest("zzz", ["cpu"]) == ""


@pytest.mark.parametrize("value", [-1, 11, float("nan"), float("inf"), "5", None, True, [5]])
def test_only_numbers_within_the_bounds_pass(value):
    with pytest.raises(ConfigurationError, match=r"size=.* must be a number from 0 to 10 pixels"):
        within("size", value, 0, 10, "pixels")
    assert within("size", 10, 0, 10) == 10


def test_a_notebook_shows_the_sentence_alone():
    assert ConfigurationError("x=1 is odd.")._render_traceback_() == ["Refused: x=1 is odd."]
