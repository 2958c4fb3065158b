"""Additions to Sphinx: MathJax without a network, the library's pages from docstrings, buttons, lighter downloads.

MathJax lies in `mathjax/` beside this file, one script and one folder of fonts of its npm package. They are copied into
the output and do not lie in the root `_static/`, because Jupyter Book adds every script it finds there to every page.

The pages of the library are written from the syntax trees of `lib/labbook`. Nothing is imported, so the book renders
without torch.
"""

import ast
import json
import re
import shutil
import textwrap
from itertools import pairwise
from pathlib import Path

from docutils import nodes
from sphinx.errors import ExtensionError

MARK = "% library reference"


def copy_mathjax(app):
    """Copy tex-chtml.js and its fonts to `_static/mathjax/` of an HTML build."""
    if app.builder.format == "html":
        unused = shutil.ignore_patterns("package*.json")
        target = Path(app.outdir, "_static", "mathjax")
        shutil.copytree(Path(__file__).with_name("mathjax"), target, ignore=unused, dirs_exist_ok=True)


def write_library(app, docname, source):
    """Replace the mark on a page by the reference of the modules that it names; without names, by what the package says
    of itself and a list of all modules, in the order in which data flow.

    The list links to each of them, so that one on no page is an undefined label, and one on two a duplicate.
    """
    found = re.search(rf"^{MARK}(?:: (.*))?$", source[0], re.M)
    if not found:
        return
    folder = Path(app.srcdir, "lib", "labbook")
    every = {path.stem: path for path in sorted(folder.rglob("*.py")) if not path.stem.startswith("_")}
    if found[1]:
        if gone := [name for name in found[1].split() if name not in every]:
            raise ExtensionError(f"{docname} describes modules that are not in lib/labbook: {', '.join(gone)}")
        paths = [every[name] for name in found[1].split()]
        written = map(module, paths)
    else:
        package = docstring(parsed(folder / "__init__.py"))
        flow = re.findall(r"\w+", " ".join(line for line in package.splitlines() if "->" in line))
        paths = list(every.values())
        paths.sort(key=lambda path: flow.index(path.stem) if path.stem in flow else len(flow))
        written = (markdown(package), "", *map(entry, paths))
        app.env.note_dependency(str(folder / "__init__.py"))
    for path in paths:
        app.env.note_dependency(str(path))
    source[0] = source[0].replace(found[0], "\n".join(written))


def entry(path):
    """A module in the list of all: its name, which leads to its section, and the first paragraph of its docstring."""
    first = docstring(parsed(path)).partition("\n\n")[0]
    return f"- {{ref}}`{path.stem} <lib-{path.stem}>`: {escape(' '.join(first.split()))}"


def dotted(path):
    """The name of a module, as one imports it."""
    parts = path.with_suffix("").parts
    return ".".join(parts[parts.index("labbook", parts.index("lib")) :])


def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def module(path):
    """One section: the module's docstring, then its public classes and functions."""
    code = path.read_text(encoding="utf-8")
    tree = ast.parse(code)
    parts = [f"(lib-{path.stem})=", f"## {path.stem}", markdown(docstring(tree))]
    for node in public(tree):
        if isinstance(node, ast.ClassDef):
            parts += [f"::::{{py:class}} {node.name}{init(node)}", f":module: {dotted(path)}", ""]
            parts += [described(node), fields(node, code)]
            for method in public(node):
                if isinstance(method, ast.FunctionDef) and docstring(method):
                    kind = "property" if "property" in decorators(method) else "method"
                    shown = method.name + (signature(method, drop_self=True) if kind == "method" else "")
                    parts += [f":::{{py:{kind}}} {shown}", "", described(method), ":::"]
            parts.append("::::")
        elif isinstance(node, ast.FunctionDef):
            parts += [f":::{{py:function}} {node.name}{signature(node)}", f":module: {dotted(path)}", ""]
            parts += [described(node), ":::"]
    return "\n".join(parts) + "\n"


def described(node):
    """The docstring of a class or function as Markdown, each argument on a line of its own."""
    names = {each.arg for each in ast.walk(node) if isinstance(each, ast.arg)}
    names |= {ast.unparse(each.target) for each in node.body if isinstance(each, ast.AnnAssign)}
    name = f"(?:{'|'.join(map(re.escape, names)) or '$^'})"
    before, title, listed = docstring(node).partition("\nArgs:\n")
    return markdown(before + title + re.sub(rf"(?<=[.)])\s+(?={name}(?:, {name})*:\s)", "\n    ", listed))


def public(tree):
    """Classes and functions of a module or methods of a class; commands are left to `python -m labbook --help`."""
    named = [n for n in tree.body if isinstance(n, ast.ClassDef | ast.FunctionDef) and not n.name.startswith("_")]
    return [n for n in named if "command" not in decorators(n)]


def docstring(node):
    return ast.get_docstring(node) or ""


def decorators(node):
    return {ast.unparse(d).split("(")[0].split(".")[-1] for d in node.decorator_list}


def signature(node, drop_self=False):
    arguments = node.args
    if drop_self and "staticmethod" not in decorators(node):
        arguments.args = arguments.args[1:]
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"({ast.unparse(arguments)}){returns}"


def init(node):
    """The constructor's arguments; those of a dataclass are listed as fields instead."""
    for child in node.body:
        if isinstance(child, ast.FunctionDef) and child.name == "__init__":
            return signature(child, drop_self=True)
    return ""


def fields(node, code):
    """Annotated class attributes with their defaults and the comments beside them."""
    lines, rows = code.splitlines(), []
    for child in node.body:
        if isinstance(child, ast.AnnAssign) and not ast.unparse(child.target).startswith("_"):
            rest = lines[child.end_lineno - 1].encode()[child.end_col_offset :].decode()
            comment = rest.partition("#")[2].strip()
            rows.append(f"- `{ast.unparse(child)}`" + (f": {escape(comment)}" if comment else ""))
    return "\n".join(["", "**Fields**", "", *rows, ""]) if rows else ""


def markdown(doc):
    """A docstring as Markdown: a title above an indented block becomes bold, the block, where it can, a list."""
    out = []
    for block in re.split(r"\n(?=\S)", doc):
        title, _, body = block.partition("\n")
        if re.fullmatch(r"[A-Z]\w+|[A-Z][\w /-]+:", title) and body.startswith(" "):
            out += ["", f"**{title.rstrip(':')}**", "", items(textwrap.dedent(body)), ""]
        else:
            out.append(examples(block))
    return "\n".join(out)


def items(body):
    """Entries `name: text`, or in two columns, as a list; anything else as it stands."""
    entries = re.split(r"\n(?=\S)", body.strip("\n"))
    pairs = [re.match(r"(\*{0,2}\w[\w.,* ]*?)( \([^)]*\))?(?::\s|\s{2,})(.*)", e, flags=re.S) for e in entries]
    if ">>>" in body or not all(pairs):
        return examples(body)
    return "\n".join(f"- `{p[1]}`{escape(p[2] or '')}: {escape(' '.join(p[3].split()))}" for p in pairs)


def examples(text):
    """Interactive sessions in code blocks; the rest with stray markup made harmless."""
    parts = re.split(r"((?:^[ ]*>>> .*\n?(?:^[ ]*\S.*\n?)*)+)", text, flags=re.M)
    return "\n".join(
        f"\n```python\n{textwrap.dedent(part).rstrip()}\n```\n" if part.lstrip().startswith(">>>") else escape(part)
        for part in parts
    )


def escape(text):
    """Keep what looks like HTML, a heading or a dunder name from being read as markup, outside of code."""
    parts = re.split(r"(`+[^`]*`+)", text)
    for i in range(0, len(parts), 2):
        text = parts[i].replace("::\n", ":\n")
        parts[i] = re.sub(r"(<(?=[\w/!])|(?<!\w)_(?=_\w)|^#|\*+(?=\w)(?![^*\n]*\w\*))", r"\\\1", text, flags=re.M)
    return "".join(parts)


def configure(app, config):
    """Take MathJax from the book itself; if `_config.yml` says where the repository is, link to it, to each page's
    source, and to Colab and Binder, which run a chapter."""
    config.mathjax_path = "mathjax/tex-chtml.js"
    config.html_context["default_mode"] = "auto"  # light or dark as the reader's system is
    if config.html_theme_options.get("repository_url"):
        hosts = {"colab_url": "https://colab.research.google.com", "binderhub_url": "https://mybinder.org"}
        config.html_theme_options |= {
            "launch_buttons": {"notebook_interface": "jupyterlab"} | hosts,
            "use_repository_button": True,
            "use_source_button": True,
        }


UNIT = re.compile(r"(?<![\w.])(\d[\d.,]*) ?%(?!\w)|(?<=\d) (?=px\b|\d{3}\b)")


def units(app, doctree, docname):
    """Keep numbers whole: a space that does not break before `%` and `px`, and between thousands; in words and in the
    tables and captions of outputs, not in code, nor in outputs with a script."""

    def whole(text):
        return UNIT.sub(lambda found: f"{found[1]}\u00a0%" if found[1] else "\u00a0", text)

    for node in list(doctree.findall(nodes.Text)):
        after = [each.astext() for each, at in pairwise(getattr(node.parent, "children", ())) if at is node]
        if after and after[0][-1:].isdigit() and re.match(r" (%|px\b)", node):  # a glued number
            text = nodes.Text("\u00a0" + node[1:])
            node.parent.replace(node, text)
            node = text
        kept = node.parent
        while kept is not None and not isinstance(kept, nodes.literal | nodes.FixedTextElement | nodes.math):
            kept = kept.parent
        if kept is None and (text := whole(node)) != node:
            node.parent.replace(node, nodes.Text(text))
    for node in list(doctree.findall(nodes.raw)):
        text = node.astext()
        if not re.search("<(script|style|pre|code)", text):
            node.children = [nodes.Text(re.sub(r">[^<>]+<", lambda words: whole(words[0]), text))]


def once(app, pagename, templatename, context, doctree):
    """Keep one of each script: the theme adds the same declarations twice, which is an error on every page."""
    seen, kept = set(), []
    for script in context.get("script_files", []):
        body = getattr(script, "attributes", {}).get("body")
        if body is None or body not in seen:
            kept.append(script)
        seen.add(body)
    context["script_files"] = kept


def lighten(app, exception):
    """Take the outputs out of the chapters that the download button offers, and leave out the theme's source maps: half
    of the weight of the book. Let the pages appear before the 1.5 MB of its icons are read."""
    if exception or app.builder.name != "html":
        return
    for path in Path(app.outdir).rglob("*.html"):
        page = path.read_text("utf-8")
        sooner = re.sub(r'<script (src="[^"]*/fontawesome\.js)', r"<script defer \1", page)
        if (amended := accessible(sooner)) != page:
            path.write_text(amended, "utf-8")
    for path in Path(app.outdir, "_static").rglob("*.map"):
        path.unlink()
    for path in Path(app.outdir, "_sources").rglob("*.ipynb"):
        notebook = json.loads(path.read_text("utf-8"))
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                cell |= {"outputs": [], "execution_count": None}
        path.write_text(json.dumps(notebook, ensure_ascii=False, indent=1), "utf-8")


def accessible(page):
    """Mend what screen readers stumble over: buttons of the contents without a name, long signatures as lists of
    definitions without terms."""
    page = page.replace(
        '<summary><span class="toctree-toggle"', '<summary aria-label="Pages within"><span class="toctree-toggle"'
    )

    def lines(found):
        return f'<div class="sig-lines">{found[1].replace("<dd>", "<div>").replace("</dd>", "</div>")}</div>'

    return re.sub(r"<dl>(\s*<dd>.*?)</dl>", lines, page, flags=re.S)


def setup(app):
    app.connect("config-inited", configure)
    app.connect("doctree-resolved", units)
    app.connect("html-page-context", once, priority=900)  # after the theme's
    app.connect("build-finished", lighten)
    app.connect("builder-inited", copy_mathjax)
    app.connect("source-read", write_library)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
