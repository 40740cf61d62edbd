# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""What a registered experiment says: gates, result, guardrails, verdict."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Experiment")


@app.cell(hide_code=True)
def _():
    import marimo as mo

    from telemetry.experiments.report import analysis_lines
    from telemetry.ui import desk

    return analysis_lines, desk, mo


@app.cell(hide_code=True)
def _(desk, mo):
    registered = desk.experiments()
    chosen = mo.ui.dropdown(registered, value=next(iter(registered), None), label="experiment")
    mo.vstack(
        [mo.md("# Experiment"), chosen if registered else mo.md("*No experiment is registered.*")]
    )
    return (chosen,)


@app.cell(hide_code=True)
def _(analysis_lines, chosen, desk, mo):
    mo.stop(chosen.value is None)
    found = desk.analysis(chosen.value)
    mo.vstack(
        [
            mo.md(f"## Verdict: {found.verdict.decision} {found.verdict.arm}"),
            mo.plain_text("\n".join(analysis_lines(found))),
        ]
    )
    return


if __name__ == "__main__":
    app.run()
