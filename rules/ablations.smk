# Tables 1, 2, 3, 6, 7 and 9 and Figures 5 and 10: from the students at hand, or, where their checkpoints are not shipped, from what was published of them.
ABLATIONS = (1, 2, 3, 6, 7, 9)
# What else than the table a figure's notebook reads.
FIGURES = {"5a": "best", "5b": "best", "10": "chunks"}


def ablation_folder(table):
    """Where the runs of a table are: evaluated here if every student is at hand, else published."""
    needed = [name for run in runs_of(table) for name in run_weights(run, SEEDS)]
    here = TRAIN or all(Path(path).is_file() for path in weights(*needed))
    return f"{OUT}/runs" if here else f"results/published/{PROFILE.name}/runs"


def ablation_inputs(table):
    """Scores of every run and of the real clips; of published ones those that there are."""
    folder = ablation_folder(table)
    files = [
        f"{folder}/{run}/{file}"
        for run in dict.fromkeys([*runs_of(table), REAL])
        for file in ("quality.json", "scores.csv", "chunks.csv")
    ]
    found = [f for f in files if folder.startswith(OUT) or Path(f).is_file()]
    if not found:
        raise WorkflowError(
            f"{folder} has no run of {table}: train its students with --config train=true"
        )
    return found


def ablation_files(number):
    """What the target `table<number>` asks for."""
    stem = f"{OUT}/tables/table{number}"
    return [
        *multiext(stem, ".csv", "_pairs.csv", ".md", ".html", ".tex"),
        f"{OUT}/notebooks/table{number}.ipynb",
    ]


def figure_files(name):
    """Table of a figure and what is drawn of it."""
    stem = f"{OUT}/tables/figure{name}"
    ends = (".csv", "_pairs.csv", f"_{FIGURES[name]}.csv", ".md", ".html", ".tex")
    return multiext(stem, *ends)


for number in ABLATIONS:

    rule:
        name:
            f"table_{number}"
        input:
            lambda wildcards, number=number: ablation_inputs(f"table{number}"),
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
            runs=lambda wildcards, number=number: ablation_folder(f"table{number}"),
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


for name in FIGURES:

    rule:
        name:
            f"figure_{name}"
        input:
            lambda wildcards, name=name: ablation_inputs(f"figure{name}"),
            "config/claims.csv",
            "config/students.csv",
        output:
            figure_files(name),
        log:
            f"{OUT}/logs/figure{name}.log",
        conda:
            "../envs/cpu.yaml"
        params:
            name=name,
            profile=PROFILE.name,
            runs=lambda wildcards, name=name: ablation_folder(f"figure{name}"),
            out=lambda wildcards, output: os.path.dirname(os.path.dirname(output[0])),
        message:
            "write the numbers of a figure"
        shell:
            "python -m repro figure {params.name} --profile {params.profile} --runs {params.runs:q}"
            " --out {params.out:q} > {log:q} 2>&1"


rule notebook_figures:
    input:
        [figure_files(name) for name in FIGURES],
        source="notebooks/figures.py",
    output:
        f"{OUT}/notebooks/figures.ipynb",
    log:
        f"{OUT}/logs/notebook_figures.log",
    conda:
        "../envs/cpu.yaml"
    params:
        results=lambda wildcards, output: os.path.dirname(os.path.dirname(output[0])),
    message:
        "run notebooks/figures.py"
    shell:
        "python -m repro notebook {input.source} --out {output:q}"
        " --parameter results={params.results:q} > {log:q} 2>&1"


rule figures:
    input:
        [figure_files(name) for name in FIGURES],
        rules.notebook_figures.output,
