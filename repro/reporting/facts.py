"""What the code of this repository says about the paper's numbers: sizes of the constructed models, steps, noise.

Models are built at paper scale without storage, so that counting them takes seconds and no memory.
"""

from collections.abc import Callable
from functools import cache

from repro.config import load_scale
from repro.evaluation.dimensions import SEMANTIC
from repro.flow import TIMESTEPS, add_noise, nominal_to_sigma
from repro.schedule import FORCING_TIMESTEP, Schedule

GB, MILLION = 1e9, 1e6
WAN = load_scale("wan")
CHUNKS = WAN.geometry.chunks


@cache
def _parameters(component: str) -> int:
    from repro.footprint import build, parameters
    from repro.models.presets import WAN_T2V_1_3B

    return parameters(build(component, WAN_T2V_1_3B))


@cache
def _decoder_parameters(component: str) -> int:
    from repro.evaluation.codecs import decoder_parameters
    from repro.footprint import build
    from repro.models.presets import WAN_T2V_1_3B
    from repro.models.vae import Vae

    model = build(component, WAN_T2V_1_3B)
    return decoder_parameters(Vae(model, model.config.z_dim) if component == "vae" else model)


def _bf16_gb(component: str) -> float:
    from repro.footprint import RUN_DTYPE

    return _parameters(component) * RUN_DTYPE.itemsize / GB


@cache
def _cache_gb(chunks: int) -> float:
    """Keys and values of all layers for a window of so many chunks."""
    from repro.footprint import META, RUN_DTYPE, tensor_bytes
    from repro.models.kv_cache import KVCache
    from repro.models.presets import WAN_T2V_1_3B

    frames = chunks * WAN.geometry.chunk_frames
    kept = KVCache(WAN_T2V_1_3B, WAN.geometry, 1, frames, device=META, dtype=RUN_DTYPE)
    return tensor_bytes(list(vars(kept).values())) / GB


def _cache_gb_per_frame() -> float:
    return (_cache_gb(2) - _cache_gb(1)) / WAN.geometry.chunk_frames


FACTS: dict[str, Callable[[], float]] = {
    "frames": lambda: WAN.geometry.frames,
    "fps": lambda: WAN.geometry.fps,
    "latent_frames": lambda: WAN.geometry.latent_frames,
    "chunks": lambda: CHUNKS,
    "chunk_frames": lambda: WAN.geometry.chunk_frames,
    "temporal_compression": lambda: WAN.geometry.temporal_compression,
    "full_decoder_m": lambda: _decoder_parameters("vae") / MILLION,
    "tiny_decoder_m": lambda: _decoder_parameters("tiny") / MILLION,
    "dit_gb": lambda: _bf16_gb("generator"),
    "text_encoder_gb": lambda: _bf16_gb("text_encoder"),
    "cache_gb_per_frame": _cache_gb_per_frame,
    "semantic_dimensions": lambda: len(SEMANTIC),
    "warped_forcing": lambda: TIMESTEPS * nominal_to_sigma(FORCING_TIMESTEP, WAN.flow.shift),
    "data_share_at_1000": lambda: add_noise(1.0, 0.0, nominal_to_sigma(TIMESTEPS, WAN.flow.shift)),
}
"""Name → the fact, computed when it is asked for."""


def _schedule(steps: str) -> Schedule:
    return Schedule.parse(steps, max(CHUNKS, len(steps)))


FUNCTIONS: dict[str, Callable] = {
    "nfe": lambda steps: _schedule(steps).paper_nfe,
    "total_steps": lambda steps: _schedule(steps).total_steps,
    "last_steps": lambda steps: _schedule(steps).counts[-1],
    "steps_of": lambda steps, chunk: _schedule(steps).counts[chunk - 1],
    "forwards": lambda steps, mode: _schedule(steps).forwards(mode),
    "digits": len,
    "possible_counts": lambda rate, votes: _possible_counts(rate, votes),
    "binomial_p": lambda rate, votes: _binomial_p(rate, votes),
}
"""Functions of a schedule, `"4322222"`, and of a printed percentage of votes."""


def _possible_counts(rate, votes) -> int:
    """How many whole numbers of votes lie within a printed percentage."""
    from math import ceil, floor

    low, high = float(rate.a) / 100 * float(votes.mid), float(rate.b) / 100 * float(votes.mid)
    return max(0, floor(high) - ceil(low) + 1)


def _binomial_p(rate, votes) -> list[float]:
    """Exact two-sided p against one half, of the lowest and highest count that a printed percentage allows."""
    from statsmodels.stats.proportion import binom_test

    n = round(float(votes.mid))
    return sorted(float(binom_test(round(float(end) / 100 * n), n, 0.5)) for end in (rate.a, rate.b))
