"""From the model to HAProxy's configuration, by a Jinja2 template: ours or the user's."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from haproxy.model import ProxyModel

if TYPE_CHECKING:
    import jinja2

BUILTIN = Path(__file__).with_name("templates") / "haproxy.cfg.j2"


class TemplateFault(Exception):
    """The template cannot be used. The text names file, line and what is wrong."""


def render(model: ProxyModel, facts: Mapping[str, object], template: Path | None = None) -> str:
    """The configuration. ``facts`` are what the machine adds to the model: ``admin_socket``,
    ``state_file``, ``drop_to`` (a user, or empty), ``cluster``. Raises :class:`TemplateFault`.

    A template that has changed is read again, so a correction takes effect at the next pass.
    """
    import jinja2

    path = template or BUILTIN
    try:
        return _environment(path.parent).get_template(path.name).render(model=model, **facts)
    except jinja2.TemplateSyntaxError as error:
        raise TemplateFault(f"{error.filename or path}, line {error.lineno}: {error.message}") from error
    except jinja2.TemplateNotFound as error:
        where = str(path) if error.name == path.name else f"{path}, line {_line(error, path)}: {error.name}"
        raise TemplateFault(f"{where}: no such template") from error
    except OSError as error:
        raise TemplateFault(f"{path}: {error.strerror}") from error
    except Exception as error:  # a template may raise anything
        raise TemplateFault(f"{path}, line {_line(error, path)}: {error or type(error).__name__}") from error


@functools.cache
def _environment(folder: Path) -> jinja2.Environment:
    """Made once: it keeps compiled templates, and compiles them again when their file changes."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - this is no HTML
    )
    environment.filters["at"] = at
    environment.filters["address"] = address
    return environment


def address(host: str) -> str:
    """IPv6 addresses in brackets, so that a port can follow."""
    return f"[{host}]" if ":" in host else host


def at(host: str, port: int) -> str:
    """What follows ``bind``: IPv6 alone on IPv6 addresses, since ``0.0.0.0`` has a line of its own."""
    return f"{address(host)}:{port}" + (" v6only" if host == "::" else "")


def _line(error: BaseException, path: Path) -> str:
    """The line of the template: Jinja2 gives its frames the template's file name."""
    found, frame = "?", error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == str(path):
            found = str(frame.tb_lineno)
        frame = frame.tb_next
    return found
