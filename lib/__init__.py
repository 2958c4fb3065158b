"""The library behind the lab-book: noisy digits, spatial transformers, curricula and their evaluation.

Data flows one way, and so do the imports:

    chance -> digits, clouds -> scenes -> models -> curriculum -> evaluation -> training -> runs -> figures -> chapter,
    cli
"""

__version__ = "0.1.0"
