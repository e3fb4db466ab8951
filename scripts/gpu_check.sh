#!/usr/bin/env bash
# What only a CUDA machine can show of soli, in at most nine minutes; scripts/gpu_check/check.py says more.
#   scripts/gpu_check.sh [--cpu] [--photographs FOLDER] [--weights FOLDER] [--output FILE] [--only SECTION,...]
#   PYTHON=python3.12 scripts/gpu_check.sh      another interpreter than .venv/bin/python, or python3 where that is not there
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
if [ -z "${PYTHON:-}" ] && [ ! -x "$python" ]; then python=python3; fi
command -v "$python" >/dev/null || { echo "There is no $python here. Name a Python that has PyTorch: PYTHON=/path/to/python3 $0" >&2; exit 2; }
"$python" -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("torch") is None)' || { echo "$python has no PyTorch. Name a Python that has it: PYTHON=/path/to/python3 $0" >&2; exit 2; }
exec "$python" -u "$root/scripts/gpu_check/check.py" "$@"
