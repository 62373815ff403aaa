# Sixteen dimensions, their aggregates and the distance to real clips.


rule evaluate:
    input:
        prompts=PROMPTS,
        clips=rules.sample.output.clips,
        counts=rules.sample.output.counts,
        weights=checkpoints("judge", "real", "text_encoder", of_run=True),
    output:
        quality=f"{OUT}/runs/{{run_id}}/quality.json",
        scores=f"{OUT}/runs/{{run_id}}/scores.csv",
        frames=f"{OUT}/runs/{{run_id}}/frames.npz",
    log:
        f"{OUT}/logs/evaluate/{{run_id}}.log",
    conda:
        "../envs/cpu.yaml"
    threads: 1
    resources:
        gpu=GPU,
    params:
        folder=lambda wildcards, output: os.path.dirname(output.quality),
        settings=f"{SETTINGS} {EVALUATION}",
    message:
        "evaluate {wildcards.run_id}"
    shell:
        "python -m repro evaluate {params.settings} --run {wildcards.run_id}"
        " --clips {input.clips:q} --prompts {input.prompts:q} --out {params.folder:q}"
        " --threads {threads} > {log:q} 2>&1"
