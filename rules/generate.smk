# Clips of one run: made, measured by the next rule, and thrown away.


rule sample:
    input:
        prompts=PROMPTS,
        weights=checkpoints(of_run=True),
    output:
        clips=temp(f"{OUT}/runs/{{run_id}}/clips.npy"),
        counts=temp(f"{OUT}/runs/{{run_id}}/clips.json"),
    log:
        f"{OUT}/logs/sample/{{run_id}}.log",
    conda:
        "../envs/cpu.yaml"
    threads: 1
    resources:
        gpu=GPU,
    params:
        row=row,
        settings=f"{SETTINGS} {EVALUATION}",
    message:
        "sample {wildcards.run_id}"
    shell:
        "python -m repro sample {params.settings} --run {wildcards.run_id}"
        " --prompts {input.prompts:q} --out {output.clips:q} --threads {threads} > {log:q} 2>&1"
