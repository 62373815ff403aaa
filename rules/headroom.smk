# Does the world measure anything? Thousands of clips of every system: a GPU takes minutes, a CPU hours.
# Side by side in the animations, from left to right.
SHOWN = ["teacher_50", "self_4322222", "diagonal_4322222"]


rule measure_headroom:
    input:
        lambda wildcards: checkpoints(
            "judge", "real", *system_weights(wildcards.system, SEEDS)
        )(wildcards),
    output:
        f"{OUT}/headroom/{{system}}/headroom.json",
        multiext(f"{OUT}/headroom/{{system}}/", "scores.csv", "draws.csv", "frames.npz"),
    log:
        f"{OUT}/logs/headroom/{{system}}.log",
    conda:
        "../envs/cpu.yaml"
    threads: 1
    resources:
        gpu=GPU,
    params:
        row=lambda wildcards: SYSTEMS[wildcards.system].model_dump_json(),
        size=PROFILE.headroom.model_dump_json(),
        folder=lambda wildcards, output: os.path.dirname(output[0]),
        settings=f"{SETTINGS} {EVALUATION}",
    message:
        "measure {wildcards.system} against real clips"
    shell:
        "python -m repro headroom {wildcards.system} {params.settings} --out {params.folder:q}"
        " --threads {threads} > {log:q} 2>&1"


rule headroom_table:
    input:
        expand(
            f"{OUT}/headroom/{{system}}/{{file}}",
            system=SYSTEMS,
            file=["headroom.json", "scores.csv", "draws.csv"],
        ),
        "config/headroom_targets.csv",
    output:
        multiext(
            f"{OUT}/tables/headroom", ".csv", "_targets.csv", ".md", ".html", ".tex"
        ),
    log:
        f"{OUT}/logs/headroom_table.log",
    conda:
        "../envs/cpu.yaml"
    params:
        profile=PROFILE.name,
        systems=lambda wildcards, input: os.path.dirname(os.path.dirname(input[0])),
        out=lambda wildcards, output: os.path.dirname(os.path.dirname(output[0])),
    message:
        "write the tables of the headroom"
    shell:
        "python -m repro headroom-table --profile {params.profile} --systems {params.systems:q}"
        " --out {params.out:q} > {log:q} 2>&1"


rule headroom_notebook:
    input:
        rules.headroom_table.output,
        expand(f"{OUT}/headroom/{{system}}/frames.npz", system=SYSTEMS),
        source="notebooks/headroom.py",
    output:
        f"{OUT}/notebooks/headroom.ipynb",
    log:
        f"{OUT}/logs/notebook_headroom.log",
    conda:
        "../envs/cpu.yaml"
    params:
        profile=PROFILE.name,
        results=lambda wildcards, output: os.path.dirname(os.path.dirname(output[0])),
    message:
        "run notebooks/headroom.py"
    shell:
        "python -m repro notebook {input.source} --out {output:q}"
        " --parameter results={params.results:q} --parameter profile={params.profile} > {log:q} 2>&1"


rule videos:
    input:
        checkpoints(*sorted({n for s in SHOWN for n in system_weights(s, SEEDS[:1])})),
    output:
        f"{OUT}/videos/README.md",
    log:
        f"{OUT}/logs/videos.log",
    conda:
        "../envs/cpu.yaml"
    threads: 1
    resources:
        gpu=GPU,
    params:
        folder=lambda wildcards, output: os.path.dirname(output[0]),
        systems=",".join(SHOWN),
        settings=SETTINGS,
    message:
        "draw clips of {params.systems} side by side"
    shell:
        "python -m repro videos {params.settings} --systems {params.systems} --out {params.folder:q}"
        " --threads {threads} > {log:q} 2>&1"
