"""Tables, sentences and the figure of the notebook on the paper's numbers."""

from matplotlib.figure import Figure

from repro.reporting import audit, facts, paper, printed, render
from repro.reporting.audit import Check
from repro.reporting.render import Document, significant


def table(checks: list[Check], kind: str) -> str:
    """Markdown of the relations of one class."""
    return render.markdown(Document(audit.sections([c for c in checks if c.relation.kind == kind]), ()))


def _of(checks: list[Check], relation: str) -> list[Check]:
    return [c for c in checks if c.relation.relation == relation]


def _range(check: Check) -> str:
    low, high = printed.ends(check.left)
    return f"{significant(low)} to {significant(high)}"


def speedup(checks: list[Check]) -> str:
    """By what the headline is a ratio of."""
    (fps,), (figure,) = _of(checks, "headline_is_latency"), _of(checks, "speedup_of_figure1")
    (latency,), (first,) = _of(checks, "speedup_1_88"), _of(checks, "first_frame_of_self")
    return (
        f"{fps.printed} is a ratio of first-frame latencies; by throughput it is {_range(fps)}. Over Self-Forcing it "
        f"is {_range(latency)} by first-frame latency and {_range(figure)} by throughput, where the text says "
        f"{figure.printed} and {_of(checks, 'speedup_in_latency')[0].printed}. The first of these holds a first chunk "
        f"against {first.printed} s of a chunk in full flight; a first chunk would take {_range(first)} s."
    )


def rising(checks: list[Check]) -> str:
    """Where more steps are printed as faster, and equal ones as unequal."""
    names = [c.relation for c in checks if c.relation.relation.startswith(("throughput_rises", "equal_steps"))]
    outside = [c for c in checks if c.relation in names and c.result == audit.OUTSIDE]
    told = "; ".join(c.relation.statement.split(": ")[1] for c in outside)
    return f"Not within rounding in {len(outside)} of the {len(names)} pairs looked at: {told}."


def pace() -> Figure:
    """Time of a video over its steps, from the printed throughput of Tables 5 and 6; bars are what rounding allows."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axis = figure.subplots()
    cells = {
        (c.row, c.metric): c for number in (5, 6) for c in paper.table(number).values() if c.metric == "throughput_fps"
    }
    for mode, marker in (("diagonal", "o"), ("self", "s")):
        points = []
        for (row, _), cell in cells.items():
            if row.startswith(mode):
                low, high = printed.ends(printed.rounded(printed.Number(value=cell.value)))
                steps = row.rsplit("_", 1)[-1]
                video = facts.WAN.geometry.frames
                points.append((facts.FUNCTIONS["total_steps"](steps), video / high, video / low, steps))
        x, low, high, labels = zip(*sorted(points), strict=True)
        middle = [(a + b) / 2 for a, b in zip(low, high, strict=True)]
        reach = [(b - a) / 2 for a, b in zip(low, high, strict=True)]
        axis.errorbar(x, middle, yerr=reach, fmt=marker, label=mode.capitalize(), capsize=2)
        if mode == "diagonal":
            for steps in sorted(set(x)):  # labels of equal steps would lie on one another: one list, as the points lie
                mine = sorted(((middle[i], labels[i]) for i in range(len(x)) if x[i] == steps), reverse=True)
                axis.annotate(
                    "\n".join(text for _, text in mine),
                    (steps, mine[-1][0]),
                    xytext=(0, -6),
                    textcoords="offset points",
                    fontsize=6,
                    ha="center",
                    va="top",
                )
    axis.set(xlabel="steps of a video (7 chunks)", ylabel="81 frames / printed throughput, s")
    axis.set_ylim(bottom=0)
    axis.legend()
    return figure
