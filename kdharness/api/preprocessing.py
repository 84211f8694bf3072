"""What a network does to pixels before its first layer. Importing this module loads no torch."""

from __future__ import annotations

from dataclasses import dataclass

Shape = tuple[int, int, int]
Size = tuple[int, int]


@dataclass(frozen=True)
class Preprocessing:
    """From pixels in [0, 1] to a network's own input: resized, its middle cut out, then (x - mean) / std.

    mean: of each channel, in [0, 1]; a single number stands for all channels. Or of each pixel of the network's input,
        C * H * W in that order.
    std: of each channel; a single number likewise.
    size: (height, width) to which images are resized, bilinearly and with antialiasing; None: they stay as they are.
    crop: (height, width) of the middle that is cut out; None: nothing is cut off.
    """

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    size: Size | None = None
    crop: Size | None = None

    def __post_init__(self) -> None:
        for name in ("mean", "std", "size", "crop"):  # lists would have no hash
            given = getattr(self, name)
            object.__setattr__(self, name, given if given is None else tuple(given))
        fit = bool(self.mean and self.std) and len(self.mean) % len(self.std) == 0
        if not fit or not all(std > 0 for std in self.std):
            raise ValueError(f"a mean and a positive std for each channel, got mean {self.mean} and std {self.std}")
        for name, size in (("size", self.size), ("crop", self.crop)):
            if size is not None and (len(size) != 2 or min(size) < 1):
                raise ValueError(f"{name} is (height, width) in pixels, got {size}")

    @property
    def scales(self) -> bool:
        """Whether numbers change."""
        return any(self.mean) or any(std != 1 for std in self.std)

    def input_shape(self, image_shape: Shape) -> Shape:
        """(C, H, W) of what the network is given for images of this shape. ValueError where they do not fit."""
        channels, *size = image_shape
        height, width = self.size or (size[0], size[1])
        if self.crop is not None:
            if self.crop[0] > height or self.crop[1] > width:
                raise ValueError(f"no {self.crop[0]}x{self.crop[1]} pixels can be cut out of {height}x{width}")
            height, width = self.crop
        if len(self.std) not in (1, channels) or len(self.mean) not in (1, channels, channels * height * width):
            raise ValueError(f"its mean has {len(self.mean)} channels, the images have {channels}")
        return channels, height, width
