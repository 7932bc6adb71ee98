"""What the well-known MariaDB images take from their environment, as settings of galerist. Pure.

https://hub.docker.com/_/mariadb describes the variables. MYSQL_… counts like MARIADB_…, which
goes over it; a setting given as GALERIST_… goes over both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from galerist.settings.problems import Problem

INIT_DIR = Path("/docker-entrypoint-initdb.d")
INIT_SUFFIXES = (".sql", ".sql.gz", ".sql.xz", ".sql.zst", ".sh")

_NAMES = {
    "ROOT_PASSWORD": "ROOT_PASSWORD",
    "ROOT_HOST": "ROOT_HOST",
    "DATABASE": "APP_DATABASE",
    "USER": "APP_USER",
    "PASSWORD": "APP_PASSWORD",
}
_SECRET = {"ROOT_PASSWORD", "PASSWORD"}
_NO = ("", "0", "no", "false")

_REFUSED = {
    "ALLOW_EMPTY_ROOT_PASSWORD": "give ROOT_PASSWORD or RANDOM_ROOT_PASSWORD; inside the container no password is asked",
    "ROOT_PASSWORD_HASH": "give ROOT_PASSWORD_FILE",
    "PASSWORD_HASH": "give PASSWORD_FILE",
    "MASTER_HOST": "replication from outside is set up by hand, on the writer",
}


def translate(environ: Mapping[str, str], dumps: Iterable[Path]) -> tuple[dict[str, str], list[Problem]]:
    """Variables of galerist for those of ``environ``, and what cannot be taken.

    ``dumps`` is what lies in :data:`INIT_DIR`; what is neither SQL nor a shell script is left out.
    """
    found: dict[str, str] = {}
    problems: list[Problem] = []
    for name, ours in _NAMES.items():
        for suffix in ("", "_FILE") if name in _SECRET else ("",):
            if value := _given(environ, name + suffix)[1]:
                found[f"GALERIST_{ours}{suffix}"] = value
    for name, remedy in _REFUSED.items():
        key, value = _given(environ, name)
        if value and value.lower() not in _NO:
            problems.append(Problem(key, None, "environment", "is not supported by this image", remedy))
    key, user = _given(environ, "USER")
    if user and not any(_given(environ, "PASSWORD" + suffix)[1] for suffix in ("", "_FILE")):
        remedy = "give MARIADB_PASSWORD or MARIADB_PASSWORD_FILE"
        problems.append(Problem(key, user, "environment", "needs a password", remedy))
    if "GALERIST_ROOT_HOST" not in found and _root_wanted(environ, found):
        found["GALERIST_ROOT_HOST"] = "%"
    scripts = sorted(str(path) for path in dumps if path.name.endswith(INIT_SUFFIXES))
    if any("," in path for path in scripts):
        problems.append(Problem("init_sql", None, str(INIT_DIR), "holds a name with a comma", "rename that file"))
    elif scripts:
        found["GALERIST_INIT_SQL"] = ",".join(scripts)
    return {key: value for key, value in found.items() if not _overruled(key, environ)}, problems


def _given(environ: Mapping[str, str], name: str) -> tuple[str, str]:
    """The variable that is set, and its value; empty counts as not set."""
    for prefix in ("MARIADB_", "MYSQL_"):
        if environ.get(prefix + name):
            return prefix + name, environ[prefix + name]
    return f"MARIADB_{name}", ""


def _root_wanted(environ: Mapping[str, str], found: Mapping[str, str]) -> bool:
    random = _given(environ, "RANDOM_ROOT_PASSWORD")[1].lower() not in _NO
    return random or any(key.startswith("GALERIST_ROOT_PASSWORD") for key in found)


def _overruled(key: str, environ: Mapping[str, str]) -> bool:
    base = key.removesuffix("_FILE")
    return bool(environ.get(base) or environ.get(f"{base}_FILE"))
