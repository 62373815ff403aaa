"""A package like VBench with a few prompts of our own."""

LONG = "a lighthouse on a cliff above a calm sea while small waves roll " + "slowly " * 14 + "towards the shore"
PROMPTS = (
    ("a still lamp on a desk", ["temporal_flickering"]),
    ("A person is juggling", ["human_action"]),
    ("a green field", ["overall_consistency", "aesthetic_quality", "imaging_quality"]),
    ("A green field", ["overall_consistency", "aesthetic_quality", "imaging_quality"]),
    (LONG, ["subject_consistency", "dynamic_degree", "motion_smoothness"]),
    ("a mill, woodcut", ["appearance_style"]),
    ("a mill, woodcut", ["temporal_style"]),
    ("a façade / a door", ["scene", "background_consistency"]),
)


class FakePackage:
    """Prompts like VBench's; it gives the score that a test puts in `answers`."""

    version, prompt_hash, python = "0.0", "f" * 64, "python"
    rows = tuple({"prompt_en": prompt, "dimension": dimensions} for prompt, dimensions in PROMPTS)

    def __init__(self):
        self.jobs, self.answer = [], None

    def has(self, module):
        return False

    def score(self, job, cache, log):
        self.jobs.append(job)
        if self.answer is not None:
            return self.answer(job)
        paths = [p for row in job["info"] for p in row["video_list"]]
        videos = [{"video_path": p, "video_results": i / 10} for i, p in enumerate(paths)]
        return {"score": sum(v["video_results"] for v in videos) / len(videos), "videos": videos, "static": None}
