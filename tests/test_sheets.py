"""`check` reads every sheet of config/, and one that is spoilt is refused by its name."""

import shutil

import pytest

from repro import sheets
from repro.config import CONFIG_DIR
from repro.errors import ReproError

FILES = sorted(
    p.relative_to(CONFIG_DIR).as_posix() for p in CONFIG_DIR.rglob("*.[cy][sa]*") if p.parent.name != "schemas"
)
PROFILES = {"mini.yaml", "smoke.yaml", "wan.yaml"}


def test_no_sheet_is_left_out():
    assert {*FILES} - PROFILES == {*sheets.READERS, "story.csv"}


@pytest.mark.parametrize("damage", ["binary", "a row too many", "gone"])
@pytest.mark.parametrize("file", sorted({*FILES} - PROFILES))
def test_a_spoilt_sheet_is_refused_by_name(file, damage, smoke, tmp_path):
    shutil.copytree(CONFIG_DIR, tmp_path / "config")
    path = tmp_path / "config" / file
    match damage:
        case "binary":
            path.write_bytes(path.read_bytes() + b"\xff\xfe")
        case "a row too many":
            text = path.read_text()
            path.write_text(text + (text.splitlines()[-1] if file.endswith(".csv") else "\nmore: 1\n"))
        case "gone":
            path.unlink()
    with pytest.raises(ReproError, match=path.name):
        sheets.check(smoke, tmp_path / "config")


def test_the_sheets_as_they_are_pass(smoke):
    assert sheets.check(smoke) == len(sheets.READERS) + 1
