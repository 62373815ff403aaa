# snakemake table5                                     mini, from its shipped checkpoints
# snakemake table5 --config profile=smoke              everything at toy size, training included
# snakemake cost                                       what training costs, stage by stage
# snakemake table5 --config train=true device=cuda     train mini's checkpoints first
from snakemake.utils import min_version

min_version("9.0")

TABLES = ["table5"]
PENDING = sorted({f"table{n}" for n in range(1, 10)} - set(TABLES)) + [
    "figures",
    "user_study",
    "claims",
]


include: "rules/common.smk"


if TRAIN:

    include: "rules/train.smk"


include: "rules/data.smk"
include: "rules/generate.smk"
include: "rules/evaluate.smk"
include: "rules/timing.smk"
include: "rules/report.smk"
include: "rules/cost.smk"


onstart:
    hold_lock()


rule all:
    default_target: True
    input:
        report_files(5),


rule table5:
    input:
        report_files(5),


rule cost:
    input:
        rules.cost_table.output,
        rules.cost_notebook.output,


for target in PENDING:

    rule:
        name:
            target
        input:
            not_landed(target),
