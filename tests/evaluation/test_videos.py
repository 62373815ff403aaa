"""Animations: what a viewer sees of the clips, and the same noise for every system."""

import numpy as np
from PIL import Image

from repro.config import load_runs, load_systems
from repro.evaluation.videos import EVERY, GAP, LABEL, animate, write_videos


def test_clips_lie_side_by_side_at_their_speed(tmp_path):
    grey = np.full((9, 3, 8, 10), 128, np.uint8)
    rising = np.broadcast_to(np.arange(0, 90, 10, dtype=np.uint8)[:, None, None, None], (9, 3, 8, 10))
    path = animate({"a": grey, "b": rising}, 16, tmp_path / "x.gif")
    with Image.open(path) as film:
        assert film.n_frames == -(-9 // EVERY) and film.size == (2 * 10 + GAP, LABEL + 8)
        assert abs(film.info["duration"] - 1000 * EVERY / 16) < 10  # GIF counts in hundredths of a second.
        for t in range(film.n_frames):
            film.seek(t)
            page = np.asarray(film.convert("RGB"))
            assert (page[LABEL:, :10] == 128).all() and (page[LABEL:, 10 + GAP :] == 10 * EVERY * t).all()


def test_every_prompt_is_written_with_its_caption(everything, smoke, tmp_path):
    systems, runs = load_systems(), load_runs()
    rows = [(systems[n], runs[systems[n].run]) for n in ("real", "diagonal_4322222")]
    write_videos(smoke, rows, 2, everything, tmp_path / "v", "cpu")
    assert sorted(p.name for p in (tmp_path / "v").iterdir()) == ["00.gif", "01.gif", "README.md"]
    assert (tmp_path / "v" / "README.md").read_text().count("![") == 2
