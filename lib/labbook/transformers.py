"""Spatial transformers, top-down (Jaderberg et al. 2015; study, section 1).

A transformer classifies an image in three steps, which `Transformer.forward` spells out:

    theta = localise(image)         a localisation network predicts a few numbers, which a parametrisation turns into
                                    theta (B, 2, 3), see `localisation` and `sampler`
    crop = sample(image, theta)     bilinear interpolation of the image on the grid of theta
    logits = classifier(crop)       see `classifiers`

What follows are choices of the three parts. The attention transformer of the study, `ATN`, has convolutions that
predict (s, tx, ty), a window of 28x28 samples, and LeNet. Defaults are those of 2021.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from . import retina as retinas
from .classifiers import Classifier128, LeNet, TransformerOutput, TutorialNet
from .errors import ConfigurationError, choose, within
from .localisation import Constant, Localisation28, Localisation128, LogPolar, LogPolarConv
from .sampler import SAMPLERS, Affine, Attention, ThetaParametrisation


class Transformer(nn.Module):
    """A spatial transformer: localisation, sampler, classifier.

    Args:
        edge: of the sampled grid, pixels.
        padding: grey level outside the image, 0 to 1 (2021: 0).
        zero_start: whether the last layer of the localisation starts with zero weights (2021: yes).
        centre: whether the localisation receives the image minus grey (0.5), a mean near 0 (2021: False).
        kaiming: see `classifiers.initialise` (2021: False).
        sampler: "grid" (`sample`), "axes" (`sample_axes`), or "antialias" (`sample_axes` with its filter).
    """

    def __init__(
        self,
        parametrisation: ThetaParametrisation,
        localisation: nn.Module,
        classifier: nn.Module,
        edge: int,
        padding: float = 0.0,
        zero_start: bool = True,
        centre: bool = False,
        kaiming: bool = False,
        sampler: str = "grid",
    ):
        super().__init__()
        self.padding = within("padding", padding, 0, 1)
        self.sampler = choose("sampler", sampler, SAMPLERS)
        self.parametrisation, self.edge = parametrisation, edge
        self.localisation, self.classifier = localisation, classifier
        self.zero_start, self.centre, self.kaiming = zero_start, centre, kaiming

    def forward(self, image: Tensor) -> TransformerOutput:
        theta = self.localise(image)
        crop = self.sample(image, theta)
        return TransformerOutput(self.classifier(crop).logits, theta, crop)

    def localise(self, image: Tensor) -> Tensor:
        """Return theta (B, 2, 3) for images (B, 1, h, w)."""
        return self.parametrisation.matrix(self.localisation(image - 0.5 if self.centre else image))

    def sample(self, image: Tensor, theta: Tensor) -> Tensor:
        """Return the crops (B, 1, edge, edge) of images (B, 1, h, w) through windows theta (B, 2, 3)."""
        return SAMPLERS[self.sampler](image, theta, self.edge, self.padding)

    def reset_parameters(self) -> None:
        """Set the localisation to its start."""
        self.localisation.reset_parameters(self.zero_start)


# ---- a window of 28x28 samples --------------------------------------------------------------------------------------


class Window(Transformer):
    """An axis-aligned window of 28x28 samples on 128x128 pixels, and the LeNet of week 1 behind it.

    A batch of 28x28 images is taken for the crops of perfect fixations (`Scene128(view="oracle")`) and goes straight to
    the classifier, so that a curriculum may begin with it.
    """

    def __init__(self, parametrisation: Attention, localisation: nn.Module, **options):
        super().__init__(parametrisation, localisation, LeNet(), 28, **options)

    def forward(self, image: Tensor) -> TransformerOutput:
        return self.classifier(image) if image.shape[-1] == 28 else super().forward(self.preprocess(image))

    def preprocess(self, image: Tensor) -> Tensor:
        """Return what localisation and window receive of fields (B, 1, 128, 128): all of them."""
        return image


class ATN(Window):
    """Attention transformer: localisation by convolutions; 766 571 parameters by default (study 1.4).

    Args:
        scale_start: width of the first window, in widths of the image; 28/128 = 0.219 shows every pixel once.
        scale: "free" (2021), "positive" or "fixed" (translation only). scales: 1 or 2; see `Attention`.
        kernels, hidden, bias, dropout, first: of `Localisation128`.
        options: of `Transformer`: padding, zero_start, centre, kaiming, sampler.

    >>> output = ATN()(torch.zeros(2, 1, 128, 128))
    >>> output.theta.shape, output.crop.shape, output.logits.shape
    (torch.Size([2, 2, 3]), torch.Size([2, 1, 28, 28]), torch.Size([2, 10]))
    """

    def __init__(
        self,
        scale_start: float = 0.2,
        scale: str = "free",
        scales: int = 1,
        kernels: Sequence[int] = (16, 32, 64, 128),
        hidden: Sequence[int] = (32,),
        bias: bool = True,
        dropout: float = 0.0,
        first: str = "pooled",
        **options,
    ):
        window = Attention(scale_start, scale, scales)
        super().__init__(window, Localisation128(window, kernels, hidden, bias, dropout, first), **options)


class OneWindow(Window):
    """One window for all inputs: an attention transformer without a localisation network; 431 083 parameters.

    What 2021's first attention transformers had become: theta the same for every input (study 3.7, 5377d2e to b0bc17d).

    Args:
        scale_start, scale, scales: of `ATN`. options: of `Transformer`: padding, kaiming, sampler.
    """

    def __init__(self, scale_start: float = 0.2, scale: str = "free", scales: int = 1, **options):
        window = Attention(scale_start, scale, scales)
        super().__init__(window, Constant(window), **options)


class LogPolarSTN(Window):
    """Log-polar STN: a window of fixed width, placed from the features of a log-polar retina; 455 754 parameters by
    default (study 1.5).

    Args:
        retina: a name in `retina.RETINAS`. scale_start: width of the window, in widths of the image.
        hidden, standard, magnitudes: of `LogPolar`.
        reconstruction: whether the retina precedes the whole network, as it would an ordinary transformer: the window,
            too, receives no more of the field than the image that has the same features (claim C79).
        options: of `Transformer`: padding, zero_start, centre, kaiming, sampler.
    """

    def __init__(
        self,
        retina: str = "polo768",
        scale_start: float = 0.2,
        hidden: int = 32,
        standard: bool = False,
        magnitudes: bool = False,
        reconstruction: bool = False,
        **options,
    ):
        window = Attention(scale_start, "fixed")
        super().__init__(window, LogPolar(window, retina, hidden, standard, magnitudes), **options)
        self.reconstruction = reconstruction

    def preprocess(self, image: Tensor) -> Tensor:
        """Return what localisation and window receive of fields (B, 1, 128, 128): all, or their reconstruction."""
        if not self.reconstruction:
            return image
        retina = retinas.build(self.localisation.settings, image.device)
        with torch.no_grad():
            return retina.invert(retina(image))


class ConvLogPolarSTN(Window):
    """Log-polar STN whose localisation convolves over rings and azimuths; 667 652 parameters (study 1.5).

    Args:
        scale_start: width of the window, in widths of the image.
        hidden, standard, wrap, magnitudes: of `LogPolarConv`.
        options: of `Transformer`: padding, zero_start, centre, kaiming, sampler.
    """

    def __init__(
        self,
        scale_start: float = 0.2,
        hidden: int = 200,
        standard: bool = False,
        wrap: bool = False,
        magnitudes: bool = False,
        **options,
    ):
        window = Attention(scale_start, "fixed")
        super().__init__(window, LogPolarConv(window, hidden, standard, wrap, magnitudes), **options)


# ---- the whole image, transformed -----------------------------------------------------------------------------------


class STN28(Transformer):
    """Spatial transformer on 28x28 pixels; 436 600 parameters by default (study 1.2).

    Args:
        theta: "affine" (six numbers) or "attention" (three). classifier: "lenet" or "tutorial".
        bias: whether the localisation has bias terms (claim C18).
        options: of `Transformer`: padding, zero_start, centre, kaiming.
    """

    def __init__(self, theta: str = "affine", classifier: str = "lenet", bias: bool = True, **options):
        window = {"affine": Affine, "attention": lambda: Attention(1.0)}
        behind = {"lenet": LeNet, "tutorial": TutorialNet}
        window = window[choose("theta", theta, window)]()
        classifier = choose("classifier", classifier, behind)
        super().__init__(window, Localisation28(window, bias), behind[classifier](), 28, **options)


class STN128(Transformer):
    """Spatial transformer on 128x128 pixels, without downsampling; 11 152 428 parameters by default (study 1.3).

    Args:
        kernels, hidden, bias, dropout, first: of `Localisation128`.
        classifier_kernels, classifier_hidden, classifier_grey: of `Classifier128`.
        options: of `Transformer`: padding, zero_start, centre, kaiming.
    """

    def __init__(
        self,
        kernels: Sequence[int] = (16, 32, 64, 128),
        hidden: Sequence[int] = (32,),
        bias: bool = True,
        dropout: float = 0.0,
        first: str = "pooled",
        classifier_kernels: Sequence[int] = (20, 100),
        classifier_hidden: int = 128,
        classifier_grey: float = 0.0,
        **options,
    ):
        localisation = Localisation128(Affine(), kernels, hidden, bias, dropout, first)
        classifier = Classifier128(classifier_kernels, classifier_hidden, classifier_grey)
        super().__init__(Affine(), localisation, classifier, 128, **options)


# ---- a localisation network taken over -------------------------------------------------------------------------------


def localisation_for(model: Transformer, other: Transformer, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state for the localisation of `model`, with which it predicts the theta that `other` predicts.

    All but the last layer is the same in both. The last layer may give an `Affine` window where the other's gives an
    `Attention`: theta is linear in either's numbers, unless a scale is "positive".

    Args:
        weights: state of `other`.

    Raises:
        ConfigurationError: neither is so.
    """
    state = {name: value for name, value in weights.items() if name.startswith("localisation.")}
    theirs = other.parametrisation
    if vars(model.parametrisation) == vars(theirs):
        return state
    if not isinstance(model.parametrisation, Affine) or getattr(theirs, "constraint", "") == "positive":
        raise ConfigurationError(
            "start_with='localisation' takes over a window of the same settings, or one that is linear in affine ones."
        )
    with torch.no_grad():
        at_zero = theirs.matrix(torch.zeros(1, len(theirs.start))).flatten()  # (6,)
        per_number = (theirs.matrix(torch.eye(len(theirs.start))).flatten(1) - at_zero).T  # (6, n)
        weight, bias = (state[f"localisation.last.{part}"].cpu() for part in ("weight", "bias"))
    new = {"weight": per_number @ weight, "bias": per_number @ bias + at_zero}
    return state | {f"localisation.last.{part}": value for part, value in new.items()}
