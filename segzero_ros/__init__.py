"""The ROS 2 shell of segzero: images and questions in, masks and reasoning out."""

import pkgutil

# The built messages live in a package of the same name in the install folder: join the two.
__path__ = pkgutil.extend_path(__path__, __name__)
