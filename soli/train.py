"""python -m soli.train [overrides]: trains a captioner into a run folder."""

from __future__ import annotations

from soli.configuration import command

main = command("train", job="soli.jobs.train", sweep="soli.jobs.swept_runs")

if __name__ == "__main__":
    main()
