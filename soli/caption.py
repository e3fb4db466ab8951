"""python -m soli.caption run=<run> images=[a.jpg,b.jpg] [condition=R0.1S50]: a line per photograph."""

from __future__ import annotations

from soli.configuration import command

main = command("caption", job="soli.jobs.caption")

if __name__ == "__main__":
    main()
