"""Files: sent, listed, fetched and deleted; within bounds, and their owner's alone."""

import errno
import io
import os
import time

import pytest
from fakes import fake
from test_keys import bearer

from serving.app import create_app
from serving.engine.keys import Keys
from serving.engine.limits import Limits
from serving.engine.sqlite import SqliteDatabase
from serving.engine.tuning.service import Tuning

ROW = b'{"prompt": "a", "completion": "b"}\n'


@pytest.fixture
def service(make_service, place):
    return make_service(lambda source: fake(source.name), keys=Keys(place("keys.db")))


@pytest.fixture
def client(service):
    return create_app(service).test_client()


def form(data=ROW, name="train.jsonl", purpose="fine-tune", **fields):
    return {"file": (io.BytesIO(data), name), "purpose": purpose, **fields}


def send(client, *arguments, headers=None, **fields):
    return client.post("/v1/files", data=form(*arguments, **fields), headers=headers)


def test_a_file_is_kept_as_it_came(client, service):
    made = send(client).json
    assert made | {"id": "", "created_at": 0} == {
        "id": "", "object": "file", "bytes": len(ROW), "created_at": 0, "filename": "train.jsonl",
        "purpose": "fine-tune", "status": "processed", "status_details": None, "expires_at": None,
    }  # fmt: skip
    path = f"/v1/files/{made['id']}"
    assert made["id"].startswith("file-") and client.get(path).json == made
    content = client.get(path + "/content")
    assert content.data == ROW and content.mimetype == "application/octet-stream"
    gone = client.delete(path, headers={"Content-Type": "application/json"})
    assert gone.json == {"id": made["id"], "object": "file", "deleted": True}
    for answer in (client.get(path), client.get(path + "/content"), client.delete(path)):
        assert answer.status_code == 404 and answer.json["error"]["param"] == "file"
    assert list((service.tuning.store.home / "files").iterdir()) == []


@pytest.mark.parametrize("data", [bytes(3_000_000), b"\r\n--" * 700_000, os.urandom(2_000_000)])
def test_a_large_file_is_kept_to_its_last_byte(client, data):
    head = b'--bound\r\nContent-Disposition: form-data; name="'
    body = head + b'purpose"\r\n\r\nfine-tune\r\n' + head + b'file"; filename="a.txt"\r\n\r\n' + data + b"\r\n--bound--"
    made = client.post("/v1/files", data=body, content_type="multipart/form-data; boundary=bound").json
    assert made["bytes"] == len(data) and client.get(f"/v1/files/{made['id']}/content").data == data


def test_a_list_goes_on_behind_files_that_are_deleted_on_the_way(client, service):
    ids = [send(client, name=f"{i}.jsonl").json["id"] for i in range(4)]
    found, page = [], client.get("/v1/files?limit=2").json
    while page["data"]:
        for file in page["data"]:
            found.append(file["id"])
            assert client.delete(f"/v1/files/{file['id']}").status_code == 200
        page = client.get(f"/v1/files?limit=2&after={found[-1]}").json
    assert found == ids[::-1] and client.get("/v1/files").json["data"] == []
    assert list((service.tuning.store.home / "files").iterdir()) == []


def test_lists_have_cursors_and_say_whether_more_follows(client):
    ids = [send(client, name=f"{i}.jsonl").json["id"] for i in range(5)]
    found, after = [], ""
    while True:
        page = client.get(f"/v1/files?limit=2{after}").json
        assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])
        found += [file["id"] for file in page["data"]]
        after = f"&after={found[-1]}"
        if not page["has_more"]:
            break
    assert found == ids[::-1]
    assert [file["id"] for file in client.get("/v1/files?order=asc&limit=5").json["data"]] == ids
    assert client.get("/v1/files?limit=5").json["has_more"] is False
    assert client.get("/v1/files?purpose=fine-tune-results").json == {
        "object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False,
    }  # fmt: skip
    for wrong in ("limit=0", "limit=x", "limit=10001", "after=file-x", "order=up", "purpose=", "nonsense=1"):
        refused = client.get(f"/v1/files?{wrong}")
        assert refused.status_code == (404 if "after" in wrong else 400)
        assert refused.json["error"]["param"] == wrong.split("=")[0]


@pytest.mark.parametrize(
    "data, status, text",
    [
        (form(purpose="assistants"), 400, "[purpose] must be fine-tune, got 'assistants'"),
        ({"file": (io.BytesIO(ROW), "a.jsonl")}, 400, "[purpose] must be fine-tune, got None"),
        ({"purpose": "fine-tune"}, 400, "[file] is missing"),
        ({"purpose": "fine-tune", "file": "text"}, 400, "[file] is missing"),
        (form(b""), 400, "[file] is empty"),
        (form(name="../a.txt"), 400, "without '/'"),
        (form(name="é" * 300 + ".txt"), 400, "up to 200 characters"),
        (form(**{"expires_after[anchor]": "created_at"}), 400, "[expires_after] has the anchor created_at"),
        (form(**{"expires_after[anchor]": "x", "expires_after[seconds]": "3600"}), 400, "[expires_after]"),
        (form(**{"expires_after[anchor]": "created_at", "expires_after[seconds]": "5"}), 400, "from 3600 to"),
    ],
)
def test_what_is_no_file_to_learn_from_is_refused(client, data, status, text):
    refused = client.post("/v1/files", data=data, content_type="multipart/form-data")
    assert refused.status_code == status and text in refused.json["error"]["message"], refused.json
    assert client.get("/v1/files").json["data"] == []


def test_bodies_that_are_no_forms(client):
    assert client.post("/v1/files", data=b"{}").status_code == 415
    for content in ("multipart/form-data", "multipart/form-data; boundary=x"):
        refused = client.post("/v1/files", data=b"--y\r\n", content_type=content)
        assert refused.status_code == 400 and "error" in refused.json
    many = {f"field{i}": "x" for i in range(100)}
    assert client.post("/v1/files", data=form(**many)).status_code == 413
    long = b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n' + b"x" * (1 << 21) + b"\r\n--b--"
    assert client.post("/v1/files", data=long, content_type="multipart/form-data; boundary=b").status_code == 413


def test_size_is_bounded_for_each_and_for_all(make_service):
    service = make_service(lambda source: fake(source.name), limits=Limits(body=2000, storage=1000))
    client = create_app(service).test_client()
    refused = send(client, ROW * 100)
    assert refused.status_code == 413 and "--max-body-mib" in refused.json["error"]["message"]
    first = send(client, bytes(600)).json["id"]
    refused = send(client, bytes(600))
    assert refused.status_code == 413 and "--max-storage-mib" in refused.json["error"]["message"]
    client.delete(f"/v1/files/{first}")
    assert send(client, bytes(600)).status_code == 200


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_is_said_and_leaves_nothing(client, service, monkeypatch, call):
    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(f"serving.engine.tuning.files.os.{call}", full)
        refused = send(client)
    assert refused.status_code == 507 and refused.json["error"]["code"] == "disk_full"
    assert "No space left on device" in refused.text and refused.headers["x-should-retry"] == "false"
    assert client.get("/v1/files").json["data"] == []
    assert list((service.tuning.store.home / "files").iterdir()) == []


def test_a_database_on_a_full_disk_is_said_too(client, service):
    database = service.tuning.store.database
    if not isinstance(database, SqliteDatabase):
        pytest.skip("a file is to be full")
    pages = database.execute("PRAGMA page_count").fetchone()[0]
    database.execute(f"PRAGMA max_page_count = {pages}")
    statuses = [send(client, name=f"{'x' * 190}{i}.jsonl").status_code for i in range(200)]
    assert set(statuses) == {200, 507} and statuses[-1] == 507
    kept = client.get("/v1/files").json["data"]
    assert len(kept) == statuses.count(200) == len(list((service.tuning.store.home / "files").iterdir()))


def test_a_file_that_has_expired_is_not_there(client, service, monkeypatch):
    fields = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    made = send(client, **fields).json
    assert made["expires_at"] == made["created_at"] + 3600
    now = time.time()
    monkeypatch.setattr("serving.engine.tuning.files.time.time", lambda: now + 3601)
    assert client.get(f"/v1/files/{made['id']}").status_code == 404
    assert client.get("/v1/files").json["data"] == []
    kept = send(client).json["id"]
    assert [path.name for path in (service.tuning.store.home / "files").iterdir()] == [kept]


def test_what_a_killed_process_left_is_swept(service):
    folder = service.tuning.store.home / "files"
    for name, age in (("old.part", 7200), ("new.part", 10)):
        (folder / name).touch()
        os.utime(folder / name, (0, time.time() - age))
    service.tuning.files.sweep()
    assert [path.name for path in folder.iterdir()] == ["new.part"]


def test_files_of_one_key_are_not_there_for_another(client, service):
    keys = service.keys
    (_, one), (_, two), (_, infer) = keys.create(["train"]), keys.create(["train", "admin"]), keys.create(["infer"])
    made = send(client, headers=bearer(one)).json["id"]
    for path, method in (("", "GET"), ("/content", "GET"), ("", "DELETE")):
        answer = client.open(f"/v1/files/{made}{path}", method=method, headers=bearer(two))
        assert answer.status_code == 404
    assert client.get("/v1/files", headers=bearer(two)).json["data"] == []
    assert client.get(f"/v1/files?after={made}", headers=bearer(two)).status_code == 404
    assert client.get("/v1/files", headers=bearer(infer)).status_code == 403
    assert client.get("/v1/files").status_code == 401
    assert len(client.get("/v1/files", headers=bearer(one)).json["data"]) == 1
    keys.close()


def test_without_a_folder_it_says_so(make_service, tmp_path, caplog):
    service = make_service(lambda source: fake(source.name))
    (tmp_path / "file").touch()
    service.tuning = Tuning(tmp_path / "file" / "state")
    service.tuning.begin()
    assert "fine-tuning is not served" in caplog.text and "--state" in caplog.text
    client = create_app(service).test_client()
    for path in ("/v1/files", "/v1/fine_tuning/jobs"):
        refused = client.get(path)
        assert refused.status_code == 503 and "--state" in refused.json["error"]["message"]
        assert refused.headers["x-should-retry"] == "false"
    assert client.get("/v1/models").status_code == 200
