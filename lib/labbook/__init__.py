"""The library behind the lab-book: noisy digits, spatial transformers, curricula and their evaluation.

Data flows one way, and so do the imports. The science, in reading order, where no module imports a later one:

    for all     errors runtime.files runtime.machine runtime.mnist runtime.layers
    stimuli     rng digits textures stimuli fields filters retina
    networks    classifiers sampler localisation transformers where whatwhere
    beyond 2021 search.evidence search.distilled search.peripheries search.searcher search.foveal
    training    models curriculum losses runtime.engine config evaluation score_function identity.schema
                identity.description runtime.cached runtime.checkpoint runtime.run training
    analysis    psychometrics linear_probe gradient_alignment

Whoever has an hour reads `stimuli`, `transformers` (top-down, with `sampler` and `localisation` beside it),
`curriculum` and `training`; `models` lists every network by name. What 2021 did not have is in `search`. What a
training needs of files and devices, `runtime`, and what it is stored under, `identity`, are no science.

What is made of it:

    study2021: facts, pipeline -> experiments: bootstrap, benchmark, curricula, recipes, pathways, whole, systems,
    budgets, card
    -> book: checkout, parameters -> store -> evaluations, chapter_store -> report, verdicts
    -> view: figures, explorers, standings
    -> ops: device, pack, gpu, sweep, compare, bench, cli

In `experiments`, `rule` makes a verdict of what `measure` finds in runs, and `claim` says which runs count; `week1` to
`week8` hold the claims with their rules. In
`book`, `declarations` holds the parameters of every chapter, `execution` runs the notebooks and `pages` keeps them,
`outcome` keeps what a chapter found as data and `claims` what became of the claims, `verify` checks all that is stored,
and `changes`, `colab`, `rerun` and `pdf` serve the pages. "Study 2.1" in a docstring is a section of the page on the
study of 2021.
"""

__version__ = "0.1.0"
