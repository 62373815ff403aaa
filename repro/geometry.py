"""Sizes of a video, its latent and its tokens; every other size in the suite is derived here.

Legend: F latent frames, H and W latent height and width, T tokens.
"""

from pydantic import BaseModel, ConfigDict, PositiveInt, model_validator


class Geometry(BaseModel):
    """Pixel size, compression and patching of one scale.

    The first video frame stands alone in its latent frame; every later latent frame holds
    `temporal_compression` video frames.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    frames: PositiveInt
    height: PositiveInt
    width: PositiveInt
    fps: PositiveInt = 16
    latent_channels: PositiveInt = 16
    temporal_compression: PositiveInt = 4
    spatial_compression: PositiveInt = 8
    patch: PositiveInt = 2
    chunk_frames: PositiveInt = 3

    @model_validator(mode="after")
    def _divides(self):
        cell = self.spatial_compression * self.patch
        if self.height % cell or self.width % cell:
            raise ValueError(f"height {self.height} and width {self.width} must be multiples of {cell}")
        if (self.frames - 1) % self.temporal_compression:
            raise ValueError(f"frames {self.frames} must be 1 + a multiple of {self.temporal_compression}")
        if self.latent_frames % self.chunk_frames:
            raise ValueError(f"{self.latent_frames} latent frames do not split into chunks of {self.chunk_frames}")
        return self

    @property
    def latent_frames(self) -> int:
        return 1 + (self.frames - 1) // self.temporal_compression

    @property
    def latent_height(self) -> int:
        return self.height // self.spatial_compression

    @property
    def latent_width(self) -> int:
        return self.width // self.spatial_compression

    @property
    def tokens_per_frame(self) -> int:
        return (self.latent_height // self.patch) * (self.latent_width // self.patch)

    @property
    def chunks(self) -> int:
        return self.latent_frames // self.chunk_frames

    @property
    def latent_shape(self) -> tuple[int, int, int, int]:
        """(F, C, H, W) of one video."""
        return (self.latent_frames, self.latent_channels, self.latent_height, self.latent_width)

    @property
    def enlargement(self) -> int:
        """How many times a pixel is enlarged for people: small videos are shown some 450 pixels wide."""
        return max(1, 448 // self.width)

    def tokens(self, frames: int) -> int:
        """Tokens in `frames` latent frames."""
        return frames * self.tokens_per_frame

    def video_frames(self, start: int, count: int) -> int:
        """Video frames decoded from latent frames start … start+count−1 of a stream."""
        alone = 1 if start == 0 else 0
        return alone + (count - alone) * self.temporal_compression

    def resized(self, **sizes: int) -> "Geometry":
        """The same with other sizes, checked again."""
        return Geometry(**(self.model_dump() | sizes))

    def with_chunk_frames(self, chunk_frames: int) -> "Geometry":
        return self.resized(chunk_frames=chunk_frames)
