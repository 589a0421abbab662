"""Formulas of docstrings and pages, typeset as MathML, which browsers show without a script or a font from elsewhere.

They are written as plain text with Unicode signs, so that `help` shows them too: `z_k = √2 |X_k|`. Here they become the little
LaTeX that latex2mathml takes: the package needs nothing else, and runs while the site is built.
"""

import html
import re
from collections.abc import Iterator

from latex2mathml.converter import convert

CODE = re.compile(r"\s*(@|>>>|\.\.\. |#|(?:def|class|for|import|from|return|print|pullback|pip|make)\b)|.*[\"'`]")
SIGNS = re.compile(r"[√Σ⊙ᵀ⁻ε∈π‖∇ḡ≤≥→]|\w_[{\w].* = | = .*\w_[{\w]")
RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻ᵀⁿ", "0123456789-Tn"))
LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉ᵢⱼₖ", "0123456789ijk"))
FUNCTIONS = ("arg", "cos", "exp", "log", "max", "min", "sin")
BETWEEN = ("by", "for", "in", "is", "of", "on", "type", "where")  # words of a sentence, with blanks around them
INDEX = re.compile(
    r"(?<![\w`.])([A-Za-zΑ-ωḡ∇Σ])_(\{[^{}]+\}|[a-z0-9]{1,2}(?![A-Za-z0-9_(])|[A-Z](?![A-Za-z0-9_(]))(?:\^\{([^{}]+)\})?"
)


def is_formula(line: str) -> bool:
    """Whether an indented line is a formula, and no code or table of words."""
    return bool(SIGNS.search(line)) and not CODE.match(line)


def latex(text: str) -> str:
    """The notation of docstrings as LaTeX.

    >>> print(latex("z_k = √(Σ_p w²) cos(π k / N) + share_m"))
    z_k = \\sqrt{\\sum_p w^{2}} \\cos(π k / N) + \\mathrm{share}_m
    """
    text = _moved(_moved(text, RAISED, "^"), LOWERED, "_")
    text = re.sub(r"_(\w,\w)(?!\w)", r"_{\1}", text)
    text = re.sub(r"[a-zA-Z]{3,}|\b(?:is|in|of|by|on|Re|Im)\b", lambda word: _word(word[0]), text)
    text = _roots(text).replace("Σ", r"\sum").replace("ḡ", r"\bar{g}")
    return text.replace("‖", r"\Vert ").replace("*", "^{*}").replace("∘", r"\circ ")


def _moved(text: str, marks: dict[str, str], sign: str) -> str:
    """Runs of raised or lowered signs as one exponent or index."""
    return re.sub(f"[{''.join(marks)}]+", lambda run: f"{sign}{{{''.join(map(marks.get, run[0]))}}}", text)


def _word(text: str) -> str:
    if text in FUNCTIONS:
        return rf"\{text}"
    return rf"\;\text{{{text}}}\;" if text in BETWEEN else rf"\mathrm{{{text}}}"


def _roots(text: str) -> str:
    """√ of a bracket or of one sign as \\sqrt{…}; the bracket goes."""
    while (start := text.find("√")) >= 0:
        end, depth = start + 2, text[start + 1] == "("
        while depth:
            depth += (text[end] == "(") - (text[end] == ")")
            end += 1
        inner = text[start + 1 : end]
        text = f"{text[:start]}\\sqrt{{{inner[1:-1] if inner.startswith('(') else inner}}}{text[end:]}"
    return text


def block(lines: list[str]) -> str:
    """Indented lines as a table of formulas; two blanks and more divide columns, and formulas are typeset."""
    rows = (re.split(r" {2,}", line.strip()) for line in lines)
    table = f'<table class="formulas" role="presentation">{"".join(map(_row, rows))}</table>'
    return f'<div class="formula" markdown="0">{table}</div>'


def _row(cells: list[str]) -> str:
    return f"<tr>{''.join(f'<td>{_cell(each)}</td>' for each in cells)}</tr>"


def _cell(text: str) -> str:
    return html.escape(text) if re.fullmatch(r"[a-z]+( \d)?", text) else convert(latex(text), display="block")


def typeset(text: str, sentences: bool = False) -> str:
    """A page with its indented formulas typeset, and the indices in its sentences too; code, links and tags stay."""
    return "\n".join(_typeset(text.split("\n"), sentences))


def _typeset(lines: list[str], sentences: bool) -> Iterator[str]:
    fenced, held = False, []
    for line in [*lines, ""]:
        if not fenced and line.startswith("    ") and is_formula(line):
            held.append(line)
            continue
        if held:
            yield from ("", block(held), "")
            held = []
        fenced ^= line.startswith("```")
        yield outside(line) if sentences and not (fenced or line.startswith("    ")) else line


def outside(line: str) -> str:
    """`lowered` outside of code, links and tags.

    >>> outside("a_k of `a_k` in [z_k](z_k.md)")
    'a<sub>k</sub> of `a_k` in [z<sub>k</sub>](z_k.md)'
    """
    parts = re.split(r"(`[^`]*`|\]\([^)]*\)|<[^>]*>|\$.*\$)", line)
    return "".join(part if number % 2 else lowered(part) for number, part in enumerate(parts))


def lowered(text: str) -> str:
    """Indices of single letters in a sentence as HTML.

    >>> lowered("z_k of T_m, Σ_{n=0}^{N-1}, but max_evaluations and x_axis")
    'z<sub>k</sub> of T<sub>m</sub>, Σ<sub>n=0</sub><sup>N-1</sup>, but max_evaluations and x_axis'
    """
    return INDEX.sub(
        lambda each: f"{each[1]}<sub>{each[2].strip('{}')}</sub>" + (f"<sup>{each[3]}</sup>" if each[3] else ""), text
    )
