"""Documents of a folder of one's own: text, office formats through markitdown, and unread files by their names."""

from __future__ import annotations

import importlib.metadata
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from rmtbench.corpora.own_documents import KINDS, Documents, describe_unread, read_documents
from rmtbench.errors import UserError

SENTENCE = "The blue mill was built in 1907."


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    monkeypatch.setenv("RMTBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Holds one document."""
    made = tmp_path / "own" / "documents"
    made.mkdir(parents=True)
    (made / "first.md").write_text("# First\n\nOne document.")
    return made


def read(folder: Path, name: str) -> str:
    documents = read_documents(folder)
    return next(document.text for document in documents.read if document.id == name)


def write_pdf(path: Path, pages: Sequence[str]) -> None:
    """A PDF with one line a page."""
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    parts = [b"<< /Type /Catalog /Pages 2 0 R >>", b"", font]
    kids = []
    for line in pages:
        drawn = f"BT /F1 12 Tf 72 720 Td ({line}) Tj ET".encode() if line else b""
        parts.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawn), drawn))
        parts.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % len(parts)
        )
        kids.append(b"%d 0 R" % len(parts))
    parts[1] = b"<< /Type /Pages /Count %d /Kids [%s] >>" % (len(kids), b" ".join(kids))
    data, places = b"%PDF-1.4\n", []
    for number, part in enumerate(parts, start=1):
        places.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, part)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(parts) + 1
    trailer = b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, len(data))
    path.write_bytes(data + b"xref\n0 %d\n0000000000 65535 f \n" % size + table + trailer)


def write_docx(path: Path) -> None:
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    names = "http://schemas.openxmlformats.org"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{names}/package/2006/content-types">'
            '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f'<Override PartName="/word/document.xml" ContentType="{kind}"/></Types>',
        )
        archive.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{names}/package/2006/relationships"><Relationship Id="r1" '
            f'Type="{names}/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/>'
            "</Relationships>",
        )
        archive.writestr(
            "word/document.xml",
            f'<w:document xmlns:w="{names}/wordprocessingml/2006/main"><w:body><w:p><w:r><w:t>{SENTENCE}</w:t></w:r>'
            "</w:p></w:body></w:document>",
        )


def write_pptx(path: Path) -> None:
    from pptx import Presentation

    slides = Presentation()
    slide = slides.slides.add_slide(slides.slide_layouts[5])
    slide.shapes.title.text = SENTENCE
    slides.save(str(path))


def write_html(path: Path) -> None:
    path.write_text(f"<html><head><title>x</title></head><body><p>{SENTENCE}</p><script>no()</script></body></html>")


def write_epub(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/epub+zip")
        archive.writestr(
            "META-INF/container.xml",
            '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
            '<rootfile full-path="book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>',
        )
        archive.writestr(
            "book.opf",
            '<package xmlns="http://www.idpf.org/2007/opf"><metadata/><manifest>'
            '<item id="one" href="one.xhtml" media-type="application/xhtml+xml"/></manifest>'
            '<spine><itemref idref="one"/></spine></package>',
        )
        archive.writestr("one.xhtml", f"<html><body><p>{SENTENCE}</p></body></html>")


OFFICE: dict[str, Callable[[Path], None]] = {
    "a.pdf": lambda path: write_pdf(path, [SENTENCE]),
    "a.docx": write_docx,
    "a.pptx": write_pptx,
    "a.html": write_html,
    "a.epub": write_epub,
}


@pytest.mark.parametrize("name", OFFICE)
def test_office_documents_are_read_as_text(folder: Path, name: str) -> None:
    OFFICE[name](folder / name)
    text = read(folder, name)
    assert SENTENCE in text
    assert "no()" not in text


def test_the_pages_of_a_pdf_keep_their_numbers(folder: Path) -> None:
    write_pdf(folder / "a.pdf", ["On the first.", "On the second."])
    assert read(folder, "a.pdf") == "[page 1]\nOn the first.\n\n[page 2]\nOn the second."


def test_a_converted_document_is_kept_until_its_bytes_change(folder: Path, cache: Path) -> None:
    write_html(folder / "a.html")
    read(folder, "a.html")
    (kept,) = (cache / "documents").iterdir()
    kept.write_text("as it was kept")
    assert read(folder, "a.html") == "as it was kept"
    (folder / "a.html").write_text("<p>Another text.</p>")
    assert read(folder, "a.html") == "Another text."


@pytest.mark.parametrize("name", ["a.mdx", "a.rst", "a.adoc", "a.MD"])
def test_marked_up_text_is_read_as_it_stands(folder: Path, name: str) -> None:
    (folder / name).write_text("Old Mill\n========\n\nIt burnt.")
    assert read(folder, name) == "Old Mill\n========\n\nIt burnt."


def test_every_file_that_is_not_read_is_named_and_counted(folder: Path) -> None:
    for name in ("run.log", "deep/run.log", "notes.ipynb", "README", "code.py", ".hidden"):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("Text.")
    (folder / "gone.md").symlink_to(folder / "nowhere.md")
    documents = read_documents(folder)
    assert [document.id for document in documents.read] == ["first.md"]
    assert set(documents.unread) == {"run.log", "deep/run.log", "notes.ipynb", "README", "code.py", "gone.md"}
    line = describe_unread(documents.unread, folder)
    assert line.startswith(f"{folder}: not read: 2 .log, 1 ")
    assert all(part in line for part in ("1 .ipynb", "1 without a suffix", "gone.md", KINDS))


def test_what_office_leaves_beside_an_open_file_is_no_document(folder: Path) -> None:
    (folder / "~$report.docx").write_bytes(b"\x05Alice" + b"\0" * 156)
    documents = read_documents(folder)
    assert ([document.id for document in documents.read], documents.unread) == (["first.md"], [])


def test_many_unread_files_are_named_in_part() -> None:
    line = describe_unread([f"{number}.log" for number in range(20)], Path("d"))
    assert "20 .log (0.log, 1.log, 2.log, 3.log, 4.log, 5.log, 6.log, 7.log and 12 more)" in line
    assert describe_unread([], Path("d")) == ""


def refused(folder: Path) -> UserError:
    with pytest.raises(UserError) as caught:
        read_documents(folder)
    return caught.value


def test_without_the_library_command_that_installs_it_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    write_html(folder / "a.html")
    error = refused(folder)
    assert error.where == str(folder / "a.html")
    assert error.remedy == "pip install 'rmtbench[documents]', or save its text as .txt"


def test_a_damaged_document_is_refused_by_its_name(folder: Path) -> None:
    (folder / "a.docx").write_bytes(b"PK\x03\x04 no archive")
    error = refused(folder)
    assert error.where == str(folder / "a.docx")
    assert error.what.startswith("it cannot be read as .docx (")


def test_a_pdf_of_pictures_is_refused(folder: Path) -> None:
    write_pdf(folder / "scan.pdf", [""])
    assert refused(folder).what == "no text in it: its pages may be pictures"


def test_the_hash_covers_names_and_bytes_of_what_was_read(folder: Path) -> None:
    def digest() -> str:
        found: Documents = read_documents(folder)
        return found.digest.hexdigest()

    before = digest()
    (folder / "left.log").write_text("x")
    assert digest() == before
    (folder / "more.rst").write_text("x")
    assert digest() != before


def test_a_folder_that_two_links_lead_to_is_read_once(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "deep").mkdir(parents=True)
    (elsewhere / "note.md").write_text("A note.")
    (elsewhere / "deep" / "deeper.md").write_text("A deeper note.")
    for name, target in {"b": elsewhere, "c": elsewhere, "a": elsewhere / "deep"}.items():
        (folder / name).symlink_to(target)
    assert [document.id for document in read_documents(folder).read] == ["a/deeper.md", "b/note.md", "first.md"]


def test_a_link_to_a_hidden_folder_of_documents_is_followed(folder: Path) -> None:
    (folder / ".store" / "v1").mkdir(parents=True)
    (folder / ".store" / "v1" / "note.md").write_text("A note.")
    (folder / ".store" / "v1" / "back").symlink_to(folder)
    (folder / "notes").symlink_to(folder / ".store" / "v1")
    assert [document.id for document in read_documents(folder).read] == ["first.md", "notes/note.md"]


def test_a_converted_document_reads_the_same_the_second_time(folder: Path) -> None:
    (folder / "a.html").write_text("<pre>one&#13;two</pre>")
    first, again = read_documents(folder).read, read_documents(folder).read
    assert first == again


def test_html_that_is_not_utf_8_and_says_nothing_is_refused(folder: Path) -> None:
    (folder / "a.html").write_bytes("<meta charset='utf-8'>\n<p>Die Mühle am Fluß.</p>".encode() + b"\xff")
    error = refused(folder)
    assert (error.what, error.where) == ("not UTF-8 text", f"{folder / 'a.html'}, line 2")
    (folder / "a.html").write_bytes("<p>Die Mühle".encode("utf-16") + b"!")
    assert refused(folder).what == "not UTF-16 text"


@pytest.mark.parametrize("encoding", ["windows-1251", "utf-16"])
def test_html_in_the_encoding_that_it_names_is_read(folder: Path, encoding: str) -> None:
    (folder / "a.html").write_bytes(f"<meta charset='{encoding}'><p>Старая мельница</p>".encode(encoding))
    assert read(folder, "a.html") == "Старая мельница"
