"""The models of the zoo, a file for each family; importing it registers them."""

from . import airnet, dcgan, fashion, gpt, lstm, resnet

__all__ = ["airnet", "dcgan", "fashion", "gpt", "lstm", "resnet"]
