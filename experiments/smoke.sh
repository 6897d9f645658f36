#!/usr/bin/env bash
# Every system once over the embedded sample corpus: shows that an installation works, and measures nothing worth keeping.
set -euo pipefail
results=${1:-results/smoke}
export HF_HUB_OFFLINE=1
rmtbench run --system all --dataset sample --size smoke --top-k 1,3 --questions 4 --results "$results"
rmtbench report "$results"
