"""The settings of a recurrent memory transformer, checked where they are made. Knows no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from rmtbench.errors import UserError, nearest
from rmtbench.options import flag
from rmtbench.options.memory import MemoryForm

Kind = Literal["decoder", "encoder"]
Trained = Literal["memory", "lora", "layers", "all"]
Update = Literal["overwrite", "gated", "latched", "associative", "per-layer"]


@dataclass(frozen=True, slots=True)
class RmtConfig:
    """All that decides what a wrapper computes and trains, its base model and weights aside.

    Attributes:
        kind: A ``decoder`` reads memory before a segment and writes it behind; an ``encoder`` does both in front.
        segment_tokens: Most tokens of text in a segment; memory and special tokens come on top.
        memory_tokens: Memory tokens, at most as many as a segment's.
        backprop_segments: How many segments a gradient goes back, counted from each row's own end; None for all.
        trained: Which weights train beside the memory: none (``memory``), adapters (``lora``),
            all but embeddings and head (``layers``), or ``all``.
        update: ``overwrite`` takes the last hidden states as they are, as in the paper (Bulatov et al., 2022);
            ``gated``, a variant of ours, mixes a map of them into the old memory; ``latched`` does so by a gate that
            can close entirely; ``associative`` is that, with an associative memory in every layer of a decoder;
            ``per-layer`` has only the associative memory, and the same memory tokens in every segment, as in ARMT.
        lora_rank: Rank of the adapters.
        lora_alpha: Their scale is this over the rank.
        special_ids: Token ids of an encoder's [CLS] and [SEP]; None for a decoder.
        seed: Decides memory, gate and adapters before training.
        form: How a segment is written and what is kept; `update` has no part in a memory written by gradient, and is
            ``overwrite`` there.

    Raises:
        UserError: A setting makes no sense.
    """

    kind: Kind
    segment_tokens: int
    memory_tokens: int
    backprop_segments: int | None = None
    trained: Trained = "all"
    update: Update = "overwrite"
    lora_rank: int = 8
    lora_alpha: int = 32
    special_ids: tuple[int, int] | None = None
    seed: int = 0
    form: MemoryForm = MemoryForm()

    def __post_init__(self) -> None:
        for field, known in (("kind", Kind), ("trained", Trained), ("update", Update)):
            value = getattr(self, field)
            if value not in get_args(known):
                raise UserError(f"no {field} '{value}'", where=field, remedy=nearest(str(value), get_args(known)))
        segment, memory = self.segment_tokens, self.memory_tokens
        if segment < 1:
            raise UserError(
                f"a segment of {segment} tokens leaves no room for text",
                where="segment_tokens",
                remedy=f"set segment_tokens to at least memory_tokens ({memory})",
            )
        for field in ("memory_tokens", "backprop_segments", "lora_rank", "lora_alpha"):
            value = getattr(self, field)
            if value is not None and value < 1:
                raise UserError(f"{field} is {value}", where=field, remedy=f"set {field} to at least 1")
        if memory > segment:
            raise UserError(
                f"a memory of {memory} tokens is larger than a segment of {segment}",
                where="memory_tokens",
                remedy=f"set memory_tokens to at most {segment}, or lengthen the segment",
            )
        if self.associates and self.kind == "encoder":
            raise UserError(
                "an encoder has no associative memory", where="update", remedy="choose latched, or a decoder"
            )
        self._check_form()
        if (self.special_ids is None) != (self.kind == "decoder"):
            raise UserError(
                "an encoder needs the ids of its [CLS] and [SEP], and a decoder takes none",
                where="special_ids",
                remedy="give the tokenizer's cls_token_id and sep_token_id to an encoder alone",
            )

    @property
    def around(self) -> int:
        """Positions of a full segment that are not text: memory that is read and written, and special tokens.

        Of accumulated memory without a limit, that of one segment.
        """
        if self.kind == "encoder":
            return self.memory_tokens + 3
        read = (self.form.memory_last or 1) * self.memory_tokens
        return read + self.memory_tokens

    @property
    def accumulates(self) -> bool:
        """Whether every segment's memory is kept."""
        return self.form.memory == "accumulate"

    @property
    def associates(self) -> bool:
        """Whether every layer has an associative memory."""
        return self.update in ("associative", "per-layer")

    @property
    def by_gradient(self) -> bool:
        """Whether a segment is written by gradient steps."""
        return self.form.write == "gradient"

    def described(self) -> dict[str, Any]:
        """The settings as JSON values; of the form only what is not usual: files of usual memories stay as they are."""
        fields = asdict(self)
        del fields["form"]
        return fields | ({"form": self.form.changed} if self.form.changed else {})

    @classmethod
    def read(cls, settings: Mapping[str, Any]) -> RmtConfig:
        """Read settings as `described` gives them.

        Raises:
            UserError: A setting makes no sense.
            KeyError, TypeError, ValueError, IndexError: They are no settings.
        """
        special = settings["special_ids"]
        ids = special and (int(special[0]), int(special[1]))
        return cls(**{**settings, "special_ids": ids, "form": MemoryForm(**settings.get("form", {}))})

    def check_room(self, positions: int | None) -> None:
        """Refuse a base model whose positions do not hold a full segment.

        Args:
            positions: How many the model has; None if it sets no limit.

        Raises:
            UserError: A full segment with all that stands around it is longer.
        """
        if positions is None or self.segment_tokens + self.around <= positions:
            return
        left = positions - self.around
        if left < self.memory_tokens:
            raise UserError(
                f"a memory of {self.memory_tokens} tokens leaves no room for text in the model's {positions} positions",
                where="memory_tokens",
                remedy="make the memory smaller, or choose a base model with more positions",
            )
        raise UserError(
            f"a segment of {self.segment_tokens} tokens and the {self.around} around it exceed the model's "
            f"{positions} positions",
            where="segment_tokens",
            remedy=f"set segment_tokens to at most {left}",
        )

    def _check_form(self) -> None:
        """Refuse a form that this kind of memory cannot have."""
        if not self.form.changed:
            return
        if self.kind == "encoder":
            what, where = "an encoder's memory is constant and written forward", "kind"
            raise UserError(what, where=where, remedy=f"choose a decoder, or leave {flag.write} and {flag.memory} out")
        if self.by_gradient and self.update != "overwrite":
            remedy = "set update to overwrite, which a memory written by gradient has"
            raise UserError("a memory written by gradient has no gate", where="update", remedy=remedy)
        if self.form.associative_keys is not None and not self.associates:
            remedy = f"give {flag.update} associative or per-layer, or leave it out"
            raise UserError("means nothing without associations", where="associative_keys", remedy=remedy)
        if self.accumulates and self.associates:
            remedy = "choose latched, gated or overwrite"
            raise UserError("associations do not accumulate segment by segment", where="update", remedy=remedy)
