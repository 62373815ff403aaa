# VBench's own environment, built on demand: its pins conflict with ours.
VBENCH_ENV = ".venv-vbench"


rule vbench_env:
    input:
        "envs/vbench/requirements.txt",
    output:
        f"{VBENCH_ENV}/.installed",
    log:
        f"{OUT}/logs/vbench_env.log",
    conda:
        "../envs/cpu.yaml"
    params:
        folder=lambda wildcards, output: os.path.dirname(output[0]),
    message:
        "install VBench and its pins into {params.folder}"
    shell:
        "(python -m uv venv --python 3.11 --seed --clear {params.folder}"
        " && {params.folder}/bin/python envs/install.py -r {input} && touch {output}) > {log:q} 2>&1"
