"""A page of HTML in one file: pictures within it, no script, nothing fetched from anywhere."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from PIL import Image

from hatcnn.files import write_text

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff;
       max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; line-height: 1.25; } h2 { font-size: 1.25rem; margin-top: 2.5rem; }
img { max-width: 100%; height: auto; display: block; margin: 1rem 0; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem; border-bottom: 1px solid #ccc; text-align: right; }
th:first-child, td:first-child { text-align: left; }
.wide { overflow-x: auto; }
.note { background: #f3f3f3; border-left: 4px solid #0072b2; padding: .6rem 1rem; }
details { margin: 1rem 0; } summary { cursor: pointer; }
@media print { body { max-width: none; font-size: 11pt; } h2, img, tr { break-inside: avoid; } }
"""
_JPEG_QUALITY = 88
# Whatever a name or a picture may hold, a browser fetches and runs nothing.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


class Page:
    """Text, tables and pictures, one below the other. All text is escaped.

    Args:
        title: of the page.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._parts = [f"<h1>{escape(title)}</h1>"]

    def heading(self, words: str) -> None:
        """Begin a section."""
        self._parts.append(f"<h2>{escape(words)}</h2>")

    def text(self, words: str) -> None:
        """Add a paragraph."""
        self._parts.append(f"<p>{escape(words)}</p>")

    def note(self, words: str) -> None:
        """Add a paragraph that stands out."""
        self._parts.append(f'<p class="note">{escape(words)}</p>')

    def points(self, points: Iterable[str]) -> None:
        """Add a list."""
        items = "".join(f"<li>{escape(words)}</li>" for words in points)
        self._parts.append(f"<ul>{items}</ul>")

    def table(
        self, columns: Sequence[str], rows: Iterable[Sequence[str]], *, folded: str = ""
    ) -> None:
        """Add a table; with words in `folded` it shows when those are clicked."""
        head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
        body = "".join(
            f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows
        )
        made = (
            f'<div class="wide"><table><thead><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>"
        )
        if folded:
            made = f"<details><summary>{escape(folded)}</summary>{made}</details>"
        self._parts.append(made)

    def picture(self, path: Path, words: str) -> None:
        """Add a PNG file's picture; `words` say what it shows to who cannot see it.

        Sheets of photographs go in as JPEG, a fifth of the size.
        """
        png, buffer = path.read_bytes(), io.BytesIO()
        with Image.open(path) as image:
            image.convert("RGB").save(buffer, "JPEG", quality=_JPEG_QUALITY)
        kind, data = min(("png", png), ("jpeg", buffer.getvalue()), key=lambda form: len(form[1]))
        url = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
        self._parts.append(f'<img alt="{escape(words)}" src="{url}">')

    def write(self, path: Path) -> None:
        """Write the page, atomically."""
        body = "\n".join(self._parts)
        write_text(
            path,
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{escape(self._title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
            f"<body>\n{body}\n</body>\n</html>\n",
        )
