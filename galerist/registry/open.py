"""Chooses the backend. Only the chosen one is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from galerist.endpoints import Access, parse_url
from galerist.registry.contract import Registry

if TYPE_CHECKING:
    from galerist.settings import Settings


def access(settings: Settings) -> Access:
    """How the settings say that the registry is to be reached. Raises ValueError for a bad URL."""
    scheme, endpoints = parse_url(settings.registry)
    ca, cert, key = (
        str(path) if path else None for path in (settings.registry_ca, settings.registry_cert, settings.registry_key)
    )
    return Access(
        scheme=scheme,
        endpoints=endpoints,
        tls=bool(settings.registry_tls or ca or cert or key),
        ca=ca,
        cert=cert,
        key=key,
        user=settings.registry_user or None,
        password=settings.registry_password.reveal() if settings.registry_password else None,
        timeout=settings.registry_timeout,
        kubeconfig=str(settings.registry_kubeconfig) if settings.registry_kubeconfig else None,
    )


def platform(settings: Settings) -> Access:
    """The API server of Kubernetes, also where the registry is something else. Raises ValueError for a bad URL."""
    chosen = access(settings)
    return chosen if chosen.scheme == "k8s" else Access("k8s", (("", 0),), timeout=settings.registry_timeout)


def connect(to: Access) -> Registry:
    """A client of the registry at ``to``. Does not talk to it yet; raises RegistryUnusable
    for certificate files or credentials that cannot be used."""
    if to.scheme == "etcd2":
        from galerist.registry.etcd2 import Etcd2

        return Etcd2(to)
    if to.scheme == "etcd3":
        from galerist.registry.etcd3 import Etcd3

        return Etcd3(to)
    if to.scheme == "k8s":
        from galerist.registry.k8s import Kubernetes

        return Kubernetes(to)
    raise ValueError(f"{to.scheme}:// is not a registry that galerist knows")


def open_registry(settings: Settings) -> Registry:
    """A client of the registry that the settings name; see :func:`connect`."""
    return connect(access(settings))
