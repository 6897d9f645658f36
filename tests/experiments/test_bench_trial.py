"""The bench of the trial at load: a time for each set of ways, and the model's exactness."""

from experiments.benches.trial import WAYS, run


def test_every_set_of_ways_has_its_seconds():
    found = run("mini")
    assert set(found["seconds"]) == {", ".join(ways) for ways in WAYS}
    assert all(each > 0 for each in found["seconds"].values())
    assert found["refused"] == {}


def test_ways_that_differ_are_named_with_their_reason(tmp_path):
    from transformers import AutoTokenizer, BertConfig, BertLMHeadModel

    from tests.small_models import save_model

    folder = save_model(tmp_path / "bert")  # for its tokenizer; the weights and configuration are replaced
    vocabulary = len(AutoTokenizer.from_pretrained(folder))
    config = BertConfig(
        vocab_size=vocabulary, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    )
    BertLMHeadModel(config).save_pretrained(folder)
    refused = run(str(folder))["refused"]
    assert set(refused) == {way for ways in WAYS for way in ways}
