#!/bin/bash
# Train on one node or on several, each with eight GPUs:
#   sbatch            scripts/slurm/train.sh seg_zero_7b runs/seg_zero_7b
#   sbatch --nodes 2  scripts/slurm/train.sh seg_zero_7b runs/seg_zero_7b --seed 1
# The job is put in the queue again until the run is at its end. RUN must lie on a shared disk.
#SBATCH --job-name=segzero
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
#SBATCH --signal=USR1@1200
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log
set -euo pipefail
if [ $# -lt 2 ]; then
    echo "usage: sbatch $0 RECIPE RUN [--key value ...]" >&2
    exit 2
fi
recipe=$1 run=$2
shift 2

export SEGZERO_GPUS=${SLURM_GPUS_ON_NODE:-8}
nodes=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
SEGZERO_HEAD=${nodes%%$'\n'*}
SEGZERO_LAUNCH=$(python -m segzero_train.shipped "accelerate/${LAUNCH:-2nodes_zero3}")
export SEGZERO_HEAD SEGZERO_LAUNCH
# After a SIGTERM the launcher waits so long for a step and its checkpoint; alone, 30 seconds.
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=${TORCH_ELASTIC_SHUTDOWN_TIMEOUT:-900}

# Of SIGUSR1 only those that train must hear: it would end the launcher.
# shellcheck disable=SC2016
srun --kill-on-bad-exit=1 bash -c '
    trap "" USR1
    exec accelerate launch --config_file "$SEGZERO_LAUNCH" --num_machines "$SLURM_NNODES" \
        --num_processes $((SLURM_NNODES * SEGZERO_GPUS)) --machine_rank "$SLURM_NODEID" \
        --main_process_ip "$SEGZERO_HEAD" --main_process_port $((20000 + SLURM_JOB_ID % 20000)) \
        -m segzero_train.grpo "$@"
' train --config "$recipe" --output_dir "$run" "$@"

# Here the command ended in order: at the end of the run, or ahead of the end of its time.
if [ ! -f "$run/trainer_state.json" ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
