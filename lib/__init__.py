"""The library behind the lab-book: noisy digits, spatial transformers, curricula and their evaluation.

Data flows one way, and so do the imports:

    chance -> digits, clouds -> scenes -> retina -> where, models, curriculum
    -> evaluation -> glimpses, searcher, field
    -> training, psychometrics, readout, aim
    -> runs, whatwhere, recipes, systems, schedules
    -> results, figures, rerun -> explorers, report

Beside them, `study` and `claims` hold what is known of 2021 and what became of it, `reenacted` its stimuli; `chapter`,
`sweep`, `drift` and `cli` run the notebooks; `changes`, `colab` and `pdf` serve the book; `bench` and `sampling`
measure speed; `refusal` and `files` serve all. "Study 2.1" in a docstring is a section of the page on the study of
2021.
"""

__version__ = "0.1.0"
