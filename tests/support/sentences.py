"""Every sentence that the agents can give for a decision, taken from the source: what changes in it is a gap."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
GAP = "…"


def texts(node: ast.expr, names: dict[str, ast.expr]) -> list[str]:
    """The texts that an expression can be, with a gap for whatever is not a constant."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=parts):
            return ["".join(part.value if isinstance(part, ast.Constant) else GAP for part in parts)]
        case ast.BinOp(left=left, right=right, op=ast.Add()):
            return [one + other for one in texts(left, names) for other in texts(right, names)]
        case ast.Name(id=name) if name in names:
            return texts(names[name], {})
        case ast.IfExp(body=body, orelse=other):
            return texts(body, names) + texts(other, names)
    return [GAP]


def reasons() -> list[str]:
    """Why the data of a node may be no part of the cluster's history: what a quarantine names."""
    tree = ast.parse((ROOT / "bootstrap" / "history.py").read_text())
    (estranged,) = [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef) and one.name == "estranged"]
    returned = [one.value for one in ast.walk(estranged) if isinstance(one, ast.Return) and one.value is not None]
    return [text for value in returned if not isinstance(value, ast.Constant) for text in texts(value, {})]


def sentences() -> dict[str, str]:
    """Each sentence, with the file it stands in. Those that are only a gap are somebody else's."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "bootstrap").glob("*.py")):
        tree = ast.parse(path.read_text())
        for function in [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)]:
            names = {
                one.targets[0].id: one.value
                for one in ast.walk(function)
                if isinstance(one, ast.Assign) and isinstance(one.targets[0], ast.Name)
            }
            for call in [one for one in ast.walk(function) if isinstance(one, ast.Call)]:
                if not (isinstance(call.func, ast.Name) and call.func.id == "Decision"):
                    continue
                given = {word.arg: word.value for word in call.keywords}
                sentence = call.args[1] if len(call.args) > 1 else given.get("sentence")
                if sentence is None:
                    continue
                for text in texts(sentence, names):
                    text = re.sub(rf"{GAP}+", GAP, text.strip())
                    if text.strip(f"{GAP} .:;()"):
                        found[text] = path.name
    return found


def failures() -> list[str]:
    """What the log of a server that ended can be known by."""
    from galerist.galera.failures import _KNOWN

    return [re.sub(r"\{\w+\}", GAP, words) for _, words, _ in _KNOWN]
