"""python -m soli.export run=<run> to=<folder> [program=true]: a run as a folder that transformers loads without soli."""

from __future__ import annotations

from soli.configuration import command

main = command("export", job="soli.jobs.export")

if __name__ == "__main__":
    main()
