"""What each stage of training reads of the settings: where that has changed, the stage is trained again."""

from repro.config.profile import Scale
from repro.config.rows import Student
from repro.config.sheets import student_fit

_READ = {
    "judge": {"geometry", "world"},
    "vae": {"geometry", "world", "autoencoders"},
    "tiny": {"geometry", "world", "autoencoders"},
    "teacher": {"geometry", "world", "dit", "text"},
    "ode": {"geometry", "world", "dit", "flow"},
    "causal": {"geometry", "world", "dit"},
    "dmd": {"geometry", "world", "dit", "flow", "flow_matching"},
}


def stage_settings(profile: Scale, stage: str) -> str:
    """The profile's part in a stage, as JSON; stages are named by the sections `<stage>_fit`."""
    fit = f"{stage}_fit"
    # How often the state is saved and how many videos are taken at once changes no result.
    unread = {fit: {"save_every", "at_once"}, "flow": {"teacher_steps"}}
    return profile.model_dump_json(include=_READ[stage] | {fit}, exclude=unread)


def student_settings(profile: Scale, row: Student) -> str:
    """The same for a student, and what its row says: a new column changes no old row."""
    own = profile.model_copy(update={row.fit_name: student_fit(profile, row)})
    said = row.model_dump_json(exclude_defaults=True, exclude={"seeds"})
    return f"{stage_settings(own, row.fit_name.removesuffix('_fit'))} {said}"
