"""Where published weights come from, and what each table of the paper needs: `weights.csv`, `table_needs.csv`."""

from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from repro.config import CONFIG_DIR, Section, load_rows
from repro.errors import ReproError

Component = Literal["generator", "lora", "text_encoder", "tokenizer", "vae", "tiny", "pipeline"]
NAME = r"^[a-z0-9_]+$"


class WeightSource(Section):
    """One row of `weights.csv`: a published file or folder. Rows that provide the same are alternatives."""

    name: str = Field(pattern=NAME)
    provides: str = Field(pattern=NAME)
    component: Component
    host: Literal["huggingface", "github"]
    repository: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    path: str = Field(pattern=r"^[\w.-]+(/[\w.-]+)*$")
    """File or folder inside the repository."""
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    """Stored precision; none where the size is not worth telling."""
    models: PositiveInt = 1
    """Models of this size in the file: training checkpoints may hold a critic too."""
    rank: PositiveInt | None = None
    note: str = ""

    @field_validator("path")
    @classmethod
    def _inside(cls, path: str) -> str:
        if ".." in path.split("/"):
            raise ValueError("the path must stay inside the repository")
        return path

    @model_validator(mode="after")
    def _sized(self):
        if (self.component == "lora") != (self.rank is not None):
            raise ValueError("a lora, and nothing else, has a rank")
        if (self.component == "tokenizer") != (self.dtype is None):
            raise ValueError("everything but a tokenizer has a dtype")
        return self

    @property
    def is_folder(self) -> bool:
        return "." not in Path(self.path).name

    def place(self, root: Path) -> Path:
        """Where it lies under the weights folder: each repository in a folder of its own name."""
        return Path(root) / self.repository.partition("/")[2] / self.path

    def command(self, root: Path) -> str:
        """The shell command that fetches it there."""
        if self.host == "github":
            url = f"https://github.com/{self.repository}/raw/main/{self.path}"
            return f"curl -L --fail --create-dirs -o {self.place(root)} {url}"
        what = f"--include '{self.path}/*'" if self.is_folder else self.path
        return f"hf download {self.repository} {what} --local-dir {Path(root) / self.repository.partition('/')[2]}"


class TableNeed(Section):
    """One row of `table_needs.csv`: the largest that any row of a paper table asks for."""

    table: int = Field(ge=1, le=9)
    whole_video: bool
    """Whether some row denoises the whole video at once."""
    window_frames: PositiveInt
    decoder: Literal["tiny", "full"]
    quality: str = ""
    """What its quality columns need, as `provides` of weights.csv, separated by spaces."""
    gap: str = ""
    """What no published weights give."""

    @property
    def provides(self) -> list[str]:
        return self.quality.split()


def load_weights(config_dir: Path = CONFIG_DIR) -> dict[str, WeightSource]:
    return load_rows(Path(config_dir) / "weights.csv", WeightSource, "name")


def find_weights(provides: str, root: Path, config_dir: Path = CONFIG_DIR) -> Path:
    """Where what `provides` names lies under the weights folder, in the first layout that is there.

    Raises ReproError with the command of every layout where there is none.
    """
    rows = [source for source in load_weights(config_dir).values() if source.provides == provides]
    if not rows:
        raise ReproError(f"weights.csv has nothing that provides {provides!r}")
    for source in rows:
        if source.place(root).exists():
            return source.place(root)
    commands = "\n  or ".join(source.command(root) for source in rows)
    raise ReproError(f"weights for {provides} are missing in {root}. Fetch them:\n  {commands}")


def load_needs(config_dir: Path = CONFIG_DIR) -> dict[int, TableNeed]:
    """Needs by table number. Raises ReproError where one names what weights.csv does not provide."""
    needs = load_rows(Path(config_dir) / "table_needs.csv", TableNeed, "table")
    provided = {source.provides: None for source in load_weights(config_dir).values()}
    for need in needs.values():
        for name in need.provides:
            if name not in provided:
                raise ReproError(
                    f"table_needs.csv: table {need.table} needs {name!r}, which weights.csv does not provide "
                    f"(it provides {', '.join(provided)})"
                )
    return needs
