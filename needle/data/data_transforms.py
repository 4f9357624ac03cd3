"""The transforms of one image, by the name that the course's code imports."""

from .transforms.per_image import RandomCrop as RandomCrop
from .transforms.per_image import RandomFlipHorizontal as RandomFlipHorizontal
from .transforms.per_image import Transform as Transform
