"""The questionnaire of the paper's appendix H.5, once: page, validation and analysis read it here."""

from dataclasses import dataclass
from itertools import pairwise

CHOICES = ("strongly_a", "slightly_a", "neutral", "slightly_b", "strongly_b")
FIRST, SECOND = CHOICES[:2], CHOICES[3:]
ASPECTS = ("text_alignment", "temporal_consistency", "long_quality")
SEGMENTS = ("segment_1", "segment_2", "segment_3")
DECAY = ("consistent", "minor", "significant")
MAX_TEXT = 2000
"""Characters of a free text."""


@dataclass(frozen=True)
class Question:
    """`options`: (value, label) in the order shown; none for free text. `required`: must it be answered?"""

    key: str
    text: str
    options: tuple[tuple[str, str], ...] = ()
    required: bool = True

    @property
    def values(self) -> tuple[str, ...]:
        return tuple(value for value, _ in self.options)


@dataclass(frozen=True)
class Part:
    """One of the six parts: `videos` shown side by side in each of its tasks."""

    key: str
    title: str
    videos: int
    questions: tuple[Question, ...]

    def question(self, key: str) -> Question | None:
        return next((q for q in self.questions if q.key == key), None)


def _scale(low: str, high: str) -> tuple[tuple[str, str], ...]:
    """Five points whose ends are named."""
    return (("1", f"1, {low}"), ("2", "2"), ("3", "3"), ("4", "4"), ("5", f"5, {high}"))


QUALITY = tuple(
    (str(i), f"{i}, {x}") for i, x in enumerate(("Poor", "Below average", "Average", "Good", "Excellent"), 1)
)
OVERALL = (
    ("strongly_a", "Strongly prefer A"),
    ("slightly_a", "Slightly prefer A"),
    ("neutral", "Neutral"),
    ("slightly_b", "Slightly prefer B"),
    ("strongly_b", "Strongly prefer B"),
)
ASPECT = (("a", "A better"), ("equal", "Equal"), ("b", "B better"))


def parts(neutral: bool, seconds: float) -> dict[str, Part]:
    """The six parts by key, in the paper's order. `seconds`: length of a video; `neutral`: may one abstain?"""
    overall = tuple(o for o in OVERALL if neutral or o[0] != "neutral")
    decay = (("consistent", "Consistent"), ("minor", "Minor decay"), ("significant", "Significant decay"))
    edges = [f"{seconds * i / len(SEGMENTS):.3g}" for i in range(len(SEGMENTS) + 1)]
    spans = pairwise(edges)
    found = (
        Part(
            "about",
            "About you",
            0,
            (
                Question(
                    "background",
                    "Background",
                    (
                        ("computer_science", "Computer science"),
                        ("ai_ml", "AI or machine learning"),
                        ("visual_arts", "Visual arts"),
                        ("other", "Other"),
                    ),
                ),
                Question(
                    "experience",
                    "Experience level",
                    (("beginner", "Beginner"), ("intermediate", "Intermediate"), ("expert", "Expert")),
                ),
                Question("familiarity", "Familiarity with video generation", _scale("not familiar", "very familiar")),
            ),
        ),
        Part(
            "quality",
            "Quality of one video",
            1,
            (
                Question("visual_realism", "Visual realism", QUALITY),
                Question("color_consistency", "Color consistency", QUALITY),
                Question("motion_naturalness", "Motion naturalness", QUALITY),
                Question("artifact_absence", "Absence of artifacts", QUALITY),
            ),
        ),
        Part(
            "comparison",
            "Two videos compared",
            2,
            (
                Question("overall", "Overall preference", overall),
                Question("text_alignment", "Text alignment", ASPECT),
                Question("temporal_consistency", "Temporal consistency", ASPECT),
                Question("long_quality", f"Quality over all {seconds:g} seconds", ASPECT),
            ),
        ),
        Part(
            "consistency",
            "Consistency over time",
            1,
            tuple(
                Question(key, f"From {low} to {high} seconds", decay)
                for key, (low, high) in zip(SEGMENTS, spans, strict=True)
            ),
        ),
        Part(
            "dynamic",
            "A video whose prompt changes",
            1,
            (
                Question("transition_smoothness", "Transition smoothness", _scale("abrupt", "seamless")),
                Question("narrative_coherence", "Narrative coherence", _scale("poor", "excellent")),
                Question("visual_consistency", "Visual consistency", _scale("poor", "excellent")),
            ),
        ),
        Part(
            "feedback",
            "In your own words",
            0,
            (
                Question("artifacts", "Notable artifacts observed", required=False),
                Question("temporal_issues", "Temporal consistency issues", required=False),
                Question("suggestions", "Suggestions for improvement", required=False),
            ),
        ),
    )
    return {part.key: part for part in found}
