"""Documents of a user's own folder: text as it lies, and PDF, Word, PowerPoint, HTML and EPUB through markitdown.

Every other file is skipped and named, so that a folder that is read only in part is noticed.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rmtbench.core import Document
from rmtbench.errors import UserError, first_line
from rmtbench.files import cache_folder, write_atomically
from rmtbench.plural import many

TEXTS = (".txt", ".md", ".markdown", ".mdx", ".rst", ".adoc")
CONVERTED = {
    ".pdf": "PdfConverter",
    ".docx": "DocxConverter",
    ".pptx": "PptxConverter",
    ".html": "HtmlConverter",
    ".htm": "HtmlConverter",
    ".epub": "EpubConverter",
}
"""Suffixes, and the class of markitdown that reads each."""
KINDS = "text (.txt, .md, .mdx, .rst, .adoc), PDF, Word, PowerPoint, HTML or EPUB"
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
"""How such a text begins."""
NAMED = 8
"""Most unread files that are named one by one."""


@dataclass(frozen=True)
class Documents:
    """What a folder holds.

    Attributes:
        read: The documents, in the order of their paths.
        unread: Paths below the folder of the files that were not read; hidden files are not counted.
        digest: SHA-256 over names and bytes of what was read; copy it to go on.
    """

    read: Sequence[Document]
    unread: Sequence[str]
    digest: hashlib._Hash


def read_documents(folder: Path) -> Documents:
    """Read all documents below a folder.

    Args:
        folder: Links are followed; each folder is entered once.

    Raises:
        UserError: There is no document, one is empty or no text, or a library that reads its kind is missing.
        OSError: A folder or file below it cannot be read.
    """
    paths: list[Path] = []
    unread: list[Path] = []
    for path in sorted(_files(folder)) if folder.is_dir() else ():
        known = path.suffix.lower() in (*TEXTS, *CONVERTED) and path.is_file()
        (paths if known else unread).append(path)
    if not paths:
        raise _nothing(folder, unread)
    digest = hashlib.sha256()
    documents = []
    for path in paths:
        data = path.read_bytes()
        converted = path.suffix.lower() in CONVERTED
        title, body = _title(_converted(path, data) if converted else plain_text(data, path), path.stem)
        if not body.strip():
            scanned = converted and path.suffix.lower() == ".pdf"
            what = "no text in it: its pages may be pictures" if scanned else "the document is empty"
            raise UserError(what, where=str(path), remedy="fill it in or remove it")
        name = _name(path, folder)
        digest.update(f"{name}\n{len(data)}\n".encode())
        digest.update(data)
        documents.append(Document(name, title, body))
    return Documents(documents, [path.relative_to(folder).as_posix() for path in unread], digest)


def describe_unread(names: Sequence[str], folder: Path) -> str:
    """One line that counts unread files by their suffixes and names the first of them; empty if there are none.

    Args:
        names: Paths below the folder.
        folder: Where they lie.
    """
    if not names:
        return ""
    counts = Counter(Path(name).suffix.lower() or "without a suffix" for name in names)
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common())
    rest = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{folder}: not read: {kinds} ({', '.join(names[:NAMED])}{rest}); documents are {KINDS}"


def plain_text(data: bytes, path: Path) -> str:
    """A text file's text.

    Args:
        data: What the file holds.
        path: Where it lies, for the message.

    Raises:
        UserError: It is in another encoding than UTF-8, or no text at all.
    """
    if data.startswith(UTF_16):
        raise UserError("UTF-16, not UTF-8 text", where=str(path), remedy="save it as UTF-8")
    if data.startswith(b"%PDF-") or b"\0" in data:
        raise UserError("no text, whatever its name says", where=str(path), remedy="save its text as UTF-8")
    try:
        # Windows ends lines with both, old Macs with a carriage return.
        return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError("not UTF-8 text", where=f"{path}, line {line}", remedy="save it as UTF-8") from error


def _name(path: Path, folder: Path) -> str:
    """A document's id: its path below the folder.

    Raises:
        UserError: Its bytes are no UTF-8, so that no file of results can hold it.
    """
    name = path.relative_to(folder).as_posix()
    try:
        name.encode()
    except UnicodeEncodeError as error:
        shown = os.fsencode(path).decode("utf-8", "replace")
        raise UserError("the file's name is not UTF-8", where=shown, remedy="give it another name") from error
    return name


def _files(folder: Path) -> Iterator[Path]:
    """All files and broken links below a folder, hidden ones aside; each folder is entered once.

    Raises:
        OSError: A folder cannot be read.
    """
    root, entered = folder.resolve(), set[Path]()

    def leads_back(path: Path) -> bool:
        """Whether it is a link to a folder that is reached by its own path."""
        target = path.resolve()
        shown = target.is_relative_to(root) and not any(map(_is_hidden, target.relative_to(root).parts))
        return shown and path.is_symlink()

    for parent, folders, names in os.walk(folder, followlinks=True, onerror=_raise):
        here = Path(parent)
        if here.resolve() in entered:
            folders.clear()
            continue
        entered.add(here.resolve())
        # Sorted: of two links to one folder, the same one is followed on every machine.
        folders[:] = sorted(name for name in folders if not _is_hidden(name) and not leads_back(here / name))
        yield from (here / name for name in names if not _is_hidden(name))


def _is_hidden(name: str) -> bool:
    """Whether a file or folder is not a person's own; ``~$`` begins what Office leaves beside a file that is open."""
    return name.startswith((".", "~$"))


def _raise(error: OSError) -> None:
    raise error


def _nothing(folder: Path, unread: Sequence[Path]) -> UserError:
    beside = sum(path.suffix.lower() in (*TEXTS, *CONVERTED) for path in folder.parent.iterdir())
    if beside:
        remedy = f"move the {beside} that lie beside it into it"
    elif unread:
        others = f"{many(len(unread), 'file')} of other kinds"
        remedy = f"it holds {others}, such as {unread[0].name}: save their text as .txt"
    else:
        remedy = f"put the documents there: {KINDS}"
    return UserError("no document", where=str(folder), remedy=remedy)


def _title(text: str, stem: str) -> tuple[str, str]:
    """Title and text: a first line that is a Markdown heading is the title, else the file's name is."""
    first, _, rest = text.lstrip().partition("\n")
    if first.startswith("# "):
        return first[2:].strip(), rest.strip()
    return stem.replace("_", " "), text.strip()


def _converted(path: Path, data: bytes) -> str:
    """A document's text in Markdown, kept under the hash of its bytes: a long PDF takes a second a page."""
    library = _library(path)
    data = _html(path, data) if CONVERTED[path.suffix.lower()] == "HtmlConverter" else data
    digest = hashlib.sha256(f"{library} {path.suffix.lower()}\n".encode() + data).hexdigest()
    kept = cache_folder() / "documents" / f"{digest}.md"
    with suppress(OSError, UnicodeDecodeError):
        return kept.read_text(encoding="utf-8")
    text = _convert(path, data)
    with suppress(OSError):  # without a folder to write to, the file is converted again the next time
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(kept, text.encode())
    return text


def _library(path: Path) -> str:
    """Name and version of the library that converts."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"markitdown {version('markitdown')}"
    except PackageNotFoundError as error:
        raise UserError(
            f"a {path.suffix} document needs the library markitdown, which is not installed",
            where=str(path),
            remedy="pip install 'rmtbench[documents]', or save its text as .txt",
        ) from error


def _html(path: Path, data: bytes) -> bytes:
    """HTML as the converter reads it right: it takes UTF-16 for UTF-8, and guesses all letters after one wrong byte.

    Raises:
        UserError: It names no encoding, or UTF-8, and is not UTF-8; or it begins as UTF-16 and is not.
    """
    if data.startswith(UTF_16):
        try:
            return data.decode("utf-16").encode()
        except UnicodeDecodeError as error:
            raise UserError("not UTF-16 text", where=str(path), remedy="save it as UTF-8") from error
    from bs4.dammit import EncodingDetector  # what the converter itself asks

    named = EncodingDetector.find_declared_encoding(data, is_html=True)
    if named in (None, "utf-8", "utf8"):
        plain_text(data, path)
    return data


def _convert(path: Path, data: bytes) -> str:
    """By the one converter of its kind; the page breaks of a PDF become lines that number the pages.

    markitdown itself would try its other converters, and pass a damaged file's bytes off as its text.
    """
    from markitdown import StreamInfo, converters

    kind = path.suffix.lower()
    try:
        converter = getattr(converters, CONVERTED[kind])()
        text: str = converter.convert(io.BytesIO(data), StreamInfo(extension=kind, filename=path.name)).markdown
    except Exception as error:  # the converters raise anything
        raise UserError(
            f"it cannot be read as {path.suffix} ({first_line(error)})",
            where=str(path),
            remedy="open and save it again, or save its text as .txt",
        ) from error
    # As the kept text will be read again.
    pages = text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\f\n ").split("\f")
    if len(pages) == 1:
        return pages[0]
    return "\n\n".join(f"[page {number}]\n{page.strip()}" for number, page in enumerate(pages, start=1))
