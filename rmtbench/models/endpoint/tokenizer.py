"""The tokenizer that counts for a served model: one that is named, else tiktoken's where it knows the model.

Corpus sizes, chunks and limits a minute need token counts before any server is asked.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rmtbench.errors import UserError
from rmtbench.options import flag

if TYPE_CHECKING:
    from tiktoken import Encoding
    from transformers import PreTrainedTokenizerBase


class TiktokenTokenizer:
    """What the suite asks of a tokenizer, answered by a tiktoken encoding."""

    chat_template = None

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding

    def __call__(self, texts: Sequence[str], **_options: object) -> dict[str, list[list[int]]]:
        """Token ids of each text, under ``input_ids``."""
        return {"input_ids": [self.encode(text) for text in texts]}

    def encode(self, text: str, **_options: object) -> list[int]:
        """Token ids of a text; what looks like a special token is text."""
        return self.encoding.encode(text, disallowed_special=())

    def decode(self, ids: Sequence[int], **_options: object) -> str:
        """The text of token ids."""
        return self.encoding.decode(list(ids))

    def get_vocab(self) -> dict[str, int]:
        """Every token's id by its bytes, as hexadecimal digits."""
        return {token.hex(): self.encoding.encode_single_token(token) for token in self.encoding.token_byte_values()}


class NoTokenizer:
    """In place of a tokenizer where no token need be counted before a server is asked: every count is refused.

    Args:
        missing: Why there is no tokenizer.
    """

    chat_template = None

    def __init__(self, missing: UserError) -> None:
        self._missing = missing

    def __call__(self, _texts: Sequence[str], **_options: object) -> dict[str, list[list[int]]]:
        """Nothing: there is no tokenizer.

        Raises:
            UserError: Always.
        """
        raise self._missing

    def encode(self, _text: str, **_options: object) -> list[int]:
        """As a call."""
        raise self._missing


def load_endpoint_tokenizer(
    model: str, tokenizer: str | None, *, needed_for: str | None = "corpus sizes"
) -> PreTrainedTokenizerBase:
    """The tokenizer for a served model.

    Args:
        model: The model's name at the server.
        tokenizer: Folder, shipped name or hub id; None for tiktoken's.
        needed_for: What tokens are counted for; None where nothing needs them, so that there may be no tokenizer.

    Raises:
        UserError: One is needed, none is named, and tiktoken does not know the model or cannot get its file.
    """
    if tokenizer is not None or needed_for is not None:
        return _load(model, tokenizer, needed_for or "")
    try:
        return _load(model, None, "answers of a server that gives no usage")
    except UserError as missing:
        return cast("PreTrainedTokenizerBase", NoTokenizer(missing))


def _load(model: str, tokenizer: str | None, needed_for: str) -> PreTrainedTokenizerBase:
    if tokenizer is not None:
        from rmtbench.models.load import load_tokenizer
        from rmtbench.models.sources import SHIPPED

        folder = Path(SHIPPED.get(tokenizer, tokenizer)).expanduser()
        return _of_one_file(folder) if _needs_one_file(folder) else load_tokenizer(tokenizer)
    import tiktoken

    remedy = f"name the model's own, a folder or hub id, with {flag.tokenizer}"
    try:
        name = tiktoken.encoding_name_for_model(model)
    except KeyError:
        raise UserError(
            f"no tokenizer is known for '{model}', and {needed_for} need one", where=flag.tokenizer, remedy=remedy
        ) from None
    try:
        encoding = tiktoken.get_encoding(name)
    except Exception as error:  # noqa: BLE001 - it downloads, by whatever library, and raises that one's errors
        raise UserError(
            f"tiktoken cannot get its file for '{model}' ({type(error).__name__})",
            where=flag.tokenizer,
            remedy=f"let it reach the network once, or {remedy}",
        ) from None
    return cast("PreTrainedTokenizerBase", TiktokenTokenizer(encoding))


def _needs_one_file(folder: Path) -> bool:
    """Whether transformers would make the tokenizer of `tokenizer.json` alone: then torch need not be imported.

    Its `AutoTokenizer` imports torch, for seconds. Which class it chooses depends on the architecture too; what is
    known of it here is a Llama's, and a folder without a model.
    """
    if not (folder / "tokenizer.json").is_file():
        return False
    try:
        settings = _json(folder / "tokenizer_config.json")
        config = _json(folder / "config.json") if (folder / "config.json").is_file() else {}
    except (OSError, ValueError):
        return False  # whatever is wrong with them, transformers says it
    plain = settings.get("tokenizer_class") in ("TokenizersBackend", "PreTrainedTokenizerFast")
    return plain and "auto_map" not in settings and config.get("model_type", "llama") == "llama"


def _json(path: Path) -> dict[str, Any]:
    read = json.loads(path.read_text(encoding="utf-8"))
    return read if isinstance(read, dict) else {}


def _of_one_file(folder: Path) -> PreTrainedTokenizerBase:
    from transformers import PreTrainedTokenizerFast

    words: PreTrainedTokenizerBase = PreTrainedTokenizerFast.from_pretrained(str(folder))
    words.model_max_length = int(1e30)  # as `load_tokenizer` has it
    return words
