# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""What is left of accepted texts as time goes by."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Retention")


@app.cell(hide_code=True)
def _():
    import marimo as mo

    from telemetry.report import plots
    from telemetry.ui import desk

    return desk, mo, plots


@app.cell(hide_code=True)
def _(desk, mo):
    period = mo.ui.dropdown(list(desk.PERIODS), value=desk.EVER, label="of")
    mo.vstack(
        [
            mo.md(
                "# Retention\n"
                "How much of an accepted text still stands, found by aligning it with the document."
            ),
            period,
        ]
    )
    return (period,)


@app.cell(hide_code=True)
def _(desk, mo, period, plots):
    horizons = desk.asked(lambda asker: asker.retention(), period.value)
    curve = plots.retention(horizons, title="Accepted text that stands") if horizons else ""
    table = desk.retention_table(horizons)
    mo.vstack([mo.Html(desk.drawn(curve)), mo.ui.table(table, selection=None)]) if curve else mo.md(
        "*Nothing was accepted.*"
    )
    return


@app.cell(hide_code=True)
def _(desk, mo, period):
    by_language = desk.asked(lambda asker: asker.ratio("kept_chars_rate", "language"), period.value)
    kept = desk.ratio_table(by_language, ["language"], "kept_chars_rate")
    mo.vstack(
        [mo.md("## After ten minutes, by language"), mo.ui.table(kept, selection=None)]
    ) if kept else mo.md("")
    return


if __name__ == "__main__":
    app.run()
