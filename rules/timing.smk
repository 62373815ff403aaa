# All runs of a table against each other, in one process and turn by turn.


rule time:
    input:
        prompts=PROMPTS,
        weights=checkpoints(
            "text_encoder",
            *sorted({n for r in runs_of("table5") for n in run_weights(r, SEEDS[:1])}),
        ),
    output:
        expand(f"{OUT}/runs/{{run_id}}/timing.json", run_id=runs_of("table5")),
    log:
        f"{OUT}/logs/time.log",
    conda:
        "../envs/cpu.yaml"
    # All the cores, so that no other job runs beside a clock; the clock itself watches one thread, because
    # two that share their cores with anything else wait for each other.
    threads: ALL_CORES
    resources:
        gpu=GPU,
    params:
        runs=",".join(runs_of("table5")),
        rows=[RUNS[r].model_dump_json() for r in runs_of("table5")],
        timing=PROFILE.timing.model_dump_json(),
        folder=lambda wildcards, output: os.path.dirname(os.path.dirname(output[0])),
        settings=f"{SETTINGS} {EVALUATION}",
    message:
        "time all runs, one after the other"
    shell:
        "python -m repro time {params.settings} --runs {params.runs}"
        " --prompts {input.prompts:q} --out {params.folder:q} --threads 1 > {log:q} 2>&1"
