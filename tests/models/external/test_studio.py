"""Videos from a folder of published weights: small ones in the published layouts, at the places weights.csv names."""

import av
import pytest
import torch
from layouts import TINY, randomise, to_original
from safetensors.torch import save_file

from repro.config import Autoencoders, Dit, Flow, Scale, Timing, load_runs
from repro.errors import ReproError
from repro.generation.film import Cue, film
from repro.generation.studio import models, open_published
from repro.geometry import Geometry
from repro.models.taehv import TinyDecoder
from repro.models.wan import WanDiT
from repro.sources import load_weights

TEXT = {"vocab_size": 40, "d_model": TINY.text_dim, "d_kv": 4, "d_ff": 24, "num_layers": 1, "num_heads": 4}
CHANNELS = (8, 8, 8, 8)
SCALE = Scale(
    name="small",
    geometry=Geometry(frames=81, height=32, width=48),
    dit=Dit(**TINY.model_dump(include={"dim", "heads", "layers", "ffn_dim", "text_dim", "text_tokens"})),
    autoencoders=Autoencoders(base_dim=8, dim_mult=(1, 2), res_blocks=1, tiny_channels=CHANNELS),
    flow=Flow(),
    timing=Timing(),
)


@pytest.fixture
def folder(tmp_path):
    """Self-Forcing's checkpoint, UMT5 with its tokenizer, and the tiny decoder, all of random weights."""
    from tokenizers import Tokenizer, pre_tokenizers, processors
    from tokenizers.models import WordLevel
    from transformers import UMT5Config, UMT5EncoderModel

    sources = load_weights()

    def place(name):
        path = sources[name].place(tmp_path)
        (path.parent if path.suffix else path).mkdir(parents=True, exist_ok=True)
        return path

    dit = randomise(WanDiT(TINY))
    state = {f"model.{to_original(k)}": v for k, v in dit.state_dict().items()}
    torch.save({"generator_ema": state}, place("self_forcing"))
    encoder = randomise(UMT5EncoderModel(UMT5Config(**TEXT, dropout_rate=0.0)))
    state = {k: v.clone() for k, v in encoder.state_dict().items() if k != "encoder.embed_tokens.weight"}
    save_file(state, place("umt5_diffusers") / "model.safetensors")
    words = Tokenizer(
        WordLevel({w: i for i, w in enumerate(["<pad>", "</s>", "<unk>", "a", "cat"])}, unk_token="<unk>")
    )
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    words.save(str(place("tokenizer") / "tokenizer.json"))
    torch.save(randomise(TinyDecoder(CHANNELS, 16)).state_dict(), place("taehv"))
    return tmp_path


def opened(folder, name="self_forcing"):
    run = load_runs()["self_4444444"].model_copy(update={"schedule": "2"})
    return open_published(SCALE, run, name, folder, "cpu", text=TEXT, tokens=TINY.text_tokens)


def test_a_video_of_published_weights(folder, tmp_path):
    out = film(opened(folder), [Cue(0, "a cat"), Cue(1.0, "a")], tmp_path / "cat.mp4", frames=33, seed=0, scale=1)
    with av.open(str(out)) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    assert len(frames) == 33 and frames[0].shape == (32, 48, 3) and frames[-1].std() > 1


def test_the_prompt_counts(folder):
    one, two = opened(folder).contexts(["a cat", "a"])
    assert not torch.equal(one.keys[0], two.keys[0])


def test_what_is_missing_is_named_with_the_command_that_fetches_it(folder):
    with pytest.raises(ReproError, match=r"no weights of longlive in .*\nhf download Efficient-Large-Model/LongLive"):
        opened(folder, "longlive")
    load_weights()["taehv"].place(folder).unlink()
    with pytest.raises(ReproError, match=r"no weights of taehv in .*\ncurl -L --fail"):
        opened(folder)
    with pytest.raises(ReproError, match=r"no published model 'sora': choose one of causvid, self_forcing, longlive"):
        opened(folder, "sora")
    assert models() == ["causvid", "self_forcing", "longlive"]


def test_weights_of_another_size_are_refused(folder):
    path = load_weights()["self_forcing"].place(folder)
    torch.save({"generator_ema": {"model.head.modulation": torch.zeros(1, 2, 4)}}, path)
    with pytest.raises(ReproError, match=r"self_forcing_dmd\.pt"):
        opened(folder)
