"""What PID 1 of a node gives to the parts beside the agent."""

from __future__ import annotations

from pathlib import Path

import pytest

from galerist.cli import wellknown
from galerist.cli.container import beside, node
from galerist.settings import load


@pytest.mark.parametrize("part", ["clustercheck", "list"])
def test_a_part_starts_without_the_secrets_of_the_agent(part: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("only for this test\n")
    environ = {
        "PATH": "/usr/bin",
        "MARIADB_ROOT_PASSWORD": "only for this test",
        "GALERIST_ROOT_PASSWORD": "only for this test",
        "GALERIST_APP_USER": "app",
        "GALERIST_APP_PASSWORD_FILE": str(secret),
        "GALERIST_REGISTRY_USER": "node",
        "GALERIST_REGISTRY_PASSWORD": "its own",
        "GALERIST_CHECK_AUTH_USER": "proxy",
        "GALERIST_CHECK_AUTH_PASSWORD_FILE": str(secret),
    }
    given = beside(part, environ)
    settings = load({}, given, None, part)  # an account without its password would be refused
    assert not any("only for this test" in value for value in given.values())
    assert settings.registry_user == "node"
    assert settings.registry_password is not None
    assert settings.app_user == ""
    own = part == "clustercheck"
    assert (settings.check_auth_user == "proxy") is own
    assert (settings.check_auth_password is not None) is own


@pytest.mark.parametrize("method", ["iterdir", "exists"])
def test_a_volume_of_somebody_else_is_named(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    allowed = getattr(Path, method)

    def denied(path: Path) -> object:
        if tmp_path in (path, *path.parents):
            raise PermissionError(13, "Permission denied", str(path))
        return allowed(path)

    monkeypatch.setattr(wellknown, "INIT_DIR", tmp_path)
    monkeypatch.setenv("GALERIST_DATADIR", str(tmp_path / "data"))
    monkeypatch.setenv("GALERIST_SOCKET", "/tmp/short.sock")  # the test's folder may be too long for one
    monkeypatch.setattr(Path, method, denied)
    assert node(None, {}) == 78
    said = capsys.readouterr().err
    assert str(tmp_path) in said
    assert "Permission denied; give" in said
