#!/usr/bin/env bash
# GradMem's test of key-value pairs: a memory of 8 vectors written by gradient, one of the same size written forward, and
# both curves over pairs and steps. The same command resumes. Usage: experiments/key-values.sh [FOLDER]
set -euo pipefail
out=${1:-key-values}
threads=${THREADS:-1}
common="--task key-values --base random:4x128 --memory-tokens 8 --segment-tokens 384 --rows 16 --mixed 0.3
  --promote-at-accuracy 0.9 --threads $threads --device cpu"
gradient="--write gradient --set inner-rate=10 --set window-tokens=4"
# One step first, which is cheaper and finds out how to tell keys apart; two from 16 pairs on.
rmtbench train rmt $common $gradient --set inner-steps=1 --learning-rate 3e-3 \
  --segments 4,8,16 --steps 800,800,1000 --out "$out/gradient-first"
rmtbench train rmt $common $gradient --set inner-steps=2 --learning-rate 2e-3 --start "$out/gradient-first/model" \
  --segments 16,32,64,96 --steps 600,1500,2000,4000 --out "$out/gradient"
rmtbench train rmt $common --update overwrite --learning-rate 3e-3 \
  --segments 4,8,16,32,64,96 --steps 800,800,1000,1500,2000,4000 --out "$out/forward"
python -m experiments.benches key-values --memory "$out/gradient-first/model" --memory "$out/gradient/model" \
  --memory "$out/forward/model" --threads "$threads" --json "$out/curves.json"
