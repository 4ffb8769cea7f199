"""What is sealed for the server: by whoever has the public key, opened by the server alone."""

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest
from nacl.public import PublicKey, SealedBox

from paretune.core.errors import Misconfigured
from paretune.server.vault import Vault

OPENER = """
import sys
from pathlib import Path
from paretune.server.vault import Vault

print("ready", flush=True)
for name in sys.stdin:
    print(Vault(Path(name.strip())).public_key, flush=True)
"""


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "vault.key")


@pytest.mark.parametrize("text", ["sk-1", "", "schlüssel \U0001f600 \x00\n", "x" * 100_000])
def test_what_is_sealed_is_opened_and_not_to_be_seen(vault: Vault, text: str) -> None:
    sealed = vault.seal(text)
    assert vault.open(sealed) == text
    assert sealed != vault.seal(text)
    assert len(text) < 3 or text.encode() not in base64.b64decode(sealed)


def test_a_client_seals_with_the_public_key(vault: Vault) -> None:
    public = base64.b64decode(vault.public_key, validate=True)
    assert len(public) == 32
    sealed = SealedBox(PublicKey(public)).encrypt(b"sk-client")
    assert vault.open(base64.b64encode(sealed).decode()) == "sk-client"


def test_what_cannot_be_opened_is_refused_and_not_repeated(vault: Vault, tmp_path: Path) -> None:
    raw = base64.b64decode(vault.seal("canary"))
    changed = [raw[:n] for n in (0, 1, 31, 47, len(raw) - 1)] + [raw[:-1] + bytes([raw[-1] ^ 1])]
    others = Vault(tmp_path / "other.key").seal("canary")
    for sealed in [*(base64.b64encode(part).decode() for part in changed), others, "canary!", "é", "\ud800"]:
        with pytest.raises(Misconfigured, match="not sealed for this server") as refused:
            vault.open(sealed)
        assert "canary" not in str(refused.value)
    with pytest.raises(Misconfigured, match="UTF-8") as refused:
        vault.seal("canary \ud800")
    assert "canary" not in str(refused.value)


def test_the_key_outlives_the_process_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "vault.key"
    sealed = Vault(path).seal("sk-1")
    assert Vault(path).open(sealed) == "sk-1"
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(path.parent) == ["vault.key"]


def test_processes_that_begin_at_once_have_one_key(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPENER]
    pipe = subprocess.PIPE
    openers = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(3)]
    hands = [hand for opener in openers if (hand := opener.stdin)]
    answers = [answer for opener in openers if (answer := opener.stdout)]
    assert [answer.readline() for answer in answers] == ["ready\n"] * 3
    for number in range(50):
        for hand in hands:
            print(tmp_path / f"{number}.key", file=hand, flush=True)
        told = {answer.readline().strip() for answer in answers}
        assert told == {Vault(tmp_path / f"{number}.key").public_key}
    for opener in openers:
        opener.communicate()
    assert len(os.listdir(tmp_path)) == 50


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o620, 0o601])
def test_a_key_that_others_may_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "vault.key"
    Vault(path)
    path.chmod(mode)
    with pytest.raises(Misconfigured, match=r"vault\.key: .*chmod 600") as refused:
        Vault(path)
    assert str(path) == refused.value.field


@pytest.mark.parametrize("content", [b"", b"not base64", b"c2hvcnQ=", b"\xff" * 32])
def test_a_file_that_holds_no_key_is_named_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "vault.key"
    path.touch(0o600)
    path.write_bytes(content)
    with pytest.raises(Misconfigured, match=r"vault\.key: not a key of this server"):
        Vault(path)
    assert path.read_bytes() == content


def test_a_place_that_cannot_hold_a_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "vault.key", tmp_path):
        with pytest.raises(Misconfigured, match="the server's key: "):
            Vault(path)
