# What training costs: the logs' wall time, counted FLOPs, and whole stages estimated from a few iterations.
LOGS = WORK if TRAIN else f"results/published/{PROFILE.name}/training"
MEASURED = f"{OUT}/cost/iterations_{DEVICE.split(':')[0]}.json"
# Iterations that others have measured, on a device that is not at hand.
PUBLISHED = [
    path
    for path in sorted(
        Path(f"results/published/{PROFILE.name}/cost").glob("iterations_*.json")
    )
    if path.name != os.path.basename(MEASURED)
]


rule iterations:
    output:
        MEASURED,
    log:
        f"{OUT}/logs/iterations.log",
    conda:
        "../envs/cpu.yaml"
    # All the cores, so that no other job runs beside a clock.
    threads: ALL_CORES
    resources:
        gpu=GPU,
    params:
        # Another fit is measured again.
        scale=PROFILE.model_dump_json(exclude={"evaluation", "headroom", "timing"}),
        students=[row.model_dump_json() for row in students_of("table5").values()],
        profile=PROFILE.name,
        device=DEVICE,
    message:
        "count and time a few training iterations of every stage"
    shell:
        "python -m repro iterations --profile {params.profile} --device {params.device}"
        " --threads {threads} --out {output:q} > {log:q} 2>&1"


rule cost_table:
    input:
        training_logs,
        "config/devices.csv",
        measured=[MEASURED, *PUBLISHED],
    output:
        multiext(
            f"{OUT}/tables/cost",
            ".csv",
            "_estimates.csv",
            "_losses.csv",
            ".md",
            ".html",
            ".tex",
        ),
        f"{OUT}/cost/training.json",
    log:
        f"{OUT}/logs/cost.log",
    conda:
        "../envs/cpu.yaml"
    params:
        profile=PROFILE.name,
        logs=LOGS,
        measured=lambda wildcards, input: [
            f"--measured {shlex.quote(str(path))}" for path in input.measured
        ],
        out=lambda wildcards, output: os.path.dirname(os.path.dirname(output[0])),
    message:
        "write the table of training cost"
    shell:
        "python -m repro cost --profile {params.profile} --logs {params.logs:q} {params.measured}"
        " --out {params.out:q} > {log:q} 2>&1"


rule cost_notebook:
    input:
        rules.cost_table.output,
        source="notebooks/cost.py",
    output:
        f"{OUT}/notebooks/cost.ipynb",
    log:
        f"{OUT}/logs/notebook_cost.log",
    conda:
        "../envs/cpu.yaml"
    params:
        profile=PROFILE.name,
        results=lambda wildcards, output: os.path.dirname(os.path.dirname(output[0])),
    message:
        "run notebooks/cost.py"
    shell:
        "python -m repro notebook {input.source} --out {output:q}"
        " --parameter results={params.results:q} --parameter profile={params.profile} > {log:q} 2>&1"
