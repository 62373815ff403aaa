"""The students of students.csv: what a row starts from, trains on and leaves."""

from pathlib import Path

from repro.config import Profile, Student, student_fit
from repro.errors import ReproError
from repro.models import weights
from repro.models.wan import WanDiT
from repro.training import distributed
from repro.training.causal import causal_task
from repro.training.data import load_split, split_scenes
from repro.training.dmd import Distillation, student_task
from repro.training.loop import Piece, Task, run
from repro.training.ode_init import teacher_pairs
from repro.training.teacher import TEACHER, compile_blocks, load_teacher


def distillation_task(profile: Profile, row: Student, checkpoints: Path, work: Path, device) -> Task:
    """Student from stage 2, critic from the teacher, and what the row's losses need besides."""
    teacher, encoder = load_teacher(profile, checkpoints, device)
    student, critic = WanDiT(teacher.config), WanDiT(teacher.config)
    weights.load_into(student, checkpoints / "ode.safetensors")
    weights.load_into(critic, checkpoints / "teacher.safetensors")
    with distributed.leader_first():
        data = load_split("train", profile, checkpoints, work, device) if row.needs_truth else None
        made_by = weights.hashes(checkpoints, TEACHER)
        pairs = teacher_pairs(profile, teacher, encoder, made_by, work, device) if profile.dmd_fit.reg_weight else None
    networks = (compile_blocks(network.to(device), device) for network in (student, critic, teacher))
    if distributed.launched():
        networks = (distributed.shard(network) for network in networks)
    distillation = Distillation(profile, row, *networks, device)
    captions = data.captions if data else [s.caption for s in split_scenes("train", profile)]
    return student_task(distillation, captions, encoder, row, pairs, data and data.latents)


def many_step_task(profile: Profile, row: Student, checkpoints: Path, work: Path, device) -> Task:
    """A copy of the teacher, under a causal mask."""
    student, encoder = load_teacher(profile, checkpoints, device)
    data = load_split("train", profile, checkpoints, work, device)
    return causal_task(profile, row, data, student.requires_grad_(True).train(), encoder, device)


def train_student(profile: Profile, row: Student, checkpoints: Path, work: Path, piece: Piece) -> bool:
    """Train one row of students.csv; writes `<student>-s<seed>.safetensors`."""
    if row.many_step and distributed.launched():
        raise ReproError(f"student {row.student!r} is trained for many steps by one process: start it without torchrun")
    fit, name = student_fit(profile, row), f"{row.student}-s{piece.seed}"
    build = many_step_task if row.many_step else distillation_task
    task = build(profile.model_copy(update={row.fit_name: fit}), row, checkpoints, work, piece.device)
    read = [*TEACHER, *([] if row.many_step else ["ode"]), *(["vae"] if row.needs_truth else [])]
    sources = weights.hashes(checkpoints, read)
    done = run(task, fit, work / name, sources=sources, **vars(piece))
    if done or piece.max_seconds is not None:
        meta = {"stage": "student", "seed": piece.seed, "finished": done} | row.model_dump()
        state = distributed.whole_state(task.ema["student"])
        if distributed.rank() == 0:
            weights.save(checkpoints / f"{name}.safetensors", state, meta)
    return done
