# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Do the paper's own numbers fit together?
# Relations between printed numbers, recomputed with all that their digits allow. Misprints, ambiguities and what
# matters to a claim are told apart: a misprint takes nothing away from the method. This notebook reads
# `config/audit.csv`; it measures nothing.

# %%
from IPython.display import Image, Markdown, display

from repro.config import ROOT
from repro.reporting import audit, audit_answers, figures

# %% tags=["parameters"]
results = "results/published/paper"

# %%
# Relative folders are meant from the repository root, wherever the notebook was opened.
drawn = ROOT / results / "figures"
checks = audit.run()
print(audit.counts(checks))

# %% [markdown]
# ## Misprints
# The text or a cell says what cannot be meant. No result hangs on them.

# %%
display(Markdown(audit_answers.table(checks, "misprint")))

# %% [markdown]
# ## Ambiguities
# The paper can be read in more than one way. What this repository builds is decided by the reading that its own
# tables support; the other stays reachable as a setting.

# %%
display(Markdown(audit_answers.table(checks, "ambiguity")))

# %% [markdown]
# ## What matters
# A claim rests on these.

# %%
display(Markdown(audit_answers.table(checks, "matters")))

# %% [markdown]
# ### Which speed-up is it?

# %%
print(audit_answers.speedup(checks))

# %% [markdown]
# ### Do throughput and steps go together?

# %%
display(Image(figures.save(audit_answers.pace(), drawn / "audit_pace.png")))
print(audit_answers.rising(checks))

# %% [markdown]
# ## What holds

# %%
display(Markdown(audit_answers.table(checks, "holds")))
