# The checkpoints, made in order. One thread a job: the CPU trains toy sizes only, where two threads wait
# for each other longer than they work; on a GPU the profile lets one job run at a time.
#
# A stage keeps its state in results/<profile>/training, which no rule
# declares as output: Snakemake deletes the outputs of a failed job, and a stage must go on where it was.
WORK = f"{OUT}/training"


# What a changed setting has left there steps aside.
TRAIN_SETTINGS = f"{SETTINGS} --work {shlex.quote(WORK)} --restart"


rule train_judge:
    output:
        weights("judge", "real"),
    log:
        f"{OUT}/logs/train/judge.log",
    conda:
        "../envs/cpu.yaml"
    threads: 1
    resources:
        gpu=GPU,
    params:
        reads=stage_settings(PROFILE, "judge"),
        settings=TRAIN_SETTINGS,
    message:
        "train judge"
    shell:
        "python -m repro train judge {params.settings} --threads {threads} > {log:q} 2>&1"


rule train_vae:
    output:
        weights("vae"),
    log:
        f"{OUT}/logs/train/vae.log",
    conda:
        "../envs/cpu.yaml"
    threads: 1
    resources:
        gpu=GPU,
    params:
        reads=stage_settings(PROFILE, "vae"),
        settings=TRAIN_SETTINGS,
    message:
        "train vae"
    shell:
        "python -m repro train vae {params.settings} --threads {threads} > {log:q} 2>&1"


rule train_tiny:
    input:
        weights("vae"),
    output:
        weights("tiny"),
    log:
        f"{OUT}/logs/train/tiny.log",
    conda:
        "../envs/cpu.yaml"
    threads: 1
    resources:
        gpu=GPU,
    params:
        reads=stage_settings(PROFILE, "tiny"),
        settings=TRAIN_SETTINGS,
    message:
        "train tiny"
    shell:
        "python -m repro train tiny {params.settings} --threads {threads} > {log:q} 2>&1"


rule train_teacher:
    input:
        weights("vae"),
    output:
        weights("teacher", "text_encoder"),
    log:
        f"{OUT}/logs/train/teacher.log",
    conda:
        "../envs/cpu.yaml"
    threads: 1
    resources:
        gpu=GPU,
    params:
        reads=stage_settings(PROFILE, "teacher"),
        settings=TRAIN_SETTINGS,
    message:
        "train teacher"
    shell:
        "python -m repro train teacher {params.settings} --threads {threads} > {log:q} 2>&1"


rule train_ode:
    input:
        weights("vae", "teacher", "text_encoder"),
    output:
        weights("ode"),
    log:
        f"{OUT}/logs/train/ode.log",
    conda:
        "../envs/cpu.yaml"
    threads: 1
    resources:
        gpu=GPU,
    params:
        reads=stage_settings(PROFILE, "ode"),
        settings=TRAIN_SETTINGS,
    message:
        "train ode"
    shell:
        "python -m repro train ode {params.settings} --threads {threads} > {log:q} 2>&1"


rule train_student:
    input:
        weights("vae", "teacher", "text_encoder", "ode"),
    output:
        weights("{student}-s{seed}"),
    log:
        f"{OUT}/logs/train/{{student}}-s{{seed}}.log",
    wildcard_constraints:
        student="|".join(STUDENTS),
        seed="[0-9]+",
    conda:
        "../envs/cpu.yaml"
    threads: 1
    resources:
        gpu=GPU,
    params:
        reads=lambda wildcards: student_settings(PROFILE, STUDENTS[wildcards.student]),
        settings=TRAIN_SETTINGS,
    message:
        "train student {wildcards.student}, seed {wildcards.seed}"
    shell:
        "python -m repro train student --student {wildcards.student} --seed {wildcards.seed}"
        " {params.settings} --threads {threads} > {log:q} 2>&1"


# Every row of students.csv with its seeds; asked for by name alone.
rule students:
    input:
        weights(
            *(
                f"{name}-s{seed}"
                for name, row in STUDENTS.items()
                for seed in row.training_seeds(SEEDS)
            )
        ),
