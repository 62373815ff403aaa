# snakemake table5                                     mini, from its shipped checkpoints
# snakemake validity                                   do the measures measure? mini, from its shipped judge
# snakemake table5 --config profile=smoke              everything at toy size, training included
# snakemake long table4 search table8 story            studies of inference: long videos, windows, schedules, decoders
# snakemake onedim                                     the method on videos of one number a frame
# snakemake figures                                    Figures 5 and 10 with numbers: sweeps, and quality chunk by chunk
# snakemake vbench_env                                  VBench's own environment: .venv-vbench
# snakemake regress                                     Table 5 afresh against its published numbers
# snakemake user_study                                  what the paper's user study can bear, or your own's answers
# snakemake audit claims                                the paper's own numbers, and what was found of its claims
# snakemake real_clips                                  real videos through mini's VAE, scored by VBench
# snakemake table1 --config profile=wan weights=DIR     Table 1's quality from published weights
# snakemake cost                                       what training costs, stage by stage
# snakemake table5 --config train=true device=cuda     train mini's checkpoints first
# snakemake speed --config profile=wan                 timing at paper scale; device=cuda measures it here
from snakemake.utils import min_version

min_version("9.0")


include: "rules/common.smk"


onstart:
    hold_lock()


include: "rules/vbench.smk"


if TIMED_ONLY:

    include: "rules/speed.smk"

else:

    if TRAIN:

        include: "rules/train.smk"
    include: "rules/data.smk"
    include: "rules/evaluate.smk"
    include: "rules/timing.smk"
    include: "rules/validity.smk"
    include: "rules/headroom.smk"
    include: "rules/report.smk"
    include: "rules/ablations.smk"
    include: "rules/cost.smk"
    include: "rules/onedim.smk"
    include: "rules/user_study.smk"
    include: "rules/paper.smk"
    include: "rules/inference.smk"

    rule all:
        default_target: True
        input:
            report_files(5),
            validity_files(),

    rule table5:
        input:
            report_files(5),

    rule validity:
        input:
            validity_files(),

    rule headroom:
        input:
            headroom_files(),

    rule cost:
        input:
            rules.cost_table.output,
            rules.cost_notebook.output,
