"""Denoising schedules: one digit a chunk, `4322222` (docs/method.md, Time and NFE)."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from repro.errors import ReproError
from repro.flow import nominal_to_sigma

CacheMode = Literal["self", "diagonal"]

FORCING_TIMESTEP = 100
"""Nominal timestep of a chunk's last step: the diagonal-forcing noise level."""

# Nominal timesteps by step count, highest noise first.
STEP_LISTS: dict[str, dict[int, tuple[int, ...]]] = {
    "default": {
        1: (1000,),
        2: (1000, 100),
        3: (1000, 750, 100),
        4: (1000, 750, 500, 100),
        5: (1000, 750, 500, 250, 100),
    },
    # The authors' first release: raw 933 and 733 stand in for warped 750 and 500.
    "release_v1": {
        1: (1000,),
        2: (1000, 100),
        3: (1000, 933, 100),
        4: (1000, 933, 733, 100),
        5: (1000, 933, 733, 250, 100),
    },
    # What Self-Forcing's published weights were trained with.
    "self_forcing": {4: (1000, 750, 500, 250)},
}


class Schedule(BaseModel):
    """Steps of every chunk of one video. Make it with `Schedule.parse`."""

    model_config = ConfigDict(frozen=True)

    text: str
    counts: tuple[int, ...]
    steps: str = "default"

    @classmethod
    def parse(cls, text: str, chunks: int, *, cycle: bool = False, steps: str = "default") -> "Schedule":
        """Read `text` for a video of `chunks` chunks.

        A shorter string repeats its last digit, or the whole of itself with `cycle`.
        Raises ReproError naming the string and the position of what is wrong.
        """
        text = str(text)
        if steps not in STEP_LISTS:
            raise ReproError(f"unknown step list {steps!r}: choose one of {', '.join(STEP_LISTS)}")
        longest = max(STEP_LISTS[steps])
        if not text:
            raise ReproError("schedule '' is empty: write one digit a chunk, such as 4322222")
        for position, digit in enumerate(text, start=1):
            if digit not in "123456789":
                raise ReproError(
                    f"schedule {text!r}, position {position}: {digit!r} is not a step count "
                    f"(digits 1 to {longest}, one a chunk, such as 4322222)"
                )
            if int(digit) > longest:
                raise ReproError(
                    f"schedule {text!r}, position {position}: {digit} steps, but step list "
                    f"{steps!r} goes up to {longest}"
                )
            if int(digit) not in STEP_LISTS[steps]:
                raise ReproError(
                    f"schedule {text!r}, position {position}: step list {steps!r} has none of {digit} steps"
                )
        if len(text) > chunks:
            raise ReproError(
                f"schedule {text!r} is longer than the video: {len(text)} digits for {chunks} chunks "
                f"(position {chunks + 1} is one too many)"
            )
        digits = [int(d) for d in text]
        counts = tuple(digits[k % len(digits)] if cycle else digits[min(k, len(digits) - 1)] for k in range(chunks))
        return cls(text=text, counts=counts, steps=steps)

    @property
    def chunks(self) -> int:
        return len(self.counts)

    def timesteps(self, chunk: int) -> tuple[int, ...]:
        """Nominal timesteps of a chunk, highest noise first."""
        return STEP_LISTS[self.steps][self.counts[chunk]]

    def sigmas(self, chunk: int, shift: float) -> tuple[float, ...]:
        """Warped noise levels of a chunk's steps."""
        return tuple(nominal_to_sigma(t, shift) for t in self.timesteps(chunk))

    @property
    def total_steps(self) -> int:
        return sum(self.counts)

    @property
    def paper_nfe(self) -> int:
        """2·Σ(steps): the NFE column of Tables 3, 5 and 6."""
        return 2 * self.total_steps

    def forwards(self, mode: CacheMode, noise_level: int = FORCING_TIMESTEP) -> int:
        """Transformer calls made, cache passes included.

        `self` adds one clean cache pass a chunk; `diagonal` adds one only where the chunk's last
        step is not at `noise_level`, so its keys and values are not the ones to keep.
        """
        if mode == "self":
            return self.total_steps + self.chunks
        extra = sum(self.timesteps(k)[-1] != noise_level for k in range(self.chunks))
        return self.total_steps + extra
