"""What a measurement wrote is read whole, or refused by name with the command that makes it again."""

import numpy as np
import pandas as pd
import pytest

from repro.errors import ReproError
from repro.models import weights
from repro.reporting import stored

MAKER = "snakemake --cores all story"


def written(folder, name="scores.csv.gz"):
    pd.DataFrame({"seed": range(500), "total": np.random.default_rng(0).random(500)}).to_csv(folder / name, index=False)
    return folder / name


def test_a_whole_table_is_read_with_its_options(tmp_path):
    found = stored.table(written(tmp_path), MAKER, ("seed", "total"), dtype={"seed": str})
    assert len(found) == 500 and found["seed"].iloc[7] == "7"


@pytest.mark.parametrize("bytes_left", [0, 5, 300])
def test_a_table_that_is_cut_off_is_refused(tmp_path, bytes_left):
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[:bytes_left])
    with pytest.raises(ReproError, match=rf"scores\.csv\.gz cannot be read .* again with {MAKER}"):
        stored.table(path, MAKER)


def test_tables_with_gaps_or_without_rows_are_refused(tmp_path):
    path = written(tmp_path, "scores.csv")
    with pytest.raises(ReproError, match="lacks column text"):
        stored.table(path, MAKER, ("seed", "text"))
    path.write_text("seed,total\n1,\n")
    with pytest.raises(ReproError, match="has a gap in column total, line 2"):
        stored.table(path, MAKER, ("seed", "total"))
    path.write_text("seed,total\n1,0.5\n2,high\n")
    with pytest.raises(ReproError, match="has high in column total, line 3"):
        stored.table(path, MAKER, ("seed", "total"))
    path.write_text("seed,total\n1,0.5\n2,inf\n")
    with pytest.raises(ReproError, match="has inf in column total, line 3"):
        stored.table(path, MAKER, ("seed", "total"))
    path.write_text("seed,total\n1,0.5\n1,0.6\n")
    with pytest.raises(ReproError, match="has seed 1 twice"):
        stored.table(path, MAKER, ("seed", "total"), ("seed",))
    path.write_text("seed,total\n")
    with pytest.raises(ReproError, match="has no rows"):
        stored.table(path, MAKER, ("seed", "total"))


def test_what_is_missing_is_named_with_its_maker(tmp_path):
    for read in (lambda p: stored.table(p, MAKER), lambda p: stored.arrays(p, MAKER, ("frames",))):
        with pytest.raises(ReproError, match=f"nowhere is missing: make it with {MAKER}"):
            read(tmp_path / "nowhere")


def test_arrays_are_whole_and_never_pickled(tmp_path):
    path = tmp_path / "frames.npz"
    np.savez(path, frames=np.arange(9), rows=np.array(["a"]))
    frames, rows = stored.arrays(path, MAKER, ("frames", "rows"))
    assert frames.sum() == 36 and rows[0] == "a"
    with pytest.raises(ReproError, match="captions"):
        stored.arrays(path, MAKER, ("frames", "captions"))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ReproError, match=r"frames\.npz cannot be read"):
        stored.arrays(path, MAKER, ("frames",))
    np.savez(path, frames=np.array([{}], dtype=object))
    with pytest.raises(ReproError, match="cannot be read"):
        stored.arrays(path, MAKER, ("frames",))


def test_hashes_name_the_checkpoint_that_is_missing(tmp_path):
    (tmp_path / "judge.safetensors").write_bytes(b"x")
    assert len(weights.hashes(tmp_path, ["judge"])["judge"]) == 64
    with pytest.raises(ReproError, match=r"checkpoint .*full-s1\.safetensors is missing"):
        weights.hashes(tmp_path, ["judge", "full-s1"])
