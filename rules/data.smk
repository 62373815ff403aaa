# Held-out prompts, encoded once for all runs.
PROMPTS = f"{OUT}/prompts.safetensors"


rule prompts:
    input:
        checkpoints("text_encoder"),
    output:
        PROMPTS,
    log:
        f"{OUT}/logs/prompts.log",
    conda:
        "../envs/cpu.yaml"
    params:
        scale=f"{SCALE} {EVALUATION}",
        evaluation=PROFILE.evaluation.model_dump_json(),
    message:
        "encode the held-out prompts"
    shell:
        "python -m repro prompts {params.scale} --out {output:q} > {log:q} 2>&1"
