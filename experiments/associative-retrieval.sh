#!/usr/bin/env bash
# ARMT's associative retrieval: a per-layer memory and a plain recurrent memory of as many bytes, for keys that are
# written once and for keys that are written again. The same command resumes.
# Usage: experiments/associative-retrieval.sh [FOLDER]; PAIRS and STEPS are the curriculum, LAYERS and KEYS the size.
set -euo pipefail
out=${1:-associative-retrieval}
threads=${THREADS:-1}
pairs=${PAIRS:-1,2,4,8,16,32}
steps=${STEPS:-500,1000,1500,2000,2000,2000}
layers=${LAYERS:-2} width=${WIDTH:-64} keys=${KEYS:-3} tokens=4
# A layer has 6 features for each number of a key, and rows for their amounts; the plain memory has as many tokens.
features=$((6 * keys))
plain=$((tokens + layers * (features + (features + width - 1) / width)))
common="--base random:${layers}x$width --segment-tokens $((plain > 64 ? plain : 64)) --rows ${ROWS:-32} --mixed 0.3
  --promote-at-accuracy 0.95 --learning-rate ${RATE:-3e-3} --no-mixed-precision --threads $threads --device ${DEVICE:-cpu}
  --segments $pairs --steps $steps"
memories=()
for task in associative-retrieval associative-retrieval-rewrite; do
  rmtbench train rmt --task $task $common --update per-layer --memory-tokens $tokens --set associative-keys=$keys \
    --out "$out/$task-per-layer"
  rmtbench train rmt --task $task $common --update overwrite --memory-tokens $plain --out "$out/$task-overwrite"
  memories+=(--memory "$out/$task-per-layer/model" --memory "$out/$task-overwrite/model")
done
python -m experiments.benches key-values "${memories[@]}" --pairs "$pairs" --steps 1 --texts 256 --threads "$threads" \
  --json "$out/curves.json"
