"""The quality-of-service profiles that several modules share."""

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

CAMERA_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
"""For images: only the newest one counts."""
RELIABLE_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
"""For queries, results and diagnostics."""
TEXT_QOS = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)
"""For pieces of text: each one counts, and a busy subscriber reads them late."""
LATCHED_QOS = QoSProfile(
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
"""For the last answer, which late subscribers get, too."""
