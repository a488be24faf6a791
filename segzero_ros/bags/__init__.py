"""From recorded bags to annotated pictures, without ROS."""
