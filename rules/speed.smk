# Paper scale: timing with random weights on a GPU; without one, tables of the published records.
from repro.reporting.speed import load as load_speed_records

MEASURED_HERE = DEVICE.startswith("cuda")
PUBLISHED_SPEED = "results/published/wan-h100/speed"
SPEED = f"{OUT}/speed" if MEASURED_HERE else PUBLISHED_SPEED
GROUPS = {
    "ladder": "ladder",
    "table1": "table1",
    "table3_table5": "table3,table5",
    "table4": "table4",
    "table6": "table6",
    "table7_table8": "table7,table8",
}
# Tables whose rows a group measures.
IN_GROUP = {t: g for g, tables in GROUPS.items() for t in tables.split(",")}
NUMERICS = f"{SPEED}/numerics.json"
SPEED_RECORDS = (
    [f"{SPEED}/{g}.json" for g in GROUPS] + [NUMERICS]
    if MEASURED_HERE
    else sorted(map(str, Path(SPEED).glob("*.json")))
)
WHOLE = (
    load_speed_records(SPEED).complete
    if SPEED_RECORDS and not MEASURED_HERE
    else lambda table: MEASURED_HERE
)

# With published weights, Table 1 is that of VBench (rules/vbench.smk).
SPEED_TABLES = [t for t in IN_GROUP if WHOLE(t) and not (t == "table1" and WEIGHTS)]
SPEED_TABLES += ["numerics"] * (NUMERICS in SPEED_RECORDS)


rule speed:
    input:
        f"{OUT}/notebooks/speed.ipynb",


if MEASURED_HERE:

    rule speed_records:
        output:
            f"{SPEED}/{{group}}.json",
        log:
            f"{OUT}/logs/speed_{{group}}.log",
        wildcard_constraints:
            group="|".join(GROUPS),
        conda:
            "../envs/cpu.yaml"
        # All the cores, so that no other job runs beside a clock.
        threads: ALL_CORES
        resources:
            gpu=1,
        params:
            profile=PROFILE.name,
            device=DEVICE,
            tables=lambda wildcards: GROUPS[wildcards.group],
        message:
            "time {wildcards.group}"
        shell:
            "python -m repro speed --profile {params.profile} --device {params.device}"
            " --tables {params.tables} --out {output:q} > {log:q} 2>&1"

    rule numerics:
        output:
            NUMERICS,
        log:
            f"{OUT}/logs/numerics.log",
        conda:
            "../envs/cpu.yaml"
        resources:
            gpu=1,
        params:
            profile=PROFILE.name,
            device=DEVICE,
        message:
            "compare the engines with the plain model"
        shell:
            "python -m repro numerics --profile {params.profile} --device {params.device}"
            " --engines eager,fast,fp8,fp8_attention --out {output:q} > {log:q} 2>&1"


for table in [f"table{n}" for n in range(1, 10)]:
    if table == "table1" and WEIGHTS:
        continue
    if table in SPEED_TABLES:

        rule:
            name:
                table
            input:
                f"{OUT}/tables/{table}.md",

    else:

        rule:
            name:
                table
            input:
                not_measured(table),


rule speed_tables:
    input:
        SPEED_RECORDS,
        "config/speed.csv",
        "config/paper_tables.csv",
    output:
        [
            f"{OUT}/tables/{name}.{end}"
            for name in SPEED_TABLES
            for end in ("csv", "md", "html", "tex")
        ],
    log:
        f"{OUT}/logs/speed_tables.log",
    conda:
        "../envs/cpu.yaml"
    params:
        records=SPEED,
        out=OUT,
    message:
        "write the tables of speed"
    shell:
        "python -m repro speed-tables --records {params.records:q} --out {params.out:q} > {log:q} 2>&1"


rule speed_notebook:
    input:
        rules.speed_tables.output,
        source="notebooks/speed.py",
    output:
        f"{OUT}/notebooks/speed.ipynb",
    log:
        f"{OUT}/logs/notebook_speed.log",
    conda:
        "../envs/cpu.yaml"
    params:
        records=SPEED,
        results=OUT,
    message:
        "run notebooks/speed.py"
    shell:
        "python -m repro notebook {input.source} --out {output:q}"
        " --parameter records={params.records:q} --parameter results={params.results:q} > {log:q} 2>&1"


rule publish:
    input:
        rules.speed_notebook.output,
        SPEED_RECORDS,
    log:
        f"{OUT}/logs/publish.log",
    conda:
        "../envs/cpu.yaml"
    params:
        results=OUT,
    message:
        "copy what people read to results/published/wan-h100"
    shell:
        "python -m repro publish --kind speed --results {params.results:q} --out results/published/wan-h100 > {log:q} 2>&1"
