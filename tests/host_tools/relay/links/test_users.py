"""The password file, which Mosquitto reads too (test_mqtt_security.py)."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from wattseal.errors import ConfigError
from wattseal.relay.links.users import make_user, read_users


def test_a_new_user_has_a_password_that_fits_and_a_file_for_the_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "users"
    password = make_user(file, "aa" * 20)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert password not in file.read_text()
    hashed = read_users(file)["aa" * 20]
    assert hashed.fits(password.encode())
    assert not hashed.fits(b"")
    assert not hashed.fits(password.encode()[:-1])
    assert "salt" not in repr(hashed)


def test_a_second_password_takes_the_place_of_the_first_and_others_stay(tmp_path: Path) -> None:
    file = tmp_path / "users"
    first, other = make_user(file, "aa" * 20), make_user(file, "bb" * 20)
    file.chmod(0o640)
    second = make_user(file, "aa" * 20)
    users = read_users(file)
    assert not users["aa" * 20].fits(first.encode())
    assert users["aa" * 20].fits(second.encode())
    assert users["bb" * 20].fits(other.encode())
    assert len(users) == 2
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_a_file_of_the_brokers_user_stays_theirs(tmp_path: Path) -> None:
    file = tmp_path / "users"
    make_user(file, "aa" * 20)
    os.chown(file, 1234, 5678)
    file.chmod(0o660)
    mask = os.umask(0o077)
    try:
        make_user(file, "bb" * 20)
    finally:
        os.umask(mask)
    found = file.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (1234, 5678, 0o660)


@pytest.mark.parametrize(
    "line", ["x", "", "a:b", "a:$6$abc$def", "a:$7$0$YQ==$" + "A" * 88, "a:$7$999999$YQ==$" + "A" * 88, "a:$7$101$Y$" + "A" * 88]
)
def test_a_line_that_is_none_is_named_and_the_file_left_alone(tmp_path: Path, line: str) -> None:
    file = tmp_path / "users"
    make_user(file, "aa" * 20)
    file.write_text(before := file.read_text() + line + "\n")
    with pytest.raises(ConfigError, match=f"line 2 of {file}"):
        read_users(file)
    with pytest.raises(ConfigError, match=f"line 2 of {file}"):
        make_user(file, "bb" * 20)
    assert file.read_text() == before


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="wattseal plug mqtt-user"):
        read_users(tmp_path / "none")


def test_what_mosquitto_passwd_writes_is_read(tmp_path: Path) -> None:
    tool = shutil.which("mosquitto_passwd")
    if tool is None:
        pytest.skip("mosquitto_passwd is not installed (Debian: apt install mosquitto)")
    file = tmp_path / "users"
    subprocess.run([tool, "-c", "-b", file, "somebody", "secret words"], check=True, capture_output=True)
    assert read_users(file)["somebody"].fits(b"secret words")
