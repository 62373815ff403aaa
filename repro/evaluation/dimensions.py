"""Names of what is measured, and of the corruptions that validate it. No heavy import: sheets are checked with it."""

TEMPORAL = (
    "subject_consistency",
    "background_consistency",
    "temporal_flickering",
    "motion_smoothness",
    "dynamic_degree",
)
FRAME = ("aesthetic_quality", "imaging_quality")
SEMANTIC = (
    "object_class",
    "multiple_objects",
    "human_action",
    "color",
    "spatial_relationship",
    "scene",
    "appearance_style",
    "temporal_style",
    "overall_consistency",
)
DIMENSIONS = TEMPORAL + FRAME + SEMANTIC
MEASURES = ("motion_amplitude", "saturation")
"""Beside the dimensions, and compared with real clips of the same prompts: more is not better."""
DISTANCE = "kernel_distance"
CORRUPTIONS = ("blur", "noise", "saturation", "flicker", "freeze", "wrong_caption")
"""Five of the pixels (repro/world/degrade.py) and one of the words (repro/world/mistell.py)."""
EXPECTATIONS = ("falls", "rises", "flat", "same", "free")
"""`flat`: within a margin; `same`: what was corrupted is not read at all, so that no clip may change; `free`: the
definition of the measure claims nothing about this corruption."""
