"""From the model to HAProxy's configuration, by a Jinja2 template: ours or the user's."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from haproxy.model import ProxyModel

if TYPE_CHECKING:
    import jinja2

BUILTIN = Path(__file__).with_name("templates") / "haproxy.cfg.j2"
SECTIONS = ("global", "defaults", "write", "read", "all", "stats", "more")
"""Where snippets can stand; ``more`` is for whole sections, at the end."""

_BEGIN, _END = "# from ", "# end of "


class TemplateFault(Exception):
    """The template cannot be used. The text names file, line and what is wrong."""


@dataclass(frozen=True)
class Sources:
    """The texts that a configuration is made from. ``main`` is the template's path; ``snippets`` maps a
    section to a file; ``texts`` maps a path to what it holds, files that the template includes among them."""

    main: str
    snippets: Mapping[str, str]
    texts: Mapping[str, str]
    _made: dict[str, jinja2.Environment] = field(default_factory=dict, compare=False, repr=False)

    def environment(self) -> jinja2.Environment:
        """Made once: it keeps compiled templates."""
        if "" not in self._made:
            self._made[""] = _environment(self.texts)
        return self._made[""]


def read_sources(template: Path | None = None, snippets: Path | None = None) -> Sources:
    """Read the user's files, or ours. Raises :class:`TemplateFault`."""
    main = template or BUILTIN
    found: dict[str, str] = {}
    try:
        texts = {str(main): main.read_text()}
        for path in sorted(main.parent.iterdir()) if template and "include" in texts[str(main)] else ():
            if path.suffix in (".cfg", ".j2") and path.is_file() and path.stat().st_size < 1 << 20:
                texts.setdefault(str(path), path.read_text())
        for path in sorted(snippets.iterdir()) if snippets else ():
            if path.suffix != ".cfg":
                continue  # an editor's backup, say
            if path.stem not in SECTIONS:
                near = difflib.get_close_matches(path.stem, SECTIONS, n=1)
                say = f"did you mean {near[0]}.cfg?" if near else f"there are {', '.join(SECTIONS)}"
                raise TemplateFault(f"{path}: no section of this name: {say}")
            found[path.stem] = str(path)
            texts[str(path)] = path.read_text()
    except OSError as error:
        raise TemplateFault(f"{error.filename or main}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TemplateFault(f"{main} or a file beside it is not UTF-8 (byte {error.start})") from error
    return Sources(str(main), found, texts)


def render(model: ProxyModel, facts: Mapping[str, object], sources: Sources | None = None) -> str:
    """The configuration. ``facts`` are what the machine adds to the model: ``admin_socket``,
    ``socket_mode``, ``state_file``, ``drop_to`` (a user, or empty), ``cluster``. Raises :class:`TemplateFault`."""
    import jinja2

    sources = sources or read_sources()
    environment = sources.environment()

    def snippet(section: str) -> str:
        path = sources.snippets.get(section)
        if path is None:
            return ""
        text = environment.get_template(path).render(model=model, **facts).rstrip("\n")
        return f"\n{_BEGIN}{path}\n{text}\n{_END}{path}"

    try:
        return environment.get_template(sources.main).render(model=model, snippet=snippet, **facts)
    except jinja2.TemplateSyntaxError as error:
        where = error.filename or error.name or sources.main
        raise TemplateFault(f"{where}, line {error.lineno}: {error.message}") from error
    except jinja2.TemplateNotFound as error:
        raise TemplateFault(f"{_place(error, sources)}: {error.name}: no such template") from error
    except Exception as error:  # a template may raise anything
        raise TemplateFault(f"{_place(error, sources)}: {error or type(error).__name__}") from error


def _environment(texts: Mapping[str, str]) -> jinja2.Environment:
    import jinja2

    def load(name: str) -> tuple[str, str, None] | None:
        """By path, or by name beside the main template."""
        path = name if name in texts else next((each for each in texts if Path(each).name == name), "")
        return (texts[path], path, None) if path else None

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(load),
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


def _place(error: BaseException, sources: Sources) -> str:
    """File and line of the template: Jinja2 gives its frames the template's file name."""
    path, line, frame = sources.main, "?", error.__traceback__
    while frame is not None:
        if (name := frame.tb_frame.f_code.co_filename) in sources.texts:
            path, line = name, str(frame.tb_lineno)
        frame = frame.tb_next
    return f"{path}, line {line}"


def blame(error: str, file: str, text: str) -> str:
    """HAProxy's complaint with the line that it is about in words, and the snippet that it comes from.

    ``error`` names lines of ``file`` as ``[file:12]``, ``text`` is what stands there.
    """
    lines = text.splitlines()

    def told(match: re.Match[str]) -> str:
        number = int(match[1])
        if not 0 < number <= len(lines):
            return match[0]
        begin = next((at for at in range(number - 1, -1, -1) if lines[at].startswith((_BEGIN, _END))), None)
        said = f"[{file}:{number} {lines[number - 1].strip()!r}"
        if begin is not None and lines[begin].startswith(_BEGIN) and begin < number - 1:
            said += f", line {number - 1 - begin} of {lines[begin].removeprefix(_BEGIN)}"
        return said + "]"

    return re.sub(re.escape(f"[{file}:") + r"(\d+)\]", told, error)
