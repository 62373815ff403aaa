"""What a chunk leaves in the KV cache for the chunks after it (docs/method.md, KV cache)."""

from dataclasses import dataclass

from repro.schedule import FORCING_TIMESTEP, CacheMode


@dataclass(frozen=True)
class CachePolicy:
    """Keep the keys and values of each chunk at one nominal noise level.

    Every forward writes its chunk's slot, so the slot already holds the last step's. An extra
    forward, the cache pass, is made only where that step was at another level. Level 0 is
    Self-Forcing (always a pass, on the clean chunk); the last step's own level is diagonal forcing
    (never a pass).
    """

    noise_level: int

    def __post_init__(self):
        if not 0 <= self.noise_level <= 1000:
            raise ValueError(f"noise_level {self.noise_level} must lie between 0 (clean) and 1000")

    def needs_pass(self, last_timestep: int) -> bool:
        return last_timestep != self.noise_level


POLICIES: dict[CacheMode, CachePolicy] = {
    "self": CachePolicy(0),
    "diagonal": CachePolicy(FORCING_TIMESTEP),
}
