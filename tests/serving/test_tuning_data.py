"""From an upload to data that can be learned from: kinds of rows, zip files, and zip files that mean harm."""

import io
import json
import stat
import struct
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest

from needle.errors import DataError
from serving.engine.text.asking import template
from serving.engine.tuning import archive
from serving.engine.tuning.data import prepare
from zoo.finetune.rows import read_rows


def zipped(files, method=zipfile.ZIP_DEFLATED):
    """The bytes of an archive with these files: content by name, or by a ZipInfo."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as file:
        for name, content in files:
            file.writestr(name, content, method)
    return stream.getvalue()


def unpacked(data, tmp_path):
    (tmp_path / "up.zip").write_bytes(data)
    archive.unpack_images(tmp_path / "up.zip", tmp_path / "out")
    return sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file())


def prepared(text, tmp_path, name="my.jsonl"):
    (tmp_path / "up").write_text(text, encoding="utf-8")
    (tmp_path / "job").mkdir(exist_ok=True)
    found = prepare(tmp_path / "up", name, tmp_path / "job", "data")
    return found, tmp_path / "job" / found.name


def test_rows_of_the_zoo_and_texts_stay_as_they_are(tmp_path):
    row = '{"prompt": "é", "completion": "b"}\n'
    for text, name in ((row, "a.jsonl"), ("one\ntwo", "a.txt"), ("nonsense", "A.JSONL")):
        found, path = prepared(text, tmp_path, name)
        assert path.read_text(encoding="utf-8") == text and path.name == "data" + Path(name).suffix.lower()
        assert found.told("[finetune] x") == "[finetune] x"
        assert found.told(f"{path.name}: line 3 is wrong") == f"{name}: line 3 is wrong"
        assert [path.name for path in (tmp_path / "job").iterdir()] == [path.name]  # what was there before is gone


@pytest.mark.parametrize("text, kind", [('\n {"prompt": "a"}', ".jsonl"), ("one", ".txt"), ("[1]", ".txt")])
def test_a_name_that_says_nothing_leaves_it_to_the_content(text, kind, tmp_path):
    assert prepared(text, tmp_path, "my.data")[0].name == "data" + kind


def test_a_conversation_becomes_a_row_for_each_answer(tmp_path):
    said = [("system", "be brief"), ("user", "O Rome"), ("assistant", "all"), ("user", "and"), ("assistant", "é\nx")]
    messages = [{"role": role, "content": content} for role, content in said]
    found, path = prepared(json.dumps({"messages": messages}) + "\n\n", tmp_path)
    rows = read_rows(path, ("prompt", "completion"), lambda row: row)
    assert [row["prompt"] for row in rows] == [template(messages[:2])[0], template(messages[:4])[0]]
    assert [row["completion"] for row in rows] == ["all\nuser:", "é\nx\nuser:"]
    assert found.told("data.jsonl: line 2 has too many tokens") == "my.jsonl: line 1 has too many tokens"


def test_texts_in_rows_become_one_text(tmp_path):
    found, path = prepared('{"text": "one\\ntwo"}\n\n{"text": "three"}\n', tmp_path)
    assert path.name == "data.txt" and path.read_text() == "one\ntwo\nthree\n"
    assert found.told("data.txt line 2: no such character") == "my.jsonl line 1: no such character"
    assert found.told("data.txt line 3: no such character") == "my.jsonl line 3: no such character"


@pytest.mark.parametrize(
    "rows, reason",
    [
        (['{"messages": []}'], "line 1: [messages] must be a list of at least one message"),
        (['{"messages": [{"role": "user", "content": "x"}]}'], "line 1: [messages] needs an answer of the assistant"),
        (['{"messages": [{"role": "assistant", "content": "x"}]}'], "line 1: [messages] needs an answer"),
        (['{"messages": [{"role": "tool", "content": "x"}]}'], "line 1: [messages] a role is"),
        (['{"text": "x"}', '{"text": 1}'], "line 2: [text] must be the one field"),
        (['{"text": "x"}', '{"prompt": "x"}'], "line 2: [text] must be the one field"),
        (['{"text": "x"}', "[1]"], "line 2 has a list"),
        (['{"text": "x"}', "{"], "line 2 is not JSON in UTF-8"),
        (['{"text": "x"}', "[" * 100_000], "line 2 is not JSON in UTF-8"),
    ],
)
def test_rows_that_are_malformed_are_named(rows, reason, tmp_path):
    with pytest.raises(DataError) as refused:
        prepared("\n".join(rows), tmp_path)
    assert str(refused.value).startswith(f"my.jsonl: {reason}")


def test_images_are_unpacked_into_their_classes(tmp_path):
    files = [("cat/1.png", b"1"), ("dog/x y.JPG", b"2"), ("cat/deep/2.webp", b"3"), ("dog/", b""), ("notes.txt", b"4"),
             ("__MACOSX/cat/._1.png", b"5"), ("cat/.hidden.png", b"6")]  # fmt: skip
    assert unpacked(zipped(files), tmp_path) == ["cat/000000.png", "cat/000002.webp", "dog/000001.jpg"]
    assert (tmp_path / "out/cat/000002.webp").read_bytes() == b"3"


def test_one_folder_around_all_classes_is_passed_over(tmp_path):
    assert unpacked(zipped([(f"my/{name}/1.png", b"x") for name in "ab"]), tmp_path) == ["a/000000.png", "b/000001.png"]


@pytest.mark.parametrize(
    "name", ["../a/1.png", "/a/1.png", "a/../../1.png", "a\\b/1.png", "c:/1.png", "a//1.png", "./1.png", "a/\x011.png"]
)
def test_names_that_lead_out_are_refused(name, tmp_path):
    info = zipfile.ZipInfo("x")
    info.filename = name
    with pytest.raises(DataError, match="is no path inside a folder"):
        unpacked(zipped([(info, b"x")]), tmp_path)
    assert not (tmp_path / "out").exists()


def test_links_are_refused(tmp_path):
    link = zipfile.ZipInfo("a/1.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(DataError, match="is a link"):
        unpacked(zipped([(link, b"/etc/passwd")]), tmp_path)


def test_a_bomb_stops_at_the_limit_whatever_it_claims(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MOST_EACH", 1 << 20)
    bomb = zipped([("a/1.png", bytes(64 << 20))])
    with pytest.raises(DataError, match="it unpacks to more than is taken"):
        unpacked(bomb, tmp_path)
    assert sum(path.stat().st_size for path in (tmp_path / "out").rglob("*.png")) <= 1 << 20
    liar = bytearray(bomb)
    for signature, at in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):  # uncompressed size, in both headers
        place = liar.find(signature) + at
        liar[place : place + 4] = struct.pack("<I", 10)
    with pytest.raises(DataError):
        unpacked(bytes(liar), tmp_path)
    assert sum(path.stat().st_size for path in (tmp_path / "out").rglob("*.png")) <= 1 << 20


def test_all_files_together_stop_at_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MOST_ALL", 5000)
    with pytest.raises(DataError, match="it unpacks to more than is taken"):
        unpacked(zipped([(f"a/{i}.png", bytes(2000)) for i in range(3)]), tmp_path)


def test_a_list_of_files_without_end_is_not_read(tmp_path, monkeypatch):
    data = zipped([(f"a/{i}.png", b"") for i in range(100)])
    monkeypatch.setattr(archive, "MOST_ENTRIES", 99)
    with pytest.raises(DataError, match="more than 99 entries"):
        unpacked(data, tmp_path)
    monkeypatch.setattr(archive, "MOST_DIRECTORY", 1000)
    with pytest.raises(DataError, match="its list of files has more than"):
        unpacked(data, tmp_path)


CUT = zipped([("a/1.png", b"x" * 500)])[:-30]


NONE = {"empty": b"", "two letters": b"PK", "other": b"x" * 100, "cut": CUT, "no entries": b"PK\5\6" + bytes(18)}


@pytest.mark.parametrize("data", NONE.values(), ids=NONE)  # of which one holds the time
def test_what_is_no_archive_is_refused(data, tmp_path):
    with pytest.raises(DataError):
        unpacked(data, tmp_path)


def test_a_damaged_or_strange_archive_is_refused(tmp_path):
    good = zipped([("a/1.png", bytes(range(256)) * 4)], zipfile.ZIP_STORED)
    damaged = good.replace(bytes(range(100)), bytes(100), 1)
    for data, reason in (
        (damaged, "is damaged"),
        (zipped([("a/1.png", b"x")], zipfile.ZIP_BZIP2), "packed in a rare way"),
        (zipped([("1.png", b"x")]), "must lie in the folder of its class"),
        (zipped([("a/1.txt", b"x")]), "holds no images"),
    ):
        with pytest.raises(DataError, match=reason):
            unpacked(data, tmp_path)
    for at in range(0, len(good), 7):  # whatever is changed, it is read or refused
        changed = bytearray(good)
        changed[at] ^= 0xFF
        with suppress(DataError):
            unpacked(bytes(changed), tmp_path)


def test_an_adapter_is_packed_and_unpacked(tmp_path):
    for name in archive.ADAPTER:
        (tmp_path / name).write_text(name)
    packed = archive.pack_adapter(tmp_path)
    assert packed == archive.pack_adapter(tmp_path)
    (tmp_path / "out").mkdir()
    archive.unpack_adapter(packed, tmp_path / "out")
    assert {path.name: path.read_text() for path in (tmp_path / "out").iterdir()} == {n: n for n in archive.ADAPTER}
    for files in ([], [("adapter_config.json", "{}")], [(f"{i}/{n}", "") for i in "ab" for n in archive.ADAPTER]):
        with pytest.raises(DataError, match=r"must hold adapter_config\.json"):
            archive.unpack_adapter(zipped(files), tmp_path / "out")
