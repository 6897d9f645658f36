"""Rows from the hub are the rows of the official files, whatever shape they travel in."""

import json
import os
import subprocess
import sys
from pathlib import Path

import datasets
import pytest
from datasets import Dataset, Features, Sequence, Value

from rmtbench.corpora.hub import content_hash, hotpotqa_rows, load_hub, squad_rows, triviaqa_rows
from rmtbench.corpora.official import TriviaRows, read_hotpotqa, read_squad
from rmtbench.corpora.squad import DATASET as SQUAD_KIND
from rmtbench.errors import UserError

TEXT, NUMBER = Value("string"), Value("int32")
SQUAD = Features(
    {
        "id": TEXT,
        "title": TEXT,
        "context": TEXT,
        "question": TEXT,
        "answers": Sequence({"text": TEXT, "answer_start": NUMBER}),
    }
)
HOTPOTQA = Features(
    {
        "id": TEXT,
        "question": TEXT,
        "answer": TEXT,
        "type": TEXT,
        "level": TEXT,
        "supporting_facts": Sequence({"title": TEXT, "sent_id": NUMBER}),
        "context": Sequence({"title": TEXT, "sentences": Sequence(TEXT)}),
    }
)
TRIVIAQA = Features(
    {
        "question": TEXT,
        "question_id": TEXT,
        "question_source": TEXT,
        "entity_pages": Sequence({"doc_source": TEXT, "filename": TEXT, "title": TEXT, "wiki_context": TEXT}),
        "search_results": Sequence(
            {
                "description": TEXT,
                "filename": TEXT,
                "rank": NUMBER,
                "title": TEXT,
                "url": TEXT,
                "search_context": TEXT,
            }
        ),
        "answer": {
            "aliases": Sequence(TEXT),
            "normalized_aliases": Sequence(TEXT),
            "matched_wiki_entity_name": TEXT,
            "normalized_matched_wiki_entity_name": TEXT,
            "normalized_value": TEXT,
            "type": TEXT,
            "value": TEXT,
        },
    }
)

OFFICIAL_SQUAD = {
    "version": "1.1",
    "data": [
        {
            "title": "Port_Amaret%2C_Vessay",
            "paragraphs": [
                {
                    "context": "Port Amaret lies on Vessay. It was founded in 1642.",
                    "qas": [
                        {
                            "id": "s1",
                            "question": " When was Port Amaret founded? ",
                            "answers": [
                                {"text": "1642", "answer_start": 46},
                                {"text": "in 1642", "answer_start": 43},
                                {"text": "1642", "answer_start": 46},
                            ],
                        },
                        {
                            "id": "s2",
                            "question": "Where does Port Amaret lie?",
                            "answers": [{"text": "Vessay", "answer_start": 20}],
                        },
                    ],
                },
                {
                    "context": "Ladder Street has 96 steps.",
                    "qas": [
                        {
                            "id": "s3",
                            "question": "How many steps has Ladder Street?",
                            "answers": [{"text": "96", "answer_start": 18}],
                        }
                    ],
                },
            ],
        },
        {
            "title": "Grey_Pans",
            "paragraphs": [
                {
                    "context": "The Grey Pans closed in 1954.",
                    "qas": [
                        {
                            "id": "s4",
                            "question": "When did the Grey Pans close?",
                            "answers": [{"text": "1954", "answer_start": 24}],
                        }
                    ],
                }
            ],
        },
    ],
}
OFFICIAL_HOTPOTQA = [
    {
        "_id": "h1",
        "question": "In which village was the designer of the breakwater born?",
        "answer": "Hollin",
        "type": "bridge",
        "level": "hard",
        "supporting_facts": [["Breakwater", 1], ["Isolde Wren", 0]],
        "context": [
            ["Breakwater", ["It was opened in 1903.", " Isolde Wren designed it."]],
            ["Isolde Wren", ["Isolde Wren was born in Hollin."]],
            ["Ledger", ["Ledger is a cat.", " It is the ninth."]],
        ],
    },
    {
        "_id": "h2",
        "question": "Are both walls of basalt?",
        "answer": "no",
        "type": "comparison",
        "level": "easy",
        "supporting_facts": [["Old Mole", 0]],
        "context": [["Old Mole", ["It is of basalt."]], ["Lighthouse", ["It is of granite."]]],
    },
]
EVIDENCE = {
    "wikipedia/Petrel.txt": "The Petrel began to run in 1858.\n\nIts bell was found in 1966.",
    "web/10/10_1.txt": "Fares of the Vessay ferry.",
}
OFFICIAL_TRIVIAQA = {
    "Domain": "Wikipedia",
    "Version": 1.0,
    "Data": [
        {
            "QuestionId": "t1",
            "Question": 'Which steamer, called ""the first"", began to run in 1858?',
            "QuestionSource": "http://example.org/",
            "EntityPages": [{"DocSource": "TagMe", "Filename": "Petrel.txt", "Title": "Petrel"}],
            "SearchResults": [
                {"Description": "d", "DisplayUrl": "u", "Filename": "10/10_1.txt", "Rank": 1, "Title": "", "Url": "u"}
            ],
            "Answer": {
                "Aliases": ["The Petrel", "Petrel (ship)"],
                "NormalizedAliases": ["petrel", "petrel ship"],
                "NormalizedValue": "petrel",
                "Type": "WikipediaEntity",
                "Value": "Petrel",
            },
        },
        {
            "QuestionId": "t2",
            "Question": "When was the bell found?",
            "EntityPages": [{"DocSource": "TagMe", "Filename": "Petrel.txt", "Title": "Petrel"}],
            "SearchResults": [],
            "Answer": {"Aliases": ["1966"], "NormalizedAliases": ["1966"]},
        },
    ],
}


def hub_squad() -> Dataset:
    rows = [
        {
            "id": question["id"],
            "title": article["title"],
            "context": paragraph["context"],
            "question": question["question"],
            "answers": {
                "text": [answer["text"] for answer in question["answers"]],
                "answer_start": [answer["answer_start"] for answer in question["answers"]],
            },
        }
        for article in OFFICIAL_SQUAD["data"]
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    ]
    return Dataset.from_list(rows, features=SQUAD)


def hub_hotpotqa() -> Dataset:
    rows = [
        {
            **{name: row[name] for name in ("question", "answer", "type", "level")},
            "id": row["_id"],
            "supporting_facts": {
                "title": [title for title, _ in row["supporting_facts"]],
                "sent_id": [number for _, number in row["supporting_facts"]],
            },
            "context": {
                "title": [title for title, _ in row["context"]],
                "sentences": [sentences for _, sentences in row["context"]],
            },
        }
        for row in OFFICIAL_HOTPOTQA
    ]
    return Dataset.from_list(rows, features=HOTPOTQA)


def hub_triviaqa() -> Dataset:
    rows = []
    for row in OFFICIAL_TRIVIAQA["Data"]:
        pages, results, answer = row["EntityPages"], row["SearchResults"], row["Answer"]
        rows.append(
            {
                "question": row["Question"],
                "question_id": row["QuestionId"],
                "question_source": row.get("QuestionSource", ""),
                "entity_pages": {
                    "doc_source": [page["DocSource"] for page in pages],
                    "filename": [page["Filename"] for page in pages],
                    "title": [page["Title"] for page in pages],
                    "wiki_context": [EVIDENCE[f"wikipedia/{page['Filename']}"] for page in pages],
                },
                "search_results": {
                    "description": [result["Description"] for result in results],
                    "filename": [result["Filename"] for result in results],
                    "rank": [result["Rank"] for result in results],
                    "title": [result["Title"] for result in results],
                    "url": [result["Url"] for result in results],
                    "search_context": [EVIDENCE[f"web/{result['Filename']}"] for result in results],
                },
                "answer": {
                    "aliases": answer["Aliases"],
                    "normalized_aliases": answer["NormalizedAliases"],
                    "matched_wiki_entity_name": "",
                    "normalized_matched_wiki_entity_name": "",
                    "normalized_value": answer.get("NormalizedValue", ""),
                    "type": answer.get("Type", ""),
                    "value": answer.get("Value", ""),
                },
            }
        )
    return Dataset.from_list(rows, features=TRIVIAQA)


def written(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_squad_questions_are_gathered_into_articles(tmp_path: Path) -> None:
    assert squad_rows(hub_squad()) == read_squad(written(tmp_path / "dev-v1.1.json", OFFICIAL_SQUAD))


def test_repeated_squad_paragraph_stays_apart_in_article() -> None:
    again = hub_squad().select([0]).map(lambda _row: {"id": "again"})
    dataset = datasets.concatenate_datasets([hub_squad(), again])
    contexts = [paragraph.text[:6] for paragraph in squad_rows(dataset)[0].paragraphs]
    assert contexts == ["Port A", "Ladder", "Port A"]


def test_questions_of_one_id_are_refused_on_the_hub_too() -> None:
    for made, rows in ((hub_squad(), squad_rows), (hub_hotpotqa(), hotpotqa_rows)):
        with pytest.raises(UserError, match="stands twice"):
            rows(datasets.concatenate_datasets([made, made]))


def test_hotpotqa_rows_equal_those_of_the_official_file(tmp_path: Path) -> None:
    assert hotpotqa_rows(hub_hotpotqa()) == read_hotpotqa(written(tmp_path / "hotpot.json", OFFICIAL_HOTPOTQA))


def test_triviaqa_rows_equal_those_of_the_official_files(tmp_path: Path) -> None:
    for name, text in EVIDENCE.items():
        path = tmp_path / "evidence" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    official = TriviaRows(written(tmp_path / "qa" / "wikipedia-dev.json", OFFICIAL_TRIVIAQA), tmp_path / "evidence")
    hub = triviaqa_rows(hub_triviaqa())
    assert list(hub) == list(official)
    assert [document.id for document in hub[0].documents] == list(EVIDENCE)
    assert hub[-1] == hub[1:][0] == hub[1]


def test_triviaqa_evidence_without_text_is_named_as_missing() -> None:
    row = {**hub_triviaqa()[1]}
    row["entity_pages"] = {**row["entity_pages"], "wiki_context": [None]}
    hub = triviaqa_rows(Dataset.from_list([row], features=TRIVIAQA))
    assert hub[0].missing == ("wikipedia/Petrel.txt",)
    assert hub[0].documents == ()


@pytest.mark.parametrize(
    ("rows", "dataset", "text"),
    [
        (squad_rows, hub_squad().remove_columns("title"), "row 0: field 'title' is missing"),
        (hotpotqa_rows, hub_hotpotqa().remove_columns("context"), "row 0: field 'context' is missing"),
        (triviaqa_rows, hub_triviaqa().remove_columns("search_results"), "column 'search_results' is missing"),
        (
            squad_rows,
            Dataset.from_list([{**hub_squad()[0], "answers": {"text": [], "answer_start": []}}], features=SQUAD),
            "row 0: question without a reference answer",
        ),
    ],
)
def test_rows_in_another_format_name_what_is_wrong(rows, dataset: Dataset, text: str) -> None:
    with pytest.raises(UserError, match=text):
        rows(dataset)


def test_the_hash_is_of_the_content_and_not_of_how_it_was_loaded() -> None:
    assert content_hash(hub_squad()) == content_hash(hub_squad().select(range(4)))
    assert content_hash(hub_squad()) != content_hash(hub_squad().select(range(3)))


def test_load_hub_takes_the_validation_split_of_the_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A folder of the repository's name in the working directory stands in for the repository.
    path = tmp_path / "rajpurkar" / "squad" / "validation-00000-of-00001.parquet"
    path.parent.mkdir(parents=True)
    hub_squad().to_parquet(path)
    hub_squad().select([0]).to_parquet(path.with_name("train-00000-of-00001.parquet"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    source, rows = load_hub("squad", SQUAD_KIND.hub)
    assert (source.kind, source.name) == ("hub", "rajpurkar/squad validation")
    assert source.sha256 == content_hash(hub_squad())
    assert rows == squad_rows(hub_squad())


def test_without_the_hub_the_error_says_what_to_do_instead(tmp_path: Path) -> None:
    script = (
        "from rmtbench.corpora.hub import load_hub\nfrom rmtbench.corpora.squad import DATASET\n"
        "from rmtbench.errors import UserError\n"
        "try:\n    load_hub('squad', DATASET.hub)\n"
        "except UserError as error:\n    print(error, '|', error.remedy)"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "HF_DATASETS_CACHE": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True, cwd=tmp_path
    )
    assert "the hub cannot be reached for 'squad'" in run.stdout
    assert "--data-dir or RMTBENCH_DATA" in run.stdout
