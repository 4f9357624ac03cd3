"""Data sets, transforms, the loader and downloads, on files made here."""

import errno
import gzip
import hashlib
import io
import pickle
import tarfile

import numpy as np
import pytest
from PIL import Image

import needle as ndl
from needle import data
from needle.data import download
from needle.data.datasets.cifar10_dataset import read_cifar10
from needle.errors import DataError, SettingError

pytestmark = pytest.mark.both_modes


def pixels(*shape, seed=0):
    return np.random.RandomState(seed).randint(0, 256, shape).astype("uint8")


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, dtype=">u4").tobytes()
    path.write_bytes(gzip.compress(header + array.tobytes()))
    return path


@pytest.fixture
def mnist(tmp_path):
    images = write_idx(tmp_path / "images.gz", pixels(25, 28, 28))
    labels = write_idx(tmp_path / "labels.gz", pixels(25, seed=1) % 10)
    return images, labels


# transforms


def test_flip_draws_once_per_image():
    image, flip = np.arange(24.0).reshape(2, 4, 3), data.RandomFlipHorizontal(0.4)
    np.random.seed(1)
    got = [flip(image) for _ in range(20)]
    np.random.seed(1)
    for result in got:
        np.testing.assert_array_equal(result, image[:, ::-1] if np.random.rand() < 0.4 else image)
    assert data.RandomFlipHorizontal().p == 0.5 and data.RandomCrop().padding == 3


@pytest.mark.parametrize("padding", [0, 1, 3, 9])
def test_crop_draws_two_numbers_per_image(padding):
    image, crop = np.random.RandomState(2).rand(6, 5, 2), data.RandomCrop(padding)
    np.random.seed(3)
    got = [crop(image) for _ in range(10)]
    np.random.seed(3)
    for result in got:
        down, right = np.random.randint(-padding, padding + 1, size=2)
        meant = np.zeros_like(image)
        for i in range(6):
            for j in range(5):
                if 0 <= i + down < 6 and 0 <= j + right < 5:
                    meant[i, j] = image[i + down, j + right]
        np.testing.assert_array_equal(result, meant)


# data sets


def test_mnist(mnist):
    dataset = data.MNISTDataset(*mnist)
    assert len(dataset) == 25 and dataset.X.shape == (25, 28, 28, 1) and dataset.X.dtype == "float32"
    x, y = dataset[3]
    np.testing.assert_allclose(x[..., 0], pixels(25, 28, 28)[3] / 255, rtol=1e-6)
    assert x.shape == (28, 28, 1) and y == pixels(25, seed=1)[3] % 10 and dataset.y.dtype == "uint8"
    for index in (slice(2, 9), np.array([5, 1, 5])):
        x, y = dataset[index]
        np.testing.assert_array_equal(x, dataset.X[index])
        np.testing.assert_array_equal(y, dataset.y[index])


def test_mnist_transforms_draw_image_by_image(mnist):
    transforms = [data.RandomCrop(4), data.RandomFlipHorizontal()]
    dataset, plain = data.MNISTDataset(*mnist, transforms=transforms), data.MNISTDataset(*mnist)
    np.random.seed(5)
    batch, _ = dataset[0:6]
    np.random.seed(5)
    for i in range(6):
        np.testing.assert_array_equal(batch[i], transforms[1](transforms[0](plain[i][0])))
    assert dataset[0][0].shape == (28, 28, 1) and dataset[3:3][0].shape == (0, 28, 28, 1)


@pytest.mark.parametrize("damage", ["missing", "not gzip", "cut", "magic", "size"])
def test_damaged_idx_files_are_refused(mnist, damage):
    images, labels = mnist
    whole = images.read_bytes()
    content = gzip.decompress(whole)
    files = {
        "not gzip": content,
        "cut": whole[:-20],
        "magic": gzip.compress(b"\0\0\x0d\x03" + content[4:]),
        "size": gzip.compress(content[:-1]),
    }
    images.unlink() if damage == "missing" else images.write_bytes(files[damage])
    with pytest.raises(DataError, match=r"images\.gz"):
        data.MNISTDataset(images, labels)


def test_images_and_labels_must_match(mnist, tmp_path):
    with pytest.raises(DataError, match=r"25 images.*24 labels"):
        data.MNISTDataset(mnist[0], write_idx(tmp_path / "short.gz", pixels(24)))


def test_ndarray_dataset():
    a, b = np.arange(6), np.random.rand(6, 2)
    dataset = data.NDArrayDataset(a, b)
    assert len(dataset) == 6 and dataset[2][0] == 2
    np.testing.assert_array_equal(dataset[1:3][1], b[1:3])
    with pytest.raises(DataError):
        data.NDArrayDataset(a, b[:5])


class Python2Pickler(pickle._Pickler):  # type: ignore[name-defined]
    """Writes bytes as Python 2 wrote its strings, which is what the published files hold."""

    dispatch = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]  # noqa: RUF012

    def save_bytes(self, value):
        self.write(b"T" + len(value).to_bytes(4, "little") + value)
        self.memoize(value)

    dispatch[bytes] = save_bytes


def write_batch(path, images, labels, pickler=Python2Pickler):
    content = {b"batch_label": b"a batch", b"labels": [int(y) for y in labels]}
    content |= {b"data": images.reshape(len(images), -1), b"filenames": [b"frog.png"] * len(labels)}
    stream = io.BytesIO()
    pickler(stream, protocol=2).dump(content)
    path.write_bytes(stream.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))


def write_sheets(folder, split, images, labels):
    for start in range(0, len(images), 1000):
        tiles = np.zeros((1000, 3, 32, 32), dtype="uint8")
        part = images[start : start + 1000]
        tiles[: len(part)] = part
        sheet = tiles.reshape(25, 40, 3, 32, 32).transpose(0, 3, 1, 4, 2).reshape(800, 1280, 3)
        Image.fromarray(sheet).save(folder / f"{split}_{start // 1000:02d}.webp", lossless=True, method=0)
    (folder / f"{split}_labels.bin").write_bytes(labels.astype("uint8").tobytes())


@pytest.fixture
def cifar(tmp_path):
    """(folder of python batches, folder of sheets, train images, train labels) with the same 1,050 + 30 images."""
    batches, sheets = tmp_path / "batches", tmp_path / "sheets"
    batches.mkdir(), sheets.mkdir()
    images, labels = pixels(1050, 3, 32, 32), pixels(1050, seed=1) % 10
    for k in range(5):
        part = slice(210 * k, 210 * (k + 1))
        write_batch(batches / f"data_batch_{k + 1}", images[part], labels[part])
    write_batch(batches / "test_batch", images[:30, ::-1].copy(), labels[:30])
    write_sheets(sheets, "train", images, labels)
    write_sheets(sheets, "test", images[:30, ::-1], labels[:30])
    return batches, sheets, images, labels


def test_cifar_batches_and_sheets_hold_the_same_arrays(cifar):
    batches, sheets, images, labels = cifar
    for folder in (batches, sheets):
        for train, (x, y) in {True: (images, labels), False: (images[:30, ::-1], labels[:30])}.items():
            got_x, got_y = read_cifar10(folder, train)
            np.testing.assert_array_equal(got_x, x)
            np.testing.assert_array_equal(got_y, y)
            assert got_x.dtype == "uint8" and got_y.dtype == "int64" and got_x.flags.c_contiguous


def test_cifar_dataset(cifar):
    dataset = data.CIFAR10Dataset(cifar[0], train=True)
    assert len(dataset) == 1050 and dataset.X.shape == (1050, 3, 32, 32) and dataset.X.dtype == "float32"
    sample = dataset[500]
    assert isinstance(sample, tuple) and isinstance(sample[0], np.ndarray) and sample[1] == cifar[3][500]
    np.testing.assert_allclose(sample[0], cifar[2][500] / 255, rtol=1e-6)
    x, y = dataset[np.array([3, 1])]
    assert x.shape == (2, 3, 32, 32) and y.tolist() == cifar[3][[3, 1]].tolist()
    turned = data.CIFAR10Dataset(cifar[0], train=False, transforms=[data.RandomFlipHorizontal(1.0)])
    np.testing.assert_array_equal(turned[4][0], data.CIFAR10Dataset(cifar[0], train=False)[4][0][:, :, ::-1])
    assert turned[0:3][0].shape == (3, 3, 32, 32) and turned[0:0][0].shape == (0, 3, 32, 32)


def test_cifar_pickles_of_python_3_are_read_too(cifar):
    write_batch(cifar[0] / "test_batch", cifar[2][:7], cifar[3][:7], pickler=pickle.Pickler)
    np.testing.assert_array_equal(read_cifar10(cifar[0], False)[0], cifar[2][:7])


class Harmful:
    def __reduce__(self):
        return (print, ("this must not run",))


@pytest.mark.parametrize("content", [Harmful(), {b"data": Harmful()}, {b"data": np.zeros((2, 9), "uint8")}, [1, 2]])
def test_pickles_of_anything_else_are_refused(cifar, content, capsys):
    (cifar[0] / "test_batch").write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(DataError, match="CIFAR10Dataset"):
        read_cifar10(cifar[0], False)
    assert not capsys.readouterr().out


def test_damaged_cifar_folders_are_refused(cifar, tmp_path):
    batches, sheets, images, labels = cifar
    (batches / "test_batch").write_bytes((batches / "test_batch").read_bytes()[:1000])
    write_batch(batches / "data_batch_2", images[:5], labels[:5] * 0 + 10)
    (sheets / "train_01.webp").write_bytes(b"no image")
    Image.new("RGB", (64, 64)).save(sheets / "test_00.webp", lossless=True)
    for folder, train in ((batches, True), (batches, False), (sheets, True), (sheets, False), (tmp_path, True)):
        with pytest.raises(DataError):
            read_cifar10(folder, train)


# text


def test_corpus(tmp_path):
    (tmp_path / "train.txt").write_text(" the cat sat \n the dog\n\nlast line\n")
    (tmp_path / "test.txt").write_text("a dog\n")
    corpus = data.Corpus(tmp_path)
    words = ["the", "cat", "sat", "<eos>", "dog", "last", "line", "a"]
    assert corpus.dictionary.idx2word == words and len(corpus.dictionary) == 8
    assert corpus.dictionary.word2idx == {word: i for i, word in enumerate(words)}
    assert corpus.train == [0, 1, 2, 3, 0, 4, 3, 3, 5, 6, 3] and corpus.test == [7, 4, 3]
    ends = [0, 4, 7, 8, 11, 11]  # of the words of the first 0, 1, ... lines
    for lines, end in enumerate(ends):
        assert data.Corpus(tmp_path, max_lines=lines).train == corpus.train[:end]
    assert data.Corpus(tmp_path, max_lines=0).test == [] and data.Corpus(tmp_path, max_lines=1).test == [4, 5, 3]
    for wrong in (-1, 1.5):
        with pytest.raises(SettingError, match="max_lines counts lines"):
            data.Corpus(tmp_path, max_lines=wrong)
    assert corpus.dictionary.add_word("cat") == 1 and corpus.dictionary.add_word("new") == 8
    (tmp_path / "train.txt").rename(tmp_path / "ptb.train.txt")
    assert data.Corpus(tmp_path).train == corpus.train
    with pytest.raises(DataError, match="Corpus"):
        data.Corpus(tmp_path / "nowhere")


def test_batchify_puts_contiguous_text_into_columns():
    batches = data.batchify(list(range(11)), 3, device=ndl.cpu(), dtype="float32")
    assert isinstance(batches, np.ndarray) and batches.dtype == "float32"
    np.testing.assert_array_equal(batches, [[0, 3, 6], [1, 4, 7], [2, 5, 8]])


def test_get_batch():
    batches = data.batchify(list(range(20)), 2, dtype="float32")
    x, y = data.get_batch(batches, 1, 4, device=ndl.cpu())
    np.testing.assert_array_equal(x.numpy(), batches[1:5])
    np.testing.assert_array_equal(y.numpy(), batches[2:6].reshape(-1))
    assert x.dtype == "float32" and x.device == ndl.cpu() and not x.requires_grad
    x, y = data.get_batch(batches, 7, 4)
    assert x.shape == (2, 2) and y.shape == (4,)
    for i in (9, -1):
        with pytest.raises(DataError, match="get_batch"):
            data.get_batch(batches, i, 4)


# the loader


def test_loader_cuts_batches_in_order(mnist):
    dataset = data.MNISTDataset(*mnist)
    loader = data.DataLoader(dataset, batch_size=10)
    for _ in range(2):  # a loader can be used again
        batches = list(loader)
        assert [x.shape[0] for x, _ in batches] == [10, 10, 5] and len(loader) == 3
        np.testing.assert_array_equal(np.concatenate([x.numpy() for x, _ in batches]), dataset.X)
        np.testing.assert_array_equal(np.concatenate([y.numpy() for _, y in batches]), dataset.y)
    x, _ = batches[0]
    assert isinstance(x, ndl.Tensor) and isinstance(x.cached_data, ndl.NDArray)
    assert x.device == ndl.default_device() and not x.requires_grad and x.dtype == "float32"


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_shuffling_draws_one_permutation_for_each_iteration(batch_size):
    values = np.arange(40)
    loader = data.DataLoader(data.NDArrayDataset(values), batch_size=batch_size, shuffle=True)
    np.random.seed(0)
    orders = [np.concatenate([x.numpy() for (x,) in loader]) for _ in range(2)]
    np.random.seed(0)
    for order in orders:
        np.testing.assert_array_equal(order, np.random.permutation(40))


def test_batches_can_be_told_apart():
    dataset = data.NDArrayDataset(np.arange(30.0))
    plain, shuffled = data.DataLoader(dataset, 10), data.DataLoader(dataset, 10, shuffle=True)
    with pytest.warns(UserWarning, match="whether both are one object"):
        assert all(a != b for a, b in zip(shuffled, plain, strict=True))


def test_loader_keeps_float64_in_numpy_mode():
    values = np.random.rand(6, 2)
    (x,) = next(iter(data.DataLoader(data.NDArrayDataset(values), batch_size=6)))
    np.testing.assert_allclose(x.numpy(), values, rtol=1e-7 if ndl.BACKEND == "nd" else 0)
    with pytest.raises(ValueError, match="batch_size"):
        data.DataLoader(data.NDArrayDataset(values), batch_size=0)


# downloads


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A file behind a url, and a home for downloads."""
    source = tmp_path / "web" / "data.bin"
    source.parent.mkdir()
    source.write_bytes(b"the data")
    monkeypatch.setenv("NEEDLE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("NEEDLE_DATA", raising=False)
    monkeypatch.delenv("NEEDLE_OFFLINE", raising=False)
    return source


def sha256(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def test_a_download_is_checked_and_kept(published, tmp_path):
    target = tmp_path / "home" / "data.bin"
    assert download.fetch(published.as_uri(), target, sha256(b"the data")).read_bytes() == b"the data"
    published.unlink()
    assert download.fetch(published.as_uri(), target, sha256(b"the data")) == target


def test_a_download_with_another_checksum_leaves_nothing(published, tmp_path):
    target = tmp_path / "home" / "data.bin"
    with pytest.raises(DataError, match=r"has md5 \w+, expected 00"):
        download.fetch(published.as_uri(), target, "md5:00")
    assert list(target.parent.iterdir()) == []
    with pytest.raises(DataError, match="could not be downloaded"):
        download.fetch((published.parent / "none").as_uri(), target, "md5:00")
    with pytest.raises(DataError, match="https"):
        download.fetch("ftp://example.org/x", target, "md5:00")


def test_offline_forbids_the_network(published, monkeypatch):
    monkeypatch.setenv("NEEDLE_OFFLINE", "1")
    with pytest.raises(DataError, match=r"NEEDLE_OFFLINE.* into a folder mnist and set NEEDLE_DATA to the folder"):
        download.dataset_folder("mnist")
    with pytest.raises(DataError, match="known: cifar-10"):
        download.dataset_folder("imagenet")


def test_a_download_that_cannot_be_kept_names_the_variable(published, tmp_path):
    (tmp_path / "home").touch()
    with pytest.raises(SettingError, match=r"home cannot be written: .*; set NEEDLE_HOME to a folder"):
        download.fetch(published.as_uri(), tmp_path / "home" / "data.bin", sha256(b"the data"))


def test_a_download_onto_a_full_disk_names_the_file(published, tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DataError, match=r"home/data\.bin cannot be written: No space left on device"):
        download.fetch(published.as_uri(), tmp_path / "home" / "data.bin", sha256(b"the data"))
    assert list((tmp_path / "home").iterdir()) == []


def test_data_sets_come_from_needle_data_first(published, tmp_path, monkeypatch):
    (tmp_path / "given" / "mnist").mkdir(parents=True)
    monkeypatch.setenv("NEEDLE_DATA", str(tmp_path / "given"))
    assert download.dataset_folder("mnist") == tmp_path / "given" / "mnist"


def test_members_of_a_tar_are_taken_out(published, tmp_path, monkeypatch):
    archive = published.with_name("set.tar.gz")
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(published, "folder/data.bin")
        tar.add(published, "../evil.bin")
    source = download.Source(archive.as_uri(), sha256(archive.read_bytes()), ("folder/data.bin",))
    monkeypatch.setitem(download.DATASETS, "set", (source,))
    folder = download.dataset_folder("set")
    assert folder == tmp_path / "home" / "data" / "set" and [f.name for f in folder.iterdir()] == ["data.bin"]
    lacking = source._replace(members=("folder/other.bin",))
    with pytest.raises(DataError, match=r"other\.bin"):
        download.fetch_source(lacking, tmp_path / "elsewhere")
    archive.unlink()
    assert (download.dataset_folder("set") / "data.bin").read_bytes() == b"the data"
