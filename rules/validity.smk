# Do the measures measure? Real clips under graded corruptions, and the judge against the renderer's truth.
STUDY = f"{OUT}/validity"


rule measure_validity:
    input:
        "config/validity.csv",
        checkpoints("judge", "real"),
    output:
        f"{STUDY}/validity.json",
        multiext(
            f"{STUDY}/",
            "scores.csv",
            "curves.csv",
            "cells.csv",
            "agreement.csv",
            "confusion.csv",
        ),
        f"{STUDY}/frames.npz",
    log:
        f"{OUT}/logs/validity.log",
    conda:
        "../envs/cpu.yaml"
    threads: 1
    resources:
        gpu=GPU,
    params:
        size=PROFILE.validity.model_dump_json(),
        folder=lambda wildcards, output: os.path.dirname(output[0]),
        settings=SETTINGS,
    message:
        "corrupt real clips and measure them"
    shell:
        "python -m repro validity {params.settings} --out {params.folder:q}"
        " --threads {threads} > {log:q} 2>&1"


rule validity_table:
    input:
        rules.measure_validity.output,
    output:
        multiext(
            f"{OUT}/tables/validity", ".csv", "_agreement.csv", ".md", ".html", ".tex"
        ),
    log:
        f"{OUT}/logs/validity_table.log",
    conda:
        "../envs/cpu.yaml"
    params:
        profile=PROFILE.name,
        study=lambda wildcards, input: os.path.dirname(input[0]),
        out=lambda wildcards, output: os.path.dirname(os.path.dirname(output[0])),
    message:
        "write the tables of the validity study"
    shell:
        "python -m repro validity-table --profile {params.profile} --validity {params.study:q}"
        " --out {params.out:q} > {log:q} 2>&1"


rule validity_notebook:
    input:
        rules.measure_validity.output,
        rules.validity_table.output,
        source="notebooks/validity.py",
    output:
        f"{OUT}/notebooks/validity.ipynb",
    log:
        f"{OUT}/logs/notebook_validity.log",
    conda:
        "../envs/cpu.yaml"
    params:
        profile=PROFILE.name,
        results=lambda wildcards, output: os.path.dirname(os.path.dirname(output[0])),
    message:
        "run notebooks/validity.py"
    shell:
        "python -m repro notebook {input.source} --out {output:q}"
        " --parameter results={params.results:q} --parameter profile={params.profile} > {log:q} 2>&1"
