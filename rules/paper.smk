# The paper's own numbers (audit), and what was found of its claims (claims), from config/ and results/published/.
# They depend on no profile, so that their results have a folder of their own.
PAPER = f"{config['results']}/paper"
PUBLISHED_RESULTS = "results/published"


def sheet_files(name, *more):
    """Table and notebook of `audit` or `claims`."""
    return [
        *multiext(f"{PAPER}/tables/{name}", ".csv", *more, ".md", ".html", ".tex"),
        f"{PAPER}/notebooks/{name}.ipynb",
    ]


rule audit_table:
    input:
        "config/audit.csv",
        "config/paper_tables.csv",
        "config/paper_text.csv",
        "config/user_study/paper.csv",
    output:
        sheet_files("audit")[:-1],
    log:
        f"{PAPER}/logs/audit.log",
    conda:
        "../envs/cpu.yaml"
    params:
        out=PAPER,
    message:
        "recompute the paper's relations"
    shell:
        "python -m repro audit --out {params.out:q} > {log:q} 2>&1"


rule audit_notebook:
    input:
        rules.audit_table.output,
        source="notebooks/audit.py",
    output:
        sheet_files("audit")[-1],
    log:
        f"{PAPER}/logs/notebook_audit.log",
    conda:
        "../envs/cpu.yaml"
    params:
        results=PAPER,
    message:
        "run notebooks/audit.py"
    shell:
        "python -m repro notebook {input.source} --out {output:q}"
        " --parameter results={params.results:q} > {log:q} 2>&1"


rule audit:
    input:
        sheet_files("audit"),
