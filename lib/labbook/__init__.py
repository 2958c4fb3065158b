"""The library behind the lab-book: noisy digits, spatial transformers, curricula and their evaluation.

Data flows one way, and so do the imports. The science, in reading order:

    rng -> digits, textures -> stimuli -> fields, retina
    -> layers -> classifiers, sampler, evidence -> localisation -> transformers
    -> where, searcher, foveal -> models, the one registry
    -> curriculum -> schema, config -> evaluation -> score_function, visual_field
    -> engine, machine -> training -> psychometrics, linear_probe, scaling -> whatwhere

What is made of it:

    study2021: facts, pipeline -> experiments: recipes, pathways, whole, systems, card
    -> book: store, results, figures, rerun -> tensors, explorers, report
    -> ops: device, pack, gpu, sweep, compare, bench, sampler_bench, cli

In `experiments`, `claim` says how a claim of 2021 is decided; `week1` to `week8` hold the claims with their rules. In
`book`, `chapter` runs the notebooks, `verdicts` judges claims by what is stored, `outcome` keeps what a chapter found
as data, `claims` holds what became of the claims, `verify` checks all that is stored, and `changes`, `colab` and `pdf`
serve the pages; `errors`, `files` and `machine` serve all. "Study 2.1" in a docstring is a section of the page on the
study of 2021.
"""

__version__ = "0.1.0"
