"""What is exported is read back as the same documents, questions and references."""

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from rmtbench.core import Corpus, Document, Draw, Gold, Question, Source, Span
from rmtbench.corpora.base import DrawRequest
from rmtbench.corpora.export import PARAGRAPHS_PER_ROW, export_draw
from rmtbench.corpora.open import open_dataset
from rmtbench.errors import UserError


def words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def span(document: Document, text: str) -> Span:
    start = document.text.index(text)
    return Span(document.id, start, start + len(text))


def make(dataset: str, size: str, documents: Sequence[Document], asked: Sequence[tuple[Question, Gold]]) -> Draw:
    questions, gold = zip(*asked, strict=True) if asked else ((), ())
    corpus = Corpus("c", dataset, size, 0, tuple(documents), questions, Source("own", "crafted", "0"))
    return Draw(corpus, gold)


def content(draw: Draw) -> tuple[object, ...]:
    """What must come back: ids and order of documents may differ, their texts may not."""
    titles = {document.id: (document.title, document.text) for document in draw.corpus.documents}
    golds = {
        gold.question_id: (
            gold.references,
            {frozenset((titles[s.document_id], s.start, s.end) for s in fact) for fact in gold.evidence},
        )
        for gold in draw.gold
    }
    return Counter(titles.values()), {(q.id, q.text, q.kind) for q in draw.corpus.questions}, golds


def read_back(draw: Draw, folder: Path) -> Draw:
    return open_dataset(draw.corpus.dataset, folder, {}).draw(DrawRequest(draw.corpus.size, 0), words)


def squad_draw() -> Draw:
    town = Document("Town", "Town 100%", "Founded in 1642, chartered in 1688.\n\nIt has\n\n96 steps, and 96 doors.")
    other = Document("Pans", "Pans", "Closed in 1954.")
    third = Document("Quay", "Quay", "Nobody asks about it.\n\nNobody.")
    asked = [
        (
            Question("a", "When?", "span"),
            Gold("a", ("1642", "in 1642"), ((span(town, "1642"), span(town, "in 1642")),)),
        ),
        # Its spans stand on both sides of a blank line, which is therefore no boundary of paragraphs.
        (Question("b", "What?", "span"), Gold("b", ("has", "96"), ((span(town, "has"), span(town, "96")),))),
        (Question("c", "Which?", "span"), Gold("c", ("nowhere",), ((Span("Pans", 0, len(other.text)),),))),
    ]
    return make("squad", "small", [town, other, third], asked)


def test_a_squad_draw_comes_back_with_every_answer_in_its_place(tmp_path: Path) -> None:
    draw = squad_draw()
    assert [path.name for path in export_draw(draw, tmp_path / "out")] == ["dev-v1.1.json"]
    assert content(read_back(draw, tmp_path / "out")) == content(draw)


def hotpot_draw(questions: int, paragraphs: int) -> Draw:
    documents = [
        Document(f"d{number}", f"Title {number}", f"First of {number}. Second of {number}. Third.")
        for number in range(paragraphs - 1)
    ]
    # A namesake of a gold paragraph, which stands before it.
    documents.insert(0, Document("Title 0 (2)", "Title 0", "Another text."))
    by_id = {document.id: document for document in documents}
    asked = []
    for number in range(questions):
        one, two = by_id[f"d{number}"], by_id[f"d{number + 1}"]
        facts = ((span(one, f"Second of {number}."),), (span(two, f"First of {number + 1}."),))
        kind, answer = ("yes/no", "no") if number == 3 else ("bridge", f"a{number}")
        asked.append((Question(f"h{number}", f"Which {number}?", kind), Gold(f"h{number}", (answer,), facts)))
    return make("hotpotqa", "small", documents, asked)


@pytest.mark.parametrize("paragraphs", [30, 160, 400])
def test_hotpotqa_draw_comes_back_with_every_supporting_sentence(tmp_path: Path, paragraphs: int) -> None:
    draw = hotpot_draw(16, paragraphs)
    export_draw(draw, tmp_path / "out")
    assert content(read_back(draw, tmp_path / "out")) == content(draw)


def test_every_hotpotqa_paragraph_is_in_a_row_and_rows_have_ten(tmp_path: Path) -> None:
    draw = hotpot_draw(16, 60)
    (path,) = export_draw(draw, tmp_path / "out")
    rows = json.loads(path.read_text(encoding="utf-8"))
    assert {len(row["context"]) for row in rows} == {PARAGRAPHS_PER_ROW}
    assert {"".join(sentences) for row in rows for _, sentences in row["context"]} == {
        document.text for document in draw.corpus.documents
    }


def test_triviaqa_draw_keeps_unasked_evidence(tmp_path: Path) -> None:
    filler = " word" * 490
    page = Document("wikipedia/Petrel.txt", "Petrel", f"The Petrel began in 1858.{filler}")
    web = Document("web/10/10_1.txt", "Fares", f"Fares of the ferry in 1858.{filler}")
    asked = [
        (
            Question("t1", "Which steamer?", "trivia"),
            Gold("t1", ("The Petrel", "Petrel", "petrel ship"), ((span(page, "The Petrel"),),)),
        )
    ]
    draw = make("triviaqa", "smoke", [page, web], asked)
    written = {path.relative_to(tmp_path / "out").as_posix() for path in export_draw(draw, tmp_path / "out")}
    assert written == {"qa/wikipedia-dev.json", "evidence/wikipedia/Petrel.txt", "evidence/web/10/10_1.txt"}
    assert content(read_back(draw, tmp_path / "out")) == content(draw)


def test_the_handbook_comes_back_from_an_own_folder(tmp_path: Path) -> None:
    draw = open_dataset("handbook", None, {}).draw(DrawRequest("all", 0), words)
    export_draw(draw, tmp_path / "out")
    again = open_dataset(str(tmp_path / "out"), None, {}).draw(DrawRequest("all", 0), words)
    assert content(again) == content(draw)
    assert {document.id for document in again.corpus.documents} == {document.id for document in draw.corpus.documents}


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="the folder is not empty"):
        export_draw(squad_draw(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written \(Not a directory\)") as caught:
        export_draw(squad_draw(), tmp_path / "file" / "out")
    assert caught.value.remedy == "choose another folder with --out"


def test_nothing_is_written_outside_the_folder(tmp_path: Path) -> None:
    document = Document("wikipedia/../../../evil.txt", "Evil", "It is in 1858.")
    gold = Gold("t1", ("1858",), ((span(document, "1858"),),))
    with pytest.raises(UserError, match="outside the folder"):
        export_draw(make("triviaqa", "smoke", [document], [(Question("t1", "When?"), gold)]), tmp_path / "out")
    assert list(tmp_path.rglob("*")) == []


def test_a_draw_without_questions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no questions"):
        export_draw(make("hotpotqa", "small", [Document("d", "D", "Text.")], []), tmp_path / "out")


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("squad", "squad/dev-subset-v1.1.json"),
        ("hotpotqa", "hotpotqa/hotpot_subset_distractor.json"),
        ("triviaqa", "triviaqa/longbench"),
    ],
)
def test_real_draws_come_back(tmp_path: Path, name: str, file: str) -> None:
    folder = os.environ.get("RMTBENCH_DATA")
    if not folder:
        pytest.skip("RMTBENCH_DATA is not set")
    draw = open_dataset(name, Path(folder) / file, {}).draw(DrawRequest("small", 0), words)
    export_draw(draw, tmp_path / "out")
    assert content(read_back(draw, tmp_path / "out")) == content(draw)
