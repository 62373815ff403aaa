# The whole method on videos of one number a frame, in a minute.
rule onedim:
    input:
        "repro/onedim/study.py",
        "repro/onedim/train.py",
        source="notebooks/onedim.py",
    output:
        f"{OUT}/notebooks/onedim.ipynb",
    log:
        f"{OUT}/logs/notebook_onedim.log",
    conda:
        "../envs/cpu.yaml"
    params:
        results=lambda wildcards, output: os.path.dirname(os.path.dirname(output[0])),
    message:
        "run notebooks/onedim.py"
    shell:
        "python -m repro notebook {input.source} --out {output:q}"
        " --parameter results={params.results:q} > {log:q} 2>&1"
