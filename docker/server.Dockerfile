# Training and evaluation on NVIDIA GPUs, without ROS. Nobody has built this file yet.
#   docker build -f docker/server.Dockerfile -t segzero-server .
#   docker run --rm --gpus all --ipc=host -v $PWD/runs:/segzero/runs segzero-server \
#       accelerate launch --config_file config/accelerate/1gpu.yaml -m segzero_train.grpo --config demo
# PyTorch brings its own CUDA libraries. DeepSpeed compiles with the image's nvcc, whose major
# version must be that of PyTorch's.
FROM nvidia/cuda:13.0.1-devel-ubuntu24.04

RUN apt-get update && apt-get install -y --no-install-recommends \
        g++ libegl1 libgl1 python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*

COPY . /segzero
WORKDIR /segzero
ENV PATH=/opt/venv/bin:$PATH HF_HOME=/weights
RUN python3 -m venv /opt/venv \
    && pip install --no-cache-dir -c constraints-train.txt setuptools \
    && pip install --no-cache-dir -c constraints-train.txt --editable '.[train]'
VOLUME /weights
CMD ["bash"]
