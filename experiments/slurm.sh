#!/bin/bash
# One study on a cluster without Ray: an array of jobs, each with a part of the draws, and a last job that joins them.
#
#   sbatch --array=1-8 experiments/slurm.sh experiments/paper.yaml
#   sbatch --dependency=afterok:JOB --wrap "rmtbench merge results/parts/* --results results/paper"
#
# A job that was cut short goes on where it stopped: submit its number again (sbatch --array=3 ...).
#SBATCH --job-name=rmtbench
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=8
#SBATCH --time=04:00:00
set -euo pipefail
study=${1:?give an experiment file such as experiments/paper.yaml}
count=${SLURM_ARRAY_TASK_COUNT:?submit with --array=1-N}
part=${SLURM_ARRAY_TASK_ID}
exec rmtbench sweep "$study" --shard "$part/${SLURM_ARRAY_TASK_MAX:-$count}" --results "results/parts/$part"
