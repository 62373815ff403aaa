# Studies of inference: long videos, attention windows (Table 4), the schedule search, decoders (Table 8), prompts that
# change.
#
# A system of long.csv whose checkpoint is neither there nor trained is left out, and the table says so.
LONG = {name: run for name, run in load_long().items() if has_weights(run)}
CLOCKED = [name for name, run in LONG.items() if run.student != REAL]
STUDY_SIZE = PROFILE.studies
SEARCHED = WINDOWED = RUNS["diagonal_4322222"]
TOLD = [RUNS[name] for name in ("diagonal_4322222", "self_4444444")]


rule measure_long:
    input:
        lambda wildcards: checkpoints(
            "judge",
            "real",
            "text_encoder",
            "tiny",
            *student_weights(LONG[wildcards.system]),
        )(wildcards),
    output:
        f"{OUT}/long/{{system}}/long.json",
        multiext(
            f"{OUT}/long/{{system}}/",
            "scores.csv.gz",
            "curves.csv",
            "drift.csv",
            "frames.npz",
        ),
    log:
        f"{OUT}/logs/long/{{system}}.log",
    wildcard_constraints:
        system="|".join(LONG),
    conda:
        "../envs/cpu.yaml"
    threads: ALL_CORES if GPU else 1
    resources:
        gpu=GPU,
    params:
        row=lambda wildcards: LONG[wildcards.system].model_dump_json(),
        rolls=[roll.model_dump_json() for roll in STUDY_SIZE.rolls],
        folder=lambda wildcards, output: os.path.dirname(output[0]),
        settings=f"{SETTINGS} {EVALUATION}",
    message:
        "roll {wildcards.system} on for minutes"
    shell:
        "python -m repro long {wildcards.system} {params.settings} --out {params.folder:q}"
        " --threads {threads} > {log:q} 2>&1"


rule pace:
    input:
        checkpoints(
            "text_encoder",
            "tiny",
            *sorted({n for s in CLOCKED for n in student_weights(LONG[s])[:1]}),
        ),
    output:
        multiext(f"{OUT}/long/pace", ".csv", ".json"),
    log:
        f"{OUT}/logs/long/pace.log",
    conda:
        "../envs/cpu.yaml"
    # All the cores, so that no other job runs beside a clock.
    threads: ALL_CORES
    resources:
        gpu=GPU,
    params:
        systems=",".join(CLOCKED),
        rolls=[roll.model_dump_json() for roll in STUDY_SIZE.rolls],
        folder=lambda wildcards, output: os.path.dirname(output[0]),
        settings=f"{SETTINGS} {EVALUATION}",
    message:
        "clock long videos, one after the other"
    shell:
        "python -m repro pace --systems {params.systems} {params.settings} --out {params.folder:q}"
        " --threads 1 > {log:q} 2>&1"


rule long_table:
    input:
        expand(
            f"{OUT}/long/{{system}}/{{file}}",
            system=LONG,
            file=["long.json", "scores.csv.gz", "curves.csv", "drift.csv"],
        ),
        rules.pace.output,
    output:
        multiext(f"{OUT}/tables/long", ".csv", "_pairs.csv", ".md", ".html", ".tex"),
    log:
        f"{OUT}/logs/long/table.log",
    conda:
        "../envs/cpu.yaml"
    params:
        profile=PROFILE.name,
        folder=lambda wildcards, input: os.path.dirname(os.path.dirname(input[0])),
        out=lambda wildcards, output: os.path.dirname(os.path.dirname(output[0])),
    message:
        "write the tables of long videos"
    shell:
        "python -m repro long-table --profile {params.profile} --long {params.folder:q}"
        " --out {params.out:q} > {log:q} 2>&1"


rule measure_windows:
    input:
        checkpoints("judge", "real", "text_encoder", "tiny", *student_weights(WINDOWED)),
    output:
        f"{OUT}/windows/windows.json",
        multiext(f"{OUT}/windows/", "scores.csv.gz", "latency.csv"),
    log:
        f"{OUT}/logs/windows.log",
    conda:
        "../envs/cpu.yaml"
    # All the cores: chunks are timed.
    threads: ALL_CORES
    resources:
        gpu=GPU,
    params:
        run=WINDOWED.model_dump_json(),
        size=STUDY_SIZE.windows.model_dump_json(),
        name=WINDOWED.run_id,
        folder=lambda wildcards, output: os.path.dirname(output[0]),
        settings=f"{SETTINGS} {EVALUATION}",
        used=lambda wildcards, threads: threads if GPU else 1,
    message:
        "roll on with every attention window"
    shell:
        "python -m repro windows {params.settings} --run {params.name} --out {params.folder:q}"
        " --threads {params.used} > {log:q} 2>&1"


rule windows_table:
    input:
        rules.measure_windows.output,
        "config/paper_tables.csv",
        "config/paper_text.csv",
    output:
        multiext(f"{OUT}/tables/table4", ".csv", "_pairs.csv", ".md", ".html", ".tex"),
    log:
        f"{OUT}/logs/table4.log",
    conda:
        "../envs/cpu.yaml"
    params:
        profile=PROFILE.name,
        folder=lambda wildcards, input: os.path.dirname(input[0]),
        out=lambda wildcards, output: os.path.dirname(os.path.dirname(output[0])),
    message:
        "write table 4"
    shell:
        "python -m repro windows-table --profile {params.profile} --windows {params.folder:q}"
        " --out {params.out:q} > {log:q} 2>&1"


rule measure_search:
    input:
        prompts=PROMPTS,
        weights=checkpoints(
            "judge", "real", "text_encoder", "tiny", *student_weights(SEARCHED)
        ),
    output:
        f"{OUT}/search/search.json",
        multiext(f"{OUT}/search/", "screened.csv.gz", "probes.csv.gz", "scores.csv.gz"),
    log:
        f"{OUT}/logs/search.log",
    conda:
        "../envs/cpu.yaml"
    # All the cores: the finalists are timed.
    threads: ALL_CORES
    resources:
        gpu=GPU,
    params:
        run=SEARCHED.model_dump_json(),
        size=STUDY_SIZE.search.model_dump_json(),
        name=SEARCHED.run_id,
        folder=lambda wildcards, output: os.path.dirname(output[0]),
        settings=f"{SETTINGS} {EVALUATION}",
        used=lambda wildcards, threads: threads if GPU else 1,
    message:
        "search the schedules"
    shell:
        "python -m repro search {params.settings} --run {params.name} --prompts {input.prompts:q}"
        " --out {params.folder:q} --threads {params.used} > {log:q} 2>&1"


rule search_table:
    input:
        rules.measure_search.output,
        "config/paper_tables.csv",
    output:
        multiext(
            f"{OUT}/tables/search",
            ".csv",
            "_kinds.csv",
            "_worth.csv",
            ".md",
            ".html",
            ".tex",
        ),
    log:
        f"{OUT}/logs/search_table.log",
    conda:
        "../envs/cpu.yaml"
    params:
        profile=PROFILE.name,
        folder=lambda wildcards, input: os.path.dirname(input[0]),
        out=lambda wildcards, output: os.path.dirname(os.path.dirname(output[0])),
    message:
        "write the tables of the schedule search"
    shell:
        "python -m repro search-table --profile {params.profile} --search {params.folder:q}"
        " --out {params.out:q} > {log:q} 2>&1"


rule measure_codecs:
    input:
        checkpoints("judge", "vae", "tiny"),
    output:
        f"{OUT}/codecs/codecs.json",
        multiext(f"{OUT}/codecs/", "scores.csv", "frames.npz"),
    log:
        f"{OUT}/logs/codecs.log",
    conda:
        "../envs/cpu.yaml"
    # All the cores: decoding is timed.
    threads: ALL_CORES
    resources:
        gpu=GPU,
    params:
        clips=STUDY_SIZE.codec_clips,
        timing=PROFILE.timing.model_dump_json(),
        folder=lambda wildcards, output: os.path.dirname(output[0]),
        settings=f"{SETTINGS} {EVALUATION}",
    message:
        "decode held-out clips with either decoder"
    shell:
        "python -m repro codecs {params.settings} --out {params.folder:q} --threads 1 > {log:q} 2>&1"


rule codecs_table:
    input:
        rules.measure_codecs.output,
        "config/paper_tables.csv",
    output:
        multiext(f"{OUT}/tables/table8", ".csv", ".md", ".html", ".tex"),
    log:
        f"{OUT}/logs/table8.log",
    conda:
        "../envs/cpu.yaml"
    params:
        profile=PROFILE.name,
        folder=lambda wildcards, input: os.path.dirname(input[0]),
        out=lambda wildcards, output: os.path.dirname(os.path.dirname(output[0])),
    message:
        "write table 8"
    shell:
        "python -m repro codecs-table --profile {params.profile} --codecs {params.folder:q}"
        " --out {params.out:q} > {log:q} 2>&1"


rule measure_story:
    input:
        "config/story.csv",
        weights=checkpoints(
            "judge",
            "text_encoder",
            "tiny",
            *sorted({n for run in TOLD for n in student_weights(run)}),
        ),
    output:
        f"{OUT}/story/story.json",
        multiext(f"{OUT}/story/", "scores.csv.gz", "frames.npz"),
    log:
        f"{OUT}/logs/story.log",
    conda:
        "../envs/cpu.yaml"
    threads: ALL_CORES if GPU else 1
    resources:
        gpu=GPU,
    params:
        stories=STUDY_SIZE.stories,
        runs=",".join(run.run_id for run in TOLD),
        rows=[run.model_dump_json() for run in TOLD],
        folder=lambda wildcards, output: os.path.dirname(output[0]),
        settings=f"{SETTINGS} {EVALUATION}",
    message:
        "tell the story, with and without recaching"
    shell:
        "python -m repro story {params.settings} --runs {params.runs} --out {params.folder:q}"
        " --threads {threads} > {log:q} 2>&1"


rule story_video:
    input:
        checkpoints("text_encoder", "tiny", *student_weights(TOLD[0])[:1]),
        cues="config/story.csv",
    output:
        f"{OUT}/story/story.mp4",
    log:
        f"{OUT}/logs/story_video.log",
    conda:
        "../envs/cpu.yaml"
    threads: ALL_CORES if GPU else 1
    resources:
        gpu=GPU,
    params:
        run=TOLD[0].run_id,
        row=TOLD[0].model_dump_json(),
        settings=SETTINGS,
    message:
        "film the story"
    shell:
        "python -m repro generate --prompts {input.cues} --recache --run {params.run} --scale 2 --crf 30"
        " {params.settings} --out {output:q} --threads {threads} > {log:q} 2>&1"


rule story_table:
    input:
        rules.measure_story.output,
    output:
        multiext(f"{OUT}/tables/story", ".csv", ".md", ".html", ".tex"),
    log:
        f"{OUT}/logs/story_table.log",
    conda:
        "../envs/cpu.yaml"
    params:
        profile=PROFILE.name,
        folder=lambda wildcards, input: os.path.dirname(input[0]),
        out=lambda wildcards, output: os.path.dirname(os.path.dirname(output[0])),
    message:
        "write the tables of the story"
    shell:
        "python -m repro story-table --profile {params.profile} --story {params.folder:q}"
        " --out {params.out:q} > {log:q} 2>&1"


STUDY_TABLES = {
    "long": rules.long_table.output,
    "table4": rules.windows_table.output,
    "search": rules.search_table.output,
    "table8": rules.codecs_table.output,
    "story": rules.story_table.output,
}
STUDY_PICTURES = {
    "long": expand(f"{OUT}/long/{{system}}/frames.npz", system=LONG),
    "story": rules.story_video.output,
}


rule study_notebook:
    input:
        lambda wildcards: STUDY_TABLES[wildcards.study],
        lambda wildcards: STUDY_PICTURES.get(wildcards.study, []),
        source="notebooks/{study}.py",
    output:
        f"{OUT}/notebooks/{{study}}.ipynb",
    log:
        f"{OUT}/logs/notebook_{{study}}.log",
    wildcard_constraints:
        study="|".join(STUDY_TABLES),
    conda:
        "../envs/cpu.yaml"
    params:
        profile=PROFILE.name,
        results=lambda wildcards, output: os.path.dirname(os.path.dirname(output[0])),
    message:
        "run {input.source}"
    shell:
        "python -m repro notebook {input.source} --out {output:q}"
        " --parameter results={params.results:q} --parameter profile={params.profile} > {log:q} 2>&1"


for study in STUDY_TABLES:

    rule:
        name:
            study
        input:
            STUDY_TABLES[study],
            f"{OUT}/notebooks/{study}.ipynb",
