#!/usr/bin/env bash
# The runs behind the tables of "Don't Do RAG" (arXiv 2412.15605v1), and TriviaQA, then the report. The same call resumes.
# Needs a GPU with 80 GB, the Hugging Face hub and access to meta-llama/Llama-3.1-8B-Instruct.
set -euo pipefail
results=${1:-results/paper}
rmtbench sweep "$(dirname "$0")/paper.yaml" --results "$results"
rmtbench report "$results"
