"""From a design to a folder: a static page without names of models, the collector's database, and links to send.

<out>/page/index.html, survey.js, style.css     the same for everyone
<out>/page/tasks/<page>.json                    one participant's tasks, under an opaque name
<out>/page/videos/<opaque>.mp4                  copies without metadata
<out>/study.sqlite, links.csv                   not public: plan, keys, answers; one link a participant
"""

import csv
import hashlib
import hmac
import json
import secrets
import shutil
from pathlib import Path

import pandas as pd
from rich.progress import track

from repro.errors import ReproError
from repro.files import require_writable
from repro.user_study.design import DEGRADED, Design
from repro.user_study.plan import make
from repro.user_study.questions import MAX_TEXT
from repro.user_study.store import Store

ASSETS = Path(__file__).parent / "page"
SUFFIXES = (".mp4", ".webm")
NOISE = 90.0
"""Standard deviation of the grey levels' noise that spoils the video of an attention check."""


def build(design: Design, prompts: Path, videos: Path, out: Path, address: str) -> int:
    """Write the survey; returns how many videos it has. `videos` holds `<method>/<prompt>.mp4` or `.webm`.

    Everything is made in a folder beside `out`, which takes its place at the end. Raises ReproError for a prompt or
    video that is missing, and for a folder that holds a survey already: its answers and links must not be lost.
    """
    out = Path(out)
    if out.exists() and any(out.iterdir()):
        raise ReproError(f"{out} is not empty: a survey there may have answers. Choose another --out, or remove it")
    plan = make(design)
    texts = read_prompts(prompts, design)
    files = find_videos(plan, Path(videos))
    require_writable(out.parent)
    making = out.with_name(f".{out.name}-{secrets.token_hex(4)}")
    try:
        _write(design, plan, texts, files, making, address)
        if out.exists():
            out.rmdir()
        making.replace(out)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return len(files)


def _write(design, plan, texts, files, out: Path, address: str) -> None:
    salt = secrets.token_bytes(32)
    page = out / "page"
    (page / "tasks").mkdir(parents=True)
    (page / "videos").mkdir()
    names = {}
    for (method, prompt), source in track(files.items(), description="videos"):
        opaque = hmac.new(salt, f"{method}/{prompt}".encode(), hashlib.sha256).hexdigest()[:20]
        names[method, prompt] = f"{opaque}{source.suffix}"
        copy_video(source, page / "videos" / names[method, prompt], spoil=method == DEGRADED)
    people = list(dict.fromkeys(plan["participant"]))
    links = pd.DataFrame(
        [(person, secrets.token_hex(8), secrets.token_urlsafe(24)) for person in people],
        columns=["participant", "page", "key"],
    )
    for person, name in zip(links["participant"], links["page"], strict=True):
        own = plan[plan["participant"] == person].to_dict("records")
        (page / "tasks" / f"{name}.json").write_text(json.dumps([shown(task, texts, names) for task in own]))
    for asset in ("survey.js", "style.css"):
        shutil.copyfile(ASSETS / asset, page / asset)
    (page / "index.html").write_text(html(design))
    Store.create(out / "study.sqlite", design, plan, links)
    with (out / "links.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(("participant", "link"))
        writer.writerows((r.participant, f"{address.rstrip('/')}/#{r.page}.{r.key}") for r in links.itertuples())


def html(design: Design) -> str:
    """The page with the questionnaire in it, as JSON that the script reads."""
    parts = {
        part.key: {
            "title": part.title,
            "questions": [
                {"key": q.key, "text": q.text, "options": q.options, "required": q.required} for q in part.questions
            ],
        }
        for part in design.parts.values()
    }
    # "</" inside JSON would end the script element.
    data = json.dumps({"parts": parts, "maxText": MAX_TEXT}).replace("</", "<\\/")
    title = design.title.replace("&", "&amp;").replace("<", "&lt;")
    return (ASSETS / "index.html").read_text().replace("@TITLE@", title).replace("@STUDY@", data)


def shown(task: dict, texts: dict[str, str], names: dict) -> dict:
    """What a page may know of a task: nothing of methods, of checks or of repeats."""
    videos = [names[method, task["prompt"]] for method in (task["left"], task["right"]) if method]
    return {"task": task["task"], "part": task["part"], "prompt": texts.get(task["prompt"], ""), "videos": videos}


def read_prompts(path: Path, design: Design) -> dict[str, str]:
    """Prompt name → text, from a CSV with the columns prompt and text."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        texts = dict(zip(table["prompt"], table["text"], strict=True))
    except (OSError, ValueError, KeyError) as error:
        raise ReproError(f"prompts {path} cannot be read ({error}): write a CSV with columns prompt,text") from error
    missing = [name for name in (*design.prompt_names, *design.dynamic_names) if not texts.get(name)]
    if missing:
        raise ReproError(f"{path} has no text for {len(missing)} prompts of the design, {missing[0]!r} first: add rows")
    return texts


def find_videos(plan: pd.DataFrame, folder: Path) -> dict[tuple[str, str], Path]:
    """(method, prompt) → file, for all that the plan shows; a spoilt video is made from the one beside it."""
    shown_rows = plan[plan["left"] != ""]
    needed = {}
    for task in shown_rows.to_dict("records"):
        for method in filter(None, (task["left"], task["right"])):
            source = task["right"] if task["left"] == DEGRADED else task["left"]
            needed.setdefault((method, task["prompt"]), source if method == DEGRADED else method)
    found, missing = {}, []
    for (method, prompt), source in sorted(needed.items()):
        paths = [p for p in (folder / source / f"{prompt}{s}" for s in SUFFIXES) if p.is_file()]
        if paths:
            found[method, prompt] = paths[0]
        else:
            missing.append(f"{source}/{prompt}.mp4")
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise ReproError(f"{folder} lacks {', '.join(missing[:3])}{more}: put one video a method and prompt there")
    return found


def copy_video(source: Path, target: Path, *, spoil: bool = False) -> None:
    """The pictures of a video without metadata or sound; with `spoil`, under heavy noise (an attention check's)."""
    import av
    import numpy as np

    noise = np.random.default_rng(0)
    try:
        with av.open(str(source)) as read, av.open(str(target), "w", options={"fflags": "+bitexact"}) as write:
            old = read.streams.video[0]
            if spoil:
                new = write.add_stream("libx264" if target.suffix == ".mp4" else "libvpx-vp9", old.average_rate)
                new.width, new.height, new.pix_fmt = old.width, old.height, "yuv420p"
                for frame in read.decode(old):
                    grey = frame.to_ndarray(format="rgb24") + noise.normal(0, NOISE, (old.height, old.width, 1))
                    spoilt = av.VideoFrame.from_ndarray(grey.clip(0, 255).astype("uint8"), format="rgb24")
                    write.mux(new.encode(spoilt))
                write.mux(new.encode())
            else:
                new = write.add_stream_from_template(old)
                new.metadata.clear()
                for packet in read.demux(old):
                    if packet.dts is not None:
                        packet.stream = new
                        write.mux(packet)
    except (av.FFmpegError, IndexError) as error:
        raise ReproError(f"video {source} cannot be read ({error}): make it again") from error
