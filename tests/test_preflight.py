"""Sheets of published weights, the byte model against the paper's and the published sizes, and the verb itself."""

import io
import shutil

import pytest
import torch
from rich.console import Console

from repro import footprint, preflight
from repro.__main__ import main
from repro.config import CONFIG_DIR, load_runs
from repro.errors import ReproError
from repro.models.presets import WAN_T2V_1_3B
from repro.models.wan import WanConfig, WanDiT
from repro.preflight import WAN_VIDEO, Found
from repro.reporting import paper
from repro.sources import load_needs, load_weights
from repro.training.loop import generator_for

TINY = WanConfig(dim=48, heads=2, layers=2, ffn_dim=80, text_dim=24, text_tokens=6)


def test_every_table_has_a_row_and_quality_columns_name_their_weights():
    needs, sources = load_needs(), load_weights()
    assert list(needs) == sorted({cell.table for cell in paper.load()})
    for need in needs.values():
        _, quality = preflight.cells(need.table)
        assert bool(need.provides) == bool(quality)
    used = {name for need in needs.values() for name in need.provides}
    assert used == {source.provides for source in sources.values()}


def test_every_run_fits_into_its_tables_window():
    needs = load_needs()
    for run in load_runs().values():
        for name in run.rows:
            if name.startswith("table") and run.window_frames:
                assert run.window_frames + run.sink_frames <= needs[int(name[5:])].window_frames


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("weights.csv", "madebyollin/taehv,taew2_1.pth", "madebyollin/taehv,../taew2_1.pth", "stay inside the repo"),
        ("weights.csv", "models/lora.pt,float32,2,256", "models/lora.pt,float32,2,", "a lora, and nothing else"),
        ("weights.csv", "taew2_1.pth,float16", "taew2_1.pth,", "everything but a tokenizer has a dtype"),
        ("weights.csv", "github,", "gitlab,", r"host = 'gitlab'"),
        ("weights.csv", "self_forcing,self_forcing,", "causvid,self_forcing,", "'causvid' appears twice"),
        ("table_needs.csv", "2,false,18", "2,maybe,18", r"line 3: whole_video = 'maybe'"),
        ("table_needs.csv", "umt5 tokenizer vae taehv wan2_1", "umt6", "needs 'umt6', which weights.csv does not"),
    ],
)
def test_a_bad_row_is_named(tmp_path, file, old, new, says):
    for name in ("weights.csv", "table_needs.csv"):
        shutil.copy(CONFIG_DIR / name, tmp_path)
    content = (tmp_path / file).read_text()
    assert old in content
    (tmp_path / file).write_text(content.replace(old, new, 1))
    with pytest.raises(ReproError, match=says):
        load_needs(tmp_path)


def test_memory_grows_with_the_window_as_the_paper_measured():
    """Table 4: 14.9 GB at a window of 3 frames, 21.8 GB at 27. Its last digit is 0.1 GB."""
    need = load_needs()[4]
    table = paper.table(4)
    for low, high in ((3, 27), (3, 12), (12, 27)):
        ours = [
            footprint.run_bytes(need.model_copy(update={"window_frames": w}), WAN_VIDEO, WAN_T2V_1_3B).generation / 1e9
            for w in (low, high)
        ]
        printed = [float(table[f"window_{w}", "memory_gb"].value) for w in (low, high)]
        assert ours[1] - ours[0] == pytest.approx(printed[1] - printed[0], abs=0.1)
        assert ours[1] < printed[1], "a lower bound"


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("wan2_1", 5_676_070_424),
        ("causvid", 11_352_649_716),
        ("longlive_base", 5_676_334_208),
        ("longlive_lora", 2_800_056_690),
        ("umt5", 11_361_920_418),
        ("vae", 507_609_880),
    ],
)
def test_sizes_on_disk_are_the_published_ones(name, published):
    """A file also holds names and shapes: some hundred bytes a tensor."""
    named = published - footprint.disk_bytes(load_weights()[name], WAN_T2V_1_3B)
    assert 0 < named < 2e-4 * published


def test_an_adapter_has_two_matrices_a_layer():
    model = WanDiT(TINY)
    square, ffn = 2 * TINY.layers * 4 * (48 + 48), TINY.layers * 2 * (48 + 80)
    assert footprint.adapter_parameters(model, 3) == 3 * (square + ffn)


def test_the_largest_layer_is_what_it_reads_and_writes():
    net = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.Linear(32, 2))
    with footprint.largest_layer(net) as largest:
        net(torch.zeros(5, 8))
    assert largest() == 5 * (8 + 32) * 4
    assert not net[0]._forward_hooks


def test_denoising_needs_more_for_a_whole_video():
    whole = load_needs()[1]
    chunk = whole.model_copy(update={"whole_video": False})
    a, b = (footprint.run_bytes(need, WAN_VIDEO, WAN_T2V_1_3B) for need in (whole, chunk))
    assert a.denoising == 7 * b.denoising and a.decoding == b.decoding > 1e9 and a.cache == b.cache


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A small Self-Forcing checkpoint, in its place."""
    root = tmp_path_factory.mktemp("weights")
    path = load_weights()["self_forcing"].place(root)
    path.parent.mkdir(parents=True)
    model = WanDiT(TINY)
    model.init_weights(generator_for(0))
    torch.save({"generator_ema": {f"model.{k}": v for k, v in model.state_dict().items()}}, path)
    return root


def report(root, config=TINY) -> tuple[str, str]:
    """What is printed, and the error."""
    out, error = io.StringIO(), ""
    try:
        preflight.wan(root, Console(file=out, width=400), config)
    except ReproError as caught:
        error = str(caught)
    return out.getvalue(), error


def line(printed: str, start: str) -> str:
    return next(row for row in printed.splitlines() if start in row)


def test_a_fitting_file_is_told_from_missing_ones(checkpoint):
    printed, error = report(checkpoint)
    assert not error
    assert "present, fits" in line(printed, "self_forcing_dmd.pt")
    assert "missing" in line(printed, "lora.pt")
    assert "hf download gdhe17/Self-Forcing" not in printed
    where = checkpoint / "LongLive-1.3B"
    assert f"hf download Efficient-Large-Model/LongLive-1.3B models/lora.pt --local-dir {where}\n" in printed
    assert f"{checkpoint / 'taehv/taew2_1.pth'} https://github.com/madebyollin/taehv/raw/main/taew2_1.pth" in printed
    assert printed.count("hf download") == 8, "one command for two rows that provide the same"


def test_a_truncated_file_fails_with_its_name(checkpoint, tmp_path):
    root = shutil.copytree(checkpoint, tmp_path / "weights")
    path = load_weights()["self_forcing"].place(root)
    path.write_bytes(path.read_bytes()[:-1000])
    printed, error = report(root)
    assert "does not fit" in line(printed, "self_forcing_dmd.pt")
    assert error.startswith(f"weights {path} are a PyTorch file without its end: truncated")


def test_a_file_of_another_size_fails_with_its_key(checkpoint):
    _, error = report(checkpoint, TINY.model_copy(update={"layers": 3}))
    assert "self_forcing_dmd.pt does not fit WanDiT" in error and "missing blocks.2." in error


def test_alternatives_count_once_and_the_one_that_is_there_is_taken():
    sources, need = load_weights(), load_needs()[3]
    found = [Found(s, s.place(preflight.Path("weights")), missing=True) for s in sources.values()]
    assert preflight.lacking(need, found) == need.provides
    small = preflight.needed_bytes(need, found, WAN_T2V_1_3B)
    there = [Found(f.source, f.place) if f.source.name == "umt5_diffusers" else f for f in found]
    assert "umt5" not in preflight.lacking(need, there)
    umt5 = footprint.disk_bytes(sources["umt5"], WAN_T2V_1_3B)
    assert preflight.needed_bytes(need, there, WAN_T2V_1_3B) == small + umt5, "twice the bytes in fp32"


def call(monkeypatch, capsys, *arguments):
    monkeypatch.setattr("sys.argv", ["repro", "preflight", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    return stop.value.code or 0, capsys.readouterr()


def test_missing_weights_are_no_failure(monkeypatch, capsys, tmp_path):
    code, said = call(monkeypatch, capsys, "--weights", tmp_path / "none")
    assert (code == 0 and "18 cells: ready" in said.out.replace("\n", " ")) or "ready" in said.out
    assert not (tmp_path / "none").exists()


def test_mini_tells_present_from_altered(monkeypatch, capsys, tmp_path):
    folder = tmp_path / "checkpoints"
    shutil.copytree(preflight.SHIPPED, folder)
    assert call(monkeypatch, capsys, "--profile", "mini", "--checkpoints", folder)[0] == 0
    (folder / "vae.safetensors").write_bytes(b"no")
    (folder / "ode.safetensors").unlink()
    code, said = call(monkeypatch, capsys, "--profile", "mini", "--checkpoints", folder)
    assert code == 2 and "ode.safetensors is missing, vae.safetensors is altered" in said.err
    assert call(monkeypatch, capsys, "--profile", "smoke")[0] == 2
