"""Our BERTScore is that of the bert-score package, and right where the package fails under transformers 5."""

import json
import random
import shutil

import bert_score
import pytest
import torch

from rmtbench.core import Answer, Gold
from rmtbench.models.embed_files import model_folder
from rmtbench.scoring.base import Item
from rmtbench.scoring.bertscore import NAMES, BertScore, BertScorer, known_layers, score_pairs

TEXT = """
the river Orle rises in Tamsin where Marla Quist founded her blue mill beside an old bridge of stone and twelve
naïve cafés 東京 were opened in 1987 by people who never wrote to Harrow (again), although 3.5 % of them could
"""
LONG = "The mill was sold twice and never opened again. " * 90
ODD = [
    ("Paris", "Paris"),
    ("Paris.", "The capital of France is Paris."),
    ("  blue mill \n", "blue mill"),
    ("東京 🙂", "Tokyo"),
    ("yes", "no"),
    ("a word [SEP] another", "a word [CLS] another"),  # special tokens inside a text weigh nothing
]


def nothing(_stage, _done, _total):
    """No progress."""


def phrases(count, longest=24):
    """Some words in a row each, seeded."""
    chance = random.Random(3)
    return [" ".join(chance.choices(TEXT.split(), k=chance.randint(1, longest))) for _ in range(count)]


def package(candidates, references, folder, layers, filler="long " * 60):
    """Precision, recall and F1 by the package, as ``[pairs, 3]``.

    To the package, padding is a token of similarity 0, so that the longest text of a batch, which has no padding, can
    get another value than it would get elsewhere. The filler, longer than all, pads the batch and is left out again.
    """
    extra = filler if isinstance(references[0], str) else [filler]
    columns = bert_score.score(
        [*candidates, filler],
        [*references, extra],
        model_type=str(folder),
        num_layers=layers,
        batch_size=10_000,
    )
    return torch.stack(columns, dim=1)[:-1]


def largest_difference(ours, theirs):
    return (torch.tensor(ours) - theirs).abs().max().item()


def item(text, *references):
    return Item("squad", Answer("q", text, "eos"), Gold("q", references), retrieves=False)


@pytest.fixture(scope="module")
def minilm():
    return BertScorer("minilm")


@pytest.fixture(scope="module")
def metric(minilm):
    made = BertScore("minilm")
    made.scorer = minilm  # what it would load itself
    return made


def test_every_pair_gets_the_packages_precision_recall_and_f1(minilm):
    texts = phrases(120)
    pairs = ODD + list(zip(texts[:60], texts[60:], strict=True))
    values = score_pairs(minilm, pairs)
    theirs = package([pair[0] for pair in pairs], [pair[1] for pair in pairs], model_folder("minilm"), 6)
    difference = largest_difference([values[pair] for pair in pairs], theirs)
    assert difference <= 1e-5, f"largest difference {difference}"


def test_progress_counts_every_distinct_text_once(minilm):
    told = []
    score_pairs(minilm, [("a", "b"), ("c", "b"), ("b", "d")], lambda *each: told.append(each))
    assert told[-1] == ("bertscore", 4, 4)
    assert all(each[1] < 4 and each[2] == 4 for each in told[:-1])


def test_texts_beyond_512_tokens_are_cut_as_in_package(minilm):
    pairs = [(LONG, "It was sold twice."), ("A stone bridge", LONG)]
    values = score_pairs(minilm, pairs)
    theirs = package([pair[0] for pair in pairs], [pair[1] for pair in pairs], model_folder("minilm"), 6, filler=LONG)
    assert largest_difference([values[pair] for pair in pairs], theirs) <= 1e-5


def test_an_earlier_layer_is_compared_where_one_is_asked_for():
    texts = phrases(20)
    pairs = list(zip(texts[:10], texts[10:], strict=True))
    values = score_pairs(BertScorer("minilm", layers=2), pairs)
    ours = [values[pair] for pair in pairs]
    assert largest_difference(ours, package(texts[:10], texts[10:], model_folder("minilm"), 2)) <= 1e-5
    assert largest_difference(ours, package(texts[:10], texts[10:], model_folder("minilm"), 6)) > 1e-2


def test_best_of_several_references_counts_as_in_package(metric):
    short, whole = "Marla Quist", "In 1987 the blue mill was founded by Marla Quist of Tamsin"
    candidates = ["The mill was founded by Marla Quist", "Tamsin", "a bridge"]
    references = [[short, whole], ["Tamsin", "Orle", "the old bridge"], ["an old bridge"]]
    rows = metric.score([item(text, *known) for text, known in zip(candidates, references, strict=True)], nothing)
    ours = [[row[name] for name in NAMES] for row in rows]
    assert largest_difference(ours, package(candidates, references, model_folder("minilm"), 6)) <= 1e-5
    each = metric.score([item(candidates[0], short), item(candidates[0], whole)], nothing)
    assert each[0]["bertscore_precision"] < each[1]["bertscore_precision"]
    assert each[0]["bertscore_recall"] > each[1]["bertscore_recall"]
    # Batches of other shapes differ in the last bits of a float32.
    assert ours[0] == pytest.approx([max(one[name] for one in each) for name in NAMES], abs=1e-6)


@pytest.mark.parametrize("blank", ["", " \n\t"])
def test_a_blank_answer_or_reference_scores_0(metric, blank):
    rows = metric.score([item(blank, "blue mill"), item("blue mill", blank), item(blank, blank)], nothing)
    assert rows == [dict.fromkeys(NAMES, 0.0)] * 3


def test_text_without_tokens_scores_0_as_in_package(minilm):
    pairs = [("\u200b", "blue mill"), ("blue mill", "\u200b")]
    theirs = package([pair[0] for pair in pairs], [pair[1] for pair in pairs], model_folder("minilm"), 6)
    assert theirs.abs().max() == 0
    assert score_pairs(minilm, pairs) == dict.fromkeys(pairs, (0.0, 0.0, 0.0))


def test_no_items_give_no_rows(metric):
    assert metric.score([], nothing) == []


def test_a_failed_answer_is_scored_as_a_blank_one(metric):
    failed = Item("squad", Answer("q", "blue mill", "error", error="gone"), Gold("q", ("blue mill",)), retrieves=False)
    assert metric.score([failed], nothing) == [dict.fromkeys(NAMES, 0.0)]


def test_a_system_scored_alone_gets_what_it_gets_among_others(metric):
    texts = phrases(160)
    references = texts[:40]
    systems = [texts[40:80], texts[80:120], [*texts[120:140], *texts[60:80]]]
    items = [[item(text, known) for text, known in zip(given, references, strict=True)] for given in systems]
    together = metric.score([one for system in items for one in system], nothing)
    alone = [row for system in items for row in metric.score(system, nothing)]
    differences = [abs(one[name] - other[name]) for one, other in zip(together, alone, strict=True) for name in NAMES]
    assert max(differences) <= 2e-6, f"largest difference {max(differences)}"


def test_progress_ends_with_every_distinct_text_done(metric):
    seen = []
    metric.score([item("a mill", "a mill"), item("a bridge", "a mill")], lambda *step: seen.append(step))
    assert {stage for stage, _, _ in seen} == {"bertscore"}
    assert seen[-1][1] == seen[-1][2]


def test_tokenizer_that_sets_no_limit_is_cut_at_models_positions(tmp_path, minilm):
    folder = tmp_path / "unlimited"
    shutil.copytree(model_folder("minilm"), folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    del settings["model_max_length"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    unlimited = BertScorer(str(folder))
    assert unlimited._tokenizer.model_max_length > 10**9, "the fixture should set no limit"
    matrix = unlimited.embed([LONG])[LONG].matrix
    assert matrix.shape == (512, 384)
    assert torch.equal(matrix, minilm.embed([LONG])[LONG].matrix)


@pytest.fixture(scope="module")
def roberta(tmp_path_factory):
    """Folders of a tiny RoBERTa with random weights: one as published models are, one that always adds the space."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import RobertaConfig, RobertaModel, RobertaTokenizer

    folder = tmp_path_factory.mktemp("roberta")
    trained = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    sentences = [*phrases(30), "A word in a sentence has a space before the word.", "Words follow words."] * 4
    trained.train_from_iterator(sentences, vocab_size=600, special_tokens=special, show_progress=False)
    trained.save_model(str(folder))
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=trained.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=42,
        initializer_range=0.5,
    )
    model = RobertaModel(config)
    for name, space in (("published", False), ("spaced", True)):
        model.save_pretrained(folder / name)
        tokenizer = RobertaTokenizer(
            vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"), add_prefix_space=space
        )
        tokenizer.model_max_length = 40  # positions begin after the padding index
        tokenizer.save_pretrained(folder / name)
    return folder


def test_roberta_reads_first_word_as_if_a_space_stood_before_it(roberta):
    from transformers import AutoModel, AutoTokenizer

    raw = AutoTokenizer.from_pretrained(roberta / "published")
    spaced, bare = raw(" word")["input_ids"], raw("word")["input_ids"]
    assert spaced != bare, "the fixture's vocabulary should tell them apart"
    model = AutoModel.from_pretrained(roberta / "published").eval()
    with torch.inference_mode():
        states = model(torch.tensor([spaced]))[0][0]
    expected = states / states.norm(dim=-1, keepdim=True)
    matrix = BertScorer(str(roberta / "published")).embed(["word"])["word"].matrix
    assert matrix.shape == expected.shape
    torch.testing.assert_close(matrix, expected, atol=1e-6, rtol=0)


def test_roberta_equals_package_when_space_is_added(roberta):
    texts = [*phrases(24, longest=12), "word", "words in a sentence", LONG, "the mill"]
    pairs = list(zip(texts[::2], texts[1::2], strict=True))
    values = score_pairs(BertScorer(str(roberta / "published")), pairs)
    ours = [values[pair] for pair in pairs]
    assert largest_difference(ours, package(texts[::2], texts[1::2], roberta / "spaced", 3)) <= 1e-5
    # As the package calls it, transformers 5 adds no space: other first tokens, other values.
    assert largest_difference(ours, package(texts[::2], texts[1::2], roberta / "published", 3)) > 1e-3


def test_roberta_reads_no_further_than_its_positions(roberta, tmp_path):
    folder = tmp_path / "unlimited"
    shutil.copytree(roberta / "published", folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings.pop("model_max_length", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    assert len(BertScorer(str(folder)).embed([LONG])[LONG].matrix) == 40


def test_scorer_is_named_as_in_package_with_weights_hash(minilm, roberta):
    from bert_score.utils import get_hash

    scorer = BertScorer(str(roberta / "published"))
    said, _, weights = scorer.name.partition(" weights sha256:")
    assert said == get_hash("published", 3, False, False, False, False)
    assert len(weights) == 16
    assert scorer.name == BertScorer(str(roberta / "published")).name != minilm.name


def test_the_layer_is_packages_choice_for_models_that_it_knows():
    assert known_layers("roberta-large") == 17
    assert known_layers("FacebookAI/roberta-large") == 17
    assert known_layers("/models/roberta-large/") == 17
    assert known_layers("minilm") is None
    assert known_layers("some/other-model") is None
