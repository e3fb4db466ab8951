"""python -m soli.evaluate run=<run> [overrides]: scores captions, or retrieval, at every condition of the ladder; runs=[...] compares."""

from __future__ import annotations

from soli.configuration import command

main = command("evaluate", job="soli.jobs.evaluate")

if __name__ == "__main__":
    main()
