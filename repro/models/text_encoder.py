"""Captions → embeddings: a small UMT5 encoder of transformers over the sprite world's words.

Legend: B captions, L text tokens, E text width.
"""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from repro.config import Profile
from repro.errors import ReproError
from repro.models import weights
from repro.world.scene import vocabulary, words

PAD, END = "<pad>", "</s>"


def word_tokenizer():
    """One token a word, `</s>` at the end, as a transformers fast tokenizer."""
    from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    ids = {word: i for i, word in enumerate([PAD, END, *vocabulary()])}
    tokenizer = Tokenizer(WordLevel(ids, unk_token=PAD))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.Replace(",", " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation(behavior="removed")]
    )
    tokenizer.post_processor = processors.TemplateProcessing(single=f"$A {END}", special_tokens=[(END, ids[END])])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=PAD, eos_token=END)


def check_words(caption: str) -> None:
    """Raise ReproError that names a word the encoder was never shown, and its neighbours."""
    known = vocabulary()
    for word in re.findall(r"[^\s,:.]+", caption.lower()):
        if word not in known:
            near = difflib.get_close_matches(word, known, 3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"it knows {', '.join(known)}"
            raise ReproError(f"caption {caption!r}: the text encoder does not know {word!r}; {hint}")


class TextEncoder(nn.Module):
    def __init__(self, model: nn.Module, tokens: int, tokenizer=None):
        super().__init__()
        self.model, self.tokens = model, tokens
        self.tokenizer = tokenizer or word_tokenizer()

    def tokenize(self, captions: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids and mask, [B, L]. The empty caption is the null prompt."""
        for caption in captions:
            check_words(caption)
            if len(words(caption)) >= self.tokens:
                raise ReproError(f"caption {caption!r} is longer than {self.tokens - 1} words: shorten it")
        out = self.tokenizer(
            list(captions), padding="max_length", max_length=self.tokens, truncation=True, return_tensors="pt"
        )
        return out["input_ids"], out["attention_mask"]

    def encode(self, ids_BL: torch.Tensor, mask_BL: torch.Tensor) -> torch.Tensor:
        """Embeddings [B, L, E]; padding is zero, as Wan2.1 feeds it."""
        hidden = self.model(input_ids=ids_BL, attention_mask=mask_BL).last_hidden_state
        return hidden * mask_BL[..., None]

    def forward(self, captions: Sequence[str]) -> torch.Tensor:
        device = next(self.parameters()).device
        return self.encode(*(t.to(device) for t in self.tokenize(captions)))


def load(profile: Profile, checkpoints: Path, device) -> TextEncoder:
    """The encoder of `<checkpoints>/text_encoder.safetensors`."""
    encoder = build(profile)
    weights.load_into(encoder, Path(checkpoints) / "text_encoder.safetensors")
    return encoder.to(device).eval()


def build(profile: Profile) -> TextEncoder:
    """Untrained encoder at the widths of a profile."""
    from transformers import UMT5Config, UMT5EncoderModel

    text, dit = profile.text, profile.dit
    config = UMT5Config(
        vocab_size=len(vocabulary()) + 2,
        d_model=dit.text_dim,
        d_kv=dit.text_dim // text.heads,
        d_ff=text.ffn_dim,
        num_layers=text.layers,
        num_heads=text.heads,
        dropout_rate=0.0,
        pad_token_id=0,
        eos_token_id=1,
    )
    return TextEncoder(UMT5EncoderModel(config), dit.text_tokens)
