# The perception node on ROS 2 Jazzy. Nobody has built this file yet.
#   docker build -f docker/robot.Dockerfile -t segzero-robot .
#   docker run --rm --net=host --ipc=host --gpus all segzero-robot profile:=demo image:=/camera/image_raw
FROM ros:jazzy-ros-base

RUN apt-get update && apt-get install -y --no-install-recommends \
        g++ libegl1 libgl1 libgl1-mesa-dri make python3-dev python3-venv ros-jazzy-tf2-ros-py \
        ros-jazzy-vision-msgs ros-jazzy-visualization-msgs \
    && rm -rf /var/lib/apt/lists/*

COPY . /workspace/src/segzero
# The set-up installs the versions of constraints.txt into .venv, over the system's packages.
RUN . /opt/ros/jazzy/setup.sh && make -C /workspace/src/segzero setup

# Weights are fetched once into a volume: `segzero fetch PROFILE`.
ENV HF_HOME=/weights
VOLUME /weights
ENTRYPOINT ["bash", "-c", "source /workspace/src/segzero/install/setup.bash && exec ros2 launch segzero_ros perception.launch.py \"$@\"", "launch"]
