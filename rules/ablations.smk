# Tables 1, 2, 3, 6, 7 and 9: from the students at hand, or, where their checkpoints are not shipped, from what was published of them.
ABLATIONS = (1, 2, 3, 6, 7, 9)


def ablation_folder(number):
    """Where the runs of a table are: evaluated here if every student is at hand, else published."""
    needed = [
        name for run in runs_of(f"table{number}") for name in run_weights(run, SEEDS)
    ]
    here = TRAIN or all(Path(path).is_file() for path in weights(*needed))
    return f"{OUT}/runs" if here else f"results/published/{PROFILE.name}/runs"


def ablation_inputs(number):
    """Every run's scores; of published ones those that there are."""
    folder = ablation_folder(number)
    files = [
        f"{folder}/{run}/{file}"
        for run in runs_of(f"table{number}")
        for file in ("quality.json", "scores.csv")
    ]
    found = [f for f in files if folder.startswith(OUT) or Path(f).is_file()]
    if not found:
        raise WorkflowError(
            f"{folder} has no run of table {number}: train its students with --config train=true"
        )
    return found


def ablation_files(number):
    """What the target `table<number>` asks for."""
    stem = f"{OUT}/tables/table{number}"
    return [
        *multiext(stem, ".csv", "_pairs.csv", ".md", ".html", ".tex"),
        f"{OUT}/notebooks/table{number}.ipynb",
    ]


for number in ABLATIONS:

    rule:
        name:
            f"table_{number}"
        input:
            lambda wildcards, number=number: ablation_inputs(number),
            "config/paper_tables.csv",
            "config/claims.csv",
        output:
            ablation_files(number)[:-1],
        log:
            f"{OUT}/logs/table{number}.log",
        conda:
            "../envs/cpu.yaml"
        params:
            number=number,
            profile=PROFILE.name,
            runs=lambda wildcards, number=number: ablation_folder(number),
            out=lambda wildcards, output: os.path.dirname(os.path.dirname(output[0])),
        message:
            "write a table of ablations"
        shell:
            "python -m repro table {params.number} --profile {params.profile} --runs {params.runs:q}"
            " --out {params.out:q} > {log:q} 2>&1"

    rule:
        name:
            f"notebook_{number}"
        input:
            ablation_files(number)[:-1],
            source="notebooks/ablations.py",
        output:
            ablation_files(number)[-1],
        log:
            f"{OUT}/logs/notebook_table{number}.log",
        conda:
            "../envs/cpu.yaml"
        params:
            number=number,
            results=lambda wildcards, output: os.path.dirname(
                os.path.dirname(output[0])
            ),
        message:
            "run notebooks/ablations.py"
        shell:
            "python -m repro notebook {input.source} --out {output:q}"
            " --parameter results={params.results:q} --parameter number={params.number} > {log:q} 2>&1"

    rule:
        name:
            f"table{number}"
        input:
            ablation_files(number),
