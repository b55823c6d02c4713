"""Pages that are notebooks: their code is run when the site is built, and what it shows stands below it.

Python and commands of such a page are the cells; text in between is Markdown. The executed notebook stands beside the
page.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

_BLOCK = re.compile(r"^```(python|console)\n(.*?)^```\n", re.M | re.S)
_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:)([^)]+)\)")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_IMAGES = {"image/png": "png", "image/gif": "gif"}
_MAGIC = "%%bash\n"
_WIDTH = "88"
"""of tables, in columns"""


def _plain(text: str) -> str:
    """Text of a notebook that stands alone: no pictures and links of the site's own."""
    return _LINK.sub(lambda found: "" if found[1] else found[2], text).strip()


def notebook(text: str) -> Any:
    """A page as a notebook that is not run yet."""
    cells, end = [], 0
    for found in _BLOCK.finditer(text):
        if between := _plain(text[end : found.start()]):
            cells.append(nbformat.v4.new_markdown_cell(between))
        code = found[2].rstrip("\n")
        cells.append(nbformat.v4.new_code_cell(_MAGIC + code if found[1] == "console" else code))
        end = found.end()
    if between := _plain(text[end:]):
        cells.append(nbformat.v4.new_markdown_cell(between))
    for place, cell in enumerate(cells):
        cell["id"] = f"cell-{place}"  # otherwise drawn
    return nbformat.v4.new_notebook(cells=cells)


@cache
def executed(text: str) -> Any:
    """A page as a notebook that was run, in a folder of its own.

    Raises:
        CellExecutionError: a cell failed.
    """
    made = notebook(text)
    commands = Path(sys.executable).parent
    environment = os.environ | {
        "COLUMNS": _WIDTH,
        "NO_COLOR": "1",
        "PATH": os.pathsep.join([str(commands), os.environ["PATH"]]),
    }
    folder = tempfile.mkdtemp()
    try:
        client = NotebookClient(
            made,
            timeout=600,
            kernel_name="python3",
            coalesce_streams=True,
            resources={"metadata": {"path": folder}},
        )
        client.execute(env=environment)
    finally:
        shutil.rmtree(folder)
    for cell in made["cells"]:
        cell["metadata"].pop("execution", None)  # times
        if "outputs" in cell:
            cell["outputs"] = [_without_colours(each) for each in cell["outputs"] if each.get("name") != "stderr"]
    nbformat.validate(made)
    return made


def _without_colours(output: Any) -> Any:
    """What a cell printed, without the codes of a terminal's colours, which kernels ask for."""
    if "text" in output:
        output["text"] = _COLOUR.sub("", output["text"])
    return output


def _shown(output: Any) -> Iterator[str | tuple[str, bytes]]:
    """What an output shows: text, or an image's suffix and bytes."""
    data = output.get("data", {})
    images = [kind for kind in _IMAGES if kind in data]
    if images:
        yield _IMAGES[images[0]], base64.b64decode(data[images[0]])
    elif text := output.get("text") or data.get("text/plain"):
        yield str(text).rstrip("\n")


def page(text: str, name: str) -> tuple[str, dict[str, bytes]]:
    """The page with its outputs, and the files that belong to it: images, and the notebook.

    Args:
        text: of the page.
        name: of the page, without suffix.
    """
    run = executed(text)
    outputs = iter([cell["outputs"] for cell in run["cells"] if cell["cell_type"] == "code"])
    files: dict[str, bytes] = {f"{name}.ipynb": nbformat.writes(run).encode()}

    def with_outputs(found: re.Match[str]) -> str:
        parts = [found[0]]
        for shown in (each for output in next(outputs) for each in _shown(output)):
            if isinstance(shown, str):
                parts.append(f"```{{ .text .output }}\n{shown}\n```\n")
            else:
                path = f"{name}-{len(files)}.{shown[0]}"
                files[path] = shown[1]
                parts.append(f"![What the code above shows]({path})\n")
        return "\n".join(parts)

    return _BLOCK.sub(with_outputs, text), files
