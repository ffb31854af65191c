from evalharness.report.latex import as_latex, latex_text
from evalharness.report.tables import Table

TABLE = Table(
    title="Accuracy in %",
    columns=("model", "AIME\nn=30"),
    rows=(("a_b", "43.3 [27.4, 60.8]"), ("c&d", "16.7")),
    num_labels=1,
    notes=("95% intervals.",),
    best=frozenset({(0, 1)}),
)


def test_a_table_is_booktabs_with_the_best_in_bold() -> None:
    assert as_latex([TABLE]) == (
        "% \\usepackage{booktabs,graphicx}\n"
        "\\begin{table}\n"
        "\\centering\n"
        "\\caption{Accuracy in \\%}\n"
        "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{"
        "\\begin{tabular}{lr}\n"
        "\\toprule\n"
        "model & AIME \\\\\n"
        " & n=30 \\\\\n"
        "\\midrule\n"
        "a\\_b & \\begin{tabular}[t]{@{}r@{}}\\textbf{43.3}\\\\[-2pt]"
        "\\scriptsize [27.4, 60.8]\\end{tabular} \\\\\n"
        "c\\&d & 16.7 \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}}\n"
        "\\par\\smallskip\\footnotesize 95\\% intervals.\n"
        "\\end{table}\n"
    )


def test_a_name_cannot_become_a_latex_command() -> None:
    assert latex_text("\\input{x}") == "\\textbackslash{}input\\{x\\}"
    assert latex_text("$x^2_1$ #1 ~") == ("\\$x\\textasciicircum{}2\\_1\\$ \\#1 \\textasciitilde{}")
