"""Publishing copies every part, and nothing where one is missing or too large."""

import pytest

from repro.errors import ReproError
from repro.reporting import publish


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    for part in publish.WORLD_PARTS:
        path = folder / part.replace("*", "a", 1).replace("*", "b")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(part)
    (folder / "runs" / "a" / "clips.npy").write_text("large")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "vae.safetensors").write_text("weights")
    return folder


def test_every_part_and_nothing_else_is_copied(results, tmp_path):
    copied = publish.publish(results, tmp_path / "out")
    assert len(copied) == len(publish.WORLD_PARTS)
    assert {p for p in (tmp_path / "out").rglob("*") if p.is_file()} == set(copied)
    assert (tmp_path / "out" / "metrics.csv").read_text() == "metrics.csv"


def test_a_missing_part_is_named_and_nothing_copied(results, tmp_path):
    (results / "runs" / "a" / "timing.json").unlink()
    with pytest.raises(ReproError, match=r"has no runs/\*/timing\.json: run the workflow"):
        publish.publish(results, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_too_large_is_named_and_nothing_copied(results, tmp_path):
    (results / "figures" / "a.png").write_bytes(bytes(publish.MAX_BYTES + 1))
    with pytest.raises(ReproError, match=r"a\.png has 3000001 bytes"):
        publish.publish(results, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_speed_publishes_its_tables_without_the_records_of_a_gpu(tmp_path):
    for name in ("tables/table4.md", "figures/ladder.png", "notebooks/speed.ipynb"):
        (tmp_path / "wan" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "wan" / name).write_text("x")
    copied = publish.publish(tmp_path / "wan", tmp_path / "out", "speed")
    assert {p.relative_to(tmp_path / "out").parts[0] for p in copied} == {"tables", "figures", "notebooks"}
    (tmp_path / "wan" / "figures" / "ladder.png").unlink()
    with pytest.raises(ReproError, match="has no figures"):
        publish.publish(tmp_path / "wan", tmp_path / "out", "speed")
