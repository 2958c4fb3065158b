"""The cell that installs the library in Colab."""

import re
import subprocess
import sys
from types import ModuleType

import nbformat
import pytest
import yaml
from here import ROOT

from labbook.book import colab, pages
from labbook.errors import ConfigurationError

HERE = colab.Repository("https://github.com/owner/lab-book", "main")


@pytest.fixture
def root(tmp_path):
    (tmp_path / "book").mkdir()
    cells = [nbformat.v4.new_markdown_cell("# Title"), nbformat.v4.new_code_cell("seed: int = 0")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "book" / "week1.ipynb")
    (tmp_path / "_config.yml").write_text("repository:\n  url: https://github.com/owner/lab-book\n", "utf-8")
    return tmp_path


def test_the_cell_comes_before_the_code_and_goes_with_the_address(root):
    path = root / "book" / "week1.ipynb"
    original = [cell.source for cell in nbformat.read(path, 4).cells]
    assert colab.write(root) == 1
    title, cell, code = nbformat.read(path, 4).cells
    assert [title.source, code.source] == original
    assert cell.id == colab.CELL and cell.metadata.tags == ["remove-cell"] and HERE.url in cell.source
    assert colab.write(root) == 0  # it has it
    (root / "_config.yml").write_text('repository:\n  url: ""\n', "utf-8")
    assert colab.write(root) == 1
    assert [cell.source for cell in nbformat.read(path, 4).cells] == original


def test_outside_colab_the_cell_does_nothing(monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("it ran something"))
    before, namespace = list(sys.path), {}
    exec(colab.SOURCE.format(**HERE._asdict()), namespace)
    assert sys.path == before and set(namespace) == {"__builtins__", "sys"}


def test_in_colab_the_cell_gets_the_book_once_and_installs_it(monkeypatch, tmp_path):
    ran = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    monkeypatch.setattr(subprocess, "run", lambda command, check: ran.append(" ".join(command)))
    exec(source := colab.SOURCE.format(**HERE._asdict()), {})
    assert ran[0] == "git clone -q --depth 1 --branch main https://github.com/owner/lab-book lab-book"
    assert ran[1].endswith("-m pip install -q -e lab-book") and sys.path[0] == str(tmp_path / "lab-book" / "lib")
    (tmp_path / "lab-book").mkdir()
    exec(source, {})
    assert len(ran) == 2


def test_an_address_that_colab_cannot_open_is_refused(root):
    config = root / "_config.yml"
    for text, said in (
        ("repository:\n  url: https://gitlab.com/a/b\n", "OWNER/REPOSITORY"),
        ("repository:\n  url: https://github.com/a/b; rm\n", "OWNER/REPOSITORY"),
        ("repository:\n  url: https://github.com/a/b\n  branch: a b\n", "name of a branch"),
        ("- a\n", "cannot be read"),
    ):
        config.write_text(text, "utf-8")
        with pytest.raises(ConfigurationError, match=said):
            colab.repository(config)
    config.write_text("title: a book\n", "utf-8")
    assert colab.repository(config) is None
    assert colab.repository(root / "nothing.yml") is None


def test_every_link_to_the_repository_comes_from_one_setting(root):
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    config["repository"]["url"] = HERE.url
    config["sphinx"] = {"local_extensions": {"labbook_sphinx": str(ROOT / "book" / "_ext")}}
    for unneeded in ("logo", "bibtex_bibfiles"):
        del config[unneeded]
    (root / "_config.yml").write_text(yaml.safe_dump(config), "utf-8")
    (root / "lib" / "labbook").mkdir(parents=True)
    (root / "_toc.yml").write_text("format: jb-book\nroot: book/week1\n", "utf-8")
    start = "from jupyter_book.cli.main import main; main()"
    subprocess.run([sys.executable, "-c", start, "build", "-q", root], check=True, capture_output=True)
    page = (root / "_build" / "html" / "book" / "week1.html").read_text("utf-8")
    linked = set(re.findall(r'href="(https://[^"]*lab-book[^"]*)"', page))
    repository, path = "github.com/owner/lab-book", "book/week1.ipynb"
    assert linked >= {
        f"https://{repository}",
        f"https://{repository}/blob/main/{path}?plain=1",
        f"https://colab.research.google.com/github/owner/lab-book/blob/main/{path}",
        f"https://mybinder.org/v2/gh/owner/lab-book/main?urlpath=lab/tree/{path}",
    }


def test_a_sealed_chapter_stays_sealed(tmp_path):
    (tmp_path / "_config.yml").write_text("repository:\n  url: https://github.com/owner/lab-book\n", "utf-8")
    path = tmp_path / "book" / "week1.ipynb"
    pages.publish(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")]), path)
    assert colab.write(tmp_path) == 1
    assert len(pages.read(path).cells) == 2 and pages.SEAL in pages.read(path).metadata
