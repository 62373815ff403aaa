"""Wan2.1's text encoder, UMT5-XXL: called like the suite's own, with the words of any caption.

Legend: B captions, L text tokens, E text width.
"""

import html
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import torch

from repro.errors import ReproError
from repro.models.external import files, names
from repro.models.text_encoder import END, PAD, TextEncoder

UMT5_XXL = {"vocab_size": 256_384, "d_model": 4096, "d_kv": 64, "d_ff": 10_240, "num_layers": 24, "num_heads": 64}
"""Sizes of UMT5-XXL's encoder (its public config.json)."""
TOKENS = 512
"""Text tokens that Wan2.1 was trained with."""
STRAIGHT_QUOTES = str.maketrans("“”„‟‘’‚‛", "\"\"\"\"''''")
SHARED, TIED = "shared.weight", "encoder.embed_tokens.weight"


def clean(caption: str) -> str:
    """A caption as Wan2.1 tokenizes it: no HTML entities, straight quotes, composed characters, single spaces.

    The original repairs wrongly decoded text too (ftfy); captions of the benchmarks hold none.
    """
    caption = html.unescape(html.unescape(caption)).translate(STRAIGHT_QUOTES)
    return " ".join(unicodedata.normalize("NFC", caption).split())


class PaperTextEncoder(TextEncoder):
    """Captions → [B, L, E], zero after each caption's own tokens, which is what Wan2.1's transformer expects."""

    def tokenize(self, captions: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids and mask, [B, L]. Raises ReproError for a caption that would be cut."""
        out = self.tokenizer([clean(c) for c in captions], padding="max_length", max_length=self.tokens)
        for caption, ids in zip(captions, out["input_ids"], strict=True):
            if len(ids) > self.tokens:
                raise ReproError(f"caption {caption!r} has {len(ids)} tokens, more than {self.tokens}: shorten it")
        return torch.tensor(out["input_ids"]), torch.tensor(out["attention_mask"])


def load_text_encoder(
    path: Path,
    tokenizer: Path,
    *,
    config: dict[str, int] = UMT5_XXL,
    tokens: int = TOKENS,
    dtype: torch.dtype = torch.bfloat16,
    device: str = "cpu",
) -> PaperTextEncoder:
    """The encoder of a diffusers folder, its `text_encoder/`, or `models_t5_umt5-xxl-enc-bf16.pth`.

    `tokenizer` is a folder with tokenizer.json: `tokenizer/` of diffusers, `google/umt5-xxl` of Wan2.1.
    Raises ReproError that names file, key and remedy; nothing is loaded then.
    """
    from transformers import UMT5Config, UMT5EncoderModel

    tensors = read_text_encoder(path)
    with torch.device("meta"):
        model = UMT5EncoderModel(UMT5Config(**config, dropout_rate=0.0))
    inner = _folder(path)
    if (inner / "config.json").is_file():
        files.require_config(inner / "config.json", config | {"layer_norm_epsilon": model.config.layer_norm_epsilon})
    files.require_fit(model, tensors, path)
    words = load_tokenizer(tokenizer, model.config)
    files.fill(model, tensors, dtype, device)
    model.tie_weights()
    return PaperTextEncoder(model, tokens, words).eval()


def read_text_encoder(path: Path) -> dict[str, torch.Tensor]:
    """Tensors by transformers' names; the embedding under both that it goes by there."""
    where = f"weights {path}"
    tensors = names.canonical(files.require_tensors(files.read(_folder(path)), where), names.UMT5, where)
    if SHARED in tensors and TIED in tensors and not torch.equal(tensors[SHARED], tensors[TIED]):
        raise ReproError(f"{where} hold {TIED} and {SHARED}, which must be equal and are not. {files.AGAIN}")
    for one, other in ((SHARED, TIED), (TIED, SHARED)):
        if one in tensors:
            tensors[other] = tensors[one]
    return tensors


def _folder(path: Path) -> Path:
    inner = Path(path) / "text_encoder"
    return inner if inner.is_dir() else Path(path)


def load_tokenizer(folder: Path, config):
    """T5's tokenizer as its tokenizer.json says, checked against the encoder it feeds."""
    from transformers import PreTrainedTokenizerFast

    path = Path(folder) / "tokenizer.json"
    if not path.is_file():
        raise ReproError(f"tokenizer {path} is missing. python -m repro preflight tells where to get it")
    try:
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(path), pad_token=PAD, eos_token=END)
    except Exception as error:  # the Rust library raises nothing narrower
        raise ReproError(f"tokenizer {path} cannot be read ({error}). {files.AGAIN}") from error
    specials = (tokenizer.pad_token_id, tokenizer.eos_token_id)
    if specials != (config.pad_token_id, config.eos_token_id) or len(tokenizer) > config.vocab_size:
        raise ReproError(
            f"tokenizer {path} has {len(tokenizer)} tokens, {PAD} {specials[0]} and {END} {specials[1]}; the encoder "
            f"takes {config.vocab_size}, {config.pad_token_id} and {config.eos_token_id}. Is it another model's?"
        )
    if tokenizer("")["input_ids"] != [config.eos_token_id]:
        raise ReproError(f"tokenizer {path} does not end a caption with {END}. Is it another model's?")
    return tokenizer
