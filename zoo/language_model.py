"""Language models that own their tokenizer: text in, text out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy

import needle as ndl
from needle import nn
from needle.data.text import CharTokenizer, Tokenizer
from needle.errors import DataError
from needle.optim.settings import whole
from needle.types import Type

from .base import Model
from .generate import GenerationError, Reader, Sampling, tokens, until
from .programs import ProgramReader

IDS = Type(("batch", "time"), "int32")  # type: ignore[arg-type]


class Decoding(NamedTuple):
    """A decoding step in the form that `deploy.freeze(step, example, **options)` takes.

    The graph reads a prompt, in one piece or several, and then token after token: ids (batch, time) -> logits (batch,
    time, vocabulary). What it remembers of the tokens before is its state.
    """

    step: Callable[..., Any]
    example: tuple[Type, ...]
    options: dict[str, Any]

    @classmethod
    def of(
        cls, step: Callable[..., Any], given: Mapping[str, Type], state: Mapping[str, Type],
        dims: Mapping[str, tuple[int, int | None]] | None = None,
    ) -> Decoding:  # fmt: skip
        """Of step(*given, *state) -> (logits, *state): types by the names that inputs get."""
        after = {name: f"{name}_after" for name in state}
        names = {"input_names": [*given, *state], "output_names": ["logits", *after.values()]}
        return cls(step, (*given.values(), *state.values()), {**names, "state": after, "batch": None, "dims": dims})


class LanguageModel(Model):
    """The probability of the next token given those before it, with what it takes to write text: `generate`.

    `forward` takes ids (batch, time), whole numbers, and gives logits (batch, time, vocabulary): those at t are of what
    follows the ids up to t. `context` is the most ids that `forward` takes, None if there is no such bound.
    """

    commands = (
        *Model.commands,
        'needle-zoo generate {name} --weights {weights} --prompt "the "{plugin}',
        "needle-deploy freeze zoo:{name} --weights {weights} -o {name}.nd{plugin}",
    )

    def __init__(
        self, tokenizer: Tokenizer | Mapping[str, Any], card: Mapping[str, Any] | None = None,
        context: int | None = None, device: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.tokenizer = tokenizer if isinstance(tokenizer, Tokenizer) else Tokenizer.from_spec(tokenizer)
        self.card, self.context, self.device = card or {}, context, device
        self.takes = {"kind": "text", "context": context}

    def features(self, ids: ndl.Tensor) -> ndl.Tensor:
        """What the last layer makes logits of: (batch, time, width) for ids (batch, time)."""
        raise NotImplementedError

    def reader(self) -> Reader:
        """What reads one sequence token by token without going over the earlier ones again; it needs eval mode."""
        raise NotImplementedError

    def decoding(self, slots: int = 1) -> Decoding:
        """The step that decodes `slots` sequences token by token, for `deploy.freeze(step, example, **options)`."""
        raise NotImplementedError

    def generate(
        self, prompt: str = "\n", max_tokens: int = 200, *, temperature: float = 1.0, top_k: int | None = None,
        top_p: float | None = None, seed: int = 0, stop: str | Sequence[str] | None = None, engine: str = "eager",
    ) -> str:  # fmt: skip
        """Text that goes on from `prompt`, without it: at most `max_tokens` tokens, ending before any of `stop`.

        `temperature`, `top_k` and `top_p` are those of `Sampling`; the same seed gives the same text. The `engine` may
        be "instant" or "compiled", of which the latter calls a compiler once. Leaves numpy's global generator alone.
        Raises GenerationError for arguments that make no sense, DataError for a prompt that the
        tokenizer cannot express.
        """
        return "".join(
            self.stream(
                prompt, max_tokens, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed, stop=stop,
                engine=engine,
            )
        )  # fmt: skip

    def stream(
        self, prompt: str = "\n", max_tokens: int = 200, *, temperature: float = 1.0, top_k: int | None = None,
        top_p: float | None = None, seed: int = 0, stop: str | Sequence[str] | None = None, engine: str = "eager",
    ) -> Iterator[str]:  # fmt: skip
        """The text of `generate`, piece by piece as soon as it is certain."""
        sampling = Sampling(temperature, top_k, top_p)
        stops = [stop] if isinstance(stop, str) else list(stop or ())
        ids = self._encoded("generate", prompt)
        if not ids:
            raise GenerationError("[generate] needs a prompt of at least one token, such as '\\n'")
        if max_tokens < 0 or seed < 0 or "" in stops:
            given = f"max_tokens={max_tokens}, seed={seed}, stop={stop!r}"
            raise GenerationError(f"[generate] needs max_tokens >= 0, seed >= 0 and no empty stop, got {given}")
        self.warn_if_untrained()
        reader = _InEval(self) if engine == "eager" else ProgramReader(self, engine)
        found = tokens(reader, ids, max_tokens, sampling, seed)
        return until(self.tokenizer.pieces(found), stops)

    def predict(self, text: str, top: int | None = None) -> list[tuple[str, float]]:
        """(token, probability) pairs for what follows `text`, the most probable first; the best `top` if given.

        Raises GenerationError for text without tokens, DataError for text that the tokenizer cannot express,
        SettingError for a `top` below 1.
        """
        if top is not None:
            whole("predict", top=top)
        self.warn_if_untrained()
        ids = self._encoded("predict", text)
        if not ids:
            raise GenerationError("[predict] needs text of at least one token")
        p = Sampling().probabilities(_InEval(self).read(ids))
        order = numpy.argsort(-p, kind="stable")[:top]
        return [(self.tokenizer.decode([i]), float(p[i])) for i in order.tolist()]

    def _encoded(self, where: str, text: str) -> list[int]:
        """The ids of a text. Raises DataError where the tokenizer cannot express it, with the characters it has."""
        try:
            return self.tokenizer.encode(text)
        except DataError:
            if not isinstance(self.tokenizer, CharTokenizer):
                raise
            known, name = self.tokenizer.vocabulary, self.card.get("name", type(self).__name__)
            place = next(i for i, character in enumerate(text) if character not in known)
            raise DataError(
                f"[{where}] character {place} of the text is {text[place]!r}, which {name} has never read; it knows "
                f"{len(known)} characters: {known!r:.300}"
            ) from None


class _InEval:
    """A model's reader that puts the model into eval mode while it reads, and back afterwards."""

    def __init__(self, model: LanguageModel) -> None:
        self.model, self.inner = model, model.reader()

    def read(self, ids: Sequence[int]) -> numpy.ndarray:
        was_training = self.model.training
        if was_training:
            self.model.eval()
        try:
            return self.inner.read(ids)
        finally:
            if was_training:
                self.model.train()


def ids_tensor(ids: Any, device: Any) -> ndl.Tensor:
    """Ids as a tensor that requires no gradient."""
    return ndl.Tensor(numpy.asarray(ids, dtype="float32"), device=device, requires_grad=False)


def redraw(module: nn.Module, std: float) -> None:
    """Draw the weight of a Linear or an Embedding anew from N(0, std^2); a Linear's bias becomes 0."""
    weight: Any = getattr(module, "weight")  # noqa: B009  (a Module declares none)
    options = {"device": weight.device, "dtype": weight.dtype}
    weight.data = ndl.init.randn(*weight.shape, std=std, **options)
    bias: Any = getattr(module, "bias", None)
    if bias is not None:
        bias.data = ndl.init.zeros(*bias.shape, **options)
