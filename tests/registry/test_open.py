from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from galerist.endpoints import Access
from galerist.registry.contract import RegistryUnusable
from galerist.registry.etcd2 import Etcd2
from galerist.registry.etcd3 import Etcd3
from galerist.registry.open import access, connect, open_registry
from galerist.settings import load


def test_settings_become_access(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("hush\n")
    for name in ("ca", "cert", "key"):
        (tmp_path / name).write_text("")
    flags = {"registry": "etcd3://a:1,[::1]", "registry_user": "root", "registry_password_file": str(secret)}
    flags |= {f"registry_{name}": str(tmp_path / name) for name in ("ca", "cert", "key")}
    assert access(load(flags, {}, None)) == Access(
        "etcd3",
        (("a", 1), ("::1", 2379)),
        tls=True,
        ca=str(tmp_path / "ca"),
        cert=str(tmp_path / "cert"),
        key=str(tmp_path / "key"),
        user="root",
        password="hush",
        timeout=2.0,
    )


def test_the_scheme_chooses_the_backend() -> None:
    assert isinstance(open_registry(load({"registry": "etcd3://a"}, {}, None)), Etcd3)
    assert isinstance(open_registry(load({"registry": "etcd2://a"}, {}, None)), Etcd2)
    with pytest.raises(ValueError, match="zk://"):
        connect(Access("zk", (("a", 1),)))


def test_only_the_chosen_backend_is_imported() -> None:
    script = (
        "import sys\n"
        "from galerist.endpoints import Access\n"
        "from galerist.registry.open import connect\n"
        "connect(Access('etcd3', (('a', 1),))).close()\n"
        "print('etcd' in sys.modules, 'galerist.registry.etcd2' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.parametrize("text", ["a: b: c", "[]", "hello", "", "clusters: null"])
def test_a_kubeconfig_that_cannot_be_used_is_one_sentence(text: str, tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(text)
    with pytest.raises(RegistryUnusable, match=f"^no credentials.*correct registry_kubeconfig {file}$"):
        connect(Access("k8s", (("shop", 0),), kubeconfig=str(file)))
