"""Transformers in every published layout come out as the module they were written from."""

import json

import pytest
import torch
from layouts import TINY, randomise, to_original
from safetensors.torch import save_file

from repro.errors import ReproError
from repro.models import presets
from repro.models.external import names
from repro.models.external.generator import load_generator
from repro.models.wan import WanDiT
from repro.training.loop import generator_for


def wrapped(name: str) -> str:
    """A name as fully sharded, compiled training with checkpointing leaves it."""
    name = name.replace("blocks.1.", "blocks.1._fsdp_wrapped_module._checkpoint_wrapped_module.")
    return f"model._fsdp_wrapped_module._orig_mod.module.{name}"


def original(state: dict, rename=lambda name: name) -> dict:
    return {rename(to_original(k)): v for k, v in state.items()}


@torch.no_grad()
def velocity(model) -> torch.Tensor:
    g = generator_for(5)
    latents, text = torch.randn((1, 3, 16, 4, 6), generator=g), torch.randn((1, 6, TINY.text_dim), generator=g)
    return model(latents, torch.full((1, 3), 500.0), model.text_context(text))


def same(model, source) -> None:
    assert torch.equal(velocity(model), velocity(source))


def test_original_names_are_told_apart_and_agree_with_diffusers_converter(dit):
    from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers

    state = original(dit.state_dict())
    ours = names.canonical(state, names.WAN_DIT, "here")
    theirs = convert_wan_transformer_to_diffusers(dict(state))
    assert ours.keys() == theirs.keys() == dit.state_dict().keys()
    assert all(torch.equal(ours[k], theirs[k]) for k in ours)


def test_every_name_of_paper_scale_is_renamed():
    with torch.device("meta"):
        state = WanDiT(presets.WAN_T2V_1_3B).state_dict()
    back = {names.translate(to_original(k), names.WAN_DIT) for k in state}
    assert back == set(state) and len(state) == 825
    changed = sum(to_original(k) != k for k in state)
    assert changed == len(state) - 2, "only the patch embedding keeps its name"


@pytest.mark.parametrize("whole_pipeline", [True, False])
def test_a_sharded_diffusers_folder(dit, shards, tmp_path, whole_pipeline):
    folder = shards(dit.state_dict(), tmp_path / "transformer")
    same(load_generator(tmp_path if whole_pipeline else folder, config=TINY), dit)


def test_diffusers_own_save(dit, tmp_path):
    from diffusers import WanTransformer3DModel

    theirs = WanTransformer3DModel(
        num_attention_heads=TINY.heads,
        attention_head_dim=TINY.dim // TINY.heads,
        text_dim=TINY.text_dim,
        freq_dim=TINY.freq_dim,
        ffn_dim=TINY.ffn_dim,
        num_layers=TINY.layers,
    )
    theirs.load_state_dict(dit.state_dict())
    theirs.save_pretrained(tmp_path / "transformer")
    model = load_generator(tmp_path, config=TINY)
    same(model, dit)
    g = generator_for(5)
    latents, text = torch.randn((1, 3, 16, 4, 6), generator=g), torch.randn((1, 6, TINY.text_dim), generator=g)
    with torch.no_grad():
        expected = theirs(latents.transpose(1, 2), torch.tensor([500.0]), text).sample.transpose(1, 2)
    torch.testing.assert_close(velocity(model), expected, atol=1e-5, rtol=1e-5)

    config = json.loads((tmp_path / "transformer/config.json").read_text())
    (tmp_path / "transformer/config.json").write_text(json.dumps(config | {"num_attention_heads": 4}))
    with pytest.raises(ReproError, match=r"config\.json: num_attention_heads is 4, not 2"):
        load_generator(tmp_path, config=TINY)


def test_original_safetensors(dit, tmp_path):
    path = tmp_path / "diffusion_pytorch_model.safetensors"
    save_file(original(dit.state_dict()), path)
    same(load_generator(path, config=TINY), dit)
    same(load_generator(tmp_path, config=TINY), dit)


def test_a_training_checkpoint_gives_its_average_unless_told_otherwise(dit, tmp_path):
    path = tmp_path / "self_forcing_dmd.pt"
    other = randomise(WanDiT(TINY), key=1)
    torch.save(
        {
            "generator": original(other.state_dict(), wrapped),
            "generator_ema": original(dit.state_dict(), wrapped),
            "critic": {"x": torch.zeros(1)},
            "step": 7,
        },
        path,
    )
    same(load_generator(path, config=TINY), dit)
    same(load_generator(path, config=TINY, which="plain"), other)


@pytest.mark.parametrize("holder", ["generator_ema", "generator", "model", None])
@pytest.mark.parametrize("archive", [True, False])
def test_every_holder_and_both_formats_of_torch_save(dit, tmp_path, holder, archive):
    path = tmp_path / "model.pt"
    state = original(dit.state_dict())
    torch.save({holder: state} if holder else state, path, _use_new_zipfile_serialization=archive)
    same(load_generator(path, config=TINY), dit)


def test_the_plain_weights_are_not_replaced_by_the_average(dit, tmp_path):
    path = tmp_path / "model.pt"
    torch.save({"generator_ema": original(dit.state_dict())}, path)
    with pytest.raises(ReproError, match=r"hold generator_ema, but none of generator, model"):
        load_generator(path, config=TINY, which="plain")


def adapters(state, rank=3, keys=("to_q", "to_out.0", "ffn.net.0.proj")):
    """Adapters of some layers, {layer: (A, B)}."""
    pairs = {}
    for i, name in enumerate(k for k in state if k.endswith(".weight") and any(f".{key}." in k for key in keys)):
        a = torch.randn((rank, state[name].shape[1]), generator=generator_for(3, i))
        b = torch.randn((state[name].shape[0], rank), generator=generator_for(4, i))
        pairs[name.removesuffix(".weight")] = (0.1 * a, 0.1 * b)
    return pairs


def expected(state, pairs, scale):
    model = WanDiT(TINY).eval()
    model.load_state_dict(
        state | {f"{k}.weight": state[f"{k}.weight"] + scale * (b @ a) for k, (a, b) in pairs.items()}
    )
    return model


@pytest.mark.parametrize(("alpha", "scale"), [(None, 1.0), (6.0, 2.0)])
def test_longlives_adapter_comes_in_a_file_of_its_own(dit, tmp_path, alpha, scale):
    state = dit.state_dict()
    pairs = adapters(state)
    base, adapter = tmp_path / "longlive_base.pt", tmp_path / "lora.pt"
    torch.save({"generator": original(state, lambda k: f"model.{k}")}, base)
    lora = {}
    for layer, (a, b) in pairs.items():
        layer = to_original(f"{layer}.").rstrip(".")
        lora |= {f"base_model.model.{layer}.lora_A.weight": a, f"base_model.model.{layer}.lora_B.weight": b}
    torch.save({"generator_lora": lora, "critic_lora": {}}, adapter)
    model = load_generator(base, config=TINY, adapter=adapter, alpha=alpha)
    torch.testing.assert_close(velocity(model), velocity(expected(state, pairs, scale)), atol=1e-5, rtol=1e-5)
    assert (velocity(model) - velocity(dit)).abs().max() > 1e-2


def test_an_adapter_inside_the_checkpoint_brings_its_alpha(dit, tmp_path):
    state = dit.state_dict()
    pairs = adapters(state)
    inside = {}
    for name, tensor in state.items():
        layer, _, end = name.rpartition(".")
        inside[f"{layer}.base_layer.{end}" if layer in pairs else name] = tensor
    inside = original(inside, wrapped)
    for layer, (a, b) in pairs.items():
        layer = wrapped(to_original(f"{layer}.").rstrip("."))
        inside |= {f"{layer}.lora_A.default.weight": a, f"{layer}.lora_B.default.weight": b}
        inside[f"{layer}.alpha"] = torch.tensor(1.5)
    torch.save({"generator": inside}, tmp_path / "model.pt")
    model = load_generator(tmp_path / "model.pt", config=TINY)
    torch.testing.assert_close(velocity(model), velocity(expected(state, pairs, 0.5)), atol=1e-5, rtol=1e-5)


def test_a_checkpoint_with_its_adapter_beside_the_base_is_never_loaded_without(dit, tmp_path):
    state = dit.state_dict()
    pairs = adapters(state)
    lora = {f"{k}.lora_{part}.weight": pair["AB".index(part)] for k, pair in pairs.items() for part in "AB"}
    path = tmp_path / "model.pt"
    torch.save({"generator": state, "generator_lora": lora, "step": 5}, path)
    model = load_generator(path, config=TINY)
    torch.testing.assert_close(velocity(model), velocity(expected(state, pairs, 1.0)), atol=1e-5, rtol=1e-5)
    torch.save(lora, tmp_path / "lora.pt")
    with pytest.raises(ReproError, match=r"model\.pt hold an adapter of their own: load them without .*lora\.pt"):
        load_generator(path, config=TINY, adapter=tmp_path / "lora.pt")
    torch.save({"generator": state | lora, "generator_lora": lora}, path)
    with pytest.raises(ReproError, match=r"model\.pt hold adapters twice"):
        load_generator(path, config=TINY)


def _no_b(lora):
    del lora["blocks.0.self_attn.q.lora_B.weight"]


def _other_layer(lora):
    for part in "AB":
        lora[f"blocks.9.self_attn.q.lora_{part}.weight"] = lora[f"blocks.0.self_attn.q.lora_{part}.weight"]


def _wrong_width(lora):
    lora["blocks.0.self_attn.q.lora_A.weight"] = torch.zeros(3, 7)


def _no_adapter(lora):
    lora["blocks.0.self_attn.q.weight"] = torch.zeros(1)


def _two(lora):
    lora["blocks.1.self_attn.q.lora_A.other.weight"] = torch.zeros(3, 7)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_no_b, r"the adapter of blocks\.0\.attn1\.to_q\.weight has only lora_A"),
        (_other_layer, r"adapts blocks\.9\.attn1\.to_q\.weight, which the base model lacks"),
        (
            _wrong_width,
            r"blocks\.0\.attn1\.to_q\.weight has shapes \(48, 3\) · \(3, 7\), but the weight has \(48, 48\)",
        ),
        (_no_adapter, r"hold blocks\.0\.self_attn\.q\.weight, which is no adapter's"),
        (_two, r"several adapters"),
        (dict.clear, r"hold no adapter"),
    ],
)
def test_an_adapter_that_does_not_fit_is_named(dit, tmp_path, damage, says):
    torch.save(original(dit.state_dict()), tmp_path / "base.pt")
    lora = {f"blocks.0.self_attn.q.lora_{part}.weight": torch.zeros(s) for part, s in (("A", (3, 48)), ("B", (48, 3)))}
    damage(lora)
    torch.save(lora, tmp_path / "lora.pt")
    with pytest.raises(ReproError, match=rf"lora\.pt.*{says}"):
        load_generator(tmp_path / "base.pt", config=TINY, adapter=tmp_path / "lora.pt")


def _missing(state):
    del state["blocks.1.ffn.0.bias"]


def _extra(state):
    state["img_emb.proj.0.weight"] = torch.zeros(1)


def _narrow(state):
    state["head.head.weight"] = torch.zeros(2, 48)


def _twice(state):
    state["proj_out.weight"] = state["head.head.weight"]


def _no_tensor(state):
    state["head.head.weight"] = 3.0


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_missing, r"does not fit WanDiT of this profile: missing blocks\.1\.ffn\.net\.0\.proj\.bias"),
        (_extra, r"unexpected img_emb\.proj\.0\.weight"),
        (_narrow, r"proj_out\.weight has shape \(2, 48\), not \(64, 48\)"),
        (_twice, r"holds proj_out\.weight twice"),
        (_no_tensor, r"'head\.head\.weight' is a float, not a tensor"),
    ],
)
def test_a_misfit_is_one_error_with_file_key_and_remedy(dit, tmp_path, damage, says):
    state = original(dit.state_dict())
    damage(state)
    torch.save({"generator": state}, tmp_path / "model.pt")
    with pytest.raises(ReproError, match=rf"model\.pt.*{says}"):
        load_generator(tmp_path / "model.pt", config=TINY)


def test_precision_is_the_callers_choice(dit, tmp_path):
    torch.save({k: v.bfloat16() for k, v in dit.state_dict().items()}, tmp_path / "model.pt")
    model = load_generator(tmp_path / "model.pt", config=TINY)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    model = load_generator(tmp_path / "model.pt", config=TINY, dtype=torch.bfloat16)
    assert torch.equal(model.proj_out.weight, dit.proj_out.weight.bfloat16())
