#!/usr/bin/env bash
# Every system once over the embedded handbook, then the report; offline.
set -euo pipefail
results=${1:-results/smoke}
export HF_HUB_OFFLINE=1
rmtbench sweep "$(dirname "$0")/smoke.yaml" --results "$results"
rmtbench report "$results"
