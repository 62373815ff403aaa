# Records joined with the paper's numbers, and the notebook that draws them.


rule table:
    input:
        expand(
            f"{OUT}/runs/{{run_id}}/{{file}}",
            run_id=runs_of("table5"),
            file=["quality.json", "scores.csv", "timing.json"],
        ),
        "config/paper_tables.csv",
    output:
        f"{OUT}/metrics.csv",
        [
            report(f, category="Tables") if f.endswith(".html") else f
            for f in table_files(5)
        ],
    log:
        f"{OUT}/logs/table5.log",
    conda:
        "../envs/cpu.yaml"
    params:
        profile=PROFILE.name,
        runs=lambda wildcards, input: os.path.dirname(os.path.dirname(input[0])),
        out=lambda wildcards, output: os.path.dirname(output[0]),
    message:
        "write table 5"
    shell:
        "python -m repro table 5 --profile {params.profile} --runs {params.runs:q}"
        " --out {params.out:q} > {log:q} 2>&1"


rule notebook:
    input:
        rules.table.output,
        expand(f"{OUT}/runs/{{run_id}}/frames.npz", run_id=runs_of("table5")),
        source="notebooks/table5.py",
    output:
        f"{OUT}/notebooks/table5.ipynb",
    log:
        f"{OUT}/logs/notebook_table5.log",
    conda:
        "../envs/cpu.yaml"
    params:
        profile=PROFILE.name,
        results=lambda wildcards, output: os.path.dirname(os.path.dirname(output[0])),
    message:
        "run notebooks/table5.py"
    shell:
        "python -m repro notebook {input.source} --out {output:q}"
        " --parameter results={params.results:q} --parameter profile={params.profile} > {log:q} 2>&1"


rule regress:
    input:
        rules.table.output[0],
        expand(f"{OUT}/runs/{{run_id}}/scores.csv", run_id=runs_of("table5")),
        "config/tolerances.csv",
    output:
        f"{OUT}/regress.csv",
    log:
        f"{OUT}/logs/regress.log",
    conda:
        "../envs/cpu.yaml"
    params:
        published=f"results/published/{PROFILE.name}",
        runs=",".join(runs_of("table5")),
        fresh=lambda wildcards, output: os.path.dirname(output[0]),
    message:
        "hold all cells of Table 5 against the published ones"
    shell:
        "python -m repro regress --fresh {params.fresh:q} --published {params.published} --runs {params.runs}"
        " > {log:q} 2>&1"


rule publish:
    input:
        report_files(5),
        validity_files(),
        headroom_files(),
        f"{OUT}/videos/README.md",
    log:
        f"{OUT}/logs/publish.log",
    conda:
        "../envs/cpu.yaml"
    params:
        results=lambda wildcards, input: os.path.dirname(input[0]),
        out=f"results/published/{PROFILE.name}",
    message:
        "copy tables, figures, notebooks and records to {params.out}, and update the README"
    shell:
        "(python -m repro publish --results {params.results:q} --out {params.out:q}"
        " && python -m repro readme) > {log:q} 2>&1"


rule report:
    input:
        expand(
            "results/published/{scale}/tables",
            scale=glob_wildcards("results/published/{scale}/tables/{table}.md").scale,
        ),
    output:
        report(directory("site"), htmlindex="index.html", category="Report"),
    log:
        f"{OUT}/logs/report.log",
    conda:
        "../envs/cpu.yaml"
    message:
        "build the site of what is published"
    shell:
        "python -m repro report --out {output:q} > {log:q} 2>&1"
