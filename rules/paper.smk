# The paper's own numbers (audit), and what was found of its claims (claims), from config/ and results/published/.
# They depend on no profile, so that their results have a folder of their own.


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
        out=lambda wildcards, output: os.path.dirname(os.path.dirname(output[0])),
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
        results=lambda wildcards, output: os.path.dirname(os.path.dirname(output[0])),
    message:
        "run notebooks/audit.py"
    shell:
        "python -m repro notebook {input.source} --out {output:q}"
        " --parameter results={params.results:q} > {log:q} 2>&1"


rule audit:
    input:
        sheet_files("audit"),


rule claims_table:
    input:
        "config/claims.csv",
        "config/paper_tables.csv",
        "config/paper_text.csv",
        published_evidence(),
    output:
        sheet_files("claims", "_parts.csv")[:-1],
        multiext(f"{PAPER}/tables/scorecard", ".md", ".html", ".tex"),
    log:
        f"{PAPER}/logs/claims.log",
    conda:
        "../envs/cpu.yaml"
    params:
        out=lambda wildcards, output: os.path.dirname(os.path.dirname(output[0])),
    message:
        "hold the paper's claims against what was published"
    shell:
        "python -m repro claims --out {params.out:q} > {log:q} 2>&1"


rule claims_notebook:
    input:
        rules.claims_table.output,
        source="notebooks/claims.py",
    output:
        sheet_files("claims")[-1],
    log:
        f"{PAPER}/logs/notebook_claims.log",
    conda:
        "../envs/cpu.yaml"
    params:
        results=lambda wildcards, output: os.path.dirname(os.path.dirname(output[0])),
    message:
        "run notebooks/claims.py"
    shell:
        "python -m repro notebook {input.source} --out {output:q}"
        " --parameter results={params.results:q} > {log:q} 2>&1"


rule claims:
    input:
        sheet_files("claims", "_parts.csv"),


rule publish_paper:
    input:
        sheet_files("audit"),
        sheet_files("claims", "_parts.csv"),
    log:
        f"{PAPER}/logs/publish.log",
    conda:
        "../envs/cpu.yaml"
    params:
        results=lambda wildcards, input: os.path.dirname(os.path.dirname(input[0])),
        out="results/published/paper",
    message:
        "copy the audit and the claims to {params.out}, and update the README"
    shell:
        "(python -m repro publish --results {params.results:q} --out {params.out:q} --kind paper"
        " && python -m repro readme) > {log:q} 2>&1"
