"""The names of the classes of public data sets, in the order of their label numbers."""

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
