"""Which of transformers' causal language models are served, and how: a tiny model of each, by our own loading.

    python experiments/families.py [--only gpt2,llama]

Each model has random weights. It is loaded and tried as `rmtbench run` does it. Then, whatever the trial said, each way
that it allows answers questions over a context of some hundred tokens, and the answers are held against the model's own
forward: with eager attention where the model has one, loaded anew, without any code of ours.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

    from rmtbench.models.base import Passage
    from rmtbench.models.local import LocalModel

SIZES: Mapping[str, Any] = {
    "vocab_size": 5200, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 1024, "initializer_range": 0.15,
    "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 1024, "n_ctx": 1024, "rotary_dim": 8, "n_inner": 96,
    "num_experts": 4, "num_local_experts": 4, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1,
    "topk_group": 1, "moe_intermediate_size": 32, "shared_expert_intermediate_size": 32, "n_shared_experts": 1,
    "first_k_dense_replace": 1, "moe_num_experts": 4, "moe_k": 2, "moe_topk": 2,
    "q_lora_rank": 24, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 16,
    "qk_head_dim": 16, "d_model": 64, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "dff": 96, "d_head": 16,
    "d_inner": 96, "max_seq_len": 1024, "ffn_dim": 96, "attention_heads": 4, "num_layers": 2, "num_heads": 4,
    "decoder_layers": 2, "encoder_layers": 2, "decoder_attention_heads": 4, "encoder_attention_heads": 4,
    "decoder_ffn_dim": 96, "encoder_ffn_dim": 96, "word_embed_proj_dim": 64, "embedding_size": 64, "n_ssm_heads": 4,
    "mamba_d_state": 8, "mamba_n_heads": 8, "mamba_d_head": 16, "mamba_n_groups": 1, "state_size": 8, "n_groups": 1,
    "num_key_value_groups": 2, "query_pre_attn_scalar": 16, "global_head_dim": 16, "lru_width": 64,
    "attention_hidden_size": 64, "hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 5200,
    "pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 5199,
}  # fmt: skip
"""Sizes by the names that configurations have for them."""

OVERRIDES: Mapping[str, Mapping[str, Any]] = {
    "falcon": {"new_decoder_architecture": False},
    "falcon-alibi": {"model_type": "falcon", "alibi": True},
    "falcon-40b": {"model_type": "falcon", "new_decoder_architecture": True, "num_kv_heads": 2},
    "bert-as-decoder": {"model_type": "bert", "is_decoder": True},
    "roberta-as-decoder": {"model_type": "roberta", "is_decoder": True},
    "gpt_neo": {"num_layers": 2, "attention_types": [[["global", "local"], 1]], "window_size": 32},
    "mistral": {"sliding_window": None},
    "mistral-window": {"model_type": "mistral", "sliding_window": 32},
    "gemma2": {"sliding_window": 32},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "mamba2": {"num_heads": 8, "head_dim": 16, "expand": 2},
    "reformer": {"is_decoder": True},
    "gemma3n_text": {"num_kv_shared_layers": 0},
    "qwen3-window": {"model_type": "qwen3", "use_sliding_window": True, "sliding_window": 32, "max_window_layers": 1},
}
"""What a family needs besides, and variants of one."""

CONTEXT = "Arden lies on the river Oss . Its market is held on Fridays . The mayor is Tam Nedra . " * 8
QUESTIONS = ("Who is the mayor ?", "When is the market held , please , and on which river ?")
MOST_PARAMETERS = 20_000_000
TOLERANCE = 2e-3
"""Of the logits' spread: the next token may differ where two are nearer than this."""


WAYS = ("shared", "plain", "own prompts")
"""How a model can be read, the fastest first; what serves a way serves those behind it, or the table says so."""


NO_TINY_MODEL = "no tiny model could be made"


@dataclass(frozen=True)
class Row:
    """A family's line of the table.

    Attributes:
        family: Model type, or the name of a variant.
        attention: By which implementation transformers computes it.
        served: Each way that is served, with the most rows at once that were tried: 1 or 2.
        why: Why the fastest way that is not served is refused, or the model as a whole.
        wrong: Ways that were served and whose answers are not the model's own: a defect.
    """

    family: str
    attention: str = ""
    served: Mapping[str, int] = field(default_factory=dict)
    why: str = ""
    wrong: Sequence[str] = ()

    @property
    def best(self) -> str:
        """The fastest way that is served, ``refused``, or ``not tried``."""
        best = next((way for way in WAYS if way in self.served), "refused")
        return "not tried" if self.why.startswith(NO_TINY_MODEL) else best

    def line(self) -> str:
        """As a row of a Markdown table."""
        best = self.best
        batch = ", ".join(way for way in WAYS if self.served.get(way) == 2) or ("no" if self.served else "")
        why = self.why.replace("|", "/").replace("<", "(").replace(">", ")")
        return f"| {self.family} | {self.attention} | {best} | {batch} | {why} |"


def families() -> list[str]:
    """Model types that transformers maps to a causal language model, and the variants of `OVERRIDES`."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return sorted({*MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, *OVERRIDES})


def tiny_config(family: str) -> PretrainedConfig:
    """A configuration of a few thousand weights."""
    from transformers import AutoConfig

    given = dict(OVERRIDES.get(family, {}))
    kind = given.pop("model_type", family)
    default = AutoConfig.for_model(kind)
    names = {**dict.fromkeys(default.to_dict()), **dict.fromkeys(default.attribute_map)}
    sizes = {name: value for name, value in SIZES.items() if name in names}
    if "qk_rope_head_dim" in names:
        # Compressed keys: a head is what is rotated, and each head has keys of its own once they are expanded.
        sizes |= {"head_dim": sizes["qk_rope_head_dim"], "num_key_value_heads": sizes["num_attention_heads"]}
    return AutoConfig.for_model(kind, **{**sizes, **given})


def save_family(family: str, folder: Path) -> None:
    """Write a tiny model of a family with weights that matter, and the mini model's tokenizer.

    Raises:
        Exception: Its configuration cannot be made this small, in whichever way it says so.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from rmtbench.models.sources import SHIPPED

    config = tiny_config(family)
    with torch.device("meta"):
        parameters = AutoModelForCausalLM.from_config(config).num_parameters()
    if parameters > MOST_PARAMETERS:
        raise ValueError(f"{parameters:,} parameters are not tiny")
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():  # what is made as zeros, or as ones, would hide what is left out
            if parameter.is_floating_point():
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(SHIPPED["mini"]).save_pretrained(folder)


def try_family(family: str, folder: Path) -> Row:
    """Load a tiny model of a family, try it as `rmtbench run` does, and hold what is served against its own forward."""
    from rmtbench.errors import UserError, first_line
    from rmtbench.models.load import load_model

    try:
        save_family(family, folder)
    except Exception as error:  # noqa: BLE001 - the table says so
        return Row(family, why=f"{NO_TINY_MODEL} ({first_line(error)})")
    try:
        model = replace(load_model(str(folder)), max_answer_tokens=6)
    except UserError as error:
        return Row(family, why=error.what.replace(str(folder), family).replace(folder.name, family))
    served, reasons = _served(model, folder / "verdicts")
    own = _own_model(model.provenance["attention"], folder)
    tried = [(way, rows) for way, most in served.items() for rows in range(1, most + 1)]
    wrong = [f"{way}, {rows} at once" for way, rows in tried if not _right(model, own, way, rows)]
    why = next((reasons[way] for way in (WAYS if served else WAYS[::-1]) if way in reasons), "")
    return Row(family, model.provenance["attention"], served, why, wrong)


def _served(model: LocalModel, verdicts: Path) -> tuple[dict[str, int], dict[str, str]]:
    """Ways that a run with this model may use, and why others are refused."""
    from rmtbench.core import RunSpec
    from rmtbench.errors import UserError
    from rmtbench.options.identity import RunOptions
    from rmtbench.runs.served import check_served

    served: dict[str, int] = {}
    reasons: dict[str, str] = {}
    usual, plain = RunOptions(), RunOptions(cache_layout="plain")
    ways = (("shared", "cag", usual), ("plain", "cag", plain), ("own prompts", "closed-book", usual))
    for way, system, options in ways:
        for rows in (1, 2):
            try:
                spec = RunSpec(system=system, dataset="", size="", model="", data="", batch=rows, options=options)
                check_served(model, [spec], verdicts)
                served[way] = rows
            except UserError as error:
                reasons.setdefault(way, error.what.partition(" is not read exactly ")[2].strip("()") or error.what)
                break
    return served, reasons


def _own_model(attention: str, folder: Path) -> PreTrainedModel:
    """The model loaded by transformers, with eager attention where it has that."""
    from transformers import AutoModelForCausalLM

    try:
        return AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    except (ValueError, ImportError):
        return AutoModelForCausalLM.from_pretrained(folder, attn_implementation=attention).eval()


def _right(model: LocalModel, own: PreTrainedModel, way: str, rows: int) -> bool:
    """Whether every token that we answer is the likeliest by the model's own forward over all before it."""
    import torch

    from rmtbench.models.base import Passage

    passages = (Passage("Arden", CONTEXT),)
    questions = QUESTIONS[:rows]
    for question, ids in zip(questions, _answers(model, way, passages, questions), strict=True):
        prompt = [*model.context_ids(passages), *model.question_ids(question)]
        with torch.inference_mode():
            logits = own(torch.tensor([[*prompt, *ids]]), use_cache=False).logits[0, len(prompt) - 1 : -1].float()
        chosen = logits.gather(-1, torch.tensor(ids)[:, None])[:, 0]
        if not ids or bool((logits.amax(-1) - chosen > TOLERANCE * logits.std(-1)).any()):
            return False
    return True


def _answers(model: LocalModel, way: str, passages: Sequence[Passage], questions: Sequence[str]) -> list[Sequence[int]]:
    from rmtbench.kvcache.exact.plain import read_prefix
    from rmtbench.kvcache.exact.reading import read_in_chunks
    from rmtbench.kvcache.exact.shared import read_shared
    from rmtbench.models.base import Prompt

    if way == "own prompts":
        found = model.generate([Prompt(tuple(passages), question) for question in questions])
    else:
        read = read_shared if way == "shared" else read_prefix
        with read(model, passages, questions, len(questions), read_in_chunks).value as prefix:
            found = prefix.generate(questions)
    return [generation.output_ids for generation in found]


def main() -> int:
    """Print the table; 1 if an answer is not the model's own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="families, comma-separated (default: all)")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    import torch

    from rmtbench.errors import first_line

    torch.set_num_threads(1)
    say = sys.stdout.write
    say("| family | attention | served by | in batches | why not otherwise |\n|---|---|---|---|---|\n")
    rows: list[Row] = []
    for family in options.only.split(",") if options.only else families():
        with tempfile.TemporaryDirectory() as folder:
            try:
                row = try_family(family, Path(folder) / "model")
            except Exception as error:  # noqa: BLE001 - what a user would meet as a traceback
                row = Row(family, wrong=(f"traceback of {first_line(error)}",))
        rows.append(row)
        say(f"{row.line()}{' WRONG: ' + ', '.join(row.wrong) if row.wrong else ''}\n")
        sys.stdout.flush()
    served = [row.best for row in rows]
    say(f"\n{', '.join(f'{served.count(way)} {way}' for way in (*WAYS, 'refused', 'not tried'))}\n")
    return 1 if any(row.wrong for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
