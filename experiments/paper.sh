#!/usr/bin/env bash
# The runs behind the tables of "Don't Do RAG" (arXiv 2412.15605v1), with the draws that give its numbers of questions.
# Needs a GPU with 80 GB, the Hugging Face hub and access to meta-llama/Llama-3.1-8B-Instruct. The same call resumes.
#
# Two settings differ from the paper on purpose, so that the systems can be compared: both kinds of retrieval search the
# same chunks of 512 tokens, and all systems have one prompt. Dense retrieval embeds with MiniLM.
set -euo pipefail
results=${1:-results/paper}

run() {
  rmtbench run --profile paper --system all --results "$results" "$@"
}

run --dataset hotpotqa --size small --draws 87
run --dataset hotpotqa --size medium --draws 33
run --dataset hotpotqa --size large --draws 21
for size in small medium large; do
  run --dataset squad --size "$size"
  run --dataset triviaqa --size "$size"
done
rmtbench report "$results"
