# The user study: power and known-truth simulations, what the paper's aggregates can bear, and a study's own answers.
# It depends on no profile, so that its results have a folder of their own.
USER_STUDY = f"{config['results']}/user_study"
RESPONSES = config["responses"]
DESIGN = config["design"]
for key in ("responses", "design"):
    if config[key] and not Path(config[key]).is_file():
        raise WorkflowError(
            f"config key {key}={config[key]!r} is no file: give the path of one"
        )


rule user_study_plan:
    input:
        DESIGN,
    output:
        f"{USER_STUDY}/plan/plan.csv",
    log:
        f"{USER_STUDY}/logs/plan.log",
    conda:
        "../envs/cpu.yaml"
    message:
        "lay out the study of {input}"
    shell:
        "python -m repro user-study plan --design {input:q} --out {output:q} > {log:q} 2>&1"


rule user_study_simulate:
    input:
        "config/user_study/{measured}.csv",
    output:
        f"{USER_STUDY}/{{measured}}/{{measured}}.csv",
    log:
        f"{USER_STUDY}/logs/{{measured}}.log",
    wildcard_constraints:
        measured="power|truth",
    conda:
        "../envs/cpu.yaml"
    params:
        option=lambda wildcards: {"power": "--sizes", "truth": "--scenarios"}[
            wildcards.measured
        ],
    message:
        "simulate studies for {wildcards.measured}"
    shell:
        "python -m repro user-study {wildcards.measured} {params.option} {input:q}"
        " --out {output:q} > {log:q} 2>&1"


rule user_study_paper:
    input:
        "config/user_study/paper.csv",
        power=f"{USER_STUDY}/power/power.csv",
        truth=f"{USER_STUDY}/truth/truth.csv",
    output:
        multiext(
            f"{USER_STUDY}/tables/user_study",
            ".md",
            ".html",
            ".tex",
            "_intervals.csv",
            "_counts.csv",
            "_limits.csv",
            "_kappa.csv",
            "_needs.csv",
            "_grid.csv",
            "_power.csv",
            "_truth.csv",
        ),
    log:
        f"{USER_STUDY}/logs/paper.log",
    conda:
        "../envs/cpu.yaml"
    params:
        out=lambda wildcards, output: os.path.dirname(os.path.dirname(output[0])),
    message:
        "write the tables of what the paper's user study can bear"
    shell:
        "python -m repro user-study paper --power {input.power:q} --truth {input.truth:q}"
        " --out {params.out:q} > {log:q} 2>&1"


rule user_study_notebook:
    input:
        rules.user_study_paper.output,
        source="notebooks/user_study.py",
    output:
        f"{USER_STUDY}/notebooks/user_study.ipynb",
    log:
        f"{USER_STUDY}/logs/notebook.log",
    conda:
        "../envs/cpu.yaml"
    params:
        results=lambda wildcards, output: os.path.dirname(os.path.dirname(output[0])),
    message:
        "run notebooks/user_study.py"
    shell:
        "python -m repro notebook {input.source} --out {output:q}"
        " --parameter results={params.results:q} > {log:q} 2>&1"


if RESPONSES:

    rule user_study_responses:
        input:
            responses=RESPONSES,
            design=DESIGN,
        output:
            multiext(
                f"{USER_STUDY}/tables/user_study_responses",
                ".md",
                ".html",
                ".tex",
                "_rates.csv",
                "_ranking.csv",
                "_agreement.csv",
                "_excluded.csv",
            ),
            f"{USER_STUDY}/figures/user_study_responses_rates.png",
        log:
            f"{USER_STUDY}/logs/responses.log",
        conda:
            "../envs/cpu.yaml"
        params:
            out=USER_STUDY,
        message:
            "analyse {input.responses}"
        shell:
            "python -m repro user-study analyse --responses {input.responses:q} --design {input.design:q}"
            " --out {params.out:q} > {log:q} 2>&1"


rule user_study:
    input:
        user_study_files(),


rule publish_user_study:
    input:
        user_study_files(),
    log:
        f"{USER_STUDY}/logs/publish.log",
    conda:
        "../envs/cpu.yaml"
    params:
        results=lambda wildcards, input: os.path.dirname(os.path.dirname(input[0])),
        out="results/published/user_study",
    message:
        "copy tables, figures, simulations and notebook to {params.out}"
    shell:
        "python -m repro publish --results {params.results:q} --out {params.out:q} --kind user_study > {log:q} 2>&1"
