"""The data set protocol and the loader, by the name that the course's code imports."""

from .dataset import Dataset as Dataset
from .loader import DataLoader as DataLoader
