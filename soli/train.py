"""python -m soli.train [overrides]: trains a captioner into a run folder."""

from __future__ import annotations

from soli.configuration import command

main = command("train", job="soli.jobs.train")

if __name__ == "__main__":
    main()
