"""The tables of the mutants fit the code: each module has near tests, each explained survivor is still there."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutants.operators import mutants_of
from tests.mutants.session import ROOT, Near, explained, modules

SOURCE = '''
"""A docstring."""
LIMIT = 3


class Gate:
    """A gate."""

    def opens(self, key: str, tries: int) -> bool:
        """Say so."""
        if key == "right" and tries < LIMIT:
            self.log(key, loud=True)
            return True
        raise ValueError("wrong key")
'''


def test_every_module_has_near_tests() -> None:
    """By the first row of near.toml that fits, whose files exist."""
    near = Near.read()
    assert [module for module in modules() if not near.tests(module).files] == []


def test_every_explained_survivor_is_still_in_the_code() -> None:
    """By its module, its function and the code before the change; a reason says why it may survive."""
    texts: dict[str, dict[str, str]] = {}
    for key, reason in explained().items():
        path, function, _operator, change = key.split("::", 3)
        if path not in texts:
            texts[path] = _texts(ROOT / path)
        before = change.partition(" => ")[0].partition("…")[0]
        assert before in texts[path].get(function, ""), f"{key} is not in the code any more: take it out of the table"
        assert len(reason.split()) > 3, key


def _texts(path: Path) -> dict[str, str]:
    """Return the code of each function and class of a module on one line, and of the whole module."""
    tree = ast.parse(path.read_text())
    texts = {"(module)": _line(tree)}

    def walk(node: ast.AST, name: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                inner = f"{name}.{child.name}" if name else child.name
                texts[inner] = texts.get(inner, "") + _line(child)
                walk(child, inner)
            else:
                walk(child, name)

    walk(tree, "")
    return texts


def _line(node: ast.AST) -> str:
    return " ".join(ast.unparse(node).split())


MUTANTS = {
    ("", "constant", "3", "4"),
    ("Gate.opens", "condition", "key == 'right' and tries < LIMIT", "True"),
    ("Gate.opens", "condition", "key == 'right' and tries < LIMIT", "False"),
    ("Gate.opens", "operand", "key == 'right' and tries < LIMIT", "key == 'right'"),
    ("Gate.opens", "operand", "key == 'right' and tries < LIMIT", "tries < LIMIT"),
    ("Gate.opens", "comparison", "key == 'right'", "key != 'right'"),
    ("Gate.opens", "comparison", "tries < LIMIT", "tries <= LIMIT"),
    ("Gate.opens", "name", "'right'", "'right_'"),
    ("Gate.opens", "statement", "self.log(key, loud=True)", "pass"),
    ("Gate.opens", "keyword", "self.log(key, loud=True)", "self.log(key)"),
    ("Gate.opens", "constant", "True", "False"),
    ("Gate.opens", "statement", "raise ValueError('wrong key')", "pass"),
}


def test_a_module_has_these_mutants_and_no_others() -> None:
    """Each careless fault once, named by its code; neither docstrings, nor annotations, nor an error's words."""
    _, mutants = mutants_of("gate.py", SOURCE)
    named = {(each.function, each.operator, each.before, each.after) for each in mutants}
    assert named == MUTANTS
    assert len({each.key for each in mutants}) == len(mutants)


@pytest.mark.parametrize("lines", ["\n\n\n", "import os\n"])
def test_a_mutant_keeps_its_name_when_lines_move(lines: str) -> None:
    """The table and the session know it again."""
    names = {each.key for each in mutants_of("gate.py", SOURCE)[1]}
    assert {each.key for each in mutants_of("gate.py", lines + SOURCE)[1]} == names


def test_a_sample_is_drawn_by_name() -> None:
    """The same one every time, about as large as asked for, and part of every larger one."""
    mutants = [each for module in modules()[:12] for each in mutants_of(module, (ROOT / module).read_text())[1]]
    small, large = ({each.key for each in mutants if each.drawn(percent, 1)} for percent in (10, 30))
    assert small < large
    assert 0.05 < len(small) / len(mutants) < 0.15
    assert {each.key for each in mutants if each.drawn(10, 2)} != small


def test_a_mutant_changes_the_tree_only_while_it_is_tried() -> None:
    """Afterwards the module is as it was written."""
    tree, mutants = mutants_of("gate.py", SOURCE)
    before = ast.dump(tree, include_attributes=True)
    for mutant in mutants:
        with mutant.edit:
            assert ast.dump(tree, include_attributes=True) != before
            compile(tree, "gate.py", "exec")
        assert ast.dump(tree, include_attributes=True) == before


ANEW = """
from pathlib import Path
from tests.mutants import workshop
from tests.mutants.operators import mutants_of
from tests.mutants.session import ROOT
path = "drfsm/journal/chain.py"
mutant = next(each for each in mutants_of(path, (ROOT / path).read_text())[1] if each.before == "64")
tests = ["tests/journal/test_chain.py::test_the_first_line_follows_sixty_four_zeros"]
print(workshop.try_anew(ROOT, mutant, tests, 60, Path({temporary!r})).verdict)
"""


def test_a_mutant_of_what_runs_at_import_is_imported(tmp_path: Path) -> None:
    """Tables are mutated, too: the process that tries one imports the mutant, and not the module beside it."""
    script = ANEW.format(temporary=str(tmp_path / "t"))
    command = [sys.executable, "-c", script]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert said.stdout.strip() == "killed", said.stderr
