"""`baton backup` and `baton restore`, and what happens where the secret keys were not restored."""

import hashlib
import hmac
import io
import json
import multiprocessing
import os
import pwd
import re
import shutil
import tarfile
import tempfile
import threading
import zipfile
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from app.commands.backup import DESCRIPTION, DUMP, back_up, restore
from app.database import binaries as pg_binaries
from app.database import dump, embedded
from app.database.binaries import Binaries
from app.settings import CannotStart
from tests.bootstrap.test_serve import ADMIN_KEY, Service
from tests.database.embedded.conftest import kill_all, processes_in
from tests.ports import reserved_port
from tests.waiting import TIMEOUT_SECONDS

AS_ROOT = os.geteuid() == 0
FORM = b'{"form_response": {"token": "t1", "answers": []}}'


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that the server's user can reach."""
    with tempfile.TemporaryDirectory(prefix="baton-backup-") as made:
        Path(made).chmod(0o711)
        try:
            yield Path(made)
        finally:
            for data in Path(made).glob("*/postgres"):
                kill_all(processes_in(data.resolve()))


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as made:
        yield made


@pytest.fixture(scope="module")
def sound() -> Iterator[Path]:
    """A backup of a database that has only its schema and its first tenant."""
    with open_folder() as made, pytest.MonkeyPatch.context() as patch:
        patch.setenv("BATON_SECRET_KEYS", "k1:" + "A" * 43 + "=")
        run(made, "migrate")
        run(made, "tenants", "create", "acme")
        back_up(made / "sound", made / ".baton")
        yield made / "sound"


def run(folder: Path, *arguments: str, status: int = 0, **settings: str) -> str:
    """What a command says, in this folder."""
    command = Service(folder, 0, *arguments, **settings)
    assert command.process.wait(TIMEOUT_SECONDS) == status, command.output
    return command.output


@contextmanager
def serving(folder: Path, *arguments: str, **settings: str) -> Iterator[Service]:
    with reserved_port() as port:
        service = Service(folder, port, "serve", *arguments, BATON_ADMIN_KEY=ADMIN_KEY, **settings)
        service.client.headers["Authorization"] = f"Bearer {ADMIN_KEY}"
        try:
            yield service.ready()
        finally:
            service.end()


class Receiver:
    """An HTTP receiver; `status` is what it answers, `got` what it was sent."""

    def __init__(self) -> None:
        self.status = 500
        self.got: list[tuple[dict[str, str], bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(outer.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


def post(service: Service, path: str, body: Any, status: int = 201) -> Any:
    answer = service.client.post(path, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def signed_form(service: Service, source: dict[str, str]) -> int:
    digest = b64encode(hmac.new(b"from-typeform", FORM, hashlib.sha256).digest()).decode()
    headers = {"Typeform-Signature": f"sha256={digest}"}
    return service.client.post(f"/v1/ingest/{source['key']}", content=FORM, headers=headers).status_code


def test_a_backup_of_a_running_service_is_restored_verified_started_and_goes_on_delivering(
    folder: Path, receiver: Receiver
) -> None:
    again = {"BATON_ALLOWED_TARGETS": "127.0.0.0/8", "BATON_RETRY_SCHEDULE": "0" + ",1" * 19}
    with serving(folder, **again) as service:
        source = post(
            service, "/v1/sources", {"name": "f", "preset": "typeform", "secrets": {"signing": "from-typeform"}}
        )
        hook = post(service, "/v1/subscriptions", {"url": receiver.url, "types": ["lead.captured"]})
        lead = post(service, "/v1/leads", {"fields": {"email": "ada@nordsoft.example"}})
        service.until(lambda: bool(receiver.got))
        said = run(folder, "backup", "baton.backup")
    assert re.fullmatch(r"baton\.backup: the database of \.baton and its secret keys, \d+\.\d MB\.\n", said)
    assert (folder / "baton.backup").stat().st_mode & 0o777 == 0o600
    assert "restored is restored from baton.backup" in run(folder, "restore", "baton.backup", "--data-dir", "restored")
    assert [path.name for path in sorted((folder / "restored").iterdir())] == ["postgres", "secret_keys"]
    keys = folder / "restored" / "secret_keys"
    assert keys.read_text() == (folder / ".baton" / "secret_keys").read_text()
    assert keys.stat().st_mode & 0o777 == 0o600
    assert "1 journeys, 0 differ" in run(folder, "verify", "--data-dir", "restored")
    sent, receiver.status = receiver.got[:], 204
    with serving(folder, "--data-dir", "restored", **again) as copy:
        assert signed_form(copy, source) == 202
        assert copy.client.get(f"/v1/leads/{lead['id']}").json()["id"] == lead["id"]
        copy.until(lambda: len(receiver.got) > len(sent))
    headers, body = receiver.got[-1]
    assert (headers["webhook-id"], body) == (sent[0][0]["webhook-id"], sent[0][1])
    Webhook(hook["secret"]).verify(body, headers)


def test_a_start_without_the_secret_keys_is_refused_and_makes_none_until_they_are_back(folder: Path) -> None:
    with serving(folder) as service:
        source = post(
            service, "/v1/sources", {"name": "f", "preset": "typeform", "secrets": {"signing": "from-typeform"}}
        )
    keys = folder / ".baton" / "secret_keys"
    kept, kid = keys.read_text(), keys.read_text().partition(":")[0]
    for content in (f"{kid}:{'A' * 43}=", f"k1:{'A' * 43}=", None):
        keys.unlink()
        if content is not None:
            keys.write_text(content)
        refused = run(folder, "serve", status=2)
        assert refused.count("\n") == 1
        assert f"not the same: {kid}; put the file secret_keys" in refused
        assert keys.exists() == (content is not None)
    assert f"not the same: {kid};" in run(folder, "demo", "--leads", "10", status=2)
    assert f"not the same: {kid};" in run(folder, "doctor", status=1)
    assert f"not the same: {kid};" in run(folder, "backup", "without-keys")
    assert not keys.exists()
    keys.write_text(kept)
    with serving(folder) as service:
        assert signed_form(service, source) == 202
    assert "Nothing is wrong" in run(folder, "doctor")


def test_a_directory_that_is_not_empty_or_in_use_is_never_restored_into(folder: Path, sound: Path) -> None:
    with serving(folder) as service:
        with pytest.raises(CannotStart, match="is not empty"):
            restore(sound, folder / ".baton")
        assert service.get("/readyz") == 200
    (folder / "other").mkdir()
    (folder / "other" / "letter").touch()
    (folder / "file").touch()
    for taken in ("other", "file", ".baton"):
        before = [*(folder / taken).glob("*")]
        with pytest.raises(CannotStart, match=r"is not empty|cannot be restored into"):
            restore(sound, folder / taken)
        assert [*(folder / taken).glob("*")] == before


def test_an_empty_directory_is_restored_into_and_one_that_another_process_begins_to_use_is_left_to_it(
    folder: Path, sound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "empty").mkdir()
    restore(sound, folder / "empty")
    assert (folder / "empty" / "postgres").is_dir()
    load = dump.load

    def load_slowly(server: embedded.Server, source: Any) -> None:
        embedded.start(folder / "shared", durable=False).stop()
        load(server, source)

    monkeypatch.setattr(dump, "load", load_slowly)
    with pytest.raises(CannotStart, match="was used by another process"):
        restore(sound, folder / "shared")
    assert {path.name for path in (folder / "shared").iterdir()} == {"embedded.lock", "embedded.users", "postgres"}


def rewritten(sound: Path, name: str, change: Callable[[bytes], bytes | None]) -> bytes:
    """The same archive with one entry changed, or left out, and its checksum right."""
    path = sound.with_name("rewritten")
    with zipfile.ZipFile(sound) as old, zipfile.ZipFile(path, "w") as new:
        for entry in old.namelist():
            content: bytes | None = old.read(entry)
            if entry == name:
                content = change(old.read(entry))
            if content is not None:
                new.writestr(entry, content)
    return path.read_bytes()


def described(sound: Path, **members: Any) -> bytes:
    return rewritten(sound, DESCRIPTION, lambda text: json.dumps({**json.loads(text), **members}).encode())


def a_tar(sound: Path) -> bytes:
    into = io.BytesIO()
    with tarfile.open(fileobj=into, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(DUMP), io.BytesIO())
    return into.getvalue()


def cut_off(part: float) -> Callable[[Path], bytes]:
    return lambda sound: sound.read_bytes()[: int(sound.stat().st_size * part)]


DAMAGES: dict[str, Callable[[Path], bytes]] = {
    "empty": lambda sound: b"",
    "text": lambda sound: b"-- PostgreSQL database dump\n" * 1000,
    "a tar": a_tar,
    "the dump alone": lambda sound: zipfile.ZipFile(sound).read(DUMP),
    **{f"cut off at {n}/8": cut_off(n / 8) for n in range(1, 8)},
    "cut off by one byte": lambda sound: sound.read_bytes()[:-1],
    "a byte of the dump changed": lambda sound: flipped(sound.read_bytes(), 5000),
    "without a dump": lambda sound: rewritten(sound, DUMP, lambda _: None),
    "without a description": lambda sound: rewritten(sound, DESCRIPTION, lambda _: None),
    "a description that is no JSON": lambda sound: rewritten(sound, DESCRIPTION, lambda _: b"{"),
    "a description that is a list": lambda sound: rewritten(sound, DESCRIPTION, lambda _: b"[]"),
    "a huge description": lambda sound: rewritten(sound, DESCRIPTION, lambda _: b" " * 200_000),
    "keys that are none": lambda sound: rewritten(sound, "secret_keys", lambda _: b"k1:short"),
    "a later format": lambda sound: described(sound, format=2),
    "a later schema": lambda sound: described(sound, revision="9999"),
    "a dump that ends early": lambda sound: rewritten(sound, DUMP, lambda dump: dump[: len(dump) // 2]),
    "a dump that is none": lambda sound: rewritten(sound, DUMP, lambda _: b"no dump" * 100),
}


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_is_damaged_or_foreign_is_refused_with_a_sentence_and_nothing_is_left(
    damage: str, folder: Path, sound: Path
) -> None:
    (folder / "given").write_bytes(DAMAGES[damage](sound))
    (folder / "empty").mkdir()
    for place in ("new", "empty"):
        with pytest.raises(CannotStart, match=r"cannot be restored|pg_restore failed") as refused:
            restore(folder / "given", folder / place)
        assert "\n" not in str(refused.value)
    assert [path.name for path in sorted(folder.rglob("*"))] == ["empty", "given"]


def test_a_file_that_cannot_be_read_or_written_is_told_in_one_line(folder: Path, sound: Path) -> None:
    assert "nothing cannot be read (No such file" in run(folder, "restore", "nothing", "--data-dir", "new", status=2)
    assert "cannot be read" in run(folder, "restore", ".", "--data-dir", "new", status=2)
    run(folder, "migrate")
    for file, told in (("no/such/folder", "No such file"), (".baton", "exists"), (str(sound), "exists")):
        before = sound.read_bytes()
        said = run(folder, "backup", file, status=2)
        assert told in said
        assert said.count("\n") == 1
        assert sound.read_bytes() == before
    assert not (folder / "new").exists()


def test_a_backup_that_fails_half_way_leaves_no_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(folder, "migrate")
    write = dump.dump

    def fill_up(server: embedded.Server, into: Any) -> None:
        write(server, into)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(dump, "dump", fill_up)
    with pytest.raises(CannotStart, match=r"cannot be written \(No space left"):
        back_up(folder / "file", folder / ".baton")
    assert [path.name for path in folder.iterdir() if not path.name.startswith("output")] == [".baton"]


@pytest.mark.parametrize(
    "command",
    [
        "backup file",
        "verify",
        "retention --dry-run",
        "tenants create a",
        "keys create --name a",
        "reports rebuild",
    ],
)
def test_a_command_about_a_database_makes_none_where_there_is_none(folder: Path, command: str) -> None:
    assert "there is no database in .baton" in run(folder, *command.split(), status=2)
    assert not (folder / ".baton").exists()


def test_a_named_server_is_left_to_pg_dump(folder: Path, sound: Path) -> None:
    named = {"BATON_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    said = run(folder, "backup", "file", status=2, **named)
    assert "pg_dump" in said
    assert "BATON_SECRET_KEYS" in said
    assert said.count("\n") == 1
    assert "pg_restore" in run(folder, "restore", str(sound), status=2, **named)


def back_up_and_restore(folder: Path, uid: int) -> None:
    """In a forked process, as that user."""
    if AS_ROOT:
        os.setgroups([])
        os.setgid(pwd.getpwuid(uid).pw_gid)
        os.setuid(uid)
    restore(folder / "sound", folder / "first")
    back_up(folder / "second-backup", folder / "first")
    restore(folder / "second-backup", folder / "second")
    for path in (folder / "second-backup", folder / "second" / "secret_keys"):
        assert (path.stat().st_uid, path.stat().st_mode & 0o777) == (uid, 0o600)
    assert (folder / "second" / "postgres").stat().st_uid == uid


def test_an_ordinary_user_can_back_up_and_restore(folder: Path, sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uid = pwd.getpwnam("nobody").pw_uid if AS_ROOT else os.geteuid()
    folder.chmod(0o777)
    shutil.copy(sound, folder / "sound")
    (folder / "sound").chmod(0o644)
    with embedded.start(folder / "own", durable=False) as server:  # run by root: a copy that another user can reach
        monkeypatch.setenv("BATON_PG_BINDIR", str(server.programs.folder))
    process = multiprocessing.get_context("fork").Process(target=back_up_and_restore, args=(folder, uid))
    process.start()
    process.join(600)
    assert process.exitcode == 0


def test_a_directory_that_the_server_cannot_reach_is_restored_into_and_a_failure_leaves_nothing_elsewhere(
    folder: Path, sound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = folder / "state"
    monkeypatch.setattr(pg_binaries, "SYSTEM_STATE", state)
    monkeypatch.setattr(embedded, "SYSTEM_STATE", state)
    (folder / "closed").mkdir(mode=0o700)
    restore(sound, folder / "closed" / "data")
    assert (folder / "closed" / "data" / "postgres").is_symlink() == AS_ROOT
    back_up(folder / "again", folder / "closed" / "data")
    before = [*state.rglob("PG_VERSION")]
    (folder / "given").write_bytes(DAMAGES["a dump that ends early"](sound))
    with pytest.raises(CannotStart, match="pg_restore failed"):
        restore(folder / "given", folder / "closed" / "other")
    assert [path.name for path in (folder / "closed").iterdir()] == ["data"]
    assert [*state.rglob("PG_VERSION")] == before
    assert len([*(state / "data").glob("*")]) == AS_ROOT


def test_a_program_that_is_not_installed_is_named(folder: Path, sound: Path) -> None:
    with embedded.start(folder / "own", durable=False) as server:
        programs, server.programs = server.programs, Binaries(folder, server.programs.major)
        for use, name in ((dump.dump, "pg_dump"), (dump.load, "pg_restore")):
            with pytest.raises(CannotStart, match=f"there is no {name} in {folder}: set BATON_PG_BINDIR"):
                use(server, io.BytesIO())
        server.programs = programs
