#!/usr/bin/env python3
"""Tells which of the refuse-vectors isolate their fault.

Takes one rule after the other out of format-spec/reader.py and check_vectors.py, and looks which vectors are accepted then. A
vector that no single missing rule lets through has a second fault, or one that every reader meets (a cut, a broken seal).
"""

import ast
import pathlib
import sys
import types

SPEC = pathlib.Path(__file__).resolve().parent.parent / "format-spec"
sys.path.insert(0, str(SPEC))


class Numbered(ast.NodeTransformer):
    """Gives each `need(...)` and each `raise Refused(...)` a number, under which it can be left out."""

    def __init__(self, rules):
        self.rules = rules

    def visit_Call(self, node):
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "need":
            node.args.append(ast.Constant(self.number(node)))
        return node

    def visit_Raise(self, node):
        self.generic_visit(node)
        if not (isinstance(node.exc, ast.Call) and getattr(node.exc.func, "id", "") == "Refused"):
            return node
        test = ast.Compare(ast.Name("LEFT_OUT", ast.Load()), [ast.NotEq()], [ast.Constant(self.number(node))])
        return ast.If(test, [node], [])

    def number(self, node):
        self.rules.append(ast.unparse(node)[:100])
        return len(self.rules) - 1


def load(name, rules):
    tree = ast.parse((SPEC / f"{name}.py").read_text())
    tree.body = [node for node in tree.body if not (isinstance(node, ast.FunctionDef) and node.name == "need")]
    tree = ast.fix_missing_locations(Numbered(rules).visit(tree))
    module = types.ModuleType(name)
    module.__file__ = str(SPEC / f"{name}.py")
    module.LEFT_OUT = None
    sys.modules[name] = module
    exec(compile(tree, module.__file__, "exec"), module.__dict__)
    return module


def main():
    rules = []

    class Refused(Exception):
        pass

    def need(condition, why, rule=None):
        if not condition and rule != reader.LEFT_OUT:
            raise reader.Refused(why)

    # `need` has to be there while the modules are made.
    import builtins

    builtins.need = need
    reader = load("reader", rules)
    reader.need = need
    checks = load("check_vectors", rules)
    checks.need = need
    vectors = {}
    for path in sorted((SPEC / "vectors/refuse").glob("*.txt")):
        head, _, body = path.read_text().partition("\n\n")
        fields = dict(line.split(": ", 1) for line in head.splitlines()[1:])
        vectors[path.stem] = (fields["what"], bytes.fromhex(body))
    isolated = {}
    for rule in range(len(rules)):
        reader.LEFT_OUT = checks.LEFT_OUT = rule
        for name, (what, data) in vectors.items():
            if name in isolated:
                continue
            try:
                checks.judge(what, data)
                isolated[name] = rules[rule]
            except Exception:  # noqa: BLE001, a reader without a rule may stumble in any way
                pass
    if "-v" in sys.argv:
        for name, rule in sorted(isolated.items()):
            print(f"{name}: {rule}")
    for name in sorted(vectors.keys() - isolated.keys()):
        print(f"not isolated: {name}")
    print(f"{len(isolated)} of {len(vectors)} vectors are accepted when one rule is left out")


main()
