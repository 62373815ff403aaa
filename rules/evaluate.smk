# Clips of one run, and at once their sixteen dimensions, aggregates and distance to real clips.


rule evaluate:
    input:
        prompts=PROMPTS,
        weights=checkpoints("judge", "real", "text_encoder", of_run=True),
    output:
        quality=f"{OUT}/runs/{{run_id}}/quality.json",
        scores=f"{OUT}/runs/{{run_id}}/scores.csv",
        chunks=f"{OUT}/runs/{{run_id}}/chunks.csv",
        frames=f"{OUT}/runs/{{run_id}}/frames.npz",
    log:
        f"{OUT}/logs/evaluate/{{run_id}}.log",
    conda:
        "../envs/cpu.yaml"
    threads: 1
    resources:
        gpu=GPU,
    params:
        row=row,
        folder=lambda wildcards, output: os.path.dirname(output.quality),
        settings=f"{SETTINGS} {EVALUATION}",
    message:
        "sample and evaluate {wildcards.run_id}"
    shell:
        "python -m repro evaluate {params.settings} --run {wildcards.run_id}"
        " --prompts {input.prompts:q} --out {params.folder:q}"
        " --threads {threads} > {log:q} 2>&1"
