"""From depth images and calibration to places in 3D."""
