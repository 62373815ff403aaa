"""The stand-in, the real package where it is installed, and small videos."""

from fractions import Fraction

import av
import numpy as np
import pytest
from stand_in import FakePackage

from repro.config import ROOT, load_scale
from repro.evaluation.vbench.package import ENVIRONMENT, Package


@pytest.fixture
def fake():
    return FakePackage()


@pytest.fixture(scope="session")
def real():
    """The real package. CI builds its environment first."""
    if not (ROOT / ENVIRONMENT).exists():
        pytest.skip("VBench's environment is not built: make vbench-env")
    return Package(ROOT / ENVIRONMENT)


@pytest.fixture(scope="session")
def small():
    """Nine frames of 32×48."""
    return load_scale("smoke").geometry.resized(frames=9)


@pytest.fixture(scope="session")
def write_mp4():
    """Write moving noise, which no codec makes two files of alike."""

    def write(path, frames=9, height=32, width=48, fps=16, seed=0, comment=""):
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(seed)
        base = rng.integers(0, 255, (height, width, 3), np.uint8)
        with av.open(str(path), "w") as container:
            if comment:
                container.metadata["comment"] = comment
            stream = container.add_stream("libx264", rate=Fraction(fps))
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for i in range(frames):
                picture = av.VideoFrame.from_ndarray(np.roll(base, i, axis=1), format="rgb24")
                container.mux(stream.encode(picture))
            container.mux(stream.encode())
        return path

    return write
