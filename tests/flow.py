"""What follows from what in a notebook, read off its code without running it.

Two questions: which statements lead to a training or a study (the others can be left out by a test that only wants to
know what is asked for), and which of the hyperparameters a statement depends on. A function counts with everything that
it reads, a loop with what it runs over, and a model with what was given to the function that trained it.
"""

import ast
import re

import nbformat
from IPython.core.inputtransformer2 import TransformerManager

TRAIN = {"fit_or_load", "load_pretrained"}  # these change their first argument
FUNCTIONS = (ast.FunctionDef, ast.ClassDef)
LOOPS = (ast.For, ast.While, ast.If, ast.With)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class Flow:
    """The code cells of a notebook as syntax trees; `hyperparameters` is the number of the cell that holds them."""

    def __init__(self, path):
        cells = nbformat.read(path, as_version=4).cells
        self.sources = [cell.source for cell in cells if cell.cell_type == "code"]
        self.cells = [ast.parse(TransformerManager().transform_cell(source)).body for source in self.sources]
        named = re.compile(r"(# @title .*\n)?[A-Z][A-Z_\d]* = \S")
        start = [number for number, source in enumerate(self.sources) if named.match(source)]
        self.hyperparameters = start[0] if start else None
        everything = [node for cell in self.cells for node in cell]
        self.imported = {
            (alias.asname or alias.name).split(".")[0]
            for statement in everything
            for node in ast.walk(statement)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        self.functions = {node.name: node for node in everything if isinstance(node, FUNCTIONS)}
        self.training = self._that_reach(TRAIN)
        self.training -= {name for name, node in self.functions.items() if self._begins_with_data(node)}
        self.asking = self._that_reach({name for name, node in self.functions.items() if asks(node)})
        self.needed = self._needed(self.asks)

    def _that_reach(self, names) -> set[str]:
        """Functions of the notebook that call one of `names`, directly or through another, and `names`."""
        found, before = set(names), None
        while found != before:
            before = set(found)
            found |= {name for name, node in self.functions.items() if found & reads(node)}
        return found

    def _begins_with_data(self, node) -> bool:
        """Whether a function hands its first parameter on as what a model is trained on: then it does not change it."""
        first = node.args.args[:1] if isinstance(node, ast.FunctionDef) else []
        calls = [part for part in ast.walk(node) if isinstance(part, ast.Call) and isinstance(part.func, ast.Name)]
        data = {root(given) for call in calls if call.func.id in self.training for given in call.args[1:]}
        return any(parameter.arg in data for parameter in first)

    def narrow(self, lines) -> None:
        """Need no more than what leads to these simple statements, given by cell and line."""
        wanted = {
            id(part)
            for cell, line in lines
            for node in self.cells[cell]
            for part in ast.walk(node)
            if isinstance(part, ast.stmt) and part.lineno == line
        }
        self.needed = self._needed(lambda node: id(node) in wanted)

    def _needed(self, wanted) -> list[list[ast.stmt]]:
        """For each cell, the statements that are wanted, and those that these need."""
        names, before = set(), None
        while names != before:
            before = set(names)
            kept = [self._kept(cell, names, wanted) for cell in self.cells]
            names |= {name for cell in kept for statement in cell for name in reads(statement)}
        return kept

    def _kept(self, body, names, wanted) -> list[ast.stmt]:
        kept = []
        for node in body:
            if isinstance(node, LOOPS):
                inside = self._kept(node.body, names, wanted)
                if inside:
                    others = {"orelse": self._kept(node.orelse, names, wanted)} if hasattr(node, "orelse") else {}
                    fields = dict(ast.iter_fields(node)) | {"body": inside} | others
                    kept.append(ast.copy_location(type(node)(**fields), node))
            elif isinstance(node, ast.Import | ast.ImportFrom) or self.writes(node) & names or wanted(node):
                kept.append(node)
        return kept

    def affected(self, names) -> list[tuple[int, ast.stmt]]:
        """The needed statements, and their cells, that must run again where these hyperparameters have other values.

        So they do when they read what has changed, or bind what another of them changes, or one of several values that
        a name has in turn and that another of them reads.
        """
        statements = [(cell, node) for cell, nodes in enumerate(self.needed) for node in nodes]
        statements = [(cell, node) for cell, node in statements if cell != self.hyperparameters]
        statements = [each for each in statements if not isinstance(each[1], ast.Import | ast.ImportFrom)]
        written = [self.writes(node) for _, node in statements]
        read = [self._reads_through(node) for _, node in statements]
        several = {name for names in written for name in names if sum(name in others for others in written) > 1}
        chosen, changed, again, before = set(), set(names), set(), None
        while chosen != before:
            before = set(chosen)
            for number, (_, node) in enumerate(statements):
                if read[number] & changed or written[number] & again:
                    chosen.add(number)
                    changed |= written[number]
                    bound = {target.id for target in targets_of(node) if isinstance(target, ast.Name)}
                    again |= (written[number] - bound) | (read[number] & several)
        return [statements[number] for number in sorted(chosen)]

    def _reads_through(self, node, seen=()) -> set[str]:
        """Names that a statement reads, also in the functions of the notebook that it calls."""
        names = reads(node)
        for name in names & self.functions.keys() - set(seen):
            names = names | self._reads_through(self.functions[name], (*seen, name))
        return names

    def asks(self, node) -> bool:
        """Whether a statement may ask for a file."""
        return not isinstance(node, FUNCTIONS) and (asks(node) or bool(reads(node) & self.asking))

    def writes(self, node) -> set[str]:
        """Names that a statement binds, and those whose values it changes."""
        if isinstance(node, FUNCTIONS):
            return {node.name}
        targets = {root(target) for target in targets_of(node)}
        for call in (part for part in ast.walk(node) if isinstance(part, ast.Call)):
            if isinstance(call.func, ast.Name) and call.func.id in self.training and call.args:
                targets.add(root(call.args[0]))
            elif isinstance(call.func, ast.Attribute) and isinstance(node, ast.Expr) and call is node.value:
                targets.add(root(call.func.value))
        return targets - self.imported - {None}

    def dependences(self) -> dict[tuple[int, int], tuple[set[str], set[str]]]:
        """(cell, line of a simple statement) -> the hyperparameters that it depends on, and those told by a name.

        A name such as f"01_small_{size}" tells the size, so that the file need not. A hyperparameter is given by its
        name, or by an element of it, as in "BETAS[-1]".
        """
        self.known = {}
        hyperparameters = self.cells[self.hyperparameters] if self.hyperparameters is not None else []
        self.numbers = {root(target) for node in hyperparameters for target in targets_of(node)} - {None}
        self.found = {}
        for number, cell in enumerate(self.cells):
            if cell is not hyperparameters:
                self._follow(cell, number, set())
        return self.found

    def _follow(self, body, number, outer):
        for node in body:
            if isinstance(node, FUNCTIONS):
                continue
            if isinstance(node, LOOPS):
                heads = [getattr(node, name) for name in ("iter", "test") if hasattr(node, name)]
                heads += [item.context_expr for item in getattr(node, "items", [])]
                inner = outer.union(*(self._tokens(head) for head in heads))
                for target in targets_of(node):
                    self.known[root(target)] = inner
                for _ in range(2):  # what the end of a loop changes, its beginning sees
                    self._follow(node.body, number, inner)
                    self._follow(getattr(node, "orelse", []), number, inner)
                continue
            tokens = outer | self._tokens(node)
            bound = {target.id for target in targets_of(node) if isinstance(target, ast.Name)}
            for name in self.writes(node):
                fresh = name in bound and not isinstance(node, ast.AugAssign)
                self.known[name] = tokens if fresh else self.known.get(name, set()) | tokens
            local = self._local(node)
            told = set().union(*(self._tokens(part, local=local) for part in parts_of_names(node)))
            before = self.found.get((number, node.lineno), (set(), set()))
            self.found[number, node.lineno] = before[0] | tokens - told, before[1] | told

    def _local(self, node, seen=(), local=None) -> dict[str, set[str]]:
        """Variable of a comprehension below a node -> what it depends on."""
        local = dict(local or {})
        for part in ast.walk(node):
            if isinstance(part, COMPREHENSIONS):
                for generator in part.generators:
                    tokens = self._tokens(generator.iter, seen, local)
                    local |= dict.fromkeys(bound_in(generator.target), tokens)
        return local

    def _tokens(self, node, seen=(), local=None) -> set[str]:
        """What an expression, or a function, depends on; `local` are the variables of comprehensions around it."""
        local = self._local(node, seen, local)
        tokens, elements = set(), []
        for part in ast.walk(node):
            if isinstance(part, ast.Subscript) and root(part) in self.numbers and is_constant(part.slice):
                tokens.add(ast.unparse(part))
                elements.append(part.value)
        outside = reads(node) if isinstance(node, FUNCTIONS) else None
        for part in ast.walk(node):
            if not isinstance(part, ast.Name) or not isinstance(part.ctx, ast.Load) or part in elements:
                continue
            if outside is not None and part.id not in outside:
                continue
            if part.id in local:
                tokens |= local[part.id]
            elif part.id in self.numbers:
                tokens.add(part.id)
            elif part.id in self.functions and part.id not in seen:
                tokens |= self._tokens(self.functions[part.id], (*seen, part.id))
            else:
                tokens |= self.known.get(part.id, set())
        return tokens


def reads(node) -> set[str]:
    """Names that a statement reads; of a function or class, those from outside."""
    loaded = {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load)}
    if isinstance(node, FUNCTIONS):
        defaults = [*node.args.defaults, *node.args.kw_defaults] if isinstance(node, ast.FunctionDef) else []
        outside = [part for part in (*node.decorator_list, *defaults, *getattr(node, "bases", [])) if part]
        loaded = (loaded - bound_in(node)).union(*map(reads, outside))
    return loaded


def bound_in(node) -> set[str]:
    """Names that are bound somewhere below a node."""
    parts = list(ast.walk(node))
    stored = {part.id for part in parts if isinstance(part, ast.Name) and not isinstance(part.ctx, ast.Load)}
    inner = {part.name for part in parts if isinstance(part, FUNCTIONS) and part is not node}
    return stored | inner | {part.arg for part in parts if isinstance(part, ast.arg)}


def asks(node) -> bool:
    """Whether it says itself, without the functions that it calls, that a file is to be loaded or written."""
    for part in ast.walk(node):
        if isinstance(part, ast.Call) and isinstance(part.func, ast.Name):
            named = any(keyword.arg in ("name", None) for keyword in part.keywords)
            if part.func.id in ("study", "load_pretrained") or (part.func.id == "fit_or_load" and named):
                return True
    return False


def root(node) -> str | None:
    """The name that an expression such as `model.layers[0]` begins with."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Starred):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def targets_of(node) -> list[ast.expr]:
    targets = [*(getattr(node, "targets", None) or [getattr(node, "target", None)])]
    targets += [item.optional_vars for item in getattr(node, "items", [])]
    flat = []
    while targets:
        target = targets.pop()
        if isinstance(target, ast.Tuple | ast.List):
            targets += target.elts
        elif target is not None:
            flat.append(target)
    return flat


def parts_of_names(node) -> list[ast.expr]:
    """The expressions in f-strings that a call is given."""
    calls = [part for part in ast.walk(node) if isinstance(part, ast.Call)]
    given = [value for call in calls for value in (*call.args, *(keyword.value for keyword in call.keywords))]
    strings = [value for value in given if isinstance(value, ast.JoinedStr)]
    return [part.value for string in strings for part in string.values if isinstance(part, ast.FormattedValue)]


def is_constant(node) -> bool:
    return all(isinstance(part, ast.Constant | ast.UnaryOp | ast.USub | ast.Load) for part in ast.walk(node))
