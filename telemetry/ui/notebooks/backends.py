# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""What the servers say of themselves: latency, errors, queue, tokens, GPU."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Backends")


@app.cell(hide_code=True)
def _():
    import marimo as mo

    from telemetry.report import plots
    from telemetry.ui import desk

    return desk, mo, plots


@app.cell(hide_code=True)
def _(desk, mo):
    period = mo.ui.dropdown(list(desk.SERVED_PERIODS), value=desk.LATELY, label="of")
    mo.vstack([mo.md("# Backends"), mo.hstack([period], justify="start", wrap=True)])
    return (period,)


@app.cell(hide_code=True)
def _(desk, mo, period):
    serving = desk.served(period.value)
    table = desk.backends_table(serving.totals)
    told = "*No backend was asked: `fimble telemetry operations scrape` does that.*"
    mo.ui.table(table, selection=None) if table else mo.md(told)
    return (serving,)


@app.cell(hide_code=True)
def _(desk, mo, plots, serving):
    drawn = {title: plots.of_hours(serving.hours, title) for title in plots.OF_BACKENDS}
    figures = [
        mo.vstack([mo.md(f"**{title}**"), mo.Html(desk.drawn(plot))])
        for title, plot in drawn.items()
        if plot
    ]
    figures += [mo.md("")] * (len(figures) % 2)  # so that the last one is as wide as the others
    pairs = [mo.hstack(figures[at : at + 2], widths="equal") for at in range(0, len(figures), 2)]
    mo.vstack([mo.md("## Hour by hour"), *pairs]) if pairs else mo.md("")
    return


if __name__ == "__main__":
    app.run()
