# Tables 1, 2, 3, 6, 7 and 9 and Figures 5 and 10: from the students at hand, or, where their checkpoints are not shipped, from what was published of them.
ABLATIONS = (1, 2, 3, 6, 7, 9)
# Tables that tell of speed, too.
TIMED = (1, 7)
# What else than the table a figure's notebook reads.
FIGURES = {"5a": "best", "5b": "best", "10": "chunks"}


rule table_speed:
    output:
        f"{OUT}/speed/table{{number}}.json",
    log:
        f"{OUT}/logs/speed_table{{number}}.log",
    wildcard_constraints:
        number="|".join(map(str, TIMED)),
    conda:
        "../envs/cpu.yaml"
    # All the cores, so that no other job runs beside a clock.
    threads: ALL_CORES
    resources:
        gpu=GPU,
    params:
        profile=PROFILE.name,
        device=DEVICE,
        engine="graphed" if GPU else "eager",
        # The clock watches one thread, because two that share their cores with anything else wait for each other.
        used=0 if GPU else 1,
    message:
        "time the rows of a table, one after the other"
    shell:
        "python -m repro speed --profile {params.profile} --tables table{wildcards.number} --engine {params.engine}"
        " --device {params.device} --threads {params.used} --out {output:q} > {log:q} 2>&1"


for number in ABLATIONS:

    rule:
        name:
            f"table_{number}"
        input:
            lambda wildcards, number=number: ablation_inputs(f"table{number}"),
            "config/paper_tables.csv",
            "config/claims.csv",
            speed=f"{OUT}/speed/table{number}.json" if number in TIMED else [],
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
            speed=lambda wildcards, input: f"--speed {input.speed}" * bool(input.speed),
        message:
            "write a table of ablations"
        shell:
            "python -m repro table {params.number} --profile {params.profile} --runs {params.runs:q}"
            " {params.speed} --out {params.out:q} > {log:q} 2>&1"

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
