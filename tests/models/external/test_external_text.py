"""UMT5 in both layouts, against transformers and against a plain reading of Wan2.1's own encoder."""

import json
import math

import pytest
import torch
import torch.nn.functional as nnf
from layouts import randomise, text_to_original, write_tokenizer
from safetensors.torch import save_file
from transformers import UMT5Config, UMT5EncoderModel

from repro.errors import ReproError
from repro.models.external import names
from repro.models.external.text import UMT5_XXL, clean, load_text_encoder
from repro.training.loop import generator_for

SMALL = {"vocab_size": 40, "d_model": 16, "d_kv": 4, "d_ff": 24, "num_layers": 2, "num_heads": 4}
TOKENS = 8
WORDS = ["<pad>", "</s>", "<unk>", "a", "cat", "runs", "red", "'"]
CAPTIONS = ["a cat", "a red cat runs", ""]


@pytest.fixture(scope="module")
def source():
    return randomise(UMT5EncoderModel(UMT5Config(**SMALL, dropout_rate=0.0)), std=0.4)


@pytest.fixture
def tokenizer(tmp_path):
    return write_tokenizer(tmp_path / "tokenizer", WORDS)


def load(path, tokenizer, **kwargs):
    return load_text_encoder(path, tokenizer, config=SMALL, tokens=TOKENS, dtype=torch.float32, **kwargs)


@torch.no_grad()
def expected(source):
    """Each caption alone and unpadded, then zeros."""
    rows = []
    for ids in ([3, 4, 1], [3, 6, 4, 5, 1], [1]):
        hidden = source(input_ids=torch.tensor([ids])).last_hidden_state[0]
        rows.append(nnf.pad(hidden, (0, 0, 0, TOKENS - len(ids))))
    return torch.stack(rows)


def check(encoder, source):
    with torch.no_grad():
        out = encoder(CAPTIONS)
    assert out.shape == (3, TOKENS, SMALL["d_model"]) and out[2, 1:].abs().max() == 0
    torch.testing.assert_close(out, expected(source), atol=1e-5, rtol=1e-5)
    assert out[0, 0].std() > 0.1


@pytest.mark.parametrize("whole_pipeline", [True, False])
def test_a_diffusers_folder(source, tokenizer, tmp_path, whole_pipeline):
    source.save_pretrained(tmp_path / "text_encoder", max_shard_size="4KB")
    assert list((tmp_path / "text_encoder").glob("*.index.json"))
    check(load(tmp_path if whole_pipeline else tmp_path / "text_encoder", tokenizer), source)


def test_the_original_file(source, tokenizer, tmp_path):
    torch.save(text_to_original(source.state_dict()), tmp_path / "models_t5.pth")
    encoder = load(tmp_path / "models_t5.pth", tokenizer)
    check(encoder, source)
    assert encoder.model.shared.weight is encoder.model.encoder.embed_tokens.weight


def test_embedding_under_its_other_name_only(source, tokenizer, tmp_path):
    state = {k: v.clone() for k, v in source.state_dict().items() if k != "shared.weight"}
    save_file(state, tmp_path / "model.safetensors")
    check(load(tmp_path / "model.safetensors", tokenizer), source)
    save_file(state | {"shared.weight": state["encoder.embed_tokens.weight"] + 1}, tmp_path / "model.safetensors")
    with pytest.raises(ReproError, match="must be equal and are not"):
        load(tmp_path / "model.safetensors", tokenizer)


def bucket(distance: int) -> int:
    """T5's bucket of `key − query`, 32 of them, bidirectional (Raffel et al., 2020): a closed form."""
    side, n = (16 if distance > 0 else 0), abs(distance)
    return side + (n if n < 8 else min(15, 8 + int(math.log(n / 8) / math.log(128 / 8) * 8)))


@torch.no_grad()
def wan_encoder(w, ids):
    """The encoder under Wan2.1's own names, a line an equation, for one caption of ids [L]."""

    def norm(x, weight):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * weight

    length, heads = len(ids), SMALL["num_heads"]
    buckets = torch.tensor([[bucket(k - q) for k in range(length)] for q in range(length)])
    x = w["token_embedding.weight"][ids]
    for layer in range(SMALL["num_layers"]):
        b = f"blocks.{layer}."
        h = norm(x, w[b + "norm1.weight"])
        q, k, v = ((h @ w[f"{b}attn.{n}.weight"].T).unflatten(1, (heads, -1)).transpose(0, 1) for n in "qkv")
        scores = q @ k.transpose(1, 2) + w[b + "pos_embedding.embedding.weight"][buckets].permute(2, 0, 1)
        x = x + (scores.softmax(-1) @ v).transpose(0, 1).flatten(1) @ w[b + "attn.o.weight"].T
        h = norm(x, w[b + "norm2.weight"])
        gate = nnf.gelu(h @ w[b + "ffn.gate.0.weight"].T, approximate="tanh")
        x = x + (gate * (h @ w[b + "ffn.fc1.weight"].T)) @ w[b + "ffn.fc2.weight"].T
    return norm(x, w["norm.weight"])


def test_the_renamed_encoder_computes_what_the_original_names_mean(source):
    ids = torch.randint(2, 40, (30,), generator=generator_for(2))
    with torch.no_grad():
        out = source(input_ids=ids[None]).last_hidden_state[0]
    torch.testing.assert_close(out, wan_encoder(text_to_original(source.state_dict()), ids), atol=1e-4, rtol=1e-4)


def test_every_name_of_paper_scale_is_renamed():
    with torch.device("meta"):
        state = UMT5EncoderModel(UMT5Config(**UMT5_XXL)).state_dict()
    back = {names.translate(k, names.UMT5) for k in text_to_original(state)}
    assert back == set(state) - {"encoder.embed_tokens.weight"} and len(back) == 24 * 10 + 2


def test_captions_are_cleaned_as_wan_does():
    assert clean("  a  &amp;amp; b\n “c’s”\tcafe\u0301 ") == 'a & b "c\'s" café'


def test_a_caption_that_would_be_cut_is_refused(source, tokenizer, tmp_path):
    torch.save(text_to_original(source.state_dict()), tmp_path / "t5.pth")
    encoder = load(tmp_path / "t5.pth", tokenizer)
    assert encoder.tokenize([" ".join(["cat"] * (TOKENS - 1))])[1].sum() == TOKENS
    with pytest.raises(ReproError, match=f"has {TOKENS + 1} tokens, more than {TOKENS}"):
        encoder(["a cat", " ".join(["cat"] * TOKENS)])


def _no_file(path):
    path.unlink()


def _no_json(path):
    path.write_text("{")


def _other_specials(path):
    path.write_text(path.read_text().replace('"<pad>": 0', '"<pad>": 7').replace('"\'": 7', '"\'": 0'))


def _no_end(path):
    path.write_text(json.dumps(json.loads(path.read_text()) | {"post_processor": None}))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_no_file, "is missing"),
        (_no_json, "cannot be read"),
        (_other_specials, "has 8 tokens, <pad> 7 and </s> 1; the encoder takes 40, 0 and 1"),
        (_no_end, "does not end a caption with </s>"),
    ],
)
def test_a_wrong_tokenizer_is_named(source, tokenizer, tmp_path, damage, says):
    torch.save(text_to_original(source.state_dict()), tmp_path / "t5.pth")
    damage(tokenizer / "tokenizer.json")
    with pytest.raises(ReproError, match=rf"tokenizer\.json {says}"):
        load(tmp_path / "t5.pth", tokenizer)


def test_a_misfit_is_named(source, tokenizer, tmp_path):
    state = text_to_original(source.state_dict())
    state["blocks.2.norm1.weight"] = state.pop("blocks.1.norm1.weight")
    torch.save(state, tmp_path / "t5.pth")
    says = r"t5\.pth.*missing encoder\.block\.1\.layer\.0\.layer_norm.*unexpected encoder\.block\.2"
    with pytest.raises(ReproError, match=says):
        load(tmp_path / "t5.pth", tokenizer)
    source.save_pretrained(tmp_path / "text_encoder")
    with pytest.raises(ReproError, match=r"config\.json: num_heads is 4, not 2"):
        load_text_encoder(tmp_path, tokenizer, config=SMALL | {"num_heads": 2}, tokens=TOKENS)
